"""Reads windows of an enlarged grid: the native pixels around a window are read, enlarged, and cut to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from .georeference import SceneGrid
from .products import Band
from .reading import Mask, WindowReader, intersection

Planes = list[npt.NDArray[Any]]
"""Stored values of some bands, each of shape (height, width)."""


class Enlarges(Protocol):
    """Enlarges native pixels."""

    overlap_px: int

    def enlarge(self, planes: Planes, valid: Mask) -> Planes:
        """Return the planes with ``scale`` times their rows and columns, of the types that they had.

        Args:
            planes: Stored values, each of shape (height, width).
            valid: Where they are valid; at least somewhere.
        """
        ...


class EnlargedReader:
    """Reads an enlarged grid with synthesised pixels.

    A window is the same whatever is read beside it: as many native pixels around it are read as decide it, up to the
    border of the scene. A pixel is valid where the native one is in which it lies.

    Args:
        native: Reads the native grid.
        grid: The enlarged grid.
        enlarger: Enlarges what is read.
    """

    def __init__(self, native: WindowReader, grid: SceneGrid, enlarger: Enlarges) -> None:
        self.grid = grid
        self._native = native
        self._enlarger = enlarger

    def read(self, bands: Sequence[Band], window: Window) -> tuple[Planes, Mask]:
        """Read one window.

        Args:
            bands: The bands.
            window: Columns and rows of the enlarged grid; what lies outside the grid is not valid.

        Raises:
            ItemError: If a block cannot be decoded.
        """
        return _read(self._native, self.grid, bands, window, self._enlarger.overlap_px, self._enlarge)

    def _enlarge(self, planes: Planes, valid: Mask) -> Planes:
        if not valid.any():
            return _repeat(planes, self.grid.scale)  # there is nothing that a pixel could be made of
        return self._enlarger.enlarge(planes, valid)


class RepeatedReader:
    """Reads an enlarged grid with each native pixel repeated: class numbers have nothing in between.

    Args:
        native: Reads the native grid.
        grid: The enlarged grid.
    """

    def __init__(self, native: WindowReader, grid: SceneGrid) -> None:
        self.grid = grid
        self._native = native

    def read(self, bands: Sequence[Band], window: Window) -> tuple[Planes, Mask]:
        """Read one window, see :meth:`EnlargedReader.read`."""
        scale = self.grid.scale
        return _read(self._native, self.grid, bands, window, 0, lambda planes, _: _repeat(planes, scale))


def _read(
    native: WindowReader,
    grid: SceneGrid,
    bands: Sequence[Band],
    window: Window,
    margin_px: int,
    enlarge: Callable[[Planes, Mask], Planes],
) -> tuple[Planes, Mask]:
    """Read the native pixels under a window with a margin, enlarge them, and cut out the window."""
    scale = grid.scale
    inside = intersection(window, Window(0, 0, grid.width_px, grid.height_px))
    low = _native_window(inside or Window(0, 0, scale, scale), scale, margin_px)
    source = grid.native or grid
    low = intersection(low, Window(0, 0, source.width_px, source.height_px)) or low
    planes, valid = native.read(bands, low)
    if inside is None:
        shape = (window.height, window.width)
        return [np.zeros(shape, plane.dtype) for plane in planes], np.zeros(shape, bool)
    part = _slices(inside, low.row_off * scale, low.col_off * scale)
    enlarged = [plane[part] for plane in enlarge(planes, valid)]
    enlarged_valid = _repeat([valid], scale)[0][part]
    if inside == window:
        return enlarged, enlarged_valid
    place = _slices(inside, window.row_off, window.col_off)
    return [_put(plane, place, window) for plane in enlarged], _put(enlarged_valid, place, window)


def _native_window(window: Window, scale: int, margin_px: int) -> Window:
    """Return the native pixels in which a window lies, with a margin."""
    left, top = window.col_off // scale - margin_px, window.row_off // scale - margin_px
    right = -(-(window.col_off + window.width) // scale) + margin_px
    bottom = -(-(window.row_off + window.height) // scale) + margin_px
    return Window(left, top, right - left, bottom - top)


def _slices(window: Window, first_row: int, first_column: int) -> tuple[slice, slice]:
    top, left = window.row_off - first_row, window.col_off - first_column
    return slice(top, top + window.height), slice(left, left + window.width)


def _put(plane: npt.NDArray[Any], place: tuple[slice, slice], window: Window) -> npt.NDArray[Any]:
    whole = np.zeros((window.height, window.width), plane.dtype)
    whole[place] = plane
    return whole


def _repeat(planes: Planes, scale: int) -> Planes:
    return [plane.repeat(scale, axis=0).repeat(scale, axis=1) for plane in planes]
