"""The re-identification map: which pseudonym stands for which identifier and file. It names patients.

A CSV file outside of every data set (a conversion refuses settings that name a path in its output), readable by its
owner only. Runs with the same key add to it; it is replaced as a whole, so that it is never half written.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from filelock import FileLock

from domainvl.errors import UsageError
from domainvl.files import output_errors
from domainvl.schema.identifying import MAP_COLUMNS

from .pseudonyms import Pseudonyms

KEY_KIND = "key"
"""Kind of the row that tells maps of two keys apart; it holds no identifier."""

_OWNER_ONLY = 0o600


@dataclass(frozen=True, order=True)
class MapRow:
    """One identifier and what stands for it.

    Attributes:
        pseudonym: What is written to data sets.
        kind: Kind of the pseudonym, such as ``"patient"`` or ``"instance"``.
        identifier: What it stands for.
        file: File that holds it, where it is about one, with ``!`` before the name of a member of an archive.
    """

    pseudonym: str
    kind: str
    identifier: str
    file: str = ""


def write_map(path: Path, rows: Iterable[MapRow], pseudonyms: Pseudonyms) -> int:
    """Add rows to a map, which is made where there is none.

    Rows are sorted and each is there once, so that the same runs in any order give the same file.

    Args:
        path: The map.
        rows: What to add.
        pseudonyms: Made with the key of this run; a map of another key is refused.

    Returns:
        Number of rows in the map, that of the key left out.

    Raises:
        UsageError: If the file there is no map, or one of another key.
        OutputError: If it cannot be written.
    """
    key_row = MapRow(pseudonyms.of(KEY_KIND), KEY_KIND, "")
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), mode=_OWNER_ONLY):
            content = {key_row, *map(_plain, rows), *_read(path, key_row)}
            _replace(path, sorted(content))
    return len(content) - 1


def _read(path: Path, key_row: MapRow) -> list[MapRow]:
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error):
        lines = []
    if not lines or tuple(lines[0]) != MAP_COLUMNS or any(len(line) != len(MAP_COLUMNS) for line in lines):
        raise UsageError(
            "Cannot add to --reid-map",
            rule=f"the file there is no re-identification map with the columns {', '.join(MAP_COLUMNS)}",
            action="Name another file",
        )
    rows = [MapRow(*line) for line in lines[1:]]
    if key_row not in rows:
        raise UsageError(
            "Cannot add to --reid-map",
            rule="the map there was made with another --deid-key",
            action="Name another file, or use the key that the map was made with",
        )
    return rows


def _plain(row: MapRow) -> MapRow:
    """Take out of a row what a header may hold and a reader of tables refuses: control characters."""
    return MapRow(*("".join(sign for sign in cell if sign.isprintable()) for cell in astuple(row)))


def _replace(path: Path, rows: Iterable[MapRow]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(MAP_COLUMNS)
    writer.writerows(astuple(row) for row in rows)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        # The mode is given before there is content: nobody else can read it for a moment.
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
