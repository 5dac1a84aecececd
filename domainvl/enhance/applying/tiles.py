"""Which windows of a picture are enlarged one after the other, and how neighbours are blended where they overlap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Span:
    """A stretch of rows or columns, in pixels: from ``start`` up to, not including, ``stop``."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many pixels."""
        return self.stop - self.start

    def grown(self, margin_px: int, limit_px: int) -> Span:
        """Return it with a margin at both ends, within 0 and a limit."""
        return Span(max(self.start - margin_px, 0), min(self.stop + margin_px, limit_px))

    def within(self, outer: Span) -> Span:
        """Return it counted from the start of another."""
        return Span(self.start - outer.start, self.stop - outer.start)

    def times(self, scale: int) -> Span:
        """Return it in pixels that are ``scale`` times as small."""
        return Span(self.start * scale, self.stop * scale)

    @property
    def slice(self) -> slice:
        """It as an index."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    rows: Span
    columns: Span

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.length, self.columns.length

    @property
    def index(self) -> tuple[slice, slice]:
        """It as an index of rows and columns."""
        return self.rows.slice, self.columns.slice

    def grown(self, margin_px: int, size_px: tuple[int, int]) -> Box:
        """Return it with a margin all around, within a picture's size."""
        return Box(self.rows.grown(margin_px, size_px[0]), self.columns.grown(margin_px, size_px[1]))

    def within(self, outer: Box) -> Box:
        """Return it counted from the upper left corner of another."""
        return Box(self.rows.within(outer.rows), self.columns.within(outer.columns))

    def times(self, scale: int) -> Box:
        """Return it in pixels that are ``scale`` times as small."""
        return Box(self.rows.times(scale), self.columns.times(scale))


def even_spans(length_px: int, tile_px: int) -> list[Span]:
    """Cut a length into spans of nearly equal length, none longer than a tile and none shorter than half of one."""
    count = math.ceil(length_px / tile_px)
    edges = [length_px * number // count for number in range(count + 1)]
    return [Span(start, stop) for start, stop in itertools.pairwise(edges)]


def full_spans(length_px: int, tile_px: int) -> list[Span]:
    """Cut a length into spans of the length of a tile and what is left; so that tiles end where blocks of a file do."""
    return [Span(start, min(start + tile_px, length_px)) for start in range(0, length_px, tile_px)]


def boxes(rows: list[Span], columns: list[Span]) -> Iterator[Box]:
    """Return the tiles of spans, row by row."""
    return (Box(row, column) for row in rows for column in columns)


def fade(core: Span, blend_px: int, limit_px: int, scale: int) -> npt.NDArray[np.float32]:
    """Return the weight of a tile along one axis: a raised cosine across each border that it shares with a neighbour.

    The weights of two neighbours add up to 1 everywhere: ``(1 - cos(pi t)) / 2`` rises from 0 to 1 while the other
    falls, ``t`` going from 0 to 1 over the ``2 * blend_px`` pixels around the border.

    Args:
        core: What is the tile's own.
        blend_px: How far the tile reaches beyond its own and the neighbour into it, in pixels of the input.
        limit_px: Length of the picture; its ends are no borders.
        scale: How many times smaller the pixels of the output are.

    Returns:
        One weight for each output pixel of ``core.grown(blend_px, limit_px)``.
    """
    width = 2 * blend_px * scale
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / max(width, 1))).astype(np.float32)
    weights = np.ones(core.grown(blend_px, limit_px).length * scale, np.float32)
    if core.start > 0:
        weights[:width] *= rise
    if core.stop < limit_px:
        weights[len(weights) - width :] *= np.float32(1) - rise
    return weights
