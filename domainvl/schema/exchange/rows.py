"""Rows as text files: one JSON object a line, or one JSON array; neither is ever held in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from domainvl.errors import DatasetError, InputNotFoundError
from domainvl.files import output_errors
from domainvl.schema.exchange.formats import Row
from domainvl.schema.sample import Split


class _TextRows:
    """Writes rows with something before, between and after them."""

    def __init__(self, path: Path, *, before: str, between: str, after: str) -> None:
        self._between, self._after = between, after
        self._path = path
        self._row_count = 0
        with output_errors(path):
            self._file = path.open("w", encoding="utf-8", newline="\n")
            self._file.write(before)

    def write(self, row: Row) -> None:
        """Append a row."""
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        with output_errors(self._path):
            self._file.write((self._between if self._row_count else "") + text)
        self._row_count += 1

    def close(self) -> tuple[()]:
        """End the file."""
        if not self._file.closed:
            with output_errors(self._path), self._file:
                self._file.write(self._after)
        return ()


class JsonLines:
    """One JSON object a line, in ``<split>.jsonl``."""

    def open_rows(self, folder: Path, split: Split) -> _TextRows:
        """Start the file of a split."""
        return _TextRows(folder / f"{split.value}.jsonl", before="", between="\n", after="\n")

    def read_rows(self, folder: Path, split: Split) -> Iterator[Row]:
        """Read the rows of a split.

        Raises:
            InputNotFoundError: If the file is not there.
            DatasetError: If a line is not a JSON object.
        """
        path = _existing(folder, f"{split.value}.jsonl")
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield _parse(line, path, number)


class JsonArray:
    """One JSON array in ``<split>.json``, with one element a line."""

    def open_rows(self, folder: Path, split: Split) -> _TextRows:
        """Start the file of a split."""
        return _TextRows(folder / f"{split.value}.json", before="[\n", between=",\n", after="\n]\n")

    def read_rows(self, folder: Path, split: Split) -> Iterator[Row]:
        """Read the rows of a split, of a file that has one element a line as ours have.

        Raises:
            InputNotFoundError: If the file is not there.
            DatasetError: If a line is not a JSON object.
        """
        path = _existing(folder, f"{split.value}.json")
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                element = line.strip()
                if element not in (b"", b"[", b"]"):
                    yield _parse(element.removesuffix(b","), path, number)


def write_json(path: Path, content: object) -> None:
    """Write one JSON document, for people to read as well.

    Raises:
        OutputError: If it cannot be written.
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    with output_errors(path):
        path.write_text(text, encoding="utf-8", newline="\n")


def _existing(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise InputNotFoundError("Cannot read an export", where=folder, rule=f"{name} is missing")
    return path


def _parse(line: bytes, path: Path, number: int) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DatasetError("Unreadable row", where=f"{path}:{number}", rule=f"it must be JSON ({error})") from error
    if not isinstance(row, dict):
        raise DatasetError("Unreadable row", where=f"{path}:{number}", rule="it must be one JSON object")
    return row
