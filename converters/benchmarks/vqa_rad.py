"""VQA-RAD: clinicians' questions about radiology images, with the official test set held out.

Lau et al., A dataset of clinically generated visual questions and answers about radiology images, Scientific
Data 5:180251, 2018. Read in the layout in which it is commonly passed on: ``trainset.json``, ``testset.json``
and ``images/``. All 203 images of the official test set occur in its training set too, so training on all of
it trains on the test images; the default leaves those training questions out, and --leakage exclude-train-images the
test questions instead. Some answers are numbers in the files; they are text here, as all others.

VQA-RAD has no patient identifiers. The group is the image, which is the best that can be done: two images of
one patient may lie on both sides of the split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import InputNotFoundError, ItemError, NothingToDoError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Provenance, Sample, Split, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

from .official_splits import Leakage, OfficialSplits, group_of
from .reading import check_input, load_list, reject_of, row_error, source_of, text_of

DOMAIN = "medical"

_FILES = {"train": "trainset.json", "test": "testset.json"}
_IMAGE_FOLDER = "images"
_DETAIL_FIELDS = ("answer_type", "image_organ", "phrase_type", "question_type")


class VqaRadSettings(ConverterSettings):
    """Settings of the VQA-RAD converter."""

    plan_fields = frozenset({"leakage"})

    test_fraction: float = Field(
        default=0.0, ge=0.0, le=0.0, description="Always 0: the test split is the official test set."
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Images in both official sets: leave out their training questions, leave out their test questions, "
        "or keep the published split.",
    )


@dataclass(frozen=True)
class _Row:
    """One question of the official files, checked."""

    qid: str
    official_split: str
    question: str
    answer: str
    details: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return f"{_FILES[self.official_split]} qid {self.qid}"


@dataclass(frozen=True)
class VqaRadUnit:
    """One image with all questions about it."""

    image_name: str
    path: Path
    rows: tuple[_Row, ...]


class VqaRadConverter:
    """Turns VQA-RAD into samples, one a question."""

    name = "vqa-rad"
    summary = "VQA-RAD's JSON files and radiology images, official test set held out."
    settings_type = VqaRadSettings
    licence = "CC0-1.0"  # as stated by the authors at osf.io/89kps

    def plan(self, source: Path, settings: VqaRadSettings) -> Plan[VqaRadUnit]:
        """Read both JSON files and gather the questions by image.

        Raises:
            InputNotFoundError: If a JSON file or the folder of images is missing.
            DatasetError: If a file is no JSON list.
            NothingToDoError: If no question can be used.
        """
        rejects: list[Reject] = []
        by_image: dict[str, list[_Row]] = defaultdict(list)
        for image_name, row in _read_rows(source, rejects):
            by_image[image_name].append(row)
        units = []
        shared = OfficialSplits(settings.leakage, rejects)
        for image_name in sorted(by_image):
            rows = shared.settle(image_name, by_image[image_name])
            path = source / _IMAGE_FOLDER / image_name
            if path.is_file():
                units.append(VqaRadUnit(image_name, path, tuple(rows)))
            else:
                rejects.extend(_image_missing(image_name, rows))
        rejects.extend(_unused_images(source, by_image))
        if not units:
            raise NothingToDoError(
                "Nothing to convert", where=source, rule=f"none of {len(by_image)} named images is in images/"
            )
        sources = {name: source / name for name in _FILES.values()}
        sources |= {f"{_IMAGE_FOLDER}/{unit.image_name}": unit.path for unit in units}
        return Plan(units=units, sources=sources, rejects=rejects, notes=shared.notes())

    def convert(
        self, unit: VqaRadUnit, settings: VqaRadSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Copy the image and word its questions."""
        try:
            stored = images.put_file(unit.path)
        except ItemError as error:
            return UnitResult(rejects=[reject_of(row.name, error, "convert") for row in unit.rows])
        return UnitResult(samples=list(_samples(unit, stored, provenance=provenance)))

    def unit_name(self, unit: VqaRadUnit) -> str:
        """Name a unit by its image; the names hold no identifiers."""
        return unit.image_name

    def unit_files(self, unit: VqaRadUnit) -> list[Path]:
        """Name the image; what the JSON files say about it stands in the unit."""
        return [unit.path]


CONVERTER = VqaRadConverter()


def _samples(unit: VqaRadUnit, stored: StoredImage, *, provenance: Provenance) -> Iterator[Sample]:
    source = source_of(unit.path, f"{_IMAGE_FOLDER}/{unit.image_name}")
    splits = {row.official_split for row in unit.rows}
    for row in unit.rows:
        details = {**dict(row.details), "official_split": row.official_split}
        group, warnings = group_of(unit.image_name, row.official_split, splits)
        yield from samples_from_questions(
            [Question(row.qid, Task.VQA, row.question, TextAnswer(text=row.answer))],
            id_prefix="vqa-rad",
            domain=DOMAIN,
            images=[stored.to_image(source.model_copy(update={"details": details}))],
            fixed_split=Split.TEST if row.official_split == "test" else None,
            group=group,
            provenance=provenance,
            warnings=warnings,
        )


def _image_missing(image_name: str, rows: Sequence[_Row]) -> Iterator[Reject]:
    for row in rows:
        yield Reject(
            row.name, "plan", "image-missing", f"{image_name} is not in images/", "Fetch the complete set of images"
        )


def _unused_images(source: Path, named: dict[str, list[_Row]]) -> Iterator[Reject]:
    for path in sorted((source / _IMAGE_FOLDER).iterdir()):
        if path.name not in named:
            uri = f"{_IMAGE_FOLDER}/{path.name}"
            yield Reject(uri, "plan", "no-question", "no question is about it", None, Severity.SKIPPED)


def _read_rows(source: Path, rejects: list[Reject]) -> Iterator[tuple[str, _Row]]:
    layout = "trainset.json, testset.json and images/"
    _check_edition(source)
    check_input(source, [*_FILES.values(), f"{_IMAGE_FOLDER}/"], benchmark="VQA-RAD", layout=layout)
    seen: set[str] = set()
    for official_split, name in _FILES.items():
        for number, content in enumerate(load_list(source / name), start=1):
            try:
                image_name, row = _check(content, official_split, f"{name} row {number}")
                if row.qid in seen:
                    raise row_error("qid-repeated", f"{name} row {number}", f"qid {row.qid} was used before")
            except ItemError as error:
                rejects.append(reject_of(f"{name} row {number}", error))
                continue
            seen.add(row.qid)
            yield image_name, row


def _check_edition(source: Path) -> None:
    """Refuse the mirror that lost the types by which VQA-RAD is scored.

    Raises:
        InputNotFoundError: If the folder holds the mirror of Hugging Face (flaviagiammarino/vqa-rad, whose columns are
            image, question and answer) instead.
    """
    if not any((source / name).is_file() for name in _FILES.values()) and any(source.rglob("*.parquet")):
        raise InputNotFoundError(
            "Cannot read VQA-RAD",
            where=source,
            rule="it holds Parquet files, a mirror without answer_type, image_organ, phrase_type and question_type",
            action="Take the published edition: trainset.json, testset.json and images/ (osf.io/89kps)",
        )


def _check(content: object, official_split: str, where: str) -> tuple[str, _Row]:
    """Check one row; numbers become text, blanks are collapsed.

    Raises:
        ItemError: If a field is missing or of a wrong kind.
    """
    if not isinstance(content, dict):
        raise row_error("row-invalid", where, f"a row must be an object, got {type(content).__name__}")
    image_name = text_of(content, "image_name", where)
    if image_name != Path(image_name).name:
        raise row_error("row-invalid", where, f"image_name must be a plain file name, got {image_name!r}")
    details = tuple((key, text_of(content, key, where)) for key in _DETAIL_FIELDS if content.get(key) is not None)
    return image_name, _Row(
        qid=text_of(content, "qid", where),
        official_split=official_split,
        question=text_of(content, "question", where),
        answer=text_of(content, "answer", where),
        details=details,
    )
