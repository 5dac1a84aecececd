"""PathVQA: questions about pathology images from textbooks and a digital library, in the official splits.

He et al., PathVQA: 30000+ Questions for Medical Visual Question Answering, arXiv 2003.10286. Read in the edition of
Hugging Face (flaviagiammarino/path-vqa): Parquet shards of train, validation and test with the columns image, question
and answer; a row's number in its split is the number by which ``datasets`` names it. The authors' own edition keeps the
questions in pickle files, which can run code when they are opened, and is refused.

A row holds its own copy of its image. Images are told apart by their bytes; the group is the image, for nothing is
known of patients.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import InputNotFoundError, ItemError, NothingToDoError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Provenance, Sample, Source, Split, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

from .official_splits import Leakage, OfficialSplits, OfficialSplitSettings, group_of
from .parquet_rows import ParquetRow, find_shards, read_images, read_rows
from .reading import image_rejected, reject_of, row_error, text_of

DOMAIN = "medical"

_SHARD_NAMES = {"train": "train", "validation": "val", "val": "val", "test": "test"}
_SPLITS = ("train", "val", "test")
_COLUMNS = ("image", "question", "answer")
_CLOSED = frozenset({"yes", "no"})
"""Answers of closed questions; both kinds are scored apart (arXiv 2003.10286, section 5)."""


class PathVqaSettings(OfficialSplitSettings):
    """Settings of the PathVQA converter."""

    plan_fields = frozenset({"leakage"})

    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Images in several official splits: keep them in the most held-out one, in the least held-out one, "
        "or as published.",
    )


@dataclass(frozen=True)
class PathVqaRow:
    """One question: its number in its split, from 0, and its texts."""

    official_split: str
    number: int
    question: str
    answer: str

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return f"{self.official_split} row {self.number}"


@dataclass(frozen=True)
class PathVqaImage:
    """One image: where its bytes lie in a row group, their hash, and all questions about it."""

    place: int
    sha256: str
    rows: tuple[PathVqaRow, ...]


@dataclass(frozen=True)
class PathVqaUnit:
    """One row group, which is read as a whole, with the images that are first met in it."""

    uri: str
    path: Path
    row_group: int
    images: tuple[PathVqaImage, ...]


class PathVqaConverter:
    """Turns PathVQA into samples, one a question."""

    name = "path-vqa"
    summary = "PathVQA's Parquet shards (flaviagiammarino/path-vqa): pathology questions in the official splits."
    settings_type = PathVqaSettings
    # MIT is the licence of UCSD-AI4H/PathVQA; its card says that images and captions belong to publishers and authors.
    licence = "MIT AND copyright of the publishers (images and captions)"

    def plan(self, source: Path, settings: PathVqaSettings) -> Plan[PathVqaUnit]:
        """Read all rows and gather the questions by image.

        Raises:
            InputNotFoundError: If there are no shards.
            DatasetError: If a shard is missing or cannot be read.
            NothingToDoError: If no question can be used.
        """
        shards = find_shards(source, _SHARD_NAMES)
        if not shards:
            raise _no_shards(source)
        rejects: list[Reject] = []
        rows_of, first_of = _gather(shards, rejects)
        shared = OfficialSplits(settings.leakage, rejects)
        in_group: dict[tuple[Path, int], list[PathVqaImage]] = defaultdict(list)
        for digest, (path, row_group, place) in first_of.items():
            rows = shared.settle(_image_name(digest), rows_of[digest])
            in_group[path, row_group].append(PathVqaImage(place, digest, tuple(rows)))
        if not in_group:
            raise NothingToDoError("Nothing to convert", where=source, rule="no row can be used")
        units = [
            PathVqaUnit(path.relative_to(source).as_posix(), path, row_group, tuple(images))
            for (path, row_group), images in in_group.items()
        ]
        sources = {path.relative_to(source).as_posix(): path for paths in shards.values() for path in paths}
        return Plan(units=units, sources=sources, rejects=rejects, notes=shared.notes())

    def convert(
        self, unit: PathVqaUnit, settings: PathVqaSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the images of a row group and word the questions about them."""
        contents = read_images(unit.path, unit.row_group, [image.place for image in unit.images])
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for image, content in zip(unit.images, contents, strict=True):
            name = _image_name(image.sha256)
            try:
                stored = images.put_encoded(content, name)
            except ItemError as error:
                rejects += image_rejected(name, error, f"its {len(image.rows)} questions").rejects
                continue
            source = Source(uri=f"{unit.uri}#{image.sha256[:16]}", sha256=image.sha256, size_bytes=len(content))
            samples += _samples(image, stored, source, provenance)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: PathVqaUnit) -> str:
        """Name a unit by its shard and row group."""
        return f"{unit.uri} row group {unit.row_group}"

    def unit_files(self, unit: PathVqaUnit) -> list[Path]:
        """Name the shard of the images; the questions stand in the unit."""
        return [unit.path]


CONVERTER = PathVqaConverter()


def _no_shards(source: Path) -> InputNotFoundError:
    pickled = any(source.rglob("*_qa.pkl"))
    rule = "the questions are in pickle files, which are never opened: they can run any code" if pickled else None
    return InputNotFoundError(
        "Cannot read PathVQA",
        where=source,
        rule=rule or "there are no files train-*.parquet, validation-*.parquet or test-*.parquet",
        action="Name the folder of the Parquet edition (flaviagiammarino/path-vqa on Hugging Face), with the same "
        "questions and images",
    )


_First = tuple[Path, int, int]


def _gather(
    shards: Mapping[str, Sequence[Path]], rejects: list[Reject]
) -> tuple[dict[str, list[PathVqaRow]], dict[str, _First]]:
    """Gather the rows by the hash of their image.

    Returns:
        The rows about each image; and where each image is first met: shard, row group and place in it.
    """
    rows_of: dict[str, list[PathVqaRow]] = defaultdict(list)
    first_of: dict[str, _First] = {}
    seen: set[tuple[str, str, str, str]] = set()
    for split in (split for split in _SPLITS if split in shards):
        numbered = enumerate(row for path in shards[split] for row in read_rows(path, _COLUMNS))
        for number, content in numbered:
            name = f"{split} row {number}"
            try:
                digest, row = _check(content, split, number, name)
            except ItemError as error:
                rejects.append(reject_of(name, error))
                continue
            triplet = (split, digest, row.question, row.answer)
            if triplet in seen:
                message = "image, question and answer are those of an earlier row of the split"
                rejects.append(Reject(name, "plan", "row-repeated", message, None, Severity.SKIPPED))
                continue
            seen.add(triplet)
            rows_of[digest].append(row)
            first_of.setdefault(digest, (content.path, content.row_group, content.place))
    return rows_of, first_of


def _check(row: ParquetRow, split: str, number: int, where: str) -> tuple[str, PathVqaRow]:
    image: Any = row.values["image"]
    if not image:
        raise row_error("image-missing", where, "its image holds no bytes")
    question, answer = text_of(row.values, "question", where), text_of(row.values, "answer", where)
    return hashlib.sha256(image).hexdigest(), PathVqaRow(split, number, question, answer)


def _image_name(digest: str) -> str:
    return f"image {digest[:16]}"


def _samples(image: PathVqaImage, stored: StoredImage, source: Source, provenance: Provenance) -> Iterator[Sample]:
    splits = {row.official_split for row in image.rows}
    for row in image.rows:
        closed = row.answer.casefold() in _CLOSED
        details: dict[str, JsonValue] = {
            "answer_type": "CLOSED" if closed else "OPEN",
            "official_split": row.official_split,
            "row": row.number,
        }
        group, warnings = group_of(_image_name(image.sha256), row.official_split, splits)
        yield from samples_from_questions(
            [Question(str(row.number), Task.VQA, row.question, TextAnswer(text=row.answer))],
            id_prefix=f"path-vqa/{row.official_split}",
            domain=DOMAIN,
            images=[stored.to_image(source.model_copy(update={"details": details}))],
            fixed_split=Split(row.official_split),
            group=group,
            provenance=provenance,
            warnings=warnings,
        )
