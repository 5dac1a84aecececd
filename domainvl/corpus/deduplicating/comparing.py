"""Middle phases: which documents meet in a band, and how alike those are."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from domainvl.corpus.deduplicating.arrays import SetFile, pack, read_column
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.signing import band_name
from domainvl.corpus.stage import UnitOutput

PAIRS, ALIKE = "pairs", "alike"
"""Names of the tables that the two phases give."""

PAIRS_NAME, COMPARED_NAME = "pairs.npy", "compared.npy"
"""Files that the step writes between the phases: all pairs, and which documents are compared."""

SHINGLES_NAME, IMAGES_NAME = "shingles", "images"
"""Names of the files of sets that it writes."""

NEIGHBOURS = 32
"""In a bucket of more documents, each meets this many before it and no others, so that time grows with the number of
documents and not with its square; all that are alike are still connected through those between them."""

_CHUNK_SHINGLES = 8_000_000
"""Shingles of the pairs of one unit: 32 MB where none comes twice."""

_CACHED_SETS = 256


@dataclass(frozen=True)
class Band:
    """A unit of the phase that finds pairs: one band of all documents."""

    index: int


@dataclass(frozen=True)
class PairWork:
    """Finds the pairs of a band.

    Attributes:
        tables: Tables of the first phase, in order.
        scratch: Where the step wrote which documents are compared.
    """

    tables: tuple[Path, ...]
    scratch: Path

    def __call__(self, unit: Band, images: Path) -> UnitOutput:
        """Merge a band of all documents by sorting it."""
        compared = np.load(self.scratch / COMPARED_NAME)
        keys = np.concatenate([read_column(path, band_name(unit.index)) for path in self.tables])
        numbers = np.flatnonzero(compared)
        return UnitOutput(tables={PAIRS: pack({"pair": bucket_pairs(keys[numbers], numbers)})})


def bucket_pairs(keys: npt.NDArray[np.uint64], numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the pairs of documents that have equal keys.

    Args:
        keys: Key of each document, uint64 of shape (documents,).
        numbers: Number of each document, ascending and below 2^32.

    Returns:
        Pairs, ascending: the lower number times 2^32 plus the higher.
    """
    order = np.argsort(keys, kind="stable")
    keys, sorted_numbers = keys[order], numbers[order].astype(np.uint64)
    found = []
    for step in range(1, min(NEIGHBOURS, len(keys) - 1) + 1):
        equal = keys[step:] == keys[:-step]
        if not equal.any():
            break
        found.append((sorted_numbers[:-step][equal] << np.uint64(32)) | sorted_numbers[step:][equal])
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.uint64)


def split_pairs(pairs: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the lower and the higher numbers of pairs."""
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


@dataclass(frozen=True)
class Chunk:
    """A unit of the phase that compares: a stretch of all pairs."""

    begin: int
    end: int


def plan_chunks(pairs: npt.NDArray[np.uint64], shingle_counts: npt.NDArray[np.int64]) -> list[Chunk]:
    """Divide pairs into units of about equal work.

    Args:
        pairs: All pairs.
        shingle_counts: Of every document.
    """
    lower, higher = split_pairs(pairs)
    work = np.cumsum(shingle_counts[lower] + shingle_counts[higher])
    total = int(work[-1]) if len(work) else 0
    cuts = np.unique(np.searchsorted(work, np.arange(_CHUNK_SHINGLES, total, _CHUNK_SHINGLES))).tolist()
    ends = [*(cut for cut in cuts if cut), len(pairs)]
    return [Chunk(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True) if end > begin]


@dataclass(frozen=True)
class CompareWork:
    """Compares pairs by the shingles that they have, not by their signatures.

    Attributes:
        scratch: Where the step wrote pairs and sets.
        settings: From which similarity on pairs are alike.
    """

    scratch: Path
    settings: DedupSettings

    def __call__(self, unit: Chunk, images: Path) -> UnitOutput:
        """Compare a stretch of the pairs."""
        pairs = np.load(self.scratch / PAIRS_NAME, mmap_mode="r")[unit.begin : unit.end]
        with Comparer(self.scratch, self.settings) as comparer:
            found = np.array([comparer.similarity(*pair) for pair in zip(*split_pairs(pairs), strict=True)])
        alike = found >= self.settings.min_jaccard
        return UnitOutput(tables={ALIKE: pack({"pair": np.asarray(pairs[alike]), "jaccard": found[alike]})})


class Comparer:
    """Tells how alike two documents are.

    Args:
        folder: Where their sets of shingles were written and, where images count, of images.
        settings: Whether images count.
    """

    def __init__(self, folder: Path, settings: DedupSettings) -> None:
        self._stack = ExitStack()
        shingles = self._stack.enter_context(SetFile(folder, SHINGLES_NAME))
        self._shingles = lru_cache(maxsize=_CACHED_SETS)(shingles.__getitem__)
        self._images = self._stack.enter_context(SetFile(folder, IMAGES_NAME)) if settings.same_images else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def similarity(self, one: int, other: int) -> float:
        """Return the Jaccard similarity of two documents; 0 where images count and they share none."""
        if self._images is not None:
            images = (self._images[one], self._images[other])
            if any(map(len, images)) and not len(np.intersect1d(*images, assume_unique=True)):
                return 0.0
        return jaccard(self._shingles(one), self._shingles(other))


def jaccard(one: npt.NDArray[np.uint32], other: npt.NDArray[np.uint32]) -> float:
    """Return the size of the intersection of two sets by that of their union.

    Args:
        one: Set of numbers, not empty.
        other: Another.
    """
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def can_be_alike(
    pairs: npt.NDArray[np.uint64], shingle_counts: npt.NDArray[np.int64], min_jaccard: float
) -> npt.NDArray[np.bool_]:
    """Say which pairs may reach a similarity: it is at most the smaller set by the larger.

    Args:
        pairs: Pairs.
        shingle_counts: Of every document.
        min_jaccard: The similarity.
    """
    lower, higher = (shingle_counts[side] for side in split_pairs(pairs))
    enough: npt.NDArray[np.bool_] = np.minimum(lower, higher) >= min_jaccard * np.maximum(lower, higher)
    return enough
