"""A look at a data root before it is converted: scenes, cameras, objects, and how many samples and tokens they give."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainvl.conversion import Inspection
from domainvl.conversion.contact_sheet import SheetTile, draw_sheet
from domainvl.errors import ItemError
from domainvl.schema import Provenance

from ..driving.inspection import boxes_to_draw, listed, tokens_note, visual_tokens
from ..driving.pixels import read_pixels
from .labels import label_of
from .objects import BoxRules, objects_of, speeds_of
from .pictures import DescribedPictures, Pictures
from .scene_context import complete_shots
from .scene_samples import ask_about_scene
from .scenes import Frame, Scene, Shot
from .settings import NuscenesSettings
from .tables.index import read_scene
from .units import SceneUnit

if TYPE_CHECKING:
    from .convert import NuscenesConverter

_COLUMNS = ("scene", "log, location", "key frames", "cameras", "objects by class", "visibility", "samples", "tokens")
_SHEET_COLUMNS = 3
_COUNTED_SCENES = 50
"""Scenes of which samples and tokens are counted; of more scenes, so many from first to last."""

_NOBODY = Provenance(converter="nuscenes", version="", settings_sha256="", wording="")


def inspect(converter: NuscenesConverter, source: Path, settings: NuscenesSettings) -> Inspection:
    """Look at all scenes; images are looked for, and those of one frame are drawn.

    Raises:
        UsageError: As planning does.
        NothingToDoError: As planning does.
    """
    plan = converter.plan(source, settings)
    step = -(-len(plan.units) // _COUNTED_SCENES)
    looks = [_look(unit, settings, count=place % step == 0) for place, unit in enumerate(plan.units)]
    return Inspection(
        _COLUMNS,
        [look.row() for look in looks],
        [*_notes(looks), *plan.notes],
        plan.rejects,
        _sheet(plan.units, settings),
    )


@dataclass
class _Look:
    """What was found of one scene."""

    scene: Scene
    views: tuple[str, ...]
    complete: int = 0
    present: Counter[str] = field(default_factory=Counter)
    instances: dict[str, set[str]] = field(default_factory=dict)
    visibility: Counter[str] = field(default_factory=Counter)
    samples: int | None = None
    tokens: int | None = None

    def row(self) -> tuple[str, ...]:
        frames = len(self.scene.frames)
        cameras = [f"{view} {self.present[view]}/{frames}" for view in self.views]
        return (
            self.scene.name,
            "\n".join(part for part in (self.scene.log, self.scene.location) if part),
            f"{frames}, {self.complete} complete",
            "\n".join(cameras),
            listed((label, len(tokens)) for label, tokens in self.instances.items()),
            listed(self.visibility.items()),
            "not counted" if self.samples is None else str(self.samples),
            "not counted" if self.tokens is None else str(self.tokens),
        )


def _look(unit: SceneUnit, settings: NuscenesSettings, *, count: bool) -> _Look:
    scene = read_scene(unit.index, unit.token, unit.content_sha256)
    look = _Look(scene, unit.views)
    pictures = DescribedPictures(unit.dataroot)
    for frame in scene.frames:
        on_disk = {shot.view for shot in frame.shots if not pictures.missing([shot])}
        look.present.update(view for view in unit.views if view in on_disk)
        look.complete += on_disk.issuperset(unit.views)
        for cuboid in frame.cuboids:
            look.instances.setdefault(label_of(cuboid.category), set()).add(cuboid.instance_token)
            look.visibility[cuboid.visibility or "not stated"] += 1
    if count:
        # Nothing is written besides: clips as files are for the conversion.
        result = ask_about_scene(unit, settings.model_copy(update={"clip_video": None}), pictures, _NOBODY)
        look.samples = len(result.samples)
        look.tokens = sum(visual_tokens(sample) for sample in result.samples)
    return look


def _notes(looks: Sequence[_Look]) -> list[str]:
    frames = sum(len(look.scene.frames) for look in looks)
    notes = [f"{len(looks)} scenes, {frames} key frames, {sum(look.complete for look in looks)} with all images"]
    counted = [look for look in looks if look.samples is not None and look.tokens is not None]
    samples, tokens = sum(look.samples or 0 for look in counted), sum(look.tokens or 0 for look in counted)
    what = tokens_note(samples, tokens)
    if len(counted) < len(looks):
        what += f", in {len(counted)} of the scenes; about {round(samples * len(looks) / len(counted))} samples in all"
    return [*notes, what]


def _sheet(units: Sequence[SceneUnit], settings: NuscenesSettings) -> npt.NDArray[np.uint8] | None:
    """Draw the views of the first frame with objects that is complete on disk."""
    for unit in units:
        scene = read_scene(unit.index, unit.token, unit.content_sha256)
        pictures = DescribedPictures(unit.dataroot)
        for frame in scene.frames:
            if not frame.cuboids or not {shot.view for shot in frame.shots}.issuperset(unit.views):
                continue
            shots = complete_shots(frame, unit.views)
            if pictures.missing(shots):
                continue
            with contextlib.suppress(ItemError):  # a damaged file: the conversion will list it
                return draw_sheet(_tiles(scene, frame, shots, pictures, settings), columns=_SHEET_COLUMNS)
    return None


def _tiles(
    scene: Scene, frame: Frame, shots: Sequence[Shot], pictures: Pictures, settings: NuscenesSettings
) -> list[SheetTile]:
    rules, speeds = BoxRules.from_settings(settings), speeds_of(scene)
    objects = objects_of(scene, frame, shots, rules, speeds)
    return [
        SheetTile(shot.view, read_pixels(pictures.path_of(shot), shot.filename), boxes_to_draw(objects, place))
        for place, shot in enumerate(shots)
    ]
