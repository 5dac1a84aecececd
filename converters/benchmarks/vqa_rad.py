"""VQA-RAD: clinicians' questions about radiology images, with the official test set held out.

Lau et al., A dataset of clinically generated visual questions and answers about radiology images, Scientific
Data 5:180251, 2018. Read in the layout in which it is commonly passed on: ``trainset.json``, ``testset.json``
and ``images/``. All 203 images of the official test set occur in its training set too, so training on all of
it trains on the test images; the default leaves those training questions out.

VQA-RAD has no patient identifiers. The group is the image, which is the best that can be done: two images of
one patient may lie on both sides of the split.
"""

from __future__ import annotations

import enum
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import DatasetError, InputNotFoundError, ItemError, NothingToDoError
from domainvl.files import hash_file
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Provenance, Sample, Source, Split, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

DOMAIN = "medical"

_FILES = {"train": "trainset.json", "test": "testset.json"}
_IMAGE_FOLDER = "images"
_DETAIL_FIELDS = ("answer_type", "image_organ", "phrase_type", "question_type")
_LEAK_WARNING = "The image of this test sample was also trained on (--leakage as-published)"


class Leakage(enum.StrEnum):
    """What becomes of official training questions about images of the official test set."""

    EXCLUDE_TEST_IMAGES = "exclude-test-images"
    AS_PUBLISHED = "as-published"


class VqaRadSettings(ConverterSettings):
    """Settings of the VQA-RAD converter."""

    plan_fields = frozenset({"leakage"})

    test_fraction: float = Field(
        default=0.0, ge=0.0, le=0.0, description="Always 0: the test split is the official test set."
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Leave out training questions about test images, or keep the published split that has them.",
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
        for image_name in sorted(by_image):
            rows = by_image[image_name]
            if settings.leakage is Leakage.EXCLUDE_TEST_IMAGES:
                rows = _without_leaking(image_name, rows, rejects)
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
        return Plan(units=units, sources=sources, rejects=rejects)

    def convert(
        self, unit: VqaRadUnit, settings: VqaRadSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Copy the image and word its questions."""
        try:
            stored = images.put_file(unit.path)
        except ItemError as error:
            return UnitResult(rejects=[_reject(row, "convert", error) for row in unit.rows])
        return UnitResult(samples=list(_samples(unit, stored, settings=settings, provenance=provenance)))

    def unit_name(self, unit: VqaRadUnit) -> str:
        """Name a unit by its image; the names hold no identifiers."""
        return unit.image_name

    def unit_files(self, unit: VqaRadUnit) -> list[Path]:
        """Name the image; what the JSON files say about it stands in the unit."""
        return [unit.path]


CONVERTER = VqaRadConverter()


def _samples(
    unit: VqaRadUnit, stored: StoredImage, *, settings: VqaRadSettings, provenance: Provenance
) -> Iterator[Sample]:
    sha256, size_bytes = hash_file(unit.path), unit.path.stat().st_size
    leaks = len({row.official_split for row in unit.rows}) > 1
    for row in unit.rows:
        is_test = row.official_split == "test"
        source = Source(
            uri=f"{_IMAGE_FOLDER}/{unit.image_name}",
            sha256=sha256,
            size_bytes=size_bytes,
            details={**dict(row.details), "official_split": row.official_split},
        )
        yield from samples_from_questions(
            [Question(row.qid, Task.VQA, row.question, TextAnswer(text=row.answer))],
            id_prefix="vqa-rad",
            domain=DOMAIN,
            images=[stored.to_image(source)],
            fixed_split=Split.TEST if is_test else None,
            # Published as it is, an image lies in two splits; its groups are named apart to make that possible.
            group=f"{unit.image_name} (official test)" if is_test and leaks else unit.image_name,
            provenance=provenance,
            warnings=[_LEAK_WARNING] if is_test and leaks else [],
        )


def _without_leaking(image_name: str, rows: Sequence[_Row], rejects: list[Reject]) -> list[_Row]:
    if not any(row.official_split == "test" for row in rows):
        return list(rows)
    rejects.extend(
        Reject(
            row.name,
            "plan",
            "image-in-test",
            f"{image_name} is an image of the official test set and must not be trained on",
            "To reproduce the published split, set --leakage as-published",
            Severity.SKIPPED,
        )
        for row in rows
        if row.official_split == "train"
    )
    return [row for row in rows if row.official_split == "test"]


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


def _reject(row: _Row, stage: str, error: ItemError) -> Reject:
    return Reject(row.name, stage, error.reason, str(error), error.action)


def _read_rows(source: Path, rejects: list[Reject]) -> Iterator[tuple[str, _Row]]:
    for name in (*_FILES.values(), _IMAGE_FOLDER):
        is_there = (source / name).is_dir() if name == _IMAGE_FOLDER else (source / name).is_file()
        if not is_there:
            raise InputNotFoundError(
                "Cannot read VQA-RAD",
                where=source,
                rule=f"{name} is missing",
                action="Name the folder that holds trainset.json, testset.json and images/",
            )
    seen: set[str] = set()
    for official_split, name in _FILES.items():
        for number, content in enumerate(_load(source / name), start=1):
            try:
                image_name, row = _check(content, official_split, f"{name} row {number}")
                if row.qid in seen:
                    raise _field_error("qid-repeated", f"{name} row {number}", f"qid {row.qid} was used before")
            except ItemError as error:
                rejects.append(Reject(f"{name} row {number}", "plan", error.reason, str(error), error.action))
                continue
            seen.add(row.qid)
            yield image_name, row


def _load(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError("Unreadable file", where=path, rule=f"it must be JSON ({error})") from error
    if not isinstance(content, list):
        raise DatasetError("Unreadable file", where=path, rule=f"it must be a list, got {type(content).__name__}")
    return content


def _check(content: object, official_split: str, where: str) -> tuple[str, _Row]:
    """Check one row; numbers become text, blanks are collapsed.

    Raises:
        ItemError: If a field is missing or of a wrong kind.
    """
    if not isinstance(content, dict):
        raise _field_error("row-invalid", where, f"a row must be an object, got {type(content).__name__}")
    image_name = _text(content, "image_name", where)
    if image_name != Path(image_name).name:
        raise _field_error("row-invalid", where, f"image_name must be a plain file name, got {image_name!r}")
    details = tuple((key, _text(content, key, where)) for key in _DETAIL_FIELDS if content.get(key) is not None)
    return image_name, _Row(
        qid=_text(content, "qid", where),
        official_split=official_split,
        question=_text(content, "question", where),
        answer=_text(content, "answer", where),
        details=details,
    )


def _text(content: dict[str, Any], key: str, where: str) -> str:
    value = content.get(key)
    if value is None:
        raise _field_error("field-missing", where, f"{key} is missing")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _field_error("row-invalid", where, f"{key} must be text or a number, got {value!r}")
    text = " ".join(str(value).split())
    if not text:
        raise _field_error("field-missing", where, f"{key} is empty")
    return text


def _field_error(reason: str, where: str, rule: str) -> ItemError:
    return ItemError("Cannot use a question", reason=reason, where=where, rule=rule, action="Correct the file")
