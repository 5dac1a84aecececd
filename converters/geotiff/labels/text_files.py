"""Reads label files that are text: as a whole, or as a table."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from .pixel_labels import unusable_file


def read_text(path: Path, uri: str) -> str:
    """Read a file of UTF-8.

    Args:
        path: The file.
        uri: Its name in messages.

    Raises:
        ItemError: If it cannot be read or is something else.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable_file(uri, f"it must be UTF-8 ({error})", "Write it again as UTF-8") from error
    except OSError as error:
        raise unusable_file(uri, error.strerror or str(error)) from error


Row: TypeAlias = tuple[int, dict[str, str]]
"""A row of a table: the number of its line, and its cells by column, without spaces around; empty where missing."""


def read_table(path: Path, uri: str) -> tuple[list[str], Iterator[Row]]:
    """Read a CSV whose first line names the columns.

    Args:
        path: The file.
        uri: Its name in messages.

    Returns:
        The names of the columns, and the rows; while these are read, an :class:`ItemError` says of a line that it is
        none of a CSV.

    Raises:
        ItemError: If it cannot be read.
    """
    cells = _cells(io.StringIO(read_text(path, uri), newline=""), uri)
    _, names = next(cells, (1, []))
    return names, ((line, dict(itertools.zip_longest(names, row[: len(names)], fillvalue=""))) for line, row in cells)


def _cells(text: io.StringIO, uri: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text, skipinitialspace=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise unusable_file(f"{uri}, line {reader.line_num}", f"it is no CSV ({error})") from error


def check_columns(uri: str, names: Sequence[str], missing: Sequence[str], action: str | None = None) -> None:
    """Refuse a table whose columns lack some.

    Raises:
        ItemError: If any is missing.
    """
    if missing:
        lacks = " and no ".join(missing)
        raise unusable_file(uri, f"there is no {lacks} in the first line, which names {', '.join(names)}", action)
