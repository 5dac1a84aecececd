"""Finds the key frames of nuScenes that a benchmark asks about, and puts their six views into the data set.

A benchmark names them by their sample tokens. The tables are read by :mod:`domainvl.converters.nuscenes.tables`,
through the index that other runs use too. A key frame is shown with all six views or not at all, in the order of
:data:`domainvl.converters.driving.rig.VIEW_ORDER`.

Splits follow :mod:`domainvl.converters.nuscenes.splits`, as those of nuScenes and DriveLM do, so that sets made with
equal split options can be merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, JsonValue

from domainvl.engine import WHERE
from domainvl.errors import UsageError
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import Image, Split
from domainvl.schema.writer import Reject, Severity

from ..driving.canvas import Canvas
from ..driving.image_details import with_details
from ..driving.rig import VIEW_ORDER
from ..driving.settings import TableSettings, ViewSettings
from ..driving.stitching import views_note
from ..losses import counted, left_out_with_it
from ..nuscenes.pictures import Pictures
from ..nuscenes.scenes import Frame, Scene, Shot, frame_name
from ..nuscenes.settings import SplitBy
from ..nuscenes.splits import divide, draw_training
from ..nuscenes.tables.finding import find_tables, table_path
from ..nuscenes.tables.index import SceneSummary, open_index, read_scene
from .official_splits import Leakage, OfficialSplits, RowT, group_of

_TABLES = ("scene", "sample", "sample_data")
"""Tables from which names of scenes, frames and images come."""

_TEST_SET = "val"
"""The official set on which published results are measured."""


class NuscenesFrameSettings(ViewSettings, TableSettings):
    """Settings of a converter whose questions are about key frames of nuScenes."""

    plan_fields = frozenset({"dataroot", "version", "index", "strict", "split_by", "leakage"})

    dataroot: Path | None = Field(
        default=None,
        description="Data root of nuScenes, which holds samples and a folder of tables; the input, or the folder that "
        "it lies in, where left out.",
    )
    split_by: SplitBy = Field(
        default="official",
        description="The official sets: val is the test split, whatever --test-fraction says, and validation is drawn "
        "from the logs of training. Or what is drawn into splits whole, without regard to the official sets: a scene, "
        "a log (several scenes) or a location.",
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Scenes in both official sets, where these decide: leave out what is asked of them in training, "
        "leave out what is asked of them in the test, or keep the published split.",
    )

    @property
    def follows_official_sets(self) -> bool:
        """Whether the official sets decide about the splits."""
        return self.split_by == "official"


@dataclass(frozen=True)
class RowPlace:
    """Where a sample goes.

    Attributes:
        group: What it must stay together with.
        fixed_split: Its split; None where that is drawn from the group.
        warnings: What its reader should know.
    """

    group: str
    fixed_split: Split | None
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class ScenePlace:
    """Where samples of a scene go.

    Attributes:
        group: What the scene must stay together with.
        training: Split of what is in the official training set; None where the official sets do not decide.
    """

    group: str
    training: Split | None

    def of(self, official_split: str, splits: Iterable[str]) -> RowPlace:
        """Return where a sample goes.

        Args:
            official_split: Its official set, train or val.
            splits: All official sets in which the scene lies.
        """
        if self.training is None:
            return RowPlace(self.group, None)
        group, warnings = group_of(self.group, official_split, splits, "scene")
        return RowPlace(group, Split.TEST if official_split == _TEST_SET else self.training, tuple(warnings))


@dataclass(frozen=True)
class SceneFrames:
    """Key frames of one scene that are asked about and have all their images.

    Attributes:
        dataroot: The data root of nuScenes.
        index: The index of its tables.
        token: The scene's token.
        content_sha256: Hash of what the index says of the scene.
        name: The scene's name.
        place: Where its samples go.
        frames: Sample tokens of the key frames, in time.
    """

    dataroot: Path
    index: Path = field(metadata={WHERE: True})
    token: str
    content_sha256: str
    name: str
    place: ScenePlace
    frames: tuple[str, ...]

    def files(self) -> list[Path]:
        """Name the images of the key frames."""
        frames = {frame.token: frame for frame in read_scene(self.index, self.token, self.content_sha256).frames}
        return [self.dataroot / shot.filename for token in self.frames for shot in _views_of(frames[token])[0]]


@dataclass(frozen=True)
class FoundScenes:
    """The scenes of some key frames.

    Attributes:
        scenes: The scenes, sorted by name.
        tables: The tables that were used, by the name under which they may be mentioned.
        notes: What the user should know about the splits.
    """

    scenes: Sequence[SceneFrames]
    tables: Mapping[str, Path]
    notes: Sequence[str]


def find_scenes(
    source: Path,
    settings: NuscenesFrameSettings,
    asked: Mapping[str, int],
    rejects: list[Reject],
    *,
    things: str = "question",
) -> FoundScenes:
    """Find the scenes of some key frames, and where their samples go.

    Args:
        source: The input, which is the data root where the settings name none.
        settings: Where the tables are, and what decides about splits.
        asked: How many questions there are about each sample token.
        rejects: Takes the key frames that cannot be shown, each once with the number of its questions, and scenes that
            have no place in a split.
        things: What ``asked`` counts, in the singular.

    Raises:
        UsageError: If there is no folder of tables, or several and none is named, or a table is unreadable, or no scene
            has a place in a split.
    """
    dataroot = settings.dataroot or (source.parent if source.is_file() else source)
    tables = _find_tables(dataroot, settings)
    index = open_index(dataroot, tables, sweeps=False, folder=settings.index)
    severity = Severity.FAILED if settings.strict else Severity.SKIPPED
    unknown = set(asked)
    usable: dict[str, tuple[str, ...]] = {}
    for summary in index.summaries:
        scene = index.read(summary.token)
        wanted = [frame for frame in scene.frames if frame.token in asked]
        unknown.difference_update(frame.token for frame in wanted)
        shown = []
        for frame in wanted:
            problem = _problem(scene, frame, dataroot, _lost(asked[frame.token], things), severity)
            if problem is None:
                shown.append(frame.token)
            else:
                rejects.append(problem)
        if shown:
            usable[summary.token] = tuple(shown)
    rejects.extend(_unknown(token, tables.name, _lost(asked[token], things)) for token in sorted(unknown))
    summaries = [summary for summary in index.summaries if summary.token in usable]
    places, notes = _places(summaries, settings, tables.name, rejects)
    scenes = [
        SceneFrames(dataroot, index.path, one.token, one.content_sha256, one.name, places[one.token], usable[one.token])
        for one in sorted(summaries, key=lambda summary: summary.name)
        if one.token in places
    ]
    used = {f"{tables.name}/{table}.json": table_path(tables, table) for table in _TABLES}
    return FoundScenes(scenes, {uri: path for uri, path in used.items() if path.is_file()}, notes)


def _places(
    scenes: Sequence[SceneSummary], settings: NuscenesFrameSettings, version: str, rejects: list[Reject]
) -> tuple[Mapping[str, ScenePlace], Sequence[str]]:
    """Return where samples go by the token of their scene, and what the user should know about that."""
    if settings.follows_official_sets:
        fractions = settings.split_fractions()
        return {scene.token: ScenePlace(scene.name, draw_training(scene.log, fractions)) for scene in scenes}, ()
    placement = divide(scenes, settings.split_by, version, settings.split_fractions())
    rejects.extend(placement.rejects)
    note = (
        f"Splits are drawn by {settings.split_by}: the official val set is not held out, and results on the test "
        "split are not those of the benchmark. Otherwise: --split-by official"
    )
    return {token: ScenePlace(place.group, None) for token, place in placement.places.items()}, [note, *placement.notes]


def settle(
    scene: SceneFrames, rows: Sequence[RowT], shared: OfficialSplits, settings: NuscenesFrameSettings
) -> tuple[RowT, ...]:
    """Return what is asked about a scene once it is settled in which official set that stays, where those decide.

    Args:
        scene: The scene.
        rows: All that is asked about it.
        shared: Settles it.
        settings: What decides about splits.
    """
    return tuple(shared.settle(scene.name, rows) if settings.follows_official_sets else rows)


class FrameImages:
    """Puts the key frames of one scene into the data set, each once however often it is asked about.

    Args:
        frames: The key frames.
        settings: How they are shown.
        store: Takes the images.
    """

    def __init__(self, frames: SceneFrames, settings: NuscenesFrameSettings, store: ImageStore) -> None:
        self._scene = read_scene(frames.index, frames.token, frames.content_sha256)
        self._frames = {frame.token: frame for frame in self._scene.frames}
        self._pictures = Pictures(frames.dataroot, store)
        self._settings = settings
        self._shown: dict[str, list[Image]] = {}

    @property
    def location(self) -> str | None:
        """Where the scene was driven, such as ``"singapore-onenorth"``; None where the tables do not say."""
        return self._scene.location

    def name_of(self, token: str) -> str:
        """Name a key frame, in sample ids and rejects."""
        return frame_name(self._scene.name, self._frames[token].index)

    def show(self, token: str, details: Mapping[str, JsonValue]) -> list[Image]:
        """Return the images of a key frame in the chosen layout.

        Args:
            token: Its sample token.
            details: What the benchmark says, kept with each image.

        Raises:
            ItemError: If a file does not decode, or has another size than the table says.
        """
        if token not in self._shown:
            shots, _ = _views_of(self._frames[token])
            self._shown[token] = (
                [self._pictures.stitched(shots, labels=self._settings.draw_labels)]
                if self._settings.layout == "stitched"
                else [self._pictures.of(shot) for shot in shots]
            )
        return [with_details(image, {"sample_token": token, **details}) for image in self._shown[token]]

    def preface(self) -> str | None:
        """Say which view is where in a stitched image; None where each view has an image and a name of its own."""
        return views_note(Canvas.stitched(VIEW_ORDER)) if self._settings.layout == "stitched" else None


def _find_tables(dataroot: Path, settings: NuscenesFrameSettings) -> Path:
    try:
        return find_tables(dataroot, settings.version)
    except UsageError as error:
        if settings.dataroot is not None or settings.version is not None:
            raise
        action = "Name the data root of nuScenes with --dataroot"
        raise UsageError(error.what, where=dataroot, rule=error.rule, action=action) from error


def _views_of(frame: Frame) -> tuple[list[Shot], list[str]]:
    """Return the images of a frame in the order in which they are shown, and the views that it has none of."""
    shots = {shot.view: shot for shot in frame.shots}
    return [shots[view] for view in VIEW_ORDER if view in shots], [view for view in VIEW_ORDER if view not in shots]


def _problem(scene: Scene, frame: Frame, dataroot: Path, lost: str, severity: Severity) -> Reject | None:
    """Return why a key frame cannot be shown; None where it can."""
    name = frame_name(scene.name, frame.index)
    shots, absent = _views_of(frame)
    if absent:
        message = f"The tables have no image of {', '.join(absent)}. {lost}"
        return Reject(name, "plan", "missing-camera", message, "Take the tables of nuScenes itself")
    missing = [shot.filename for shot in shots if not (dataroot / shot.filename).is_file()]
    if missing:
        message = f"{missing[0]} is not on disk, one of {len(missing)} of its {len(shots)} images. {lost}"
        action = "Fetch the part of nuScenes that holds it"
        return Reject(name, "plan", "missing-image", message, action, severity)
    return None


def _unknown(token: str, tables: str, lost: str) -> Reject:
    message = f"{tables} has no key frame of this token, or one that could not be joined. {lost}"
    action = "Take the tables of v1.0-trainval; domainvl convert nuscenes says what of them could not be joined"
    return Reject(f"sample {token}", "plan", "sample-unknown", message, action, Severity.SKIPPED)


def _lost(count: int, thing: str) -> str:
    return left_out_with_it(counted(count, thing))
