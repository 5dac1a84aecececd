"""Reads lists of terms that a translation must leave alone or translate in a given way."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from domainvl.errors import InputNotFoundError, UsageError

_HEADER = ["source", "target"]


def read_terms(path: Path) -> dict[str, str | None]:
    """Read a list of terms.

    A ``.csv`` file has a term a row, and its translation beside it where it has one; the row ``source,target`` is
    passed over as the first. Any other file has a term a line, all of which stay as they are.

    Returns:
        The translation of each term; None for those that stay.

    Raises:
        InputNotFoundError: If there is no such file.
        UsageError: If it is not UTF-8, a row has more than two columns or no term, or a term has two translations.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read terms", where=path, rule="there is no such file", action="Check --terms")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("Cannot read terms", where=path, rule=f"it must be UTF-8 ({error})") from error
    in_columns = path.suffix.lower() == ".csv"
    rows = list(csv.reader(io.StringIO(text))) if in_columns else [[line] for line in text.splitlines()]
    terms: dict[str, str | None] = {}
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells == _HEADER):
            continue
        if len(cells) > len(_HEADER) or not cells[0]:
            rule = f"a row must be a term, or a term and its translation, got {row!r:.120}"
            raise UsageError("Cannot read terms", where=f"{path}:{number}", rule=rule)
        target = cells[1] if len(cells) > 1 and cells[1] else None
        if terms.setdefault(cells[0], target) != target:
            rule = f"a term must have one translation, {cells[0]!r} has two"
            raise UsageError("Cannot read terms", where=f"{path}:{number}", rule=rule)
    return terms
