"""A look at nuImages before it is converted: images, objects, and how many samples and tokens they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainvl.conversion import Inspection
from domainvl.conversion.contact_sheet import SheetTile, draw_sheet
from domainvl.errors import ItemError
from domainvl.schema import Provenance

from ..driving.camera_files import describe_camera_file
from ..driving.inspection import boxes_to_draw, listed, tokens_note, visual_tokens
from ..driving.pixels import read_pixels
from ..driving.rig import in_order
from ..nuscenes.labels import label_of
from .joining import KeyImage
from .samples import objects_of, samples_of, to_image
from .settings import NuimagesSettings
from .units import NuimagesUnit

if TYPE_CHECKING:
    from .convert import NuimagesConverter

_COLUMNS = ("version", "logs", "images", "cameras", "objects by class", "samples", "tokens")
_COUNTED_IMAGES = 2000
"""Images of which samples and tokens are counted; of more images, so many from first to last."""

_SHEET_IMAGES = 6
_SHEET_COLUMNS = 3

_NOBODY = Provenance(converter="nuimages", version="", settings_sha256="", wording="")


def inspect(converter: NuimagesConverter, source: Path, settings: NuimagesSettings) -> Inspection:
    """Look at all images of the tables; files are looked for, and six of them are drawn.

    Raises:
        UsageError: As planning does.
        NothingToDoError: As planning does.
    """
    plan = converter.plan(source, settings)
    looks: dict[str, _Look] = {}
    place = 0
    step = max(1, -(-sum(len(unit.images()) for unit in plan.units) // _COUNTED_IMAGES))
    for unit in plan.units:
        look = looks.setdefault(unit.version, _Look(unit.version))
        for image in unit.images():
            look.add(unit, image)
            if place % step == 0:
                look.count(unit, image, settings)
            place += 1
    return Inspection(
        _COLUMNS,
        [look.row() for look in looks.values()],
        [_note(list(looks.values())), *plan.notes],
        plan.rejects,
        _sheet(plan.units, settings),
    )


@dataclass
class _Look:
    """What was found of one folder of tables."""

    version: str
    logs: set[str] = field(default_factory=set)
    stated: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    counted: int = 0
    samples: int = 0
    tokens: int = 0

    def add(self, unit: NuimagesUnit, image: KeyImage) -> None:
        self.logs.add(unit.log)
        self.stated[image.view] += 1
        self.present[image.view] += unit.path_of(image).is_file()
        self.objects.update(label_of(label.category) for label in image.labels)

    def count(self, unit: NuimagesUnit, image: KeyImage, settings: NuimagesSettings) -> None:
        self.counted += 1
        if unit.path_of(image).is_file():
            samples, _ = samples_of(unit, image, to_image(image, *describe_camera_file(image)), settings, _NOBODY)
            self.samples += len(samples)
            self.tokens += sum(map(visual_tokens, samples))

    def row(self) -> tuple[str, ...]:
        images = self.stated.total()
        counted = "" if self.counted == images else f" of {self.counted} images"
        return (
            self.version,
            str(len(self.logs)),
            f"{images}, {self.present.total()} on disk",
            "\n".join(f"{view} {self.present[view]}/{self.stated[view]}" for view in in_order(self.stated)),
            listed(self.objects.items()),
            f"{self.samples}{counted}",
            f"{self.tokens}{counted}",
        )


def _note(looks: Sequence[_Look]) -> str:
    images, counted = sum(look.stated.total() for look in looks), sum(look.counted for look in looks)
    samples = sum(look.samples for look in looks)
    note = tokens_note(samples, sum(look.tokens for look in looks))
    if counted < images:
        note += f", of {counted} of the {images} images; about {round(samples * images / counted)} samples in all"
    return note


def _sheet(units: Sequence[NuimagesUnit], settings: NuimagesSettings) -> npt.NDArray[np.uint8] | None:
    """Draw some images with objects, from first to last."""
    there = [(unit, image) for unit in units for image in _some(unit)]
    step = max(1, len(there) // _SHEET_IMAGES)
    tiles = [_tile(unit, image, settings) for unit, image in there[::step][:_SHEET_IMAGES]]
    drawn = [tile for tile in tiles if tile is not None]
    return draw_sheet(drawn, columns=_SHEET_COLUMNS) if drawn else None


def _some(unit: NuimagesUnit) -> Iterator[KeyImage]:
    """Yield the first images of a unit that are on disk and show something."""
    there = (image for image in unit.images() if image.labels and unit.path_of(image).is_file())
    for _, image in zip(range(_SHEET_IMAGES), there, strict=False):
        yield image


def _tile(unit: NuimagesUnit, image: KeyImage, settings: NuimagesSettings) -> SheetTile | None:
    try:
        pixels = read_pixels(unit.path_of(image), image.filename)
    except ItemError:  # a damaged file: the conversion will list it
        return None
    objects, _ = objects_of(image, unit.version, settings.min_side_px)
    return SheetTile(f"{unit.version} {image.view}", pixels, boxes_to_draw(objects))
