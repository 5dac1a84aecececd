"""The rows of the tables that are read, with the columns that are needed (nuscenes-devkit, docs/schema_nuscenes.md).

A column that only some distributions have, or that only some rows need, has a default. Timestamps are whole
microseconds, lengths are in metres, rotations are quaternions (w, x, y, z).
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from ..scenes import Quaternion, Vector3

Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Up to what every reader of JSON holds exactly; as microseconds, 285 years."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row of any table."""

    token: str


class SceneRow(Row, frozen=True, gc=False):
    """A drive of some seconds."""

    name: str
    log_token: str | None = None
    description: str | None = None


class LogRow(Row, frozen=True, gc=False):
    """A recording that scenes were cut from."""

    logfile: str | None = None
    location: str | None = None


class SampleRow(Row, frozen=True, gc=False):
    """A key frame, and the tokens of those before and after it."""

    timestamp: Whole
    scene_token: str
    prev: str | None = None
    next: str | None = None


class SensorRow(Row, frozen=True, gc=False):
    """A sensor of the rig, such as channel ``CAM_FRONT``."""

    channel: str
    modality: str | None = None


class CalibratedSensorRow(Row, frozen=True, gc=False):
    """How a sensor is mounted on the vehicle; a camera has a 3x3 matrix in pixels."""

    sensor_token: str
    translation: Vector3
    rotation: Quaternion
    camera_intrinsic: tuple[tuple[float, ...], ...] | None = None
    camera_distortion: tuple[float, ...] | None = None


class SampleDataRow(Row, frozen=True, gc=False):
    """One reading of one sensor: its file, and the tokens of what it was taken with and from where.

    ``sample_token`` is that of the nearest key frame. Only images have a width and a height.
    """

    sample_token: str
    ego_pose_token: str
    calibrated_sensor_token: str
    timestamp: Whole
    filename: str
    is_key_frame: bool
    width: Whole | None = None
    height: Whole | None = None
    next: str | None = None


class EgoPoseRow(Row, frozen=True, gc=False):
    """Where the vehicle was."""

    translation: Vector3
    rotation: Quaternion


class CategoryRow(Row, frozen=True, gc=False):
    """A class of things."""

    name: str


class AttributeRow(Row, frozen=True, gc=False):
    """What a thing may be doing, such as ``vehicle.moving``."""

    name: str


class VisibilityRow(Row, frozen=True, gc=False):
    """How much of a thing all cameras together see, such as ``v80-100``."""

    level: str


class InstanceRow(Row, frozen=True, gc=False):
    """One thing, through all frames of a scene."""

    category_token: str


class AnnotationRow(Row, frozen=True, gc=False):
    """The cuboid of one thing in one key frame; size is width, length, height."""

    sample_token: str
    instance_token: str
    translation: Vector3
    size: Vector3
    rotation: Quaternion
    attribute_tokens: tuple[str, ...] | None = None
    visibility_token: str | None = None
    num_lidar_pts: Whole | None = None
