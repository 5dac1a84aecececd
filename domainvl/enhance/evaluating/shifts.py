"""How well two pictures agree at the best of small shifts, whatever their brightness.

Two views that two sensors took never lie exactly on each other, so that a plain difference punishes what is right and a
pixel aside. PROBA-V's score (Märtens et al. 2019, arXiv 1907.01733) takes the best of 49 shifts and removes the
difference in brightness over the clear pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from domainvl.enhance.rasters import Mask, Pixels

_Scalar = TypeVar("_Scalar", bound=np.generic)

MAX_SHIFT_PX = 3
"""Largest shift in high pixels: three make PROBA-V's 49 shifts."""


@dataclass(frozen=True)
class BestShift:
    """The shift at which a picture agrees best with the truth.

    Attributes:
        shift_px: Rows and columns; the picture's pixel ``p`` belongs to the truth's pixel ``p + shift_px``.
        error: Mean squared difference there, each band's mean difference removed.
    """

    shift_px: tuple[int, int]
    error: float


def moved(values: npt.NDArray[_Scalar], border_px: int, shift_px: tuple[int, int]) -> npt.NDArray[_Scalar]:
    """Return the interior of an array (..., rows, columns), moved: what lies ``shift_px`` from each of its pixels.

    Args:
        values: The array.
        border_px: What is left out at each edge; no component of the shift may be larger.
        shift_px: Rows and columns.
    """
    rows, columns = values.shape[-2:]
    row, column = border_px + shift_px[0], border_px + shift_px[1]
    return values[..., row : row + rows - 2 * border_px, column : column + columns - 2 * border_px]


def find_best_shift(
    picture: Pixels, truth: Pixels, valid: Mask, truth_valid: Mask, *, border_px: int, max_shift_px: int = MAX_SHIFT_PX
) -> BestShift | None:
    """Look for the shift at which a picture agrees best with the truth.

    The interior of the picture is compared with the truth at every whole shift of up to ``max_shift_px`` rows and
    columns, over the pixels that are valid in both there. PROBA-V has one band; here each band's mean difference is
    removed, as in allenai/satlas-super-resolution, ssr/metrics/cpsnr.py (which takes 81 shifts of every other pixel
    from -8 to 8). Of equally good shifts the shortest is taken.

    Args:
        picture: (bands, rows, columns), normalised; finite where it is not valid too.
        truth: The same of the truth.
        valid: (rows, columns), the picture's pixels that count.
        truth_valid: (rows, columns), the truth's.
        border_px: What is left out of the picture at each edge; at least ``max_shift_px``.
        max_shift_px: Largest component of a shift.

    Returns:
        The shift; None where no shift has a pixel that is valid in both.

    Raises:
        ValueError: If the border is smaller than the largest shift.
    """
    if border_px < max_shift_px:
        raise ValueError(f"the border must hold the largest shift, got {border_px} px for {max_shift_px} px")
    interior, clear = moved(picture, border_px, (0, 0)), moved(valid, border_px, (0, 0))
    whole = bool(valid.all() and truth_valid.all())
    room = np.empty(interior.shape, dtype=np.float32)
    best: BestShift | None = None
    for shift_px in _shifts(max_shift_px):
        np.subtract(interior, moved(truth, border_px, shift_px), out=room)
        count = clear.size
        if not whole:
            shared = clear & moved(truth_valid, border_px, shift_px)
            np.multiply(room, shared, out=room)
            count = int(shared.sum())
        if count == 0:
            continue
        error = _spread(room.reshape(len(room), -1), count)
        if best is None or error < best.error:
            best = BestShift(shift_px, error)
    return best


def _shifts(max_shift_px: int) -> list[tuple[int, int]]:
    steps = range(-max_shift_px, max_shift_px + 1)
    return sorted(((row, column) for row in steps for column in steps), key=lambda shift: (_length2(shift), shift))


def _length2(shift_px: tuple[int, int]) -> int:
    return shift_px[0] ** 2 + shift_px[1] ** 2


def _spread(differences: Pixels, count: int) -> float:
    """Return the mean over bands of the variance of differences (bands, pixels), of which ``count`` are not masked."""
    squares = np.array([band @ band for band in differences], dtype=np.float64)
    means = differences.sum(axis=1).astype(np.float64) / count
    return float(np.maximum(squares / count - means**2, 0.0).mean())
