"""VLMEvalKit's tables of multiple choice: one TSV file a split, images inside, as GMAI-MMBench and MMBench have them.

Source: open-compass/VLMEvalKit, vlmeval/dataset/image_base.py (``ImageBaseDataset``) and image_mcq.py
(``ImageMCQDataset``), docs/en/Development.md. What they do:

- ``index``, ``image``, ``question``, ``A``, ``B`` ... and ``answer`` are read; ``hint`` stands before the question,
  ``category`` and ``split`` group scores, and some data sets have further groups, such as ``clinical vqa task`` of
  GMAI-MMBench. A file that is put into ``$LMUData`` is evaluated by its name.
- ``image`` is Base64; up to 64 characters, it is the ``index`` of the row whose image is meant. So an image that
  several questions show is written once. Without ``image``, ``image_path`` is the path of a file.
- The file is read by ``pandas.read_csv``: a text such as "None" is none to it, and an option so called would be gone;
  of a column of numbers, such as the options of questions that count, not all come back as they are written
  (:mod:`~domainvl.schema.exchange.table_columns`). Groups of the image, which no prompt shows, may be so changed.
- The reader writes the prompt: what is said of the options comes from there.
"""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase

from domainvl.errors import DatasetError, InputNotFoundError, ItemError
from domainvl.files import output_errors
from domainvl.schema.exchange.formats import (
    ExchangedSample,
    ExportFacts,
    Format,
    ImageMode,
    PlacedImage,
    Row,
    RowWriter,
    SizeOf,
)
from domainvl.schema.exchange.table_columns import Columns
from domainvl.schema.phrases import prompts
from domainvl.schema.sample import IMAGE_PLACEHOLDER, ChoiceAnswer, Sample, Split, Task, Turn
from domainvl.schema.wording import escape_special

_READ_AS_NOTHING = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
"""What pandas reads as no value by default (``pandas.read_csv``, na_values)."""

_LEADING = ("index", "id", "image", "image_path", "image_file", "hint", "question", *ascii_uppercase, "answer")
"""Columns of ours, in this order; details of the image follow."""

_RESERVED = frozenset({"split", *(name.lower() for name in _LEADING)})

_SHOWN = ("hint", "question", *ascii_uppercase)
"""Columns whose texts stand in the prompt."""


class VlmEvalKit:
    """``<split>.tsv``, multiple choice with one image alone."""

    name = "vlmevalkit"
    summary = (
        "VLMEvalKit: put SPLIT.tsv into $LMUData under a name of its own, run.py --data NAME; multiple choice only"
    )
    boxes = "none: multiple choice has no boxes"
    image_modes: tuple[ImageMode, ...] = (ImageMode.EMBED, ImageMode.REFERENCE)
    several_images_note: str | None = None

    def to_row(self, sample: Sample, images: Sequence[PlacedImage]) -> Row:
        """Express a sample; see :class:`~domainvl.schema.exchange.formats.Format`."""
        answer = sample.answer
        if sample.task is not Task.MULTIPLE_CHOICE or not isinstance(answer, ChoiceAnswer):
            raise _inexpressible(sample.id, "not-multiple-choice", f"it must be multiple choice, got {sample.task}")
        if len(images) != 1 or sample.images[0].frame is not None or sample.earlier:
            raise _inexpressible(sample.id, "not-one-image", "it must have one image and one round of questions")
        texts = {"hint": sample.preface, "question": sample.question}
        texts |= dict(zip(ascii_uppercase, answer.options, strict=False))
        row: Row = {"id": sample.id}
        if images[0].mode is ImageMode.EMBED:
            row |= {"image": base64.b64encode(images[0].read()).decode("ascii"), "image_file": images[0].path}
        else:
            row["image_path"] = images[0].reference
        for column, text in texts.items():
            if text is None:
                continue
            if text in _READ_AS_NOTHING or text != " ".join(text.split()):
                raise _changed(sample.id, column)
            row[column] = text
        row["answer"] = ascii_uppercase[answer.correct]
        details = sample.images[0].source.details
        kept = {name: str(value) for name, value in details.items() if isinstance(value, str | int | float)}
        return row | {"split": sample.split.value} | {k: v for k, v in kept.items() if k.lower() not in _RESERVED}

    def from_row(self, row: Row, size_of: SizeOf) -> ExchangedSample:
        """Read a row back; see :class:`~domainvl.schema.exchange.formats.Format`."""
        try:
            options = [f"{letter}. {escape_special(row[letter])}" for letter in ascii_uppercase if row.get(letter)]
            prompt = prompts("general", Task.MULTIPLE_CHOICE)[0].text
            hint = f"{escape_special(row['hint'])}\n" if row.get("hint") else ""
            asked = prompt.format("\n".join([escape_special(row["question"]), *options]))
            turns = (
                Turn(role="human", text=f"{IMAGE_PLACEHOLDER}\n{hint}{asked}"),
                Turn(role="assistant", text=row["answer"]),
            )
            return ExchangedSample(row["id"], (row.get("image_file") or row["image_path"],), turns)
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError("Unreadable row", rule=f"it must be one of domainvl export ({error!r})") from error

    def open_rows(self, folder: Path, split: Split) -> RowWriter:
        """Start the file of a split."""
        return _TableRows(folder / f"{split.value}.tsv")

    def read_rows(self, folder: Path, split: Split) -> Iterator[Row]:
        """Read the rows of a split, images left out.

        Raises:
            InputNotFoundError: If the file is not there.
        """
        path = folder / f"{split.value}.tsv"
        if not path.is_file():
            raise InputNotFoundError("Cannot read an export", where=folder, rule=f"{path.name} is missing")
        with path.open(encoding="utf-8", newline="") as lines:
            columns = lines.readline().rstrip("\n").split("\t")
            image = columns.index("image") if "image" in columns else None
            for line in lines:
                # No text of ours holds a tab or a line break. The csv module would not take fields as large as images.
                fields = line.rstrip("\n").split("\t")
                if image is not None:
                    fields[image] = ""
                (texts,) = csv.reader(["\t".join(fields)], delimiter="\t")
                yield {column: text for column, text in zip(columns, texts, strict=True) if text}

    def finish(self, folder: Path, facts: ExportFacts) -> None:
        """Write nothing more."""


class _TableRows:
    """Writes a table. What it must leave out is known at the end only, so that until then the rows lie beside it.

    Args:
        path: The table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spool = path.with_suffix(".rows")
        self._columns: dict[str, None] = {"index": None}
        self._shown = Columns()
        self._image_files: list[str | None] = []
        self._seen: set[str] = set()
        self._is_open = True
        with output_errors(path):
            self._file = self._spool.open("w+", encoding="utf-8", newline="\n")

    def write(self, row: Row) -> None:
        """Append a row; an image that is there already is not written once more."""
        self._columns |= dict.fromkeys(row)
        for column in _SHOWN:
            if column in row:
                self._shown.add(len(self._image_files), column, row[column])
        file = row["image_file"] if "image" in row else None
        self._image_files.append(file)
        if file is not None and file in self._seen:
            row = {name: text for name, text in row.items() if name != "image"}
        elif file is not None:
            self._seen.add(file)
        with output_errors(self._path):
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> Sequence[ItemError]:
        """Write the table, and none where no row is left.

        Returns:
            Samples of which pandas would not read the texts as they are.
        """
        if not self._is_open:
            return ()
        self._is_open = False
        changed = self._shown.changed(len(self._image_files), len(self._columns))
        columns = [name for name in _LEADING if name in self._columns]
        columns += sorted(name for name in self._columns if name not in _LEADING)
        left_out: list[ItemError] = []
        with output_errors(self._path), self._file as rows, self._path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(columns)
            rows.seek(0)
            for row in self._kept_rows(rows, changed, left_out):
                writer.writerow([" ".join(row.get(name, "").split()) for name in columns])
        with output_errors(self._path):
            self._spool.unlink()
            if len(left_out) == len(self._image_files):
                self._path.unlink()
        return left_out

    def _kept_rows(self, lines: Iterable[str], changed: Mapping[int, str], left_out: list[ItemError]) -> Iterator[Row]:
        """Yield the rows that stay, numbered; the first that shows an image has it, others the number of that row."""
        used = {file for number, file in enumerate(self._image_files) if number not in changed}
        image_of: dict[str, str] = {}
        count = 0
        for number, line in enumerate(lines):
            row, file = json.loads(line), self._image_files[number]
            if number in changed:
                left_out.append(_changed(row["id"], changed[number]))
                if "image" in row and file is not None and file in used:
                    image_of[file] = row["image"]
                continue
            if file is not None:
                row["image"] = row["image"] if "image" in row else image_of[file]
                image_of[file] = str(count)
            yield {"index": str(count), **row}
            count += 1


def _changed(sample_id: str, column: str) -> ItemError:
    rule = f"pandas must read the text of {column} as it is, and does not"
    return _inexpressible(sample_id, "text-changes", rule)


def _inexpressible(sample_id: str, reason: str, rule: str) -> ItemError:
    return ItemError(
        "Cannot express a sample", reason=reason, where=sample_id, rule=rule, action="Evaluate it with domainvl eval"
    )


FORMAT: Format = VlmEvalKit()
