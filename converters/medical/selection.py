"""Which slices of a stack are converted, chosen by where they lie and not by how many there are.

A series of 1 mm and one of 5 mm of the same patient give the same levels, so that what a model sees does not depend on
how finely a scanner cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from domainvl.errors import UsageError

_Way: TypeAlias = Literal["all", "every", "even", "around"]

_ROUNDING_MM = 1e-3
"""Positions are rounded by headers; a slice at a limit is within it."""


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        indices: Places in the stack, rising.
        warning: How it was chosen otherwise than asked for, if it was.
    """

    indices: tuple[int, ...]
    warning: str | None = None


@dataclass(frozen=True)
class SelectionRule:
    """A rule that chooses slices.

    Attributes:
        way: ``all``; ``every`` (one at each multiple of ``amount`` mm of the patient's coordinate along the normal);
            ``even`` (``amount`` of them, in the middles of equal parts of the stack); or ``around`` (those within
            ``amount`` mm of a slice with a finding).
        amount: What the way needs; 0 for ``all``.
    """

    way: _Way
    amount: float = 0.0

    @classmethod
    def parse(cls, setting: str) -> SelectionRule:
        """Read a setting.

        Args:
            setting: ``all``, ``every:MM``, ``even:N`` or ``around:MM``.

        Raises:
            UsageError: If it is none of these.
        """
        if setting == "all":
            return cls("all")
        way, _, text = setting.partition(":")
        try:
            amount = float(text)
        except ValueError:
            amount = math.nan
        if way == "every" and math.isfinite(amount) and amount > 0:
            return cls("every", amount)
        if way == "even" and math.isfinite(amount) and amount >= 1 and amount == int(amount):
            return cls("even", amount)
        if way == "around" and math.isfinite(amount) and amount >= 0:
            return cls("around", amount)
        raise UsageError(
            "Cannot choose slices",
            rule=f"a selection is all, every:MM above 0, even:N of at least 1 or around:MM, got {setting!r}",
            action="Correct --select",
        )

    def choose(
        self, positions_mm: Sequence[float] | None, found_at: Sequence[int] = (), *, count: int | None = None
    ) -> Choice:
        """Choose slices of one stack.

        Args:
            positions_mm: Where each slice lies along the normal, in order, rising or falling; None where the header
                does not say.
            found_at: Indices of the slices that show a finding, for ``around``.
            count: Number of slices, needed where there are no positions.

        Raises:
            ValueError: If neither positions nor a count is given.
        """
        if positions_mm is None:
            if count is None:
                raise ValueError("slices without positions must be counted")
            chosen = self._choose([float(index) for index in range(count)], found_at)
            return Choice(tuple(chosen), None if self.way in ("all", "even") else self._by_index(len(chosen), count))
        falling = len(positions_mm) > 1 and positions_mm[0] > positions_mm[-1]
        if not falling:
            return Choice(tuple(self._choose(positions_mm, found_at)))
        last = len(positions_mm) - 1
        chosen = self._choose(positions_mm[::-1], [last - index for index in found_at])
        return Choice(tuple(last - index for index in reversed(chosen)))

    def _by_index(self, chosen: int, count: int) -> str:
        return (
            f"the header does not say where slices lie: {self.way}:{self.amount:g} was counted in slices instead of "
            f"mm, and {chosen} of {count} were chosen"
        )

    def _choose(self, rising_mm: Sequence[float], found_at: Sequence[int]) -> list[int]:
        match self.way:
            case "all":
                return list(range(len(rising_mm)))
            case "every":
                return _at_multiples(rising_mm, self.amount)
            case "even":
                return _evenly(rising_mm, int(self.amount))
            case "around":
                return _around(rising_mm, found_at, self.amount)


def _at_multiples(rising_mm: Sequence[float], step_mm: float) -> list[int]:
    """Choose the slice nearest to each multiple of the step within the stack.

    Multiples are counted from the origin of the patient's coordinates, not from the first slice, which another
    series of the same patient has elsewhere.
    """
    if not rising_mm:
        return []
    first = math.ceil((rising_mm[0] - _ROUNDING_MM) / step_mm)
    last = math.floor((rising_mm[-1] + _ROUNDING_MM) / step_mm)
    levels = [number * step_mm for number in range(first, last + 1)]
    if not levels:
        middle = (rising_mm[0] + rising_mm[-1]) / 2
        levels = [math.floor(middle / step_mm + 0.5) * step_mm]
    chosen: list[int] = []
    start = 0
    for level in levels:
        start = _nearest(rising_mm, level, start, len(rising_mm))
        # A gap in the stack has no slice near the level: one from its border would stand for another level.
        if len(levels) == 1 or abs(rising_mm[start] - level) <= step_mm / 2 + _ROUNDING_MM:
            chosen.append(start)
    return list(dict.fromkeys(chosen))


def _evenly(rising_mm: Sequence[float], wanted: int) -> list[int]:
    """Choose as many slices as wanted, each nearest to the middle of one of equal parts, none twice."""
    wanted = min(wanted, len(rising_mm))
    chosen: list[int] = []
    start = 0
    for part in range(wanted):
        level = rising_mm[0] + (part + 0.5) / wanted * (rising_mm[-1] - rising_mm[0])
        index = _nearest(rising_mm, level, start, len(rising_mm) - (wanted - part - 1))
        chosen.append(index)
        start = index + 1
    return chosen


def _around(rising_mm: Sequence[float], found_at: Sequence[int], reach_mm: float) -> list[int]:
    found_mm = [rising_mm[index] for index in found_at]
    reach_mm += _ROUNDING_MM
    return [index for index, place in enumerate(rising_mm) if any(abs(place - found) <= reach_mm for found in found_mm)]


def _nearest(rising_mm: Sequence[float], level_mm: float, start: int, stop: int) -> int:
    """Return which slice from ``start`` to before ``stop`` is nearest; of two that are as near, the first."""
    best = start
    for index in range(start + 1, stop):
        distance, least = abs(rising_mm[index] - level_mm), abs(rising_mm[best] - level_mm)
        if distance < least - _ROUNDING_MM:
            best = index
        elif distance > least + _ROUNDING_MM:
            break
    return best
