"""The geometry of the report's charts: where bars, whiskers and points lie. The templates draw them.

Positions along an axis are percentages of its length, so that a chart is as wide as its column and its text is text
of the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domainvl.evaluation.results import (
    Calibration,
    Confusion,
    Line,
    PublishedNumber,
    Results,
    System,
    Value,
)

TINTS = 8
"""Number of colours that systems take in turn."""

SMALL_GROUPS = 10
"""With fewer groups than this a part of the samples is greyed: a bootstrap over so few groups says little. Our rule."""

PLOT_PX = 220.0
"""Side of a reliability plot."""

_HEATS = 10


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        low: Value at its start.
        high: Value at its end.
        ticks: Values that are written at it.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, values: Iterable[float]) -> Scale:
        """Make an axis that holds all values and 0; for shares it is 0 to 1."""
        found = list(values)
        least, most = min([0.0, *found]), max([0.0, *found])
        if least >= 0.0 and most <= 1.0:
            return cls(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
        step = _round_step((most - least) / 4)
        first, last = math.floor(least / step), math.ceil(most / step)
        return cls(first * step, last * step, tuple(index * step for index in range(first, last + 1)))

    def percent(self, value: float) -> float:
        """Return where a value lies, in percent of the axis."""
        return 100.0 * (value - self.low) / (self.high - self.low)


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 2.5 and 5 times a power of ten that is not below a number."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if power * factor >= least * (1 - 1e-9))


@dataclass(frozen=True)
class Mark:
    """A value as it lies on an axis, in percent of it; None where there is none.

    Attributes:
        x: The value.
        low: Lower end of its interval.
        high: Upper end of its interval.
    """

    x: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SystemRow:
    """A system in a chart."""

    system: System
    tint: int
    value: Value
    mark: Mark


@dataclass(frozen=True)
class PublishedRow:
    """A published number in a chart; x in percent of the axis."""

    number: PublishedNumber
    x: float


@dataclass(frozen=True)
class BarChart:
    """One line of the protocol for all systems, with what others have published.

    Attributes:
        line: The line.
        scale: Its axis.
        zero: Where 0 lies on it, in percent.
        rows: Systems that have a value of the line.
        published: Numbers of others.
    """

    line: Line
    scale: Scale
    zero: float
    rows: tuple[SystemRow, ...]
    published: tuple[PublishedRow, ...]


@dataclass(frozen=True)
class Level:
    """The samples that share a fact.

    Attributes:
        name: Value of the fact.
        n: Number of samples.
        groups: Number of groups.
        rows: Systems.
    """

    name: str
    n: int
    groups: int
    rows: tuple[SystemRow, ...]

    @property
    def small(self) -> bool:
        """Whether there are too few groups for an interval that can be trusted."""
        return self.groups < SMALL_GROUPS


@dataclass(frozen=True)
class Panel:
    """A breakdown by one fact."""

    factor: str
    scale: Scale
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Dot:
    """A bin of a reliability plot, in pixels of the plot; the radius grows with the root of its number of samples."""

    x_px: float
    y_px: float
    radius_px: float
    title: str


@dataclass(frozen=True)
class Reliability:
    """A reliability plot."""

    calibration: Calibration
    tint: int
    dots: tuple[Dot, ...]

    @property
    def path(self) -> str:
        """The line through the dots, as SVG writes it."""
        return "M" + "L".join(f"{dot.x_px:.1f} {dot.y_px:.1f}" for dot in self.dots) if self.dots else ""


@dataclass(frozen=True)
class Cell:
    """One count of a confusion matrix; heat from 0 to 10 by its share of the row."""

    count: int
    heat: int
    right: bool


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows of true label, cells, total and share that is right."""

    confusion: Confusion
    rows: tuple[tuple[str, tuple[Cell, ...], int, float | None], ...]


def tints(results: Results) -> dict[str, int]:
    """Return the number of each system's colour, by its name."""
    return {system.name: index % TINTS for index, system in enumerate(results.systems)}


def bar_chart(line: Line, results: Results) -> BarChart:
    """Lay out one line of the protocol."""
    published = [number for number in results.published if number.name == line.name]
    scale = Scale.around([*_seen(line.values.values()), *(number.value for number in published)])
    return BarChart(
        line,
        scale,
        scale.percent(0.0),
        _rows(line.values, scale, results),
        tuple(PublishedRow(number, scale.percent(number.value)) for number in published),
    )


def panels(results: Results) -> list[Panel]:
    """Lay out the breakdowns, one panel a fact, all on one axis."""
    scale = Scale.around(value for part in results.breakdowns for value in _seen(part.values.values()))
    levels: dict[str, list[Level]] = {}
    for part in results.breakdowns:
        rows = _rows(part.values, scale, results)
        levels.setdefault(part.factor, []).append(Level(part.level, part.n, part.groups, rows))
    return [Panel(factor, scale, tuple(found)) for factor, found in levels.items()]


def _seen(values: Iterable[Value]) -> list[float]:
    return [number for one in values for number in (one.value, one.low, one.high) if number is not None]


def _rows(values: Mapping[str, Value], scale: Scale, results: Results) -> tuple[SystemRow, ...]:
    colours = tints(results)
    return tuple(
        SystemRow(system, colours[system.name], values[system.name], _mark(values[system.name], scale))
        for system in results.systems
        if system.name in values
    )


def _mark(value: Value, scale: Scale) -> Mark:
    x, low, high = (None if one is None else scale.percent(one) for one in (value.value, value.low, value.high))
    return Mark(x, low, high)


def reliability(calibration: Calibration, tint: int) -> Reliability:
    """Lay out a reliability plot: confidence to the right, accuracy upwards."""
    most = max((part.n for part in calibration.bins), default=1)
    dots = [
        Dot(
            PLOT_PX * part.confidence,
            PLOT_PX * (1 - part.accuracy),
            2.5 + 6.5 * math.sqrt(part.n / most),
            f"{part.n:,} answers, confidence {part.confidence:.3f}, accuracy {part.accuracy:.3f}",
        )
        for part in calibration.bins
    ]
    return Reliability(calibration, tint, tuple(dots))


def matrix(confusion: Confusion) -> Matrix:
    """Lay out a confusion matrix."""
    return Matrix(confusion, tuple(_matrix_row(confusion, index) for index in range(len(confusion.labels))))


def _matrix_row(confusion: Confusion, index: int) -> tuple[str, tuple[Cell, ...], int, float | None]:
    label, counts = confusion.labels[index], confusion.counts[index]
    total = sum(counts)
    # What gathers many labels has another name as a row than as a column: there is nothing right about it.
    right = [said == label for said in confusion.said]
    cells = tuple(
        Cell(count, math.ceil(_HEATS * count / total) if total else 0, is_right)
        for count, is_right in zip(counts, right, strict=True)
    )
    hits = sum(cell.count for cell in cells if cell.right)
    return label, cells, total, hits / total if total and any(right) else None


def legend(rows: Sequence[Level]) -> list[tuple[str, int]]:
    """Return names and colours of the systems that some levels have, in order."""
    return list(dict.fromkeys((row.system.name, row.tint) for level in rows for row in level.rows))
