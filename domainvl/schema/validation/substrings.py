"""Finds many strings in a text at once: a hundred thousand of them take little longer than a hundred."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

_WINDOWS_BYTES = (8, 4)
"""Strings are found by so many of their last bytes; shorter ones, and few ones, are looked for one by one."""

_FEW = 32

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: multiplicative hashing (D. Knuth, The Art of Computer Programming 3, 6.4)."""

_SPARSE_BITS = 8
_MAX_TABLE_BITS = 27


class Substrings:
    """Finds occurrences of strings.

    Args:
        needles: The strings, none empty.
    """

    def __init__(self, needles: Sequence[str]) -> None:
        rest = [(index, _encode(needle)) for index, needle in enumerate(needles)]
        self._endings: list[_Endings] = []
        for window_bytes in _WINDOWS_BYTES if len(rest) > _FEW else ():
            long = [pair for pair in rest if len(pair[1]) >= window_bytes]
            rest = [pair for pair in rest if len(pair[1]) < window_bytes]
            if long:
                self._endings.append(_Endings(long, window_bytes))
        self._one_by_one = rest

    def find(self, text: str) -> Iterator[tuple[int, str, str]]:
        """Find the strings that are in a text.

        Yields:
            Index of a string, and up to two characters before and behind it, for each place where it stands.
        """
        content = _encode(text)
        for index, needle in self._one_by_one:
            start = content.find(needle)
            while start >= 0:
                yield index, *_around(content, start, start + len(needle))
                start = content.find(needle, start + 1)
        for endings in self._endings:
            for index, start, end in endings.find(content):
                yield index, *_around(content, start, end)


class _Endings:
    """Strings by their last bytes.

    These are hashed into a table of bits, and so is every window of as many bytes of a text; where a bit is set, the
    string is compared as a whole.
    """

    def __init__(self, needles: Sequence[tuple[int, bytes]], window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._by_ending: dict[int, list[tuple[int, bytes]]] = {}
        for index, needle in needles:
            ending = int.from_bytes(needle[-window_bytes:], "little")
            self._by_ending.setdefault(ending, []).append((index, needle))
        bits = min(math.ceil(math.log2(len(self._by_ending) + 1)) + _SPARSE_BITS, _MAX_TABLE_BITS)
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, np.bool_)
        self._table[self._hash(np.array(list(self._by_ending), np.uint64))] = True

    def find(self, content: bytes) -> Iterator[tuple[int, int, int]]:
        """Yield index, start and end of every string that is there."""
        count = len(content) - self._window_bytes + 1
        if count <= 0:
            return
        kind = np.dtype(f"<u{self._window_bytes}")
        windows = np.ndarray(count, kind, buffer=content, strides=(1,)).astype(np.uint64)
        for position in np.flatnonzero(self._table[self._hash(windows)]):
            end = int(position) + self._window_bytes
            for index, needle in self._by_ending.get(int(windows[position]), ()):
                if content.endswith(needle, 0, end):
                    yield index, end - len(needle), end

    def _hash(self, windows: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
        return ((windows * _MULTIPLIER) >> self._shift).astype(np.intp)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _around(content: bytes, start: int, end: int) -> tuple[str, str]:
    # Only ASCII digits and dots are asked for; half a character of another script is none of them.
    return content[max(start - 2, 0) : start].decode("latin-1"), content[end : end + 2].decode("latin-1")
