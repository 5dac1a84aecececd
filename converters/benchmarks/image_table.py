"""A folder of images and a table of their labels, as the ISIC challenges publish them.

One row an image: a column names the image; the labels are one column of class names (``dx`` of HAM10000), or columns of
zeros and ones. Where every row has exactly one 1 (``image,MEL,NV,BCC,...`` of ISIC 2018 and 2019) they are classes,
else labels that are asked for one by one (ISIC 2017, and many sets of chest X-rays).

Images of one patient or lesion must not be divided: their column is the group of an image (``patient_id`` of ISIC
2020, ``lesion_id`` of HAM10000 and ISIC 2019), from a second table where the first has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError
from domainvl.files import hash_file
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.phrases import Phrasing
from domainvl.schema.questions import ClassQuestions, Question, ask_for_class, samples_from_questions
from domainvl.schema.sample import Provenance, Sample, Source, Split
from domainvl.schema.writer import Reject

from .image_files import put_image, put_pixels_alone
from .image_table_reader import TableReader, TableRow
from .label_questions import ASK_HELP, Ask, ask_about_labels
from .official_splits import Leakage, OfficialSplits, group_of
from .reading import reject_of

_ROWS_A_UNIT = 32


class ImageTableSettings(ConverterSettings):
    """Settings of the converter of images with a table."""

    plan_fields = frozenset(
        {
            "table",
            "images",
            "image_column",
            "class_column",
            "label_columns",
            "names",
            "group_column",
            "groups",
            "split_column",
            "split",
            "leakage",
            "keep",
            "deid_key",
        }
    )

    table: Path | None = Field(
        default=None, description="The table, CSV or Excel; the only one directly in the input if left out."
    )
    images: str | None = Field(
        default=None, description="Folder of the images, below the input; all of the input if left out."
    )
    image_column: str | None = Field(
        default=None, description="Column that names the image; image, image_name, isic_id or the like if left out."
    )
    class_column: str | None = Field(default=None, description="Column with the name of the class.")
    label_columns: str | None = Field(
        default=None,
        description="Columns of zeros and ones, with commas between; all such columns if left out, unless there is a "
        "column of classes.",
    )
    names: str | None = Field(
        default=None,
        description="What classes or labels are called in questions: MEL=melanoma,NV=nevus; or isic for ISIC's codes.",
    )
    group_column: str | None = Field(
        default=None, description="Column of patients or lesions, which are not divided; patient_id or lesion_id."
    )
    groups: Path | None = Field(
        default=None, description="A second table with the column of groups, joined by the column of images."
    )
    split_column: str | None = Field(
        default=None, description="Column that says train, val or test; split, set, partition or the like if left out."
    )
    split: Literal["official", "drawn", "train", "val", "test"] = Field(
        default="official",
        description="Honour a column of official splits and draw splits by group where there is none, draw them in any "
        "case, or put all images into one: the table of an official split.",
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Where official splits divide a group: leave out its training or its test images, or keep both.",
    )
    keep: str | None = Field(
        default=None, description="Other columns to keep in the details of an image, with commas between."
    )
    domain: str = Field(default="medical", min_length=1, description="The field of the data.")
    deid_key: Path | None = Field(
        default=None,
        description="File with a secret key: file names and groups are then written as hashes under it, and images "
        "without what their files say besides pixels.",
    )
    ask: Ask = Field(default=Ask.BALANCED, description=ASK_HELP)
    options: int | None = Field(
        default=None, ge=2, le=4, description="Ask also for a letter among so many classes, drawn for each image."
    )
    phrasing: Literal["published", "varied"] = Field(
        default="published", description="Ask in the published words only, or in varied ones."
    )
    phrasing_seed: int = Field(default=0, description="Another seed draws other words and other options.")

    def public(self) -> dict[str, Any]:
        """Return the settings for the manifest: no local folders, and of the key only whether there is one."""
        content = super().public()
        hidden = self.deid_key is not None
        for name in ("table", "groups"):
            path: Path | None = getattr(self, name)
            content[name] = path if path is None or hidden else path.name
        if hidden:  # a file or folder may be called by a patient
            content |= {name: getattr(self, name) is not None for name in ("table", "groups", "images")}
        return content | {"deid_key": hidden}


@dataclass(frozen=True)
class TableUnit:
    """Some images.

    Attributes:
        classes: All classes, in the order in which questions list them; empty where there are labels.
        rows: The images.
        hide: Whether nothing of a file but its pixels may be written.
    """

    classes: tuple[str, ...]
    rows: tuple[TableRow, ...]
    hide: bool


class ImageTableConverter:
    """Turns images with a table of labels into classification or presence questions."""

    name = "image-table"
    summary = "A folder of images and a table of their labels, CSV or Excel (ISIC, HAM10000 and the like)."
    settings_type = ImageTableSettings
    licence = None  # each data set has its own

    def plan(self, source: Path, settings: ImageTableSettings) -> Plan[TableUnit]:
        """Read the table and find the images.

        Raises:
            InputNotFoundError: If there is no table.
            DatasetError: If it cannot be read.
            UsageError: If a column is missing or cannot be guessed.
            NothingToDoError: If no row can be used.
        """
        rejects: list[Reject] = []
        reader = TableReader(source, settings, rejects)
        by_group: dict[str, list[TableRow]] = defaultdict(list)
        for row in reader.rows():
            by_group[row.group].append(row)
        shared = None
        if reader.columns.split is not None:
            shared = OfficialSplits(settings.leakage, rejects, things="groups", rows="images")
        rows: list[TableRow] = []
        for group in sorted(by_group):
            rows += _placed(group, by_group[group], shared, settings)
        if not rows:
            rule = f"none of {len(reader.table.rows)} rows can be used"
            if rejects:
                rule += f" (the first: {rejects[0].message})"
            raise NothingToDoError("Nothing to convert", where=reader.table.path, rule=rule)
        rows.sort(key=lambda row: row.uri)
        rejects += reader.unused()
        hide = settings.deid_key is not None
        units = [
            TableUnit(reader.classes, tuple(rows[start : start + _ROWS_A_UNIT]), hide)
            for start in range(0, len(rows), _ROWS_A_UNIT)
        ]
        notes = [*reader.notes(), *(shared.notes() if shared is not None else [])]
        sources = reader.sources(rows)
        return Plan(units=units, sources=sources, rejects=rejects, notes=notes, source_key=reader.source_key)

    def convert(
        self, unit: TableUnit, settings: ImageTableSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the images and word their questions."""
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for row in unit.rows:
            try:
                stored = put_pixels_alone(images, row.path, row.name) if unit.hide else put_image(images, row.path)
            except ItemError as error:
                rejects.append(reject_of(row.name, error, "convert"))
                continue
            samples += _samples(unit, row, stored, settings, provenance)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: TableUnit) -> str:
        """Name a unit by its first and last row."""
        first, last = unit.rows[0].name, unit.rows[-1].name
        return first if first == last else f"{first} to {last}"

    def unit_files(self, unit: TableUnit) -> list[Path]:
        """Name the images."""
        return [row.path for row in unit.rows]


CONVERTER = ImageTableConverter()


def _placed(
    group: str, rows: Sequence[TableRow], shared: OfficialSplits | None, settings: ImageTableSettings
) -> Iterator[TableRow]:
    """Put the rows of one group into their splits."""
    if shared is None:
        fixed = None if settings.split in ("official", "drawn") else Split(settings.split)
        yield from (replace(row, fixed=fixed) for row in rows)
        return
    splits = {row.official_split for row in rows}
    for row in shared.settle("its group", rows):
        named, warnings = group_of(group, row.official_split, splits, thing="group")
        yield replace(row, group=named, fixed=Split(row.official_split), warnings=tuple(warnings))


def _samples(
    unit: TableUnit, row: TableRow, stored: StoredImage, settings: ImageTableSettings, provenance: Provenance
) -> Iterator[Sample]:
    key = f"{settings.phrasing_seed}/{row.uri}"
    questions: list[Question] = []
    details: dict[str, Any] = dict(row.kept)
    if row.label is not None:
        questions.append(ask_for_class(row.label, unit.classes, key=key))
        if settings.options is not None:
            choice = ClassQuestions(options=settings.options)
            questions.append(ask_for_class(row.label, unit.classes, key=key, settings=choice))
        place = unit.classes.index(row.label)
        details |= {"class": row.label, "class_index": place, "class_count": len(unit.classes)}
    else:
        questions += ask_about_labels(dict(row.labels), key=key, ask=settings.ask)
        details["labels"] = [label for label, there in row.labels if there]
    if row.official_split != "none":
        details["official_split"] = row.official_split
    digest = None if unit.hide else hash_file(row.path)
    source = Source(
        uri=row.uri, sha256=digest, size_bytes=None if unit.hide else row.path.stat().st_size, details=details
    )
    return samples_from_questions(
        questions,
        id_prefix=f"image-table/{row.uri}",
        domain=settings.domain,
        images=[stored.to_image(source)],
        fixed_split=row.fixed,
        group=row.group,
        provenance=provenance,
        warnings=row.warnings,
        phrasing=Phrasing(varied=settings.phrasing == "varied", seed=settings.phrasing_seed),
    )
