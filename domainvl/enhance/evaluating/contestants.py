"""Who is compared: each enhancer in each mode that it has, and bicubic interpolation. None ever sees the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from domainvl.enhance.evaluating.baseline import bicubic
from domainvl.enhance.evaluating.results import ContestantRecord
from domainvl.enhance.pairs.records import PairIndex
from domainvl.enhance.rasters import Pixels, Raster
from domainvl.enhance.upscaler import NetworkUpscaler, Upscaler, open_upscaler
from domainvl.errors import UsageError

Mode = Literal["zero", "self"]
MODES: dict[Mode, str] = {"zero": "zero offset", "self": "own colours"}
"""What a network is given as its reference: nothing, or the low view itself."""


class Contestant(Protocol):
    """Makes a picture of a low view."""

    @property
    def record(self) -> ContestantRecord:
        """Who it is."""
        ...

    def picture(self, low: Raster) -> Pixels | None:
        """Return the picture, (high bands, scale rows, scale columns), in the units of the high view's file."""
        ...


@dataclass(frozen=True)
class Bicubic:
    """Bicubic interpolation.

    Attributes:
        index: What the set of pairs says of its views.
    """

    index: PairIndex

    @property
    def record(self) -> ContestantRecord:
        """See :class:`Contestant`."""
        name = f"bicubic-x{self.index.scale}"
        return ContestantRecord(name=name, typed=name, mode=None, enhancer=name)

    def picture(self, low: Raster) -> Pixels | None:
        """See :class:`Contestant`."""
        return bicubic(low, self.index)


@dataclass(frozen=True)
class Enhanced:
    """An enhancer in one mode.

    Attributes:
        typed: What the user typed.
        upscaler: The enhancer.
        mode: What it is given as a reference; None if it takes none.
    """

    typed: str
    upscaler: Upscaler
    mode: Mode | None

    @property
    def record(self) -> ContestantRecord:
        """See :class:`Contestant`."""
        mode = None if self.mode is None else MODES[self.mode]
        name = self.typed if mode is None else f"{self.typed}, {mode}"
        return ContestantRecord(name=name, typed=self.typed, mode=mode, enhancer=self.upscaler.name)

    def picture(self, low: Raster) -> Pixels | None:
        """See :class:`Contestant`."""
        reference = self.upscaler.own_colours(low) if self.mode == "self" else None
        return np.asarray(self.upscaler.upscale(low, reference=reference), dtype=np.float32)


@dataclass(frozen=True)
class Field:
    """All contestants.

    Attributes:
        contestants: Bicubic first where it takes part, then the others as typed.
        headline: Name of the one that the verdict is about.
        notes: Who does not take part, and why.
    """

    contestants: tuple[Contestant, ...]
    headline: str
    notes: tuple[str, ...]

    @property
    def bicubic(self) -> str | None:
        """Name of bicubic interpolation; None where it does not take part."""
        first = self.contestants[0]
        return first.record.name if isinstance(first, Bicubic) else None


def open_field(names: Sequence[str], index: PairIndex, modes: Sequence[Mode], *, threads: int | None = None) -> Field:
    """Open all contestants, and refuse those that do not fit the pairs before any is run.

    Args:
        names: Checkpoints, runs, or "bicubic-x2" and the like, the one that the verdict is about first.
        index: What the set of pairs says of its views.
        modes: Of networks that take a reference.
        threads: Threads of torch while a network works; None leaves them.

    Raises:
        UsageError: If none is named or one twice, or one does not fit the pairs.
        CheckpointError: If a checkpoint is incomplete or broken.
    """
    plain = f"bicubic-x{index.scale}"
    enhancers = [name for name in names if name != plain]
    if not enhancers or not modes:
        missing = "no enhancer beside bicubic is named" if not enhancers else "no mode is asked for"
        raise UsageError("Nothing to compare", rule=missing, action="Name a checkpoint with --enhancer")
    twice = sorted({name for name in enhancers if enhancers.count(name) > 1})
    if twice:
        raise UsageError(
            "Cannot tell contestants apart", rule=f"named twice: {', '.join(twice)}", action="Name each once"
        )
    opened = [(name, open_upscaler(name, threads=threads)) for name in enhancers]
    _refuse_misfits(opened, index)
    return make_field(opened, index, modes)


def make_field(opened: Sequence[tuple[str, Upscaler]], index: PairIndex, modes: Sequence[Mode]) -> Field:
    """Enter enhancers that fit the pairs.

    Args:
        opened: Names as tables show them, with the enhancers, the one that the verdict is about first.
        index: What the set of pairs says of its views.
        modes: Of networks that take a reference.
    """
    entered: list[Contestant] = []
    notes: list[str] = []
    comparable = index.high_view.bands == (3 if index.mosaic else index.low_view.bands)
    if comparable:
        entered.append(Bicubic(index))
    else:
        notes.append(
            f"Bicubic interpolation does not take part: the low views have {index.low_view.bands} bands and the high "
            f"ones {index.high_view.bands}. What asks what was added to it uses the high view, shrunk and enlarged."
        )
    for name, upscaler in opened:
        if isinstance(upscaler, NetworkUpscaler) and _was_trained_on_others(upscaler, index):
            notes.append(
                f"{name} was trained on views of another type or range of values than these: what it takes for black "
                "and white may differ."
            )
        for mode in modes if upscaler.takes_reference else (None,):
            if mode == "self" and (index.mosaic or upscaler.in_bands != upscaler.out_bands):
                notes.append(f"{name} has no row for its own colours: its input has not the bands of its output.")
                continue
            entered.append(Enhanced(name, upscaler, mode))
    enhanced = [one for one in entered if isinstance(one, Enhanced)]
    if not enhanced:
        raise UsageError("Nothing to compare", rule="no enhancer has the mode asked for", action="Add --modes zero")
    return Field(tuple(entered), enhanced[0].record.name, tuple(notes))


def _refuse_misfits(opened: Sequence[tuple[str, Upscaler]], index: PairIndex) -> None:
    wrong = [f"{name} {fault}" for name, upscaler in opened if (fault := _misfit(upscaler, index)) is not None]
    if wrong:
        views = f"{_bands(index.low_view.bands)}{' (raw mosaic)' if index.mosaic else ''}"
        raise UsageError(
            "Enhancers do not fit the pairs",
            rule=f"the pairs go from {views} to {_bands(index.high_view.bands)} at x{index.scale}; {'; '.join(wrong)}",
            action="Leave these out, or register the pairs that they were trained for",
        )


def _misfit(upscaler: Upscaler, index: PairIndex) -> str | None:
    if upscaler.scale != index.scale:
        return f"enlarges x{upscaler.scale}"
    if upscaler.in_bands not in (None, index.low_view.bands):
        return f"takes {_bands(upscaler.in_bands)}"
    if upscaler.out_bands not in (None, index.high_view.bands):
        return f"gives {_bands(upscaler.out_bands)}"
    if isinstance(upscaler, NetworkUpscaler) and upscaler.enhancer.mosaic != index.mosaic:
        return "takes raw mosaics" if upscaler.enhancer.mosaic else "takes no raw mosaics"
    return None


def _was_trained_on_others(upscaler: NetworkUpscaler, index: PairIndex) -> bool:
    return (upscaler.enhancer.low_view, upscaler.enhancer.high_view) != (index.low_view, index.high_view)


def _bands(count: int | None) -> str:
    return "one band" if count == 1 else f"{count} bands"
