"""In how many documents a paragraph or an image is, counted in parts that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domainvl.corpus.deduplicating.arrays import pack, read_sets
from domainvl.corpus.stage import UnitOutput

COUNTS = "counts"
"""Name of the table that the phase gives."""

RANKS_NAME, KEPT_NAME = "ranks.npy", "kept.npy"
"""Files that the step writes before the phase: rank of every document, and whether it is kept."""

_KEYS_PER_PART = 8_000_000


@dataclass(frozen=True)
class Count:
    """A unit: one part of the values of a column.

    Attributes:
        column: ``paragraphs``, ``d_hash`` or ``p_hash``.
        part: Which part, from 0.
        parts: Of how many.
        least: Values of fewer documents are left out.
    """

    column: str
    part: int
    parts: int
    least: int


def plan_counts(column: str, key_count: int, least: int) -> list[Count]:
    """Divide a column of that many values into parts."""
    parts = 1 + key_count // _KEYS_PER_PART
    return [Count(column, part, parts, least) for part in range(parts)]


@dataclass(frozen=True)
class CountWork:
    """Counts the documents of each value.

    Attributes:
        tables: Tables of the first phase, in order.
        scratch: Where the step wrote ranks and which documents are kept.
    """

    tables: tuple[Path, ...]
    scratch: Path

    def __call__(self, unit: Count, images: Path) -> UnitOutput:
        """Merge a part of a column by sorting it."""
        kept, ranks = (
            np.load(self.scratch / KEPT_NAME, mmap_mode="r"),
            np.load(self.scratch / RANKS_NAME, mmap_mode="r"),
        )
        keys: list[npt.NDArray[np.uint64]] = []
        numbers: list[npt.NDArray[np.int64]] = []
        first = 0
        for path in self.tables:
            lengths, values = read_sets(path, unit.column)
            documents = np.repeat(np.arange(first, first + len(lengths)), lengths)
            wanted = kept[documents] & (values % np.uint64(unit.parts) == unit.part)
            keys.append(values[wanted])
            numbers.append(documents[wanted])
            first += len(lengths)
        return UnitOutput(
            tables={COUNTS: pack(count_documents(np.concatenate(keys), np.concatenate(numbers), ranks, unit.least))}
        )


def count_documents(
    keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int64], ranks: npt.NDArray[np.int64], least: int
) -> dict[str, npt.NDArray[np.uint64]]:
    """Count how often each key comes.

    Args:
        keys: Keys; each at most once for a document.
        numbers: Number of the document that has it.
        ranks: Rank of every document.
        least: Keys that come less often are left out.

    Returns:
        ``key``, ascending; ``count``; and ``keeper``, the document of best rank that has it.
    """
    order = np.lexsort((ranks[numbers], keys))
    found, begins, counts = np.unique(keys[order], return_index=True, return_counts=True)
    often = counts >= least
    keepers = numbers[order][begins[often]]
    return {"key": found[often], "count": counts[often].astype(np.uint64), "keeper": keepers.astype(np.uint64)}


class Counts:
    """Looks up what was counted, in a file that the workers of a machine share.

    Args:
        folder: Where :meth:`write` wrote.
        column: Which column.
    """

    def __init__(self, folder: Path, column: str) -> None:
        self._table = np.load(folder / f"counts-{column}.npy", mmap_mode="r")

    def __len__(self) -> int:
        return int(self._table.shape[1])

    def find(self, key: int) -> tuple[int, int] | None:
        """Return in how many documents a key is, and which of them keeps it; None where it was left out."""
        place = int(np.searchsorted(self._table[0], np.uint64(key)))
        if place == len(self) or int(self._table[0, place]) != key:
            return None
        return int(self._table[1, place]), int(self._table[2, place])

    @staticmethod
    def write(folder: Path, column: str, parts: list[dict[str, npt.NDArray[np.uint64]]]) -> None:
        """Write what the parts of a column gave."""
        table = np.stack([np.concatenate([part[name] for part in parts]) for name in ("key", "count", "keeper")])
        np.save(folder / f"counts-{column}.npy", table[:, np.argsort(table[0])])
