"""Joins the tables of a nuScenes data set into scenes: key frames with their camera images and cuboids.

What does not join, such as a token that no table has, is found here and costs the frame that it belongs to,
never the run.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from domainvl.errors import ItemError
from domainvl.schema import Reject, Severity

from .labels import label_of
from .tables import (
    AnnotationRow,
    CalibratedSensorRow,
    CategoryRow,
    EgoPoseRow,
    InstanceRow,
    SampleDataRow,
    SampleRow,
    SceneRow,
    SensorRow,
    VisibilityRow,
    read_table,
    table_path,
)

VIEW_ORDER = ("FRONT_LEFT", "FRONT", "FRONT_RIGHT", "BACK_LEFT", "BACK", "BACK_RIGHT")
"""The order of the six views, in which InternVL stitches them (internvl_chat_llava/DriveLM, images_stitching.py)."""

_CHANNEL_PREFIX = "CAM_"
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Shot:
    """One camera's image of a key frame, with its own pose: cameras of a rig do not fire at the same moment."""

    token: str
    view: str
    filename: str
    width_px: int
    height_px: int
    ego: EgoPoseRow
    camera: CalibratedSensorRow


@dataclass(frozen=True, slots=True)
class Cuboid:
    """One labelled thing in a key frame; its size is width, length, height."""

    instance_token: str
    category: str
    visibility: str | None
    center_m: tuple[float, float, float]
    size_wlh_m: tuple[float, float, float]
    rotation_wxyz: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """A key frame; ``index`` counts all key frames of the scene in time, from 0."""

    index: int
    shots: tuple[Shot, ...]
    cuboids: tuple[Cuboid, ...]


@dataclass(frozen=True, slots=True)
class SceneUnit:
    """A scene, complete enough to be converted without the tables.

    Attributes:
        dataroot: Folder to which file names are relative.
        name: The scene's name.
        classes: All class names that things were labelled with anywhere in the data set.
        frames: The frames that joined.
    """

    dataroot: Path
    name: str
    classes: tuple[str, ...]
    frames: tuple[Frame, ...]


class _Problems:
    """What keeps key frames from being used; of several, the first in the order of text is reported."""

    def __init__(self) -> None:
        self._found: dict[str, list[ItemError]] = defaultdict(list)

    def add(self, sample_token: str, reason: str, rule: str) -> None:
        self._found[sample_token].append(
            ItemError("Cannot use a key frame", reason=reason, rule=rule, action="Fetch the metadata again")
        )

    def of(self, sample_token: str) -> ItemError | None:
        return min(self._found.get(sample_token, ()), key=str, default=None)

    def tokens(self) -> set[str]:
        return set(self._found)


def read_scenes(dataroot: Path, tables: Path, views: Sequence[str]) -> tuple[list[SceneUnit], list[Reject]]:
    """Read and join what the given views need.

    Map, log, lidar and radar are not touched.

    Args:
        dataroot: Folder to which file names are relative.
        tables: The folder of tables.
        views: Names of the views, in the order wanted.

    Returns:
        Scenes sorted by name, and one reject for each key frame that does not join.

    Raises:
        UsageError: If a table is missing or unreadable.
    """
    problems = _Problems()
    scenes = read_table(tables, "scene", SceneRow)
    samples = read_table(tables, "sample", SampleRow)
    shots = _read_shots(tables, views, problems)
    cuboids, classes = _read_cuboids(tables, problems)

    by_scene: dict[str, list[SampleRow]] = defaultdict(list)
    rejects: list[Reject] = []
    for sample in samples.values():
        if sample.scene_token in scenes:
            by_scene[sample.scene_token].append(sample)
        else:
            rejects.append(_reject(f"sample {sample.token}", "dangling-token", f"no scene {sample.scene_token}"))
    for token in sorted((shots.keys() | cuboids.keys() | problems.tokens()) - samples.keys()):
        rejects.append(_reject(f"sample {token}", "dangling-token", "images or annotations name it, no table has it"))
    units: list[SceneUnit] = []
    for token, scene in sorted(scenes.items(), key=lambda item: (item[1].name, item[0])):
        frames: list[Frame] = []
        in_time = sorted(by_scene[token], key=lambda sample: (sample.timestamp, sample.token))
        if not in_time:
            rejects.append(_reject(scene.name, "empty-scene", "no sample belongs to it"))
        for index, sample in enumerate(in_time):
            fault = problems.of(sample.token) or _incomplete(shots[sample.token], views)
            if fault is None:
                frames.append(Frame(index, _in_order(shots[sample.token], views), tuple(cuboids[sample.token])))
            else:
                rejects.append(_reject_frame(frame_name(scene.name, index), fault))
        if frames:
            units.append(SceneUnit(dataroot, scene.name, classes, tuple(frames)))
    return units, rejects + _shared_names(units)


def frame_name(scene: str, index: int) -> str:
    """Name a key frame, in sample ids and rejects."""
    return f"{scene}/{index:04d}"


def _read_shots(tables: Path, views: Sequence[str], problems: _Problems) -> dict[str, list[Shot]]:
    """Return the images of each key frame, by sample token, in no particular order."""
    sensors = read_table(tables, "sensor", SensorRow)
    cameras = read_table(tables, "calibrated_sensor", CalibratedSensorRow)
    view_of: dict[str, str | None] = {}
    for token, camera in cameras.items():
        sensor = sensors.get(camera.sensor_token)
        # A mounting whose sensor is unknown stays out of view_of: its images are dangling.
        if sensor is not None:
            name = sensor.channel.removeprefix(_CHANNEL_PREFIX)
            view_of[token] = name if sensor.channel.startswith(_CHANNEL_PREFIX) and name in views else None
    rows = read_table(
        tables,
        "sample_data",
        SampleDataRow,
        lambda raw: raw.get("is_key_frame") is True and _is_image_wanted(raw, view_of),
    )
    wanted_poses = {row.ego_pose_token for row in rows.values()}
    poses = read_table(tables, "ego_pose", EgoPoseRow, lambda raw: raw.get("token") in wanted_poses)
    shots: dict[str, list[Shot]] = defaultdict(list)
    for row in rows.values():
        camera_row, view = cameras.get(row.calibrated_sensor_token), view_of.get(row.calibrated_sensor_token)
        pose = poses.get(row.ego_pose_token)
        if camera_row is None or view is None:
            problems.add(
                row.sample_token,
                "dangling-token",
                f"image {row.token} names calibrated sensor {row.calibrated_sensor_token}: no such sensor",
            )
        elif pose is None:
            problems.add(
                row.sample_token,
                "dangling-token",
                f"image {row.token} names ego pose {row.ego_pose_token}, which is in no table",
            )
        elif fault := _fault_of(row, camera_row):
            problems.add(row.sample_token, *fault)
        else:
            shots[row.sample_token].append(Shot(row.token, view, row.filename, row.width, row.height, pose, camera_row))
    return shots


def _is_image_wanted(raw: Mapping[str, object], view_of: Mapping[str, str | None]) -> bool:
    """Keep images of wanted views, and those whose camera is unknown, to report them."""
    camera = str(raw.get("calibrated_sensor_token"))
    if camera in view_of:
        return view_of[camera] is not None
    return str(raw.get("filename")).lower().endswith(_IMAGE_SUFFIXES)


def _fault_of(row: SampleDataRow, camera: CalibratedSensorRow) -> tuple[str, str] | None:
    """Return reason and rule where an image cannot be projected into or read."""
    if len(camera.camera_intrinsic) != 3:
        return "no-intrinsic", f"calibrated sensor {camera.token} must have a 3x3 camera_intrinsic"
    if any(camera.camera_distortion):
        return "distorted-camera", f"calibrated sensor {camera.token} must be a pin-hole camera without distortion"
    path = PurePosixPath(row.filename)
    if path.is_absolute() or ".." in path.parts:
        return "outside-dataroot", f"the file name of image {row.token} must stay in the folder, got {row.filename!r}"
    return None


def _read_cuboids(tables: Path, problems: _Problems) -> tuple[dict[str, list[Cuboid]], tuple[str, ...]]:
    """Return the cuboids of each key frame, by sample token, and the classes that were labelled."""
    categories = read_table(tables, "category", CategoryRow)
    instances = read_table(tables, "instance", InstanceRow)
    # Only distributions with this table know visibility; everything else works without.
    has_visibility = table_path(tables, "visibility").is_file()
    levels = read_table(tables, "visibility", VisibilityRow) if has_visibility else {}
    cuboids: dict[str, list[Cuboid]] = defaultdict(list)
    for row in read_table(tables, "sample_annotation", AnnotationRow).values():
        instance = instances.get(row.instance_token)
        category = categories.get(instance.category_token) if instance is not None else None
        if category is None:
            problems.add(
                row.sample_token,
                "dangling-token",
                f"annotation {row.token} names instance {row.instance_token}: no such instance with a category",
            )
            continue
        if min(row.size) <= 0:
            problems.add(
                row.sample_token, "bad-size", f"annotation {row.token} must have sides above 0, got {row.size}"
            )
            continue
        level = levels.get(row.visibility_token or "")
        cuboids[row.sample_token].append(
            Cuboid(
                row.instance_token,
                category.name,
                level.level if level is not None else None,
                row.translation,
                row.size,
                row.rotation,
            )
        )
    for sample_token, boxes in cuboids.items():
        boxes.sort(key=lambda box: box.instance_token)
        for first, second in itertools.pairwise(boxes):
            if first.instance_token == second.instance_token:
                rule = f"instance {first.instance_token} is annotated twice"
                problems.add(sample_token, "duplicate-instance", rule)
    used = {instance.category_token for instance in instances.values()}
    return cuboids, tuple(sorted({label_of(row.name) for token, row in categories.items() if token in used}))


def _incomplete(shots: Sequence[Shot], views: Sequence[str]) -> ItemError | None:
    counts = Counter(shot.view for shot in shots)
    missing = [view for view in views if not counts[view]]
    if missing:
        return ItemError(
            "Cannot use a key frame",
            reason="missing-camera",
            rule=f"it has no image of {', '.join(missing)}",
            action="Name the cameras that the rig has with --cameras",
        )
    if len(shots) != len(views):
        return ItemError(
            "Cannot use a key frame",
            reason="duplicate-camera",
            rule=f"it must have one image a view, got {dict(sorted(counts.items()))}",
            action="Fetch the metadata again",
        )
    return None


def _in_order(shots: Sequence[Shot], views: Sequence[str]) -> tuple[Shot, ...]:
    return tuple(sorted(shots, key=lambda shot: views.index(shot.view)))


def _shared_names(units: list[SceneUnit]) -> list[Reject]:
    """Drop scenes whose name occurred before: names make ids and groups, and must be unique."""
    rejects: list[Reject] = []
    seen: set[str] = set()
    for unit in list(units):
        if unit.name in seen:
            units.remove(unit)
            rejects.append(_reject(unit.name, "duplicate-scene", "another scene has the same name"))
        seen.add(unit.name)
    return rejects


def _reject_frame(name: str, fault: ItemError) -> Reject:
    severity = Severity.SKIPPED if fault.reason == "missing-camera" else Severity.FAILED
    return Reject(name, "plan", fault.reason, str(fault), fault.action, severity)


def _reject(name: str, reason: str, rule: str) -> Reject:
    return Reject(name, "plan", reason, f"Cannot use {name}: {rule}.", "Fetch the metadata again")
