"""Reads the settings that are written as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from domainvl.errors import UsageError
from domainvl.schema import Task

from .products.sensors import COMPOSITES, INDICES

StretchKind: TypeAlias = Literal["percentile", "stddev", "fixed", "dtype", "none"]

_BAND_COUNTS = (1, 3)

SPECIAL_VIEWS = ("sar-db", "hillshade")
"""Views that are neither bands nor an index."""

CHANGE = "change"
"""Asks about two dates of one place; no task of its own."""

TASKS = (
    Task.PRESENCE,
    Task.COUNTING,
    Task.COMPARISON,
    Task.AREA,
    Task.GROUNDING,
    Task.REGION,
    Task.CAPTION,
    Task.DETECTION,
    Task.CLASSIFICATION,
)
"""Tasks whose answers can follow from labels."""


@dataclass(frozen=True)
class StretchMode:
    """How values become 8 bits.

    Attributes:
        kind: The method.
        low: Lower percentile or value, where the method has one.
        high: Upper percentile or value; number of standard deviations.
    """

    kind: StretchKind
    low: float = 0.0
    high: float = 0.0

    def __str__(self) -> str:
        if self.kind in ("dtype", "none"):
            return self.kind
        return f"{self.kind}:{self.high:g}" if self.kind == "stddev" else f"{self.kind}:{self.low:g},{self.high:g}"

    @property
    def looks_at_pixels(self) -> bool:
        """Whether the limits depend on what is stored."""
        return self.kind in ("percentile", "stddev")


def parse_stretch(text: str) -> StretchMode | None:
    """Read ``--stretch``.

    Returns:
        The method, or None for ``auto``.

    Raises:
        UsageError: If it is none of the methods or its limits are not in order.
    """
    kind, _, limits = text.partition(":")
    if text == "auto":
        return None
    if text == "dtype":
        return StretchMode("dtype")
    if text == "none":
        return StretchMode("none")
    try:
        low, high = (float(value) for value in (f"0,{limits}" if kind == "stddev" else limits).split(","))
    except ValueError:
        low = high = math.nan
    if kind == "fixed" and -math.inf < low < high < math.inf:
        return StretchMode("fixed", low, high)
    if kind == "percentile" and 0 <= low < high <= 100:
        return StretchMode("percentile", low, high)
    if kind == "stddev" and 0 < high < math.inf:
        return StretchMode("stddev", 0.0, high)
    raise UsageError(
        "Cannot read --stretch",
        rule="it must be auto, percentile:LOW,HIGH (0 <= LOW < HIGH <= 100), stddev:K (K > 0), fixed:LOW,HIGH "
        f"(LOW < HIGH), dtype or none, got {text!r}",
    )


def parse_bands(text: str | None) -> tuple[str, ...] | None:
    """Read ``--bands``.

    Returns:
        Numbers, roles or names as they stand, or None where the choice is left to the converter.

    Raises:
        UsageError: If there are not one or three of them.
    """
    return None if text is None else _parse_band_list(text, "--bands", text)


def _parse_band_list(text: str, option: str, whole: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) not in _BAND_COUNTS or not all(names):
        raise UsageError(
            f"Cannot read {option}", rule=f"it must name one band (grey) or three (red, green, blue), got {whole!r}"
        )
    return names


@dataclass(frozen=True)
class ViewRequest:
    """A view as it was asked for: a known name, or a name with bands."""

    name: str
    bands: tuple[str, ...] | None = None


def parse_views(texts: Sequence[str]) -> tuple[ViewRequest, ...]:
    """Read ``--view``; whether a name is known is seen when it is looked up.

    Raises:
        UsageError: If a view has no name, a name occurs twice, or bands are not one or three.
    """
    views = []
    for text in texts:
        name, equals, bands = (part.strip() for part in text.partition("="))
        if not name:
            raise UsageError("Cannot read --view", rule=f"it must be NAME or NAME=BANDS, got {text!r}")
        views.append(ViewRequest(name, _parse_band_list(bands, "--view", text) if equals else None))
    names = [view.name for view in views]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError("Cannot read --view", rule=f"{twice[0]} is given twice")
    return tuple(views)


def check_view_names(views: Sequence[ViewRequest]) -> None:
    """Check that views without bands of their own are known.

    Raises:
        UsageError: If one is not.
    """
    known = (*COMPOSITES, *INDICES, *SPECIAL_VIEWS)
    for view in views:
        if view.bands is None and view.name not in known:
            raise UsageError(
                f"There is no view {view.name!r}",
                rule=f"known are {', '.join(known)}",
                action="Name one of them, or give its bands: --view NAME=BANDS",
            )


@dataclass(frozen=True)
class NodataRule:
    """Which value marks missing pixels, instead of what the file says; None: none does."""

    value: float | None


def parse_nodata(text: str | None) -> NodataRule | None:
    """Read ``--nodata``.

    Returns:
        The rule, or None where the file decides.

    Raises:
        UsageError: If it is no number.
    """
    if text is None:
        return None
    if text.strip().lower() == "none":
        return NodataRule(None)
    try:
        return NodataRule(float(text))
    except ValueError as error:
        raise UsageError("Cannot read --nodata", rule=f"it must be a number, nan or none, got {text!r}") from error


@dataclass(frozen=True)
class TaskChoice:
    """What is asked: tasks about one image, and whether two dates are compared."""

    tasks: tuple[Task, ...]
    change: bool


def parse_tasks(text: str) -> TaskChoice | None:
    """Read ``--tasks``.

    Returns:
        The tasks, or None for ``auto``: what suits the kind of labels.

    Raises:
        UsageError: If a task is unknown, named twice, or there is none.
    """
    if text.strip() == "auto":
        return None
    if text.strip() == "all":
        return TaskChoice(TASKS, change=True)
    known = {task.value: task for task in TASKS}
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known and name != CHANGE:
            allowed = ", ".join([*known, CHANGE])
            raise UsageError(
                "Cannot read --tasks", rule=f"it must list some of {allowed}, or be auto or all, got {name!r}"
            )
        if names.count(name) > 1:
            raise UsageError("Cannot read --tasks", rule=f"{name} is named twice")
    return TaskChoice(tuple(known[name] for name in names if name in known), change=CHANGE in names)
