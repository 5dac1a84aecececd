"""Reads a nuScenes data set through its own devkit, to compare with what our reader and projection make of it.

The devkit (extra ``devkit``) needs all thirteen tables and the maps, holds numpy below 2, and takes gigabytes for the
full set. It stops at the first row that does not join; our own reader reports such rows and goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from domainvl.errors import UsageError, install_hint
from domainvl.schema.writer import Reject

from ..driving.rig import view_of
from .scenes import Camera, Cuboid, Frame, Pose, Quaternion, Scene, Shot, Vector3
from .tables import SceneIndex, cached_index

_PACKAGE = "nuscenes-devkit"

Box: TypeAlias = tuple[float, float, float, float]
BoxesOf: TypeAlias = Callable[[str], Mapping[str, Box]]
"""Gives the box in pixels of each instance in an image, by the image's token in ``sample_data``."""


def open_devkit_index(dataroot: Path, tables: Path, *, sweeps: bool, folder: Path | None) -> SceneIndex:
    """Open the index of what the devkit reads; make it where there is none that is up to date.

    It stands beside that of our own reader. Its frames have the devkit's own boxes.

    Args:
        dataroot: Folder to which file names are relative.
        tables: The folder of tables in it.
        sweeps: Whether images between key frames are wanted.
        folder: Folder for the index, as :func:`domainvl.converters.nuscenes.tables.open_index` takes it.

    Raises:
        UsageError: If the devkit is not installed or cannot load the tables, or the index can be written nowhere.
        OutputError: If the disk is full.
    """

    def make() -> tuple[Iterable[Scene], Callable[[], Iterable[Reject]]]:
        with _devkit_errors(tables):
            devkit = open_devkit(dataroot, tables.name)
            # The devkit reports nothing: what does not join stops it.
            return [*read_scenes(devkit, devkit_boxes(devkit), sweeps=sweeps)], list

    kind = f"devkit-{devkit_version()}-{'sweeps' if sweeps else 'frames'}"
    return cached_index(dataroot, tables, make, kind=kind, folder=folder)


def devkit_version() -> str:
    """Return the version of the installed devkit.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise _not_installed() from error


def open_devkit(dataroot: Path, version: str) -> Any:
    """Load all tables with the devkit.

    Args:
        dataroot: Folder to which file names are relative.
        version: The folder of tables in it.

    Returns:
        A ``nuscenes.NuScenes``.

    Raises:
        UsageError: If the devkit is not installed.
    """
    try:
        from nuscenes import NuScenes
    except ImportError as error:
        raise _not_installed() from error
    return NuScenes(version=version, dataroot=str(dataroot), verbose=False)


@contextmanager
def _devkit_errors(tables: Path) -> Iterator[None]:
    """Say of tables that the devkit cannot use what it needs.

    Raises:
        UsageError: Instead of what the devkit raises.
    """
    try:
        yield
    except (AssertionError, IndexError, KeyError, OSError, TypeError, ValueError) as error:
        raise UsageError(
            "Cannot read with the devkit",
            where=tables,
            rule="it needs all tables and maps, no empty value and no dangling token, got "
            f"{type(error).__name__}: {error}",
            action="Read with domainvl itself: --reader own",
        ) from error


def _not_installed() -> UsageError:
    return UsageError(
        "Cannot read with the devkit",
        rule=f"the package {_PACKAGE} is not installed",
        action=f"{install_hint('devkit')}; or read with domainvl itself: --reader own",
    )


def read_scenes(devkit: Any, boxes_of: BoxesOf, *, sweeps: bool) -> Iterator[Scene]:
    """Yield the scenes of a data set, by name.

    Args:
        devkit: A ``nuscenes.NuScenes``.
        boxes_of: Gives the boxes of an image of a key frame.
        sweeps: Whether images between key frames are wanted.
    """
    samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in devkit.sample:
        samples[row["scene_token"]].append(row)
    images = _all_images(devkit) if sweeps else {}
    reader = _SceneReader(devkit, boxes_of)
    for row in sorted(devkit.scene, key=lambda row: (row["name"], row["token"])):
        if samples[row["token"]]:
            yield reader.read(row, samples[row["token"]], images.get(row["token"], ()))


def _all_images(devkit: Any) -> dict[str, list[dict[str, Any]]]:
    """Return all camera images of each scene, those of key frames too."""
    images: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in devkit.sample_data:
        if row["sensor_modality"] == "camera":
            images[devkit.get("sample", row["sample_token"])["scene_token"]].append(row)
    return images


class _SceneReader:
    """Reads the scenes of a devkit in the order of rows that our own reader gives, so that both are the same."""

    def __init__(self, devkit: Any, boxes_of: BoxesOf) -> None:
        self._devkit = devkit
        self._boxes_of = boxes_of

    def read(
        self, row: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], between: Sequence[Mapping[str, Any]]
    ) -> Scene:
        log = self._devkit.get("log", row["log_token"])
        in_time = sorted(samples, key=lambda sample: (sample["timestamp"], sample["token"]))
        of_frames = [self._images_of(sample) for sample in in_time]
        channels = {
            image["calibrated_sensor_token"]: image["channel"] for images in (*of_frames, between) for image in images
        }
        cameras = sorted(channels, key=lambda token: (channels[token], token))
        places = {token: place for place, token in enumerate(cameras)}
        return Scene(
            row["token"],
            row["name"],
            row["description"],
            log["logfile"],
            log["location"],
            tuple(self._camera(token, channels[token]) for token in cameras),
            tuple(
                self._frame(index, sample, images, places)
                for index, (sample, images) in enumerate(zip(in_time, of_frames, strict=True))
            ),
            self._shots(between, places),
        )

    def _images_of(self, sample: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        images = (self._devkit.get("sample_data", token) for token in sample["data"].values())
        return [image for image in images if image["sensor_modality"] == "camera"]

    def _frame(
        self, index: int, sample: Mapping[str, Any], images: Sequence[Mapping[str, Any]], places: Mapping[str, int]
    ) -> Frame:
        shots = self._shots(images, places)
        cuboids = [self._cuboid(token) for token in sample["anns"]]
        return Frame(
            index,
            sample["token"],
            sample["timestamp"],
            shots,
            tuple(sorted(cuboids, key=lambda cuboid: cuboid.instance_token)),
            {shot.view: dict(self._boxes_of(shot.token)) for shot in shots},
        )

    def _shots(self, images: Sequence[Mapping[str, Any]], places: Mapping[str, int]) -> tuple[Shot, ...]:
        in_time = sorted(images, key=lambda image: (image["timestamp"], image["channel"], image["token"]))
        return tuple(
            Shot(
                image["token"],
                view_of(image["channel"]),
                places[image["calibrated_sensor_token"]],
                image["filename"],
                image["timestamp"],
                image["width"],
                image["height"],
                _pose(self._devkit.get("ego_pose", image["ego_pose_token"])),
            )
            for image in in_time
        )

    def _camera(self, token: str, channel: str) -> Camera:
        row = self._devkit.get("calibrated_sensor", token)
        first, second, third = (_vector(line) for line in row["camera_intrinsic"])
        return Camera(channel, _pose(row), (first, second, third))

    def _cuboid(self, token: str) -> Cuboid:
        row = self._devkit.get("sample_annotation", token)
        attributes = (self._devkit.get("attribute", token)["name"] for token in row["attribute_tokens"])
        visibility = row["visibility_token"]
        return Cuboid(
            row["instance_token"],
            row["category_name"],
            tuple(attributes),
            self._devkit.get("visibility", visibility)["level"] if visibility else None,
            _vector(row["translation"]),
            _vector(row["size"]),
            _quaternion(row["rotation"]),
            row["num_lidar_pts"],
        )


def _pose(row: Mapping[str, Any]) -> Pose:
    return Pose(_vector(row["translation"]), _quaternion(row["rotation"]))


def _vector(values: Sequence[float]) -> Vector3:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _quaternion(values: Sequence[float]) -> Quaternion:
    w, x, y, z = (float(value) for value in values)
    return w, x, y, z


def devkit_boxes(devkit: Any) -> BoxesOf:
    """Return what gives the devkit's own boxes of an image.

    They are made as in its ``scripts/export_2d_annotations_as_json.py``: of the corners in front of the camera alone,
    the convex hull, cut at the borders of the image. That script takes every image for 1600x900; here the size is
    the table's. Where it gives no box, or stops at a hull without an area (nuscenes-devkit issue 762), there is none.

    Args:
        devkit: A ``nuscenes.NuScenes``.
    """
    from nuscenes.scripts.export_2d_annotations_as_json import post_process_coords
    from nuscenes.utils.geometry_utils import BoxVisibility, view_points
    from shapely.geometry import MultiPoint
    from shapely.geometry import box as rectangle

    def boxes_of(token: str) -> dict[str, Box]:
        image = devkit.get("sample_data", token)
        _, cuboids, intrinsic = devkit.get_sample_data(token, box_vis_level=BoxVisibility.NONE)
        size_px = image["width"], image["height"]
        boxes: dict[str, Box] = {}
        for cuboid in cuboids:
            corners_m = cuboid.corners()
            in_front = corners_m[:, corners_m[2] > 0]
            points_px = view_points(in_front, np.asarray(intrinsic), normalize=True)[:2].T.tolist()
            seen = MultiPoint(points_px).convex_hull.intersection(rectangle(0, 0, *size_px))
            if seen.geom_type != "Polygon":
                continue  # a line or a point, at which the script would stop
            box = post_process_coords(points_px, size_px)
            if box is not None:
                x_min, y_min, x_max, y_max = (float(value) for value in box)
                instance = devkit.get("sample_annotation", cuboid.token)["instance_token"]
                boxes[instance] = (x_min, y_min, x_max, y_max)
        return boxes

    return boxes_of
