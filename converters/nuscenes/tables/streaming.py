"""Reads the rows of a table: a JSON file that is one array of objects, of which only a piece is in memory at a time.

A piece ends at the last closing brace that was read. In most tables that is the end of a row, and the whole piece is
decoded at once; where it is not, because the brace stands in a text or in an inner object, or where a row is wrong, the
piece is walked row by row, which finds the exact border and the exact fault.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Generic, NoReturn, TypeVar

import msgspec

from domainvl.errors import InputNotFoundError, UsageError

from ..scenes import Quaternion, Vector3
from .finding import table_path
from .rows import Whole

CHUNK_BYTES = 1 << 18
"""Bytes read at a time; rows of so many fit into a processor's cache, and larger pieces take longer."""

LONGEST_ROW_BYTES = 1 << 24
"""What is longer and still no whole row is malformed; the longest rows, masks of images, have some kilobytes."""

_SPACE = b" \t\r\n"
_SHOWN_CHARACTERS = 60
_ACTION = "Fetch the metadata again, or write the table as docs/schema_nuscenes.md of nuscenes-devkit says"
_COMPLETE = "Fetch the metadata again: all tables of a version belong together"
_WORDS: dict[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Whole: "a whole number of 0 or more",
    Vector3: "3 numbers",
    Quaternion: "4 numbers (w, x, y, z)",
    tuple[str, ...]: "a list of texts",
    tuple[float, ...]: "a list of numbers",
    tuple[tuple[float, ...], ...]: "a list of rows of numbers",
}

RowT = TypeVar("RowT", bound=msgspec.Struct)


def stream_rows(folder: Path, name: str, row_type: type[RowT], *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[RowT]:
    """Yield the rows of a table, in the order of the file.

    Args:
        folder: The folder of tables.
        name: The table's name, without extension.
        row_type: What a row must hold; other columns are skipped.
        chunk_bytes: Bytes to read at a time.

    Raises:
        InputNotFoundError: If the table is not there.
        UsageError: If it is no JSON array of objects, is cut off, or a row lacks a column or has a wrong value in one.
    """
    path = table_path(folder, name)
    if not path.exists():
        raise InputNotFoundError("Cannot read a table", where=path, rule="there is no such file", action=_COMPLETE)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no file"
        action = f"Put the table in its place. {_COMPLETE}"
        raise UsageError("Cannot read a table", where=path, rule=f"it must be a file, but it is {kind}", action=action)
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError("Cannot read a table", where=path, rule=error.strerror, action="Make it readable") from error
    with file:
        yield from _Stream(path, file, row_type, chunk_bytes).rows()


class _Stream(Generic[RowT]):
    """One pass over a table.

    Args:
        path: The file, for messages.
        file: The file, opened at its beginning.
        row_type: What a row must hold.
        chunk_bytes: Bytes to read at a time.
    """

    def __init__(self, path: Path, file: BinaryIO, row_type: type[RowT], chunk_bytes: int) -> None:
        self._path = path
        self._file = file
        self._row_type = row_type
        self._chunk_bytes = chunk_bytes
        self._decode = msgspec.json.Decoder(list[row_type]).decode  # type: ignore[valid-type]
        self._scan = json.JSONDecoder().raw_decode
        self._count = 0

    def rows(self) -> Iterator[RowT]:
        rest = self._open()
        while True:
            chunk = self._file.read(self._chunk_bytes)
            rest = (rest + chunk).lstrip(_SPACE)
            if rest.startswith(b"]"):
                self._close(rest[1:])
                return
            rows, rest = self._take(rest)
            yield from rows
            self._count += len(rows)
            if not rows and (not chunk or len(rest) > max(LONGEST_ROW_BYTES, self._chunk_bytes)):
                shown = rest[:_SHOWN_CHARACTERS].decode("utf-8", errors="replace")
                self._refuse(f"the array is cut off or malformed after row {self._count}, at {shown!r}")

    def _open(self) -> bytes:
        """Read up to the bracket that opens the array, and return what was read after it."""
        rest = self._file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8).lstrip(_SPACE)
        while not rest and (chunk := self._file.read(self._chunk_bytes)):
            rest = chunk.lstrip(_SPACE)
        if not rest.startswith(b"["):
            self._refuse("it must be one JSON array in UTF-8")
        return rest[1:]

    def _close(self, rest: bytes) -> None:
        """Refuse what follows the array."""
        while rest or (rest := self._file.read(self._chunk_bytes)):
            if rest := rest.strip(_SPACE):
                self._refuse(f"nothing may follow the array, got {rest[:_SHOWN_CHARACTERS]!r}")

    def _take(self, piece: bytes) -> tuple[list[RowT], bytes]:
        """Return the whole rows of a piece that begins at a border of rows, and what is left of it."""
        # Rows after the first stand behind a comma.
        begin, end = (1 if self._count else 0), piece.rfind(b"}") + 1
        if end <= begin or (self._count and not piece.startswith(b",")):
            return [], piece
        try:
            return self._decode(b"[" + piece[begin:end] + b"]"), piece[end:]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._walk(piece, begin, end)

    def _walk(self, piece: bytes, begin: int, end: int) -> tuple[list[RowT], bytes]:
        """Do the same row by row.

        Raises:
            UsageError: If a row is wrong; a fault in what another program may not need, such as NaN, is none.
        """
        try:
            text = piece[begin:end].decode("utf-8")
        except UnicodeDecodeError as error:
            self._refuse(f"it must be UTF-8, got the byte {error.object[error.start]:#04x} after row {self._count}")
        rows: list[RowT] = []
        border = position = 0
        while True:
            position = _skip_space(text, position)
            try:
                raw, border = self._scan(text, position)
            except (ValueError, RecursionError):
                break
            rows.append(self._to_row(raw, self._count + len(rows) + 1))
            position = _skip_space(text, border)
            if not text.startswith(",", position):
                break
            position += 1
        used = begin + len(text[:border].encode()) if rows else 0
        return rows, piece[used:]

    def _to_row(self, raw: object, number: int) -> RowT:
        try:
            row = msgspec.convert(raw, self._row_type)
        except msgspec.ValidationError as error:
            self._refuse_row(raw, number, str(error))
        if not all(map(_is_sound, msgspec.structs.astuple(row))):
            self._refuse_row(raw, number, "its numbers must be finite")
        return row

    def _refuse_row(self, raw: object, number: int, otherwise: str) -> NoReturn:
        """Refuse a row, and name the first of its columns that is wrong."""
        if isinstance(raw, dict):
            wrong = (_wrong_in(raw, field) for field in msgspec.structs.fields(self._row_type))
            rule = next(filter(None, wrong), otherwise)
        else:
            rule = f"it must be an object, got {_shown(raw)}"
        raise UsageError("Unreadable table row", where=f"{self._path}, row {number}", rule=rule, action=_ACTION)

    def _refuse(self, rule: str) -> NoReturn:
        raise UsageError("Unreadable table", where=self._path, rule=rule, action="Fetch the metadata again")


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _wrong_in(raw: dict[str, Any], column: msgspec.structs.FieldInfo) -> str | None:
    """Return what is wrong in one column of a row; None where it is right."""
    if column.name not in raw:
        return f"{column.name} is missing" if column.required else None
    value = raw[column.name]
    return None if _fits(value, column.type) else f"{column.name} must be {_wanted(column.type)}, got {_shown(value)}"


def _fits(value: object, kind: Any) -> bool:
    try:
        return _is_sound(msgspec.convert(value, kind))
    except msgspec.ValidationError:
        return False


def _is_sound(value: object) -> bool:
    """Return whether all numbers are finite and all texts can be written."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, tuple) or all(map(_is_sound, value))


def _wanted(kind: Any) -> str:
    # A column that may be absent may be null too, which need not be said of one that is neither.
    kinds = [part for part in getattr(kind, "__args__", ()) if part in _WORDS] if kind not in _WORDS else [kind]
    return " or ".join(_WORDS[part] for part in kinds) or str(kind)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
