"""Joins the images of cameras with their poses and cameras; what other sensors recorded is passed over."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from ...driving.rig import CHANNEL_PREFIX, view_of
from ...paths import is_inside
from ..scenes import Camera, Pose, Shot, Vector3
from .bounds import fault_of_matrix, fault_of_pose, fault_of_size
from .faults import Fault, Faults, first_rows, read_table
from .links import faults_in_time
from .rows import CalibratedSensorRow, EgoPoseRow, SampleDataRow, SensorRow
from .streaming import stream_rows

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_CAMERA_ACTION = "Rectify its images and give the tables their pin-hole matrix; other cameras are used without it"

_encode = msgspec.msgpack.Encoder().encode
_decode_pose = msgspec.msgpack.Decoder(Pose).decode


class Cameras:
    """The cameras of the rig, by the tokens of their mountings in ``calibrated_sensor``.

    A mounting that cannot be projected into is left out with all its images, which is told once.

    Args:
        tables: The folder of tables.
        faults: Takes what does not join.

    Raises:
        UsageError: If a table is missing or breaks the format.
    """

    def __init__(self, tables: Path, faults: Faults) -> None:
        sensors = read_table(tables, "sensor", SensorRow, faults)
        self._usable: dict[str, Camera] = {}
        self._others: set[str] = set()
        self._faulty: dict[str, tuple[str, Fault]] = {}
        self._lost: Counter[str] = Counter()
        for token, row in read_table(tables, "calibrated_sensor", CalibratedSensorRow, faults).items():
            sensor = sensors.get(row.sensor_token)
            if sensor is None:
                continue  # its images name a camera that is not known
            if not _is_camera(sensor):
                self._others.add(token)
            elif fault := _fault_of_camera(row):
                self._faulty[token] = sensor.channel, fault
            else:
                self._usable[token] = _to_camera(sensor.channel, row)

    def wants(self, row: SampleDataRow) -> bool:
        """Return whether a row is an image of a camera that can be used or is not known; others are counted."""
        token = row.calibrated_sensor_token
        if token in self._faulty:
            self._lost[token] += 1
            return False
        if token in self._others:
            return False
        return token in self._usable or row.filename.lower().endswith(_IMAGE_SUFFIXES)

    def get(self, token: str) -> Camera | None:
        """Return a camera; None where no table has it."""
        return self._usable.get(token)

    def tell_lost(self, faults: Faults) -> None:
        """Reject each mounting that cost images."""
        for token, count in self._lost.items():
            channel, fault = self._faulty[token]
            rule = f"{fault.rule}; {count} images of {channel} are left out"
            faults.reject(f"calibrated_sensor {token}", Fault(fault.reason, rule), _CAMERA_ACTION)


@dataclass(frozen=True)
class SceneImages:
    """The images of one scene.

    Attributes:
        cameras: Their cameras, by channel.
        in_time: All of them, in time.
        of_frames: Those of each key frame, by sample token.
    """

    cameras: tuple[Camera, ...]
    in_time: list[Shot]
    of_frames: dict[str, list[Shot]]


class Images:
    """The images of all cameras, by key frame.

    Args:
        tables: The folder of tables.
        faults: Takes what does not join.
        sweeps: Whether images between key frames are wanted.

    Raises:
        UsageError: If a table is missing or breaks the format.
    """

    def __init__(self, tables: Path, faults: Faults, *, sweeps: bool) -> None:
        self._cameras = Cameras(tables, faults)
        kept = first_rows("sample_data", self._wanted_rows(tables, sweeps=sweeps), faults)
        self._cameras.tell_lost(faults)
        # Packed, poses take a third of the memory.
        self._poses: dict[str, bytes | None] = dict.fromkeys(row.ego_pose_token for row in kept.values())
        self._faulty_poses: dict[str, Fault] = {}
        self._read_poses(tables, faults)
        wrong = {**_shared_files(kept), **self._wrong_links(kept)}
        self._rows: dict[str, list[SampleDataRow]] = defaultdict(list)
        for row in kept.values():
            fault = wrong.get(row.token) or self._fault_of(row)
            if fault is None:
                self._rows[row.sample_token].append(row)
            elif row.is_key_frame:
                faults.cost_frame(row.sample_token, fault)
            else:
                faults.reject(f"sample_data {row.token}", fault)
        for sample_token, rows in self._rows.items():
            self._reject_repeated_views(sample_token, rows, faults)

    def sample_tokens(self) -> set[str]:
        """Return the tokens of key frames that images name."""
        return set(self._rows)

    def of_scene(self, sample_tokens: Sequence[str]) -> SceneImages:
        """Return the images that belong to some key frames; they are forgotten here.

        Args:
            sample_tokens: Tokens of all key frames of a scene.
        """
        rows = [row for token in sample_tokens for row in self._rows.pop(token, ())]
        mountings = {row.calibrated_sensor_token: self._camera(row) for row in rows}
        order = sorted(mountings, key=lambda token: (mountings[token].channel, token))
        places = {token: place for place, token in enumerate(order)}
        rows.sort(key=lambda row: (row.timestamp, mountings[row.calibrated_sensor_token].channel, row.token))
        found = SceneImages(tuple(mountings[token] for token in order), [], defaultdict(list))
        for row in rows:
            shot = self._shot(row, mountings, places)
            found.in_time.append(shot)
            if row.is_key_frame:
                found.of_frames[row.sample_token].append(shot)
        return found

    def _camera(self, row: SampleDataRow) -> Camera:
        return cast("Camera", self._cameras.get(row.calibrated_sensor_token))  # a fault where there is none

    def _shot(self, row: SampleDataRow, mountings: Mapping[str, Camera], places: Mapping[str, int]) -> Shot:
        return Shot(
            row.token,
            view_of(mountings[row.calibrated_sensor_token].channel),
            places[row.calibrated_sensor_token],
            row.filename,
            row.timestamp,
            row.width or 0,
            row.height or 0,
            _decode_pose(self._poses[row.ego_pose_token] or b""),
        )

    def _wanted_rows(self, tables: Path, *, sweeps: bool) -> Iterator[SampleDataRow]:
        shared: dict[str, str] = {}
        for row in stream_rows(tables, "sample_data", SampleDataRow):
            if (row.is_key_frame or sweeps) and self._cameras.wants(row):
                yield _share_tokens(row, shared)

    def _read_poses(self, tables: Path, faults: Faults) -> None:
        poses = self._poses
        for row in stream_rows(tables, "ego_pose", EgoPoseRow):
            if row.token not in poses:
                continue
            if poses[row.token] is not None:
                faults.reject(f"ego_pose {row.token}", Fault("duplicate-token", "its token must occur once"))
                continue
            fault = fault_of_pose(f"ego pose {row.token}", row.translation, row.rotation)
            if fault is not None:
                self._faulty_poses[row.token] = fault
            poses[row.token] = _encode(Pose(row.translation, row.rotation))

    def _wrong_links(self, rows: Mapping[str, SampleDataRow]) -> dict[str, Fault]:
        """Return what is wrong with links between images, by token.

        An image between key frames costs itself; only between key frames it is not known which one is right.
        """
        wrong: dict[str, Fault] = {}
        for ends, fault in faults_in_time(rows):
            to_blame = [token for token in ends if not rows[token].is_key_frame] or ends
            for token in to_blame:
                wrong[token] = min(fault, wrong.get(token, fault))
        return wrong

    def _fault_of(self, row: SampleDataRow) -> Fault | None:
        """Return why an image cannot be projected into or read; None where it can."""
        if self._cameras.get(row.calibrated_sensor_token) is None:
            rule = f"image {row.token} names calibrated sensor {row.calibrated_sensor_token}: no such sensor"
            return Fault("dangling-token", rule)
        if self._poses[row.ego_pose_token] is None:
            return Fault("dangling-token", f"image {row.token} names ego pose {row.ego_pose_token}: no such pose")
        if row.ego_pose_token in self._faulty_poses:
            return self._faulty_poses[row.ego_pose_token]
        return fault_of_size(row.token, row.width, row.height) or fault_of_path(row.token, row.filename)

    def _reject_repeated_views(self, sample_token: str, rows: Sequence[SampleDataRow], faults: Faults) -> None:
        counts = Counter(view_of(self._camera(row).channel) for row in rows if row.is_key_frame)
        repeated = {view: count for view, count in sorted(counts.items()) if count > 1}
        if repeated:
            faults.cost_frame(sample_token, Fault("duplicate-camera", f"it must have one image a view, got {repeated}"))


def fault_of_path(token: str, filename: str) -> Fault | None:
    """Return what is wrong with the file name of an image; None where it stays in the data root."""
    if is_inside(filename):
        return None
    return Fault("outside-dataroot", f"the file name of image {token} must stay in the folder, got {filename!r}")


def _shared_files(rows: Mapping[str, SampleDataRow]) -> dict[str, Fault]:
    """Return what is wrong with images of which another has the same file, by token.

    An image between key frames costs itself; only between key frames it is not known whose file it is. Several of one
    view in one key frame are a fault of their own.
    """
    seen: set[str] = set()
    shared: dict[str, list[SampleDataRow]] = {}
    for row in rows.values():
        if row.filename in seen:
            shared[row.filename] = []
        seen.add(row.filename)
    for row in rows.values():
        if row.filename in shared:
            shared[row.filename].append(row)
    wrong: dict[str, Fault] = {}
    for filename, those in shared.items():
        if all(row.is_key_frame for row in those) and len({_view_in_frame(row) for row in those}) == 1:
            continue
        tokens = sorted(row.token for row in those)
        named = f"{len(tokens)} images, among them {tokens[0]} and {tokens[1]}"
        rule = f"each image must have a file of its own, got {filename!r} for {named}"
        to_blame = [row for row in those if not row.is_key_frame]
        if len(those) - len(to_blame) != 1:
            to_blame = those
        wrong.update((row.token, Fault("shared-file", rule)) for row in to_blame)
    return wrong


def _view_in_frame(row: SampleDataRow) -> tuple[str, str]:
    return row.sample_token, row.calibrated_sensor_token


def _share_tokens(row: SampleDataRow, shared: dict[str, str]) -> SampleDataRow:
    """Let rows share the texts that occur in many of them, which halves the memory they take."""
    return SampleDataRow(
        row.token,
        shared.setdefault(row.sample_token, row.sample_token),
        row.token if row.ego_pose_token == row.token else row.ego_pose_token,
        shared.setdefault(row.calibrated_sensor_token, row.calibrated_sensor_token),
        row.timestamp,
        row.filename,
        row.is_key_frame,
        row.width,
        row.height,
        row.next,
    )


def _is_camera(sensor: SensorRow) -> bool:
    if sensor.modality:
        return sensor.modality == "camera"
    return sensor.channel.startswith(CHANNEL_PREFIX)


def _fault_of_camera(row: CalibratedSensorRow) -> Fault | None:
    if fault := fault_of_matrix(row.camera_intrinsic or ()):
        return fault
    if any(row.camera_distortion or ()):
        return Fault("distorted-camera", "it must be a pin-hole camera without distortion")
    return fault_of_pose("the camera", row.translation, row.rotation)


def _to_camera(channel: str, row: CalibratedSensorRow) -> Camera:
    intrinsic = cast("tuple[Vector3, Vector3, Vector3]", row.camera_intrinsic)
    return Camera(channel, Pose(row.translation, row.rotation), intrinsic)
