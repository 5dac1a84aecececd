"""Reads the tables of LingoQA: which questions there are, about which frames, and with which reference answers.

Each part has a folder of its own (README of wayveai/LingoQA and the shared drive that it names): ``scenery`` and
``action`` with ``train.parquet``, ``evaluation`` with ``val.parquet``, each beside ``images.zip``, which unpacks to
``images/``. A row has ``question_id``, ``segment_id``, ``images`` (paths below the part's folder, in time),
``question`` and ``answer``. In ``evaluation`` a question has a row for each of its references: rows belong together
whose question_id, segment_id and question are equal (benchmark/evaluate.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from domainvl.errors import InputNotFoundError, ItemError
from domainvl.schema.writer import Reject

from .parquet_rows import read_rows as read_parquet
from .reading import image_name_of, reject_of, row_error, text_of

EVALUATION = "evaluation"
"""The part that is tested on."""

TABLES = {"scenery": "train.parquet", "action": "train.parquet", EVALUATION: "val.parquet"}
"""The parts, and the table of each."""

_IMAGES = "images"
_ARCHIVE = "images.zip"
_COLUMNS = ("question_id", "segment_id", "images", "question", "answer")
_LAYOUT = "scenery/, action/ or evaluation/, each with its Parquet table and images/ (unpacked from images.zip)"


@dataclass(frozen=True)
class LingoQaRow:
    """One question, checked.

    Attributes:
        part: Folder of the part.
        number: Place in the part's table, from 1.
        question_id: Its identifier; several segments may be asked the same question under the same one.
        segment: The piece of video that it is about.
        question: What is asked.
        answer: The first reference.
        accepted: Further references.
        frames: The frames in time, relative to the input.
    """

    part: str
    number: int
    question_id: str
    segment: str
    question: str
    answer: str
    accepted: tuple[str, ...]
    frames: tuple[str, ...]

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return row_name(self.part, self.number)

    @property
    def official_split(self) -> str:
        """Name of its official split."""
        return "test" if self.part == EVALUATION else "train"

    @property
    def key(self) -> str:
        """Names it among all questions.

        Questions to test on are told apart as the official evaluation does; of the others nothing says that their
        identifiers are unique.
        """
        if self.part == EVALUATION:
            return f"{self.part}/{self.segment}/{self.question_id}"
        return f"{self.part}/{self.number}"


def row_name(part: str, number: int) -> str:
    """Name a row in a reject."""
    return f"{part}/{TABLES[part]} row {number}"


def find_parts(source: Path) -> tuple[str, ...]:
    """Return the parts that are there.

    Raises:
        InputNotFoundError: If there is none, or one without its images.
    """
    parts = tuple(part for part, table in TABLES.items() if (source / part / table).is_file())
    if not parts:
        raise InputNotFoundError(
            "Cannot read LingoQA",
            where=source,
            rule=f"there is none of {', '.join(f'{part}/{table}' for part, table in TABLES.items())}",
            action=f"Name the folder that holds {_LAYOUT}",
        )
    for part in parts:
        if not (source / part / _IMAGES).is_dir():
            packed = (source / part / _ARCHIVE).is_file()
            raise InputNotFoundError(
                "Cannot find the frames",
                where=source / part,
                rule=f"{_ARCHIVE} is not unpacked" if packed else f"{_IMAGES} is missing",
                action=f"Run: unzip {_ARCHIVE}" if packed else f"Fetch {_ARCHIVE} of this part and unpack it",
            )
    return parts


def read_questions(source: Path, parts: Iterable[str], rejects: list[Reject]) -> Iterator[LingoQaRow]:
    """Yield the questions of some parts, those of the evaluation with all their references.

    Args:
        source: The input folder.
        parts: The parts to read.
        rejects: Takes rows that cannot be used.

    Raises:
        DatasetError: If a table is no Parquet file or lacks a column.
        UsageError: If pyarrow is not installed.
    """
    for part in parts:
        rows = _read_part(source, part, rejects)
        yield from _with_references(rows, rejects) if part == EVALUATION else rows


def _read_part(source: Path, part: str, rejects: list[Reject]) -> Iterator[LingoQaRow]:
    for number, row in enumerate(read_parquet(source / part / TABLES[part], _COLUMNS), start=1):
        try:
            yield _check(row.values, part, number)
        except ItemError as error:
            rejects.append(reject_of(row_name(part, number), error))


def _with_references(rows: Iterable[LingoQaRow], rejects: list[Reject]) -> Iterator[LingoQaRow]:
    """Join the rows of one question; equal references are kept once."""
    by_question: dict[str, LingoQaRow] = {}
    for row in rows:
        first = by_question.setdefault(row.key, row)
        if first is row:
            continue
        if (first.question, first.frames) != (row.question, row.frames):
            rule = f"question and frames must be those of row {first.number}, which has the same identifiers"
            rejects.append(reject_of(row.name, row_error("references-differ", row.name, rule)))
        elif row.answer not in (first.answer, *first.accepted):
            by_question[row.key] = replace(first, accepted=(*first.accepted, row.answer))
    yield from by_question.values()


def _check(content: Mapping[str, Any], part: str, number: int) -> LingoQaRow:
    """Check one row; numbers become text, blanks are collapsed.

    Raises:
        ItemError: If a field is missing or of a wrong kind.
    """
    where = row_name(part, number)
    images = content["images"]
    if not isinstance(images, list) or not images:
        raise row_error("row-invalid", where, f"images must list the frames, got {images!r:.80}")
    names = [image_name_of({"images": name}, "images", where) for name in images]
    return LingoQaRow(
        part=part,
        number=number,
        question_id=text_of(content, "question_id", where),
        segment=text_of(content, "segment_id", where),
        question=text_of(content, "question", where),
        answer=text_of(content, "answer", where),
        accepted=(),
        frames=tuple(f"{part}/{name}" for name in names),
    )
