"""Puts the scenes of a DriveLM file where the other sets on nuScenes put them, as far as nuScenes' tables are there.

DriveLM names scenes by token. Names, logs and locations, by which splits are drawn, stand in the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domainvl.errors import UsageError
from domainvl.schema import Reject, Severity, Split

from ..losses import counted, left_out_with_it
from ..nuscenes.settings import SplitBy
from ..nuscenes.splits import Place, Placement, divide, is_nuscenes
from ..nuscenes.tables.finding import table_path
from ..nuscenes.tables.names import location_of, name_of_log, read_scene_names
from .plan import FrameUnit
from .settings import DriveLmSettings

_MINI = "-mini"


@dataclass(frozen=True)
class KnownScene:
    """A scene of nuScenes' tables.

    Attributes:
        token: Its token.
        name: Its name, such as ``"scene-0061"``.
        log: The log that it was cut from.
        location: Where it was driven; None where the tables do not say.
        version: The folder of tables.
    """

    token: str
    name: str
    log: str
    location: str | None
    version: str


def known_scenes(dataroot: Path, rejects: list[Reject]) -> Mapping[str, KnownScene]:
    """Return the scenes of all folders of tables by token; one that is in several is that of the full set.

    Args:
        dataroot: nuScenes' data root; it may hold no tables.
        rejects: Takes rows of the tables that cannot be used.

    Raises:
        UsageError: If a table breaks the format.
    """
    known: dict[str, KnownScene] = {}
    # v1.0-mini comes before v1.0-test and v1.0-trainval, and gives way to them.
    for tables in sorted(dataroot.glob("v1.0-*")):
        if not table_path(tables, "scene").is_file():
            continue
        names = read_scene_names(tables)
        rejects += names.rejects
        for token, row in names.scenes.items():
            log = names.logs.get(row.log_token or "")
            known[token] = KnownScene(token, row.name, name_of_log(row, log), location_of(log), tables.name)
    return known


@dataclass(frozen=True)
class PlacedUnits:
    """The frames of a file, each with its group and, where that is not drawn from the group, its split.

    Attributes:
        units: The frames.
        rejects: Scenes that have no place.
        notes: What the user should know about the splits.
    """

    units: Sequence[FrameUnit]
    rejects: Sequence[Reject]
    notes: Sequence[str]


def place_units(units: Sequence[FrameUnit], known: Mapping[str, KnownScene], settings: DriveLmSettings) -> PlacedUnits:
    """Say where the frames of a file go.

    Split by scene, one that the tables do not name is called by its token. Split otherwise, it has no place.

    Args:
        units: The frames.
        known: The scenes of the tables.
        settings: What decides about splits.

    Raises:
        UsageError: If no scene has a place.
    """
    frame_counts = Counter(unit.scene for unit in units)
    unnamed = [scene for scene in frame_counts if scene not in known]
    listed = [known[scene] for scene in frame_counts if scene in known]
    on_disk = {unit.scene for unit in units if any((unit.dataroot / name).is_file() for _, name in unit.images)}
    split_by = settings.split_by or _usual(listed, any(scene in on_disk for scene in unnamed))
    if split_by == "scene":
        named = {scene.token: Place(scene.name) for scene in listed}
        placement = Placement(named | {scene: Place(scene) for scene in unnamed}, notes=list(_called(unnamed, units)))
    else:
        if not listed:
            raise UsageError(
                "Cannot split",
                rule=f"--split-by {split_by} needs nuScenes' tables of scenes and logs, and those in the data root "
                f"name none of the {len(unnamed)} scenes of the file",
                action="Put v1.0-trainval into the data root, or split by scene",
            )
        placement = divide(listed, split_by, _version(listed), settings.split_fractions())
    # A scene without answers goes to the test split in any case, and needs no place.
    places = {unit.scene: Place(unit.scene) for unit in units if not unit.is_answered} | dict(placement.places)
    rejects = [
        _unknown(scene, frame_counts[scene], split_by, scene in on_disk) for scene in unnamed if scene not in places
    ]
    placed = [
        replace(unit, group=places[unit.scene].group, fixed_split=places[unit.scene].fixed_split)
        for unit in units
        if unit.scene in places
    ]
    return PlacedUnits(
        placed,
        [*placement.rejects, *(rejects if split_by != "scene" else [])],
        [*placement.notes, *_without_test(placed, split_by)],
    )


def _usual(scenes: Sequence[KnownScene], lacks_some: bool) -> SplitBy:
    """Return what decides where nobody says: as for nuScenes, if its tables name all scenes that can be shown."""
    if not scenes or lacks_some:
        return "scene"
    by_version: dict[str, list[KnownScene]] = {}
    for scene in scenes:
        by_version.setdefault(scene.version, []).append(scene)
    return "official" if all(is_nuscenes(version, own) for version, own in by_version.items()) else "scene"


def _version(scenes: Sequence[KnownScene]) -> str:
    """Return the folder of tables whose official lists count: that of a full set, if any scene is of one."""
    return max((scene.version for scene in scenes), key=lambda version: (not version.endswith(_MINI), version))


def _unknown(scene: str, frame_count: int, split_by: SplitBy, is_on_disk: bool) -> Reject:
    message = (
        f"The tables in the data root do not name this scene, so that --split-by {split_by} has no place for it. "
        f"{left_out_with_it(counted(frame_count, 'key frame'))}"
    )
    action = "Put the tables that name it (v1.0-trainval) into the data root, or split by scene"
    return Reject(scene, "plan", "unknown-scene", message, action, Severity.FAILED if is_on_disk else Severity.SKIPPED)


def _called(unnamed: Sequence[str], units: Sequence[FrameUnit]) -> Iterator[str]:
    if unnamed:
        yield (
            f"{len(unnamed)} of {len({unit.scene for unit in units})} scenes are called by their token, since no table "
            "of scenes in the data root names them. This data set cannot be merged safely with others on nuScenes: the "
            "same scene could be in two splits and nothing would show it. Put nuScenes' tables (v1.0-trainval) there "
            "to make it so"
        )


def _without_test(units: Sequence[FrameUnit], split_by: SplitBy) -> Iterator[str]:
    if split_by == "official" and not any(unit.fixed_split is Split.TEST for unit in units):
        yield (
            "All scenes are of the official training set, so that the test split is empty. To hold some of them out: "
            "--split-by scene or log, here and for each data set that this one is merged with"
        )
