"""What ``pandas.read_csv`` makes of the texts in a column: numbers and truth values where nothing else is in it.

So ``3`` becomes ``3.0`` beside a gap or a fraction, ``007`` becomes ``7`` and ``true`` becomes ``True``. Which texts
come back as others is told from all cells of a column, and so at the end only.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Iterator

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?)", re.IGNORECASE)
_TRUTHS = frozenset({"true", "false"})
_READ_TRUTHS = frozenset({"True", "False"})
_MAX_INTEGER = 2**63

_CELLS_READ_AT_ONCE = 1 << 19
"""Of a table with more cells, pandas looks at the columns block by block (``low_memory``, pandas/_libs/parsers.pyx:
blocks of 2^19 to 2^20 cells), and a block may be all numbers where its column is not."""


class Columns:
    """The texts of a table by column, of which those are kept that pandas may take for something else."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}

    def add(self, row: int, name: str, text: str) -> None:
        """Take in a cell; rows come in order."""
        self._columns.setdefault(name, _Column()).add(row, text)

    def changed(self, row_count: int, column_count: int) -> dict[int, str]:
        """Return the rows that must go for all others to be read as they are, each with a column that would change.

        Args:
            row_count: Rows of the table, also those without a cell here.
            column_count: Columns of the table, also those that are not here.
        """
        by_blocks = row_count * column_count > _CELLS_READ_AT_ONCE
        gone: dict[int, str] = {}
        while True:
            # A row that goes may have been what made another column one of text.
            more = {
                row: name
                for name, column in self._columns.items()
                for row in column.changed(row_count, gone, by_blocks=by_blocks)
            }
            if not more:
                return gone
            gone |= more


class _Column:
    def __init__(self) -> None:
        self._words = array("q")
        self._numbers: dict[int, str] = {}
        self._truths: dict[int, str] = {}

    def add(self, row: int, text: str) -> None:
        if _NUMBER.fullmatch(text):
            self._numbers[row] = text
        elif text.casefold() in _TRUTHS:
            self._truths[row] = text
        else:
            self._words.append(row)

    def changed(self, row_count: int, gone: Collection[int], *, by_blocks: bool) -> Iterator[int]:
        numbers = {row: text for row, text in self._numbers.items() if row not in gone}
        truths = {row: text for row, text in self._truths.items() if row not in gone}
        if not numbers and not truths:
            return
        words = sum(row not in gone for row in self._words)
        if by_blocks or not (words or truths):
            has_gaps = words + len(numbers) + len(truths) < row_count - len(gone)
            is_kept = _reader_of_numbers(numbers.values(), has_gaps=has_gaps)
            yield from (row for row, text in numbers.items() if not is_kept(text))
        if by_blocks or not (words or numbers):
            yield from (row for row, text in truths.items() if text not in _READ_TRUTHS)


def _reader_of_numbers(texts: Collection[str], *, has_gaps: bool) -> Callable[[str], bool]:
    """Return what says whether a number of a column is read as it is: integers stay such only among themselves."""
    if not has_gaps and all(_INTEGER.fullmatch(text) for text in texts):
        return lambda text: str(int(text)) == text and abs(int(text)) < _MAX_INTEGER
    return lambda text: repr(float(text)) == text
