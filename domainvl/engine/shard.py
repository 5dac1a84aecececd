"""A share of the units for one job of an array: the same for everyone who asks, so that no one has to coordinate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from domainvl.errors import UsageError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Shard:
    """One of ``count`` shares.

    Attributes:
        index: Which, from 1.
        count: Of how many.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n``.

        Raises:
            UsageError: If it is not that, or i is not 1 to n.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError("Cannot read --shard", rule=f"it must be i/n with i from 1 to n, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def select(self, units: Sequence[_T]) -> list[tuple[int, _T]]:
        """Return every n-th unit, each with its place among all: neighbours are alike and go to different shards."""
        return list(enumerate(units))[self.index - 1 :: self.count]

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"
