"""DIOR-RSVG: expressions that name one object in an aerial photograph, and its box.

Zhan, Xiong and Yuan, RSVG: Exploring Data and Models for Visual Grounding on Remote Sensing Data, IEEE TGRS 61, 2023.
Read in the published layout: ``Annotations/*.xml``, ``JPEGImages/`` and ``train.txt``, ``val.txt``, ``test.txt``. Their
numbers count the objects of all annotations, taken in the order of their paths (``data_loader.py`` of
github.com/ZhanYang-nwpu/RSVG-pytorch, which relies on the order in which Windows lists a folder). A missing or
unreadable annotation would shift all numbers after it, so it ends the conversion.

The split is drawn over expressions: most images of the test set are in the training set too. By default an image is
kept in its most held-out split alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError
from domainvl.schema.boxes import Box, clip_box
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import BoxesAnswer, Object, Provenance, Sample, Task
from domainvl.schema.writer import Reject

from .dior_rsvg_files import ANNOTATIONS, SPLITS, DiorRsvgRow, annotations_of, read_rows, read_splits
from .image_files import put_image
from .official_splits import Leakage, OfficialSplits, OfficialSplitSettings, group_of
from .reading import check_input, image_rejected, reject_of, row_error, source_of

DOMAIN = "remote-sensing"

_IMAGES = "JPEGImages"
_CUT_WARNING = "The annotated box reached beyond the image and was cut"


class DiorRsvgSettings(OfficialSplitSettings):
    """Settings of the DIOR-RSVG converter."""

    plan_fields = frozenset({"leakage"})

    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Keep an image in its most held-out split alone, in its least held-out split alone, or keep the "
        "published split, which shares images.",
    )


@dataclass(frozen=True)
class DiorRsvgUnit:
    """One image with all expressions about it, and the size that its annotation states."""

    image_name: str
    path: Path
    size_px: tuple[int, int] | None
    rows: tuple[DiorRsvgRow, ...]


class DiorRsvgConverter:
    """Turns DIOR-RSVG into grounding samples, one an expression."""

    name = "dior-rsvg"
    summary = "DIOR-RSVG's XML annotations, split files and images; no image is in two splits by default."
    settings_type = DiorRsvgSettings
    licence = None  # neither the repository nor the paper states one

    def plan(self, source: Path, settings: DiorRsvgSettings) -> Plan[DiorRsvgUnit]:
        """Number the objects of all annotations and gather the expressions by image.

        Raises:
            InputNotFoundError: If a file or folder is missing.
            DatasetError: If an annotation cannot be read, or the split files number more objects than there are.
            NothingToDoError: If no expression can be used.
        """
        layout = "Annotations/, JPEGImages/ and train.txt, val.txt and test.txt"
        names = [*(f"{split}.txt" for split in SPLITS), f"{ANNOTATIONS}/", f"{_IMAGES}/"]
        check_input(source, names, benchmark="DIOR-RSVG", layout=layout)
        rejects: list[Reject] = []
        split_of = read_splits(source, rejects)
        by_image: dict[str, list[DiorRsvgRow]] = defaultdict(list)
        sizes: dict[str, tuple[int, int] | None] = {}
        annotations = annotations_of(source)
        for image_name, size_px, row in read_rows(source, annotations, split_of, rejects):
            by_image[image_name].append(row)
            sizes[image_name] = size_px
        units = []
        shared = OfficialSplits(settings.leakage, rejects, rows="expressions")
        for image_name in sorted(by_image):
            rows = shared.settle(image_name, by_image[image_name])
            path = source / _IMAGES / image_name
            if path.is_file():
                units.append(DiorRsvgUnit(image_name, path, sizes[image_name], tuple(rows)))
            else:
                message = f"{image_name} is not in {_IMAGES}; left out with it: {_expressions(len(rows))}"
                rejects.append(Reject(image_name, "plan", "image-missing", message, "Fetch the complete set of images"))
        if not units:
            rule = f"none of {len(by_image)} named images is in {_IMAGES}"
            raise NothingToDoError("Nothing to convert", where=source, rule=rule)
        sources = {f"{split}.txt": source / f"{split}.txt" for split in SPLITS}
        sources |= {path.relative_to(source).as_posix(): path for path in annotations}
        sources |= {f"{_IMAGES}/{unit.image_name}": unit.path for unit in units}
        return Plan(units=units, sources=sources, rejects=rejects, notes=shared.notes())

    def convert(
        self, unit: DiorRsvgUnit, settings: DiorRsvgSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Copy the image and word its expressions."""
        try:
            stored = put_image(images, unit.path)
            _check_size(unit, stored)
        except ItemError as error:
            return image_rejected(self.unit_name(unit), error, _expressions(len(unit.rows)))
        rejects: list[Reject] = []
        return UnitResult(samples=list(_samples(unit, stored, provenance, rejects)), rejects=rejects)

    def unit_name(self, unit: DiorRsvgUnit) -> str:
        """Name a unit by its image; the names hold no identifiers."""
        return f"{_IMAGES}/{unit.image_name}"

    def unit_files(self, unit: DiorRsvgUnit) -> list[Path]:
        """Name the image; what the annotations say about it stands in the unit."""
        return [unit.path]


CONVERTER = DiorRsvgConverter()


def _samples(
    unit: DiorRsvgUnit, stored: StoredImage, provenance: Provenance, rejects: list[Reject]
) -> Iterator[Sample]:
    source = source_of(unit.path, f"{_IMAGES}/{unit.image_name}")
    splits = {row.official_split for row in unit.rows}
    for row in unit.rows:
        try:
            box_px = _box_in_image(row, stored)
        except ItemError as error:
            rejects.append(reject_of(row.name, error, "convert"))
            continue
        details = {"official_split": row.official_split, "index": row.index, "annotation": row.annotation}
        group, warnings = group_of(unit.image_name, row.official_split, splits)
        yield from samples_from_questions(
            [Question(str(row.index), Task.GROUNDING, row.phrase, BoxesAnswer(object_ids=("0",)))],
            id_prefix="dior-rsvg",
            domain=DOMAIN,
            images=[stored.to_image(source.model_copy(update={"details": details}))],
            objects=[Object(id="0", label=row.label, box_px=box_px)],
            fixed_split=SPLITS[row.official_split],
            group=group,
            provenance=provenance,
            warnings=[*warnings, _CUT_WARNING] if box_px != row.box_px else warnings,
        )


def _check_size(unit: DiorRsvgUnit, stored: StoredImage) -> None:
    size_px = (stored.width_px, stored.height_px)
    if unit.size_px not in (None, size_px):
        raise ItemError(
            "Cannot place boxes",
            reason="size-mismatch",
            where=unit.image_name,
            rule=f"the annotation is of an image of {unit.size_px} px, the file has {size_px} px",
            action="Fetch the image in its original size (800 x 800)",
        )


def _box_in_image(row: DiorRsvgRow, stored: StoredImage) -> Box:
    box_px = clip_box(row.box_px, stored.width_px, stored.height_px)
    if not (box_px[0] < box_px[2] and box_px[1] < box_px[3]):
        rule = (
            f"the box must have an area inside the image of {stored.width_px}x{stored.height_px} px, got {row.box_px}"
        )
        raise row_error("box-invalid", f"{row.annotation} (index {row.index})", rule)
    return box_px


def _expressions(count: int) -> str:
    return "1 expression" if count == 1 else f"{count} expressions"
