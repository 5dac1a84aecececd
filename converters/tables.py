"""Reads the rows of a table as text: CSV or TSV, packed with gzip or not, or the first sheet of an Excel workbook.

One set of rules for all converters:

- Text is UTF-8, with or without a byte order mark. A ``.tsv`` is divided by tabs, others by commas, semicolons or tabs:
  by what the first line has most of. Quotes are as RFC 4180 has them; one that is never closed is an error, for it
  would swallow the rest of the table.
- Of a workbook cells come as a CSV would have them: whole numbers without a decimal point, dates as ISO 8601, and
  without a time where that is midnight (a workbook has no dates without a time), true and false as 1 and 0. Identifiers
  must be text in it, for a number has lost its leading zeros. A formula has the value that was stored with it.
- Blanks around a cell and empty cells at the end of a row are left out, and so are empty rows. A row keeps the number
  that it has in a spreadsheet: empty ones are counted.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO, TypeAlias
from xml.etree.ElementTree import ParseError

from domainvl.errors import DomainvlError

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".xlsx", ".xlsm")
"""Endings of tables, in lower case; a file with another one is read as CSV."""

NumberedRow: TypeAlias = tuple[int, list[str]]
"""Number of a row in its file, the first being 1, and its cells."""

_DELIMITERS = ",;\t"
_EXCEL = (".xlsx", ".xlsm")
_UNPACKED_BYTES_MAX = 2**30
"""A workbook is refused that would unpack to more; its texts are held in memory."""

_DAMAGED_WORKBOOK = (
    zipfile.BadZipFile,
    zlib.error,
    LookupError,
    ValueError,
    TypeError,
    ParseError,
)
"""What openpyxl raises of workbooks that are none or are damaged."""


def is_table(path: Path) -> bool:
    """Say whether a file has the ending of a table."""
    return path.name.lower().endswith(TABLE_SUFFIXES)


def read_rows(path: Path, unusable: Callable[[str], DomainvlError], *, whole: bool = False) -> Iterator[NumberedRow]:
    """Yield the rows of a table that are not empty, one at a time; the first names the columns as a rule.

    Args:
        path: The table.
        unusable: Makes the error of a table that cannot be read from the rule that it breaks; the rule quotes neither
            the path nor what is in the table.
        whole: Keep empty cells at the end of a row of a text, whose number tells whether one was divided. A row of a
            workbook has none that could be.

    Raises:
        DomainvlError: What ``unusable`` makes.
    """
    is_workbook = path.name.lower().endswith(_EXCEL)
    for number, cells in _excel(path, unusable) if is_workbook else _csv(path, unusable):
        while cells and not cells[-1] and not (whole and not is_workbook):
            cells.pop()
        if any(cells):
            yield number, cells


def repeated(columns: Sequence[str]) -> list[str]:
    """Return the names that several columns have, sorted."""
    return sorted({name for name in columns if columns.count(name) > 1})


def _csv(path: Path, unusable: Callable[[str], DomainvlError]) -> Iterator[NumberedRow]:
    try:
        with _open(path) as file:
            first = file.readline()
            file.seek(0)
            is_tsv = path.name.lower().removesuffix(".gz").endswith(".tsv")
            delimiter = "\t" if is_tsv else max(_DELIMITERS, key=first.count)
            for number, cells in enumerate(csv.reader(file, delimiter=delimiter, strict=True), start=1):
                yield number, [cell.strip() for cell in cells]
    except UnicodeDecodeError as error:
        raise unusable("it must be CSV in UTF-8, or an Excel workbook named .xlsx") from error
    except csv.Error as error:
        raise unusable(f"it must be CSV, or an Excel workbook named .xlsx ({error})") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise unusable("it must be packed with gzip, as its name says, and complete") from error


def _open(path: Path) -> TextIO:
    # The byte order mark is no part of the text; line breaks within cells are left to csv.
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _excel(path: Path, unusable: Callable[[str], DomainvlError]) -> Iterator[NumberedRow]:
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(member.file_size for member in archive.infolist())
        if size_bytes > _UNPACKED_BYTES_MAX:
            raise unusable(f"a workbook must unpack to at most {_UNPACKED_BYTES_MAX} bytes, it would to {size_bytes}")
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            if not book.worksheets:
                raise unusable("the workbook must have a sheet of cells")
            sheet = book.worksheets[0]
            # What a sheet says of its size counts formatted cells too: rows would be filled up to 16,384 cells.
            sheet.reset_dimensions()
            for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
                yield number, [_text(cell) for cell in cells]
        finally:
            book.close()
    except _DAMAGED_WORKBOOK as error:
        rule = f"it must be an Excel workbook in the format .xlsx ({type(error).__name__})"
        raise unusable(rule) from error


def _text(value: object) -> str:
    """Return a cell of a workbook as a CSV would have it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value).strip()
