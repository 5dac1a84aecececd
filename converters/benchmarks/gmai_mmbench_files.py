"""Tables with images inside, as VLMEvalKit reads them: found row by row without holding one of gigabytes in memory.

A table has tabs between fields, quotes only around fields that need them, and doubled quotes within (what
``pandas.DataFrame.to_csv`` writes). A field may hold line breaks. The field ``image`` is Base64 of a JPEG or PNG, or,
of up to 64 characters, the index of the row whose image is meant (VLMEvalKit, ``vlmeval/dataset/image_base.py``).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import DatasetError, ItemError

from .reading import row_error

ABSENT = frozenset({"", "nan", "NaN", "None", "null", "NULL", "N/A", "n/a", "NA", "<NA>"})
"""How a field says that it has no value: of what pandas reads so by default, what occurs in such tables."""

REFERENCE_LENGTH_MAX = 64
"""A field ``image`` up to this long names another row (VLMEvalKit)."""

_RECORD_BYTES_MAX = 256 * 2**20
_BOM = b"\xef\xbb\xbf"
_TEXT_BYTES_MAX = 100_000
"""Of any other field; a question is shorter."""


@dataclass(frozen=True)
class Span:
    """Where some bytes of a file are."""

    offset: int
    length: int

    def read(self, path: Path) -> bytes:
        """Return them.

        Raises:
            ItemError: If the file cannot be read or has become shorter.
        """
        try:
            with path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.length)
        except OSError as error:
            raise ItemError(
                "Cannot read a row", reason="file-read", rule=error.strerror, action="Check the disk"
            ) from error
        if len(content) < self.length:
            raise ItemError(
                "Cannot read a row",
                reason="file-read",
                rule="the file is shorter than when it was planned",
                action="Start the conversion again when nothing writes to the file",
            )
        return content


@dataclass(frozen=True)
class Record:
    """One row: its number, counted from 1 below the header, where it is, and its bytes."""

    number: int
    span: Span
    content: bytes


class Table:
    """A table, its header read.

    Args:
        path: The file.

    Attributes:
        path: The file.
        columns: Names of the columns as they are in the file.

    Raises:
        DatasetError: If it has no header, or it is not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        header = next(_records(path), None)
        if header is None:
            raise DatasetError("Unreadable file", where=path, rule="it must be a table with a header, it is empty")
        try:
            self.columns = tuple(
                field.decode("utf-8").strip() for field in split_fields(header.content.removeprefix(_BOM))
            )
        except UnicodeDecodeError as error:
            raise DatasetError("Unreadable file", where=path, rule="its header must be UTF-8") from error

    def records(self) -> Iterator[Record]:
        """Yield all rows, one at a time.

        Raises:
            DatasetError: If a row never ends.
        """
        rows = _records(self.path)
        next(rows, None)
        return rows


def _records(path: Path) -> Iterator[Record]:
    """Yield the header as row 0, and the rows; a row goes on where a quoted field of it is still open."""
    offset = number = length = 0
    parts: list[bytes] = []
    is_open = False
    with path.open("rb") as lines:
        for line in lines:
            parts.append(line)
            length += len(line)
            for part in line.split(b"\t"):
                is_open = _is_open(part, is_open)
            if is_open:
                if length > _RECORD_BYTES_MAX:
                    rule = f"a quote in row {number} is not closed within {_RECORD_BYTES_MAX >> 20} MiB"
                    raise DatasetError("Unreadable file", where=path, rule=rule)
                continue
            content = b"".join(parts).rstrip(b"\r\n")
            if content:
                yield Record(number, Span(offset, length), content)
                number += 1
            offset += length
            parts, length = [], 0
    if parts:
        yield Record(number, Span(offset, length), b"".join(parts).rstrip(b"\r\n"))


def split_fields(record: bytes) -> list[bytes]:
    """Split a row at its tabs, those within quotes left out, and take the quotes away."""
    fields: list[bytes] = []
    parts: list[bytes] = []
    is_open = False
    for part in record.split(b"\t"):
        parts.append(part)
        is_open = _is_open(part, is_open)
        if not is_open:
            fields.append(b"\t".join(parts))
            parts = []
    if parts:
        fields.append(b"\t".join(parts))
    return [_unquoted(field) for field in fields]


def _is_open(part: bytes, was_open: bool) -> bool:
    """Say whether a quoted field goes on after what stands between two tabs; quotes matter where a field begins."""
    if not was_open and not part.startswith(b'"'):
        return False
    return was_open != bool(part.count(b'"') % 2)


def _unquoted(field: bytes) -> bytes:
    if len(field) >= 2 and field.startswith(b'"') and field.endswith(b'"'):
        return field[1:-1].replace(b'""', b'"')
    return field


def texts_of(record: bytes, columns: tuple[str, ...], where: str) -> dict[str, str]:
    """Return the fields of a row by column, apart from the image, blanks collapsed and absent ones left out.

    Args:
        record: The bytes of the row.
        columns: Names of the columns.
        where: Names the row in an error.

    Raises:
        ItemError: If the number of fields differs, a text is not UTF-8 or longer than a text may be.
    """
    fields = _fields(record, columns, where)
    texts: dict[str, str] = {}
    for column, field in zip(columns, fields, strict=True):
        if column == "image":
            continue
        if len(field) > _TEXT_BYTES_MAX:
            raise row_error("row-invalid", where, f"a text must be shorter than {_TEXT_BYTES_MAX} bytes")
        try:
            text = " ".join(field.decode("utf-8").split())
        except UnicodeDecodeError as error:
            raise row_error("row-invalid", where, "all texts must be UTF-8") from error
        if text not in ABSENT:
            texts[column] = text
    return texts


def image_of(record: bytes, columns: tuple[str, ...], where: str) -> bytes:
    """Return the field with the image of a row, as it is.

    Raises:
        ItemError: If the number of fields differs.
    """
    return _fields(record, columns, where)[columns.index("image")].strip()


def _fields(record: bytes, columns: tuple[str, ...], where: str) -> list[bytes]:
    fields = split_fields(record)
    if len(fields) != len(columns):
        rule = f"it must have {len(columns)} fields as the header, got {len(fields)}"
        raise row_error("row-invalid", where, rule)
    return fields


def decode_image(field: bytes, where: str) -> bytes:
    """Return the bytes of the image file that a field holds as Base64.

    Raises:
        ItemError: If it is no Base64, or a list of several images.
    """
    if field.startswith(b"["):
        raise ItemError(
            "Cannot use an image",
            reason="several-images",
            where=where,
            rule="a row must have one image, it has a list",
            action="Score rows with several images with VLMEvalKit",
        )
    try:
        return base64.b64decode(field, validate=True)
    except binascii.Error as error:
        raise ItemError(
            "Cannot use an image",
            reason="image-decode",
            where=where,
            rule="the field image must be Base64",
            action="Fetch the file again; it is damaged",
        ) from error


def reference_of(field: bytes) -> str | None:
    """Return the index of the row whose image is meant; None where the field is the image itself."""
    return field.decode("ascii", "replace") if len(field) <= REFERENCE_LENGTH_MAX else None


def without_case(columns: tuple[str, ...]) -> Mapping[str, str]:
    """Map names as VLMEvalKit has them, in lower case but for the letters of options, to those of the file."""
    return {name if len(name) == 1 else name.lower(): name for name in columns}
