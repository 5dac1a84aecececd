"""Counting what does not fit into memory: counters with a ceiling, and even samples of distinct things.

Nothing here is random: whether a key is in a sample follows from its hash, so that the same data set gives the same
numbers in whatever order it is read.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from domainvl.schema.digests import digest_text

T = TypeVar("T")

_HASH_BITS = 64


class BoundedCounter:
    """Counts values exactly, up to a number of distinct ones; those that first come later are only counted together.

    Args:
        capacity: Most distinct values.

    Attributes:
        counts: How often each value came.
        other: How often values came for which there was no room.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self.counts: Counter[str] = Counter()
        self.other = 0

    def add(self, value: str, times: int = 1) -> None:
        """Count a value."""
        if value in self.counts or len(self.counts) < self._capacity:
            self.counts[value] += times
        else:
            self.other += times

    def add_all(self, other: BoundedCounter) -> None:
        """Count all that another counter counted."""
        for value, times in other.counts.items():
            self.add(value, times)
        self.other += other.other

    @property
    def total(self) -> int:
        """How often any value came."""
        return self.counts.total() + self.other

    def top(self, number: int | None = None) -> list[tuple[str, int]]:
        """Return the most frequent values and their counts, equals in alphabetical order."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:number]


class DistinctSample(Generic[T]):
    """Keeps a record for each distinct key; beyond its capacity for an even sample of the keys.

    It keeps the keys of the smallest hashes. A key that is in at the end was in from its first time on, so that its
    record is complete, and the largest hash that is kept tells how many keys there are (the k-minimum-values sketch;
    Bar-Yossef et al., Counting distinct elements in a data stream, 2002).

    Args:
        make: Makes the record of a new key.
        capacity: Most records.

    Attributes:
        exact: Whether every key has its record.
    """

    def __init__(self, make: Callable[[], T], capacity: int = 50_000) -> None:
        self._make = make
        self._capacity = capacity
        self._records: dict[int, T] = {}
        self._hashes: list[int] = []  # negative: the largest comes first
        self.exact = True

    def record(self, key: str) -> T | None:
        """Return the record of a key, made if it is new; None if the key is not in the sample."""
        number = digest_text(key, bits=_HASH_BITS)
        if number in self._records:
            return self._records[number]
        if len(self._records) < self._capacity:
            heapq.heappush(self._hashes, -number)
        else:
            self.exact = False
            if number > -self._hashes[0]:
                return None
            del self._records[-heapq.heapreplace(self._hashes, -number)]
        self._records[number] = self._make()
        return self._records[number]

    @property
    def records(self) -> list[T]:
        """The records, in order of their hashes."""
        return [self._records[number] for number in sorted(self._records)]

    @property
    def distinct(self) -> int:
        """Number of distinct keys; an estimate where not exact."""
        if self.exact:
            return len(self._records)
        # The k-th smallest of n even draws from 0 to 1 lies near k / n; k - 1 makes the estimate unbiased.
        largest = -self._hashes[0] / (1 << _HASH_BITS)
        return round((self._capacity - 1) / largest)

    def scale(self, count: int) -> int:
        """Bring a count over the records to all keys."""
        return count if self.exact else round(count * self.distinct / len(self._records))


def summarise(counts: Mapping[int, int]) -> dict[str, Any] | None:
    """Return count, min, median, mean, 95th percentile and max of counted whole numbers; None of none.

    The median of an even number of values is the mean of the two in the middle; the percentile is the least value
    that at least 95 % of all do not exceed.

    Args:
        counts: How often each number came.
    """
    total = sum(counts.values())
    if not total:
        return None
    ordered = sorted(counts.items())
    return {
        "count": total,
        "min": ordered[0][0],
        "median": (_ranked(ordered, (total + 1) // 2) + _ranked(ordered, total // 2 + 1)) / 2,
        "mean": sum(value * times for value, times in ordered) / total,
        "p95": _ranked(ordered, math.ceil(total * 95 / 100)),
        "max": ordered[-1][0],
    }


def _ranked(ordered: Sequence[tuple[int, int]], rank: int) -> int:
    """Return the value of a rank, counted from 1."""
    passed = 0
    for value, times in ordered:
        passed += times
        if passed >= rank:
            return value
    return ordered[-1][0]


def summarise_shares(values: Iterable[float]) -> dict[str, Any] | None:
    """Return the same of numbers that are not counted; None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    total = len(ordered)
    return {
        "count": total,
        "min": ordered[0],
        "median": (ordered[(total - 1) // 2] + ordered[total // 2]) / 2,
        "mean": math.fsum(ordered) / total,
        "p95": ordered[math.ceil(total * 95 / 100) - 1],
        "max": ordered[-1],
    }
