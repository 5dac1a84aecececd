"""Parts of pairs to look at: the low view, every contestant's picture, and the truth, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainvl.enhance.rasters import Mask, Pixels

SIDE_PX = 160
"""Side of a part, in high pixels, where the pair is as large."""


@dataclass(frozen=True)
class Panel:
    """A part of one pair.

    Attributes:
        pair: Its id.
        group: Its scene.
        corner_px: Row and column of its upper left corner in the high view.
        tiles: Names with pictures of one size, (rows, columns, 3) in 8 bits; invalid pixels are grey.
    """

    pair: str
    group: str
    corner_px: tuple[int, int]
    tiles: tuple[tuple[str, npt.NDArray[np.uint8]], ...]


def richest_corner(truth: Pixels, valid: Mask, *, scale: int, border_px: int) -> tuple[int, int, int]:
    """Find the square with the most detail that lies within the border.

    Args:
        truth: (bands, rows, columns), normalised.
        valid: (rows, columns); squares that are not valid everywhere count for less.
        scale: Corner and side are multiples of it.
        border_px: Also a multiple.

    Returns:
        Row and column of its corner, and its side in high pixels.
    """
    inner = [side - 2 * border_px for side in valid.shape]
    side = min(SIDE_PX // scale * scale, *(length // scale * scale for length in inner))
    grey = truth.mean(axis=0)
    detail = np.zeros(valid.shape)
    detail[:-1, :-1] = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    sums = np.pad((detail * valid).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, columns = (np.arange(border_px, border_px + length - side + 1, scale) for length in inner)
    top, left = rows[:, None], columns[None, :]
    held = sums[top + side, left + side] - sums[top, left + side] - sums[top + side, left] + sums[top, left]
    row, column = np.unravel_index(int(held.argmax()), held.shape)
    return int(rows[row]), int(columns[column]), side


def make_panel(
    pair: str, group: str, corner_px: tuple[int, int, int], views: Mapping[str, Pixels], valid: Mask
) -> Panel:
    """Cut a part out of all pictures.

    Args:
        pair: Id of the pair.
        group: Its scene.
        corner_px: What :func:`richest_corner` found.
        views: Normalised pictures of the high view's size, by name.
        valid: (rows, columns).
    """
    row, column, side = corner_px
    part = np.s_[row : row + side, column : column + side]
    tiles = tuple((name, _shown(view[:, *part], valid[part])) for name, view in views.items())
    return Panel(pair, group, (row, column), tiles)


def _shown(pixels: Pixels, valid: Mask) -> npt.NDArray[np.uint8]:
    """Return 8-bit colours: the first three bands, or the first as grey where there are fewer."""
    colours = pixels[:3] if len(pixels) >= 3 else np.repeat(pixels[:1], 3, axis=0)
    shown = np.where(valid, np.clip(colours, 0.0, 1.0), 0.5)
    eight_bit: npt.NDArray[np.uint8] = np.rint(np.moveaxis(shown, 0, -1) * 255).astype(np.uint8)
    return eight_bit
