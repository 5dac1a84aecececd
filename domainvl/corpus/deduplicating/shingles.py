"""Text as a set of shingles: runs of words, or of characters where a script has no blanks between words."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Blocks of Unicode 16 whose scripts are written without blanks between words: Thai, Lao, Myanmar, Khmer, Hiragana and
# Katakana with what follows them, Han with its extensions and compatibility ideographs.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # noqa: E501
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_BLANKS = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}

# Finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, figure 16: variant 13 of Stafford's mixers).
_MIX_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_MIX_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""Its increment, the golden ratio in 64 bits: odd, so that a product with it loses nothing."""


def normalise(text: str) -> str:
    """Return a text without what does not matter to equality: compatibility forms (NFKC), case, kinds of blanks."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(folded.casefold().split())


def words_of(normalised: str) -> list[str]:
    """Divide a normalised text into words without punctuation; scripts without blanks into characters."""
    if normalised.isascii():  # the same as the pattern gives, several times as quick
        return normalised.translate(_BLANKS).split()
    return _WORD.findall(normalised)


def hash_text(text: str) -> int:
    """Hash a text to 64 bits, equally in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread 64-bit values over all 64 bits, one to one."""
    mixed = values
    for shift, factor in zip(_MIX_SHIFTS, _MIX_FACTORS, strict=False):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return mixed ^ (mixed >> _MIX_SHIFTS[2])


def combine(columns: Sequence[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """Hash rows of values to 64 bits each, as a polynomial of the values; their order counts.

    Args:
        columns: Arrays of one shape, each one place of all rows.
    """
    total = columns[0]
    for column in columns[1:]:
        total = total * _GOLDEN_GAMMA + column
    return mix(total)


class Shingler:
    """Turns words into hashes of shingles; words that were seen are not hashed again, so use one for a unit of work.

    Args:
        size: Words of a shingle.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._word_hashes = _WordHashes()

    def shingles(self, words: Sequence[str]) -> npt.NDArray[np.uint64]:
        """Return the set of shingles of a text: uint64, ascending; none where the text is shorter than a shingle."""
        count = len(words) - self._size + 1
        if count < 1:
            return np.empty(0, dtype=np.uint64)
        hashes = np.fromiter(map(self._word_hashes.__getitem__, words), dtype=np.uint64, count=len(words))
        found = np.sort(combine([hashes[place : place + count] for place in range(self._size)]))
        is_new = np.concatenate([[True], found[1:] != found[:-1]])
        distinct: npt.NDArray[np.uint64] = found[is_new]  # np.unique takes three times as long
        return distinct


class _WordHashes(dict[str, int]):
    """Hashes of words, made when they are first asked for."""

    def __missing__(self, word: str) -> int:
        self[word] = found = hash_text(word)
        return found
