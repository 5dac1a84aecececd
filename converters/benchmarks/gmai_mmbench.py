"""GMAI-MMBench: multiple choice about medical images of all kinds, in tables with the images inside.

Chen et al., GMAI-MMBench: A Comprehensive Multimodal Evaluation Benchmark Towards General Medical AI, NeurIPS 2024
(arXiv 2408.03361). Read as published (OpenGVLab/GMAI-MMBench): ``GMAI_mm_bench_VAL.tsv`` with answers and
``GMAI_mm_bench_TEST_*.tsv``, whose answers are withheld; the columns are those of VLMEvalKit's
``GMAIMMBenchDataset``. Official scores are grouped by ``clinical vqa task``, ``department`` and
``perceptual granularity``: these, and every other column, are kept in the details of an image.

Published results are measured on VAL, so it is the test split by default. Equal images have one group and are stored
once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Literal

from pydantic import Field

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import DatasetError, InputNotFoundError, ItemError, NothingToDoError
from domainvl.schema.images import ImageStore
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import ChoiceAnswer, Provenance, Sample, Source, Split, Task
from domainvl.schema.writer import Reject, Severity

from .gmai_mmbench_files import (
    Record,
    Span,
    Table,
    decode_image,
    image_of,
    reference_of,
    split_fields,
    texts_of,
    without_case,
)
from .official_splits import OfficialSplitSettings
from .reading import reject_of, row_error

DOMAIN = "medical"

_NEEDED = ("index", "image", "question", "A", "B")
_ASKED = frozenset({"image", "hint", "question", "answer", *ascii_uppercase})
_OF_VLMEVALKIT = "_local.tsv"
"""What VLMEvalKit writes beside a table: the same rows, with paths of images in the place of images."""

_ROWS_A_UNIT = 64
_BYTES_A_UNIT = 32 * 2**20


class GmaiMmbenchSettings(OfficialSplitSettings):
    """Settings of the GMAI-MMBench converter."""

    plan_fields = frozenset({"val_as"})

    val_as: Literal["test", "val"] = Field(
        default="test", description="Split of the rows with answers, the official VAL: published results are on it."
    )


@dataclass(frozen=True)
class GmaiRow:
    """Where one row is.

    Attributes:
        number: Its number below the header, from 1.
        span: The row.
        image: The row that holds its image, where it is another one.
    """

    number: int
    span: Span
    image: Span | None = None


@dataclass(frozen=True)
class GmaiUnit:
    """Some rows of one table.

    Attributes:
        uri: Name of the table.
        path: The file.
        columns: Its columns.
        rows: The rows.
        split: The split of all of them.
    """

    uri: str
    path: Path
    columns: tuple[str, ...]
    rows: tuple[GmaiRow, ...]
    split: Split


class GmaiMmbenchConverter:
    """Turns GMAI-MMBench into multiple-choice samples, one a row that has an answer."""

    name = "gmai-mmbench"
    summary = "GMAI-MMBench's tables with embedded images (TSV as VLMEvalKit reads them), official groups kept."
    settings_type = GmaiMmbenchSettings
    licence = "CC-BY-NC-SA-4.0"  # huggingface.co/datasets/OpenGVLab/GMAI-MMBench

    def plan(self, source: Path, settings: GmaiMmbenchSettings) -> Plan[GmaiUnit]:
        """Find the rows of each table; they are read once, a row at a time.

        Raises:
            InputNotFoundError: If there is no table.
            DatasetError: If one is not in the layout.
            NothingToDoError: If no row has an answer.
        """
        files = _tables(source)
        rejects: list[Reject] = []
        units: list[GmaiUnit] = []
        read: dict[str, Path] = {}
        split = Split.VAL if settings.val_as == "val" else Split.TEST
        for path in files:
            try:
                found = _units(path, split, rejects)
            except DatasetError as error:
                if len(files) == 1:
                    raise
                rejects.append(_unusable(path, error))
                continue
            units += found
            read[path.name] = path
        if not units:
            raise NothingToDoError(
                "Nothing to convert",
                where=source,
                rule=f"no row of {len(files)} tables has an answer",
                action="Add GMAI_mm_bench_VAL.tsv; the answers of TEST are withheld by the makers",
            )
        return Plan(units=units, sources=read, rejects=rejects)

    def convert(
        self, unit: GmaiUnit, settings: GmaiMmbenchSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the images of some rows and word their questions."""
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for row in unit.rows:
            where = _row_name(unit.uri, row.number)
            try:
                samples += _samples(unit, row, where, images, provenance)
            except ItemError as error:
                rejects.append(reject_of(where, error, "convert"))
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: GmaiUnit) -> str:
        """Name a unit by its rows."""
        return f"{unit.uri} rows {unit.rows[0].number} to {unit.rows[-1].number}"

    def unit_files(self, unit: GmaiUnit) -> list[Path]:
        """Name the table."""
        return [unit.path]


CONVERTER = GmaiMmbenchConverter()


def _samples(unit: GmaiUnit, row: GmaiRow, where: str, images: ImageStore, provenance: Provenance) -> Iterator[Sample]:
    names = without_case(unit.columns)
    columns = tuple(dict.fromkeys(names))
    record = row.span.read(unit.path).rstrip(b"\r\n")
    texts = texts_of(record, columns, where)
    question = _question(texts, where)
    holder = record if row.image is None else row.image.read(unit.path).rstrip(b"\r\n")
    content = decode_image(image_of(holder, columns, where), where)
    stored = images.put_encoded(content, where)
    digest = hashlib.sha256(content).hexdigest()
    details = {name: text for name, text in texts.items() if name not in _ASKED}
    source = Source(uri=unit.uri, details={**details, "official_split": "val", "row": row.number})
    yield from samples_from_questions(
        [question],
        id_prefix=f"gmai-mmbench/{unit.uri.removesuffix('.tsv')}",
        domain=DOMAIN,
        images=[stored.to_image(source)],
        fixed_split=unit.split,
        group=f"image {digest[:32]}",
        provenance=provenance,
    )


def _question(texts: Mapping[str, str], where: str) -> Question:
    options = _options(texts, where)
    answer = texts.get("answer", "")
    letters = ascii_uppercase[: len(options)]
    if len(answer) != 1 or answer not in letters:
        raise row_error("answer-not-an-option", where, f"answer must be one of {letters}, got {answer!r:.20}")
    if "question" not in texts:
        raise row_error("field-missing", where, "question is empty")
    choice = ChoiceAnswer(options=options, correct=letters.index(answer))
    # VLMEvalKit says the hint before the question (vlmeval/dataset/image_mcq.py, build_prompt).
    return Question(texts["index"], Task.MULTIPLE_CHOICE, texts["question"], choice, preface=texts.get("hint"))


def _options(texts: Mapping[str, str], where: str) -> tuple[str, ...]:
    """Return the options; letters must follow each other, as an answer is a letter."""
    there = [letter for letter in ascii_uppercase if letter in texts]
    if len(there) < 2 or there != list(ascii_uppercase[: len(there)]):
        raise row_error("options-missing", where, f"options must be A, B and so on, got {', '.join(there) or 'none'}")
    return tuple(texts[letter] for letter in there)


def _tables(source: Path) -> list[Path]:
    files = [source] if source.is_file() else sorted(source.glob("*.tsv"))
    if not files:
        raise InputNotFoundError(
            "Cannot read GMAI-MMBench",
            where=source,
            rule="there is no .tsv file in it",
            action="Name the folder that holds GMAI_mm_bench_VAL.tsv, or the file",
        )
    return files


def _units(path: Path, split: Split, rejects: list[Reject]) -> list[GmaiUnit]:
    table = Table(path)
    _check_columns(table)
    rows = list(_usable_rows(table, rejects))
    return [GmaiUnit(path.name, path, table.columns, part, split) for part in _parts(rows)]


def _unusable(path: Path, error: DatasetError) -> Reject:
    """List a table that cannot be used; what VLMEvalKit leaves beside the published ones is no fault."""
    severity = Severity.SKIPPED if path.name.endswith(_OF_VLMEVALKIT) else Severity.FAILED
    return Reject(path.name, "plan", "table-layout", error.rule or error.what, error.action, severity)


def _check_columns(table: Table) -> None:
    names = without_case(table.columns)
    missing = [name for name in _NEEDED if name not in names]
    if missing or len(names) < len(table.columns):
        rule = f"column {missing[0]} is missing" if missing else "two columns have one name"
        raise DatasetError(
            "Unreadable file",
            where=table.path,
            rule=rule,
            action="Take the published table; one that VLMEvalKit wrote as _local.tsv has no images in it",
        )


def _usable_rows(table: Table, rejects: list[Reject]) -> Iterator[GmaiRow]:
    """Yield the rows with an answer, those with images of others resolved; a table without answers is one reject."""
    columns = tuple(without_case(table.columns))
    if "answer" not in columns:
        rejects.append(_withheld(table))
        return
    references: dict[int, str] = {}
    rows: list[GmaiRow] = []
    seen: set[str] = set()
    for record in table.records():
        where = _row_name(table.path.name, record.number)
        try:
            texts = texts_of(record.content, columns, where)
            _check_row(texts, where, seen)
        except ItemError as error:
            rejects.append(_reject_of_row(where, error))
            continue
        seen.add(texts["index"])
        rows.append(GmaiRow(record.number, record.span))
        reference = reference_of(image_of(record.content, columns, where))
        if reference is not None:
            references[record.number] = reference
    places = _places(table, set(references.values()))
    for row in rows:
        if row.number not in references:
            yield row
        elif references[row.number] in places:
            yield GmaiRow(row.number, row.span, places[references[row.number]])
        else:
            where = _row_name(table.path.name, row.number)
            rule = "image must be Base64 or the index of a row that has it, it is neither"
            rejects.append(reject_of(where, row_error("image-missing", where, rule)))


def _check_row(texts: Mapping[str, str], where: str, seen: set[str]) -> None:
    """Check what decides whether a row is used.

    Raises:
        ItemError: If it is not.
    """
    if "index" not in texts:
        raise row_error("field-missing", where, "index is empty")
    if texts["index"] in seen:
        raise row_error("index-repeated", where, "its index was used before")
    answer = texts.get("answer")
    if answer is None:
        raise ItemError(
            "Cannot use a question",
            reason="no-answer",
            where=where,
            rule="a sample needs an answer, and the row has none",
            action=_SEND,
        )
    if len(answer) > 1 and set(answer) <= {*ascii_uppercase, ",", " "}:
        raise ItemError(
            "Cannot use a question",
            reason="several-answers",
            where=where,
            rule="one option must be right, several are",
            action="Score questions with several right options with VLMEvalKit",
        )


_SEND = "Answers of the test set are withheld by the makers: have VLMEvalKit predict it and send them the predictions"


def _reject_of_row(where: str, error: ItemError) -> Reject:
    left_out_as_intended = error.reason in ("no-answer", "several-answers")
    severity = Severity.SKIPPED if left_out_as_intended else Severity.FAILED
    return Reject(where, "plan", error.reason, str(error), error.action, severity)


def _withheld(table: Table) -> Reject:
    count = sum(1 for _ in table.records())
    message = f"a sample needs an answer, and the table has no column answer; left out: {count} questions"
    return Reject(table.path.name, "plan", "no-answer", message, _SEND, Severity.SKIPPED)


def _places(table: Table, indexes: set[str]) -> dict[str, Span]:
    """Find the rows whose images others show."""
    if not indexes:
        return {}
    columns = tuple(without_case(table.columns))
    found: dict[str, Span] = {}
    for record in table.records():
        index = _index_of(record, columns)
        if index in indexes and reference_of(split_fields(record.content)[columns.index("image")]) is None:
            found.setdefault(index, record.span)
    return found


def _index_of(record: Record, columns: tuple[str, ...]) -> str | None:
    fields = split_fields(record.content)
    if len(fields) != len(columns):
        return None
    return fields[columns.index("index")].decode("utf-8", "replace").strip()


def _parts(rows: Sequence[GmaiRow]) -> Iterator[tuple[GmaiRow, ...]]:
    """Divide rows into units of moderate number and size."""
    part: list[GmaiRow] = []
    size = 0
    for row in rows:
        if part and (len(part) == _ROWS_A_UNIT or size + row.span.length > _BYTES_A_UNIT):
            yield tuple(part)
            part, size = [], 0
        part.append(row)
        size += row.span.length
    if part:
        yield tuple(part)


def _row_name(uri: str, number: int) -> str:
    return f"{uri} row {number}"
