"""The pairs of a split in memory: read once, kept in the type of their files, handed out in the network's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.enhance.pairs.records import INDEX_NAME, PairRecord, PairSet, View
from domainvl.enhance.rasters import Mask, Pixels, Raster, to_dtype
from domainvl.enhance.resampling import enlarge_mask, fill_invalid, shrink
from domainvl.errors import DatasetError, NothingToDoError


@dataclass(frozen=True)
class Window:
    """A part of a pair, in the network's units.

    Attributes:
        low: (bands, rows, columns); where it is not valid, the nearest valid pixel's value.
        reference: (high bands, rows, columns), the high view shrunk to the low view's size; filled likewise.
        high: (high bands, scale * rows, scale * columns); filled likewise.
        valid: (scale * rows, scale * columns), true where both views are.
    """

    low: Pixels
    reference: Pixels
    high: Pixels
    valid: Mask


@dataclass(frozen=True)
class LoadedPair:
    """A pair in memory.

    Attributes:
        id: Its name.
        scale: High pixels a low pixel, along a side.
        low: (bands, rows, columns) as in the file; filled where it is not valid.
        high: (high bands, scale * rows, scale * columns), likewise.
        reference: The high view shrunk to the low view's size, in the units of the file, float32.
        valid: (scale * rows, scale * columns), true where both views are; None where all is.
        low_view: What becomes 0 and 1 of the low view.
        high_view: Likewise of the high view.
    """

    id: str
    scale: int
    low: npt.NDArray[Any]
    high: npt.NDArray[Any]
    reference: Pixels
    valid: Mask | None
    low_view: View
    high_view: View

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns of the low view."""
        return self.low.shape[1], self.low.shape[2]

    @property
    def held_bytes(self) -> int:
        """What it takes in memory."""
        mask = 0 if self.valid is None else self.valid.nbytes
        return self.low.nbytes + self.high.nbytes + self.reference.nbytes + mask

    def valid_share(self, row: int, column: int, size_px: int) -> float:
        """Return the share of a square's high pixels that are valid; the square is given in low pixels."""
        if self.valid is None:
            return 1.0
        rows, columns = self._high_slices(row, column, (size_px, size_px))
        return float(self.valid[rows, columns].mean())

    def window(self, row: int, column: int, size_px: tuple[int, int]) -> Window:
        """Cut a part out, given by its upper left corner and its size in low pixels."""
        inside = (slice(row, row + size_px[0]), slice(column, column + size_px[1]))
        high_inside = self._high_slices(row, column, size_px)
        high_rows, high_columns = high_inside
        valid = (
            np.ones((size_px[0] * self.scale, size_px[1] * self.scale), dtype=bool)
            if self.valid is None
            else self.valid[high_inside]
        )
        return Window(
            normalise(self.low[(slice(None), *inside)], self.low_view),
            normalise(self.reference[(slice(None), *inside)], self.high_view),
            normalise(self.high[:, high_rows, high_columns], self.high_view),
            valid,
        )

    def _high_slices(self, row: int, column: int, size_px: tuple[int, int]) -> tuple[slice, slice]:
        scale = self.scale
        return (
            slice(row * scale, (row + size_px[0]) * scale),
            slice(column * scale, (column + size_px[1]) * scale),
        )


@dataclass(frozen=True)
class LeftOut:
    """A pair that a run does not use.

    Attributes:
        id: Its name.
        reason: A code to count by.
        message: What is wrong with it.
    """

    id: str
    reason: str
    message: str


def normalise(pixels: npt.NDArray[Any], view: View) -> Pixels:
    """Bring values to the network's units: a view's low is 0, its high is 1. What lies beyond stays beyond.

    Args:
        pixels: (bands, rows, columns).
        view: The range of each band, none of them empty.
    """
    low, high = (np.asarray(limits, dtype=np.float32)[:, None, None] for limits in (view.low, view.high))
    return np.asarray((pixels.astype(np.float32) - low) / (high - low), dtype=np.float32)


def load_pairs(
    pairs: PairSet, records: Sequence[PairRecord], *, least_px: int
) -> tuple[list[LoadedPair], list[LeftOut]]:
    """Read pairs.

    Args:
        pairs: The set.
        records: Which of it.
        least_px: Rows and columns that a low view must have; smaller ones are left out.

    Raises:
        DatasetError: If a pair breaks the format.
        RasterError: If a file cannot be read.
    """
    loaded: list[LoadedPair] = []
    left_out: list[LeftOut] = []
    for record in records:
        low, high = pairs.read(record)
        if min(low.size_px) < least_px:
            rows, columns = low.size_px
            said = f"{record.id} has {rows} x {columns} low pixels, fewer than a crop's {least_px}"
            left_out.append(LeftOut(record.id, "smaller-than-crop", said))
            continue
        valid = high.valid & enlarge_mask(low.valid, pairs.index.scale)
        if not valid.any():
            said = f"{record.id} has no pixel that is valid in both views"
            left_out.append(LeftOut(record.id, "no-valid-pixels", said))
            continue
        loaded.append(_loaded(pairs, record, low, high, valid))
    return loaded, left_out


def check_ranges(pairs: PairSet) -> None:
    """Refuse views that cannot be brought to the network's units.

    Raises:
        DatasetError: Naming the band whose range is empty.
    """
    for name, view in (("low_view", pairs.index.low_view), ("high_view", pairs.index.high_view)):
        for band, (low, high) in enumerate(zip(view.low, view.high, strict=True), start=1):
            if not low < high:
                raise DatasetError(
                    "A band has no range of values",
                    where=pairs.folder / INDEX_NAME,
                    rule=f"{name}, band {band}: from {low:g} to {high:g}",
                    action="Leave that band out, and run domainvl enhance register anew",
                )


def refuse_none(loaded: Sequence[LoadedPair], left_out: Sequence[LeftOut], pairs: PairSet) -> None:
    """Refuse to train on nothing.

    Raises:
        NothingToDoError: If no pair is left, saying of the first why.
    """
    if loaded:
        return
    rule = f"none of its {len(left_out)} pairs can be used; {left_out[0].message}" if left_out else "it has no pairs"
    raise NothingToDoError(
        "Nothing to train on",
        where=pairs.folder,
        rule=rule,
        action="Use a smaller --crop-px, or register more pairs" if left_out else "Register pairs with a train split",
    )


def _loaded(pairs: PairSet, record: PairRecord, low: Raster, high: Raster, valid: Mask) -> LoadedPair:
    index = pairs.index
    small, small_valid = shrink(high.pixels, high.valid, index.scale)
    return LoadedPair(
        record.id,
        index.scale,
        to_dtype(fill_invalid(low.pixels, low.valid), low.dtype),
        to_dtype(fill_invalid(high.pixels, high.valid), high.dtype),
        fill_invalid(small, small_valid),
        None if valid.all() else valid,
        index.low_view,
        index.high_view,
    )
