"""How much of a text repeats itself: shares of n-grams, lines and paragraphs.

The definitions are Gopher's (arXiv 2112.11446, table A1) as datatrove 0.10 reads them: of duplicated n-grams what
counts is each occurrence behind the first, without its blanks, and n-grams that overlap one that was counted are
skipped. An n-gram that occurs once is no repetition, however short the text; there datatrove counts it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_TOP_SIZES = (2, 3, 4)
_DUPLICATED_SIZES = (5, 6, 7, 8, 9, 10)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, odd: Knuth's multiplicative hashing


def word_shares(words: Sequence[str]) -> dict[str, float]:
    """Measure repeated words and n-grams.

    Args:
        words: All words of a document, at least one.

    Returns:
        Values by codes of rules, of what is repeated at all; shares of the characters of the words joined by single
        blanks.
    """
    hashes = np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)
    ends = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)) + 1)
    total = int(ends[-1]) - 1
    shares = {"omni-word-frequency": commonest_share(hashes)}
    grams = hashes
    for size in range(2, _DUPLICATED_SIZES[-1] + 1):
        if len(words) < size:
            break
        grams = grams[:-1] * _MULTIPLIER + hashes[size - 1 :]
        repeated = _repeated(grams)
        if not len(repeated):
            break  # what holds no pair of equal n-grams holds none of longer ones
        begins = np.concatenate([[0], ends])[: len(grams)]
        lengths = ends[size - 1 :] - begins - 1
        if size in _TOP_SIZES:
            shares[f"gopher-top-{size}-gram"] = min(1.0, _top_characters(grams, repeated, lengths) / total)
        else:
            solid = lengths - (size - 1)
            shares[f"gopher-duplicate-{size}-grams"] = _duplicated_characters(grams, repeated, solid, size) / total
    return shares


def commonest_share(values: NDArray[np.generic]) -> float:
    """Return the share of the commonest value, at least one."""
    return int(_runs(np.sort(values))[1].max()) / len(values)


def text_shares(texts: Sequence[str]) -> tuple[float, float]:
    """Return the share of texts that repeat an earlier one, and the share of characters in them; at least one text."""
    different = set(texts)
    if len(different) == len(texts):
        return 0.0, 0.0
    total = sum(map(len, texts))
    repeated = total - sum(map(len, different))
    return 1 - len(different) / len(texts), repeated / total if total else 0.0


def _repeated(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the values, sorted, that occur more than once; one that occurs k times stands k-1 times."""
    ordered = np.sort(values)
    repeated: NDArray[np.uint64] = ordered[1:][ordered[1:] == ordered[:-1]]
    return repeated


def _runs(ordered: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where equal values of a sorted array begin, and how many there are of each."""
    begins = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
    return begins, np.diff(np.concatenate([begins, [len(ordered)]]))


def _top_characters(grams: NDArray[np.uint64], repeated: NDArray[np.uint64], lengths: NDArray[np.int64]) -> int:
    """Return the characters of the commonest n-gram; of several equally common ones the first of the text counts."""
    begins, counts = _runs(repeated)
    most = counts.max()
    commonest = repeated[begins[counts == most]]
    first = int(np.isin(grams, commonest).argmax())
    return int(lengths[first]) * (int(most) + 1)


def _duplicated_characters(
    grams: NDArray[np.uint64], repeated: NDArray[np.uint64], lengths: NDArray[np.int64], size: int
) -> int:
    """Return the characters of n-grams that occurred before, from left to right without overlap."""
    places = np.flatnonzero(np.isin(grams, repeated))
    seen: set[int] = set()
    characters = free_from = 0
    for place, gram, length in zip(places.tolist(), grams[places].tolist(), lengths[places].tolist(), strict=True):
        if place < free_from:
            continue
        if gram in seen:
            characters += length
            free_from = place + size
        else:
            seen.add(gram)
    return characters
