"""The rows of the tables in which nuImages differs from nuScenes (nuscenes-devkit, docs/schema_nuimages.md).

With the columns that are needed; poses, mountings of cameras and masks are not.
"""

from __future__ import annotations

from ..nuscenes.tables.rows import Row, Whole


class LogRow(Row, frozen=True, gc=False):
    """A drive of the vehicle."""

    logfile: str


class SampleRow(Row, frozen=True, gc=False):
    """A moment of which the image of one camera is annotated."""

    log_token: str
    key_camera_token: str


class CalibratedSensorRow(Row, frozen=True, gc=False):
    """A sensor on a vehicle."""

    sensor_token: str


class SampleDataRow(Row, frozen=True, gc=False):
    """A file of a sensor; that of a lidar has no width and height."""

    calibrated_sensor_token: str
    filename: str
    timestamp: Whole
    width: Whole | None = None
    height: Whole | None = None


class ObjectRow(Row, frozen=True, gc=False):
    """A thing in an image; its box should be four numbers."""

    sample_data_token: str
    category_token: str
    bbox: tuple[float, ...]
    attribute_tokens: tuple[str, ...] | None = None
