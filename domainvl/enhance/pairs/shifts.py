"""The global shift between two views, to a few hundredths of a pixel.

Phase correlation of the windowed gradients finds the whole pixels; the cross-correlation of what both views share is
then evaluated by a matrix product between the pixels (Guizar-Sicairos, Thurman and Fienup 2008, "Efficient subpixel
image registration algorithms"), again with the moving view resampled until nothing is left. Looking only at what is
shared keeps the window, which both views have in the same place, from drawing the answer to zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft  # type: ignore[import-untyped]

from domainvl.enhance.pairs.planes import LEAST_OVERLAP_PX, Grey, overlap, similarity

Shift = tuple[float, float]
"""(rows, columns)."""

_COARSE_SIDE_PX = 512
"""Larger views are looked at in blocks first."""
_FINE_SIDE_PX = 2048
"""Of larger views the middle decides the last pixel."""
_PEAKS = 5
_LEAST_SHARED = 0.4
"""Rows and columns that both views must share, of the smaller one's: in small corners anything matches by chance."""
_ROUNDS = 8
_CLOSE_PX = 0.002
_WHITENING = 0.5
"""How far amplitudes are evened out before the fine peak is looked for: 0 correlates, 1 leaves the phase alone."""


def find_shift(fixed: Grey, moving: Grey, *, largest_px: float | None = None) -> Shift | None:
    """Find where the fixed view lies in the moving one.

    Args:
        fixed: At least :data:`~domainvl.enhance.pairs.planes.LEAST_OVERLAP_PX` rows and columns.
        moving: Of pixels of the same size.
        largest_px: Shifts with a larger component are not looked at.

    Returns:
        The shift s for which ``fixed(p)`` is ``moving(p + s)``; None if the views share too little to tell.
    """
    factor = -(-max(fixed.size_px) // _COARSE_SIDE_PX)
    # Of a narrow view enough must be left to compare.
    factor = max(1, min(factor, min(*fixed.size_px, *moving.size_px) // (2 * LEAST_OVERLAP_PX)))
    found = _whole_shift(
        fixed.binned(factor), moving.binned(factor), None if largest_px is None else largest_px / factor
    )
    if found is None:
        return None
    shift = (found[0] * factor, found[1] * factor)
    while factor > 1:  # block by block down to single pixels
        factor = max(1, factor // 2)
        nearer = refine_shift(
            fixed.binned(factor), moving.binned(factor), (shift[0] / factor, shift[1] / factor), reach_px=3.0, rounds=2
        )
        shift = (nearer[0] * factor, nearer[1] * factor)
    return refine_shift(fixed, moving, shift)


def refine_shift(fixed: Grey, moving: Grey, shift_px: Shift, *, reach_px: float = 1.5, rounds: int = _ROUNDS) -> Shift:
    """Find the shift near one that is known to about a pixel.

    Args:
        fixed: A view.
        moving: The other.
        shift_px: Where to start.
        reach_px: How far from there a round looks.
        rounds: At most so many.
    """
    fixed, moving = _middle(fixed, moving, shift_px)
    for _ in range(rounds):
        shared = overlap(fixed, moving, shift_px)
        if shared is None:
            return shift_px
        step = _peak_between_pixels(_cross_power(*shared, whitening=_WHITENING), reach_px)
        shift_px = (shift_px[0] + step[0], shift_px[1] + step[1])
        if max(abs(step[0]), abs(step[1])) < _CLOSE_PX:
            break
    return shift_px


def _middle(fixed: Grey, moving: Grey, shift_px: Shift) -> tuple[Grey, Grey]:
    """Cut what is too large down to the middle of what both share; the shift between the parts stays what it was."""
    shared = [
        min(f, m - round(s)) - max(0, -round(s))
        for f, m, s in zip(fixed.size_px, moving.size_px, shift_px, strict=True)
    ]
    if max(shared) <= _FINE_SIDE_PX:
        return fixed, moving
    corner = [max(0, -round(s)) + max(0, side - _FINE_SIDE_PX) // 2 for s, side in zip(shift_px, shared, strict=True)]
    size = [min(side, _FINE_SIDE_PX) for side in shared]
    # Both are cut at the same place, so that the shift stays; what they share then is smaller by the shift.
    return fixed.crop(*corner, *size), moving.crop(*corner, *size)


def _whole_shift(fixed: Grey, moving: Grey, largest_px: float | None) -> Shift | None:
    """Try the strongest peaks of the phase correlation, each with the ways it may have wrapped around."""
    size = [max(sides) for sides in zip(fixed.size_px, moving.size_px, strict=True)]
    correlation = fft.ifft2(_cross_power(_pad(fixed, size), _pad(moving, size), whitening=1.0)).real
    best: tuple[float, Shift] | None = None
    for _ in range(_PEAKS):
        row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
        for down in (-int(row), size[0] - int(row)):
            for along in (-int(column), size[1] - int(column)):
                shift = (float(down), float(along))
                if largest_px is not None and max(abs(down), abs(along)) > largest_px + 1:
                    continue
                alike = _similarity_at(fixed, moving, shift)
                if alike is not None and (best is None or alike > best[0]):
                    best = (alike, shift)
        _wipe(correlation, int(row), int(column))
    return None if best is None else best[1]


def _similarity_at(fixed: Grey, moving: Grey, shift: Shift) -> float | None:
    """Return how alike two views are at a shift; None where they share too little to tell."""
    shared = overlap(fixed, moving, shift)
    if shared is None:
        return None
    smaller = [min(sides) for sides in zip(fixed.size_px, moving.size_px, strict=True)]
    if any(part < _LEAST_SHARED * side for part, side in zip(shared[0].size_px, smaller, strict=True)):
        return None
    return similarity(*shared)


def _wipe(correlation: npt.NDArray[np.float64], row: int, column: int) -> None:
    rows = np.arange(row - 1, row + 2) % correlation.shape[0]
    columns = np.arange(column - 1, column + 2) % correlation.shape[1]
    correlation[np.ix_(rows, columns)] = -np.inf


def _pad(view: Grey, size: list[int]) -> Grey:
    missing = [(0, side - own) for side, own in zip(size, view.size_px, strict=True)]
    return Grey(np.pad(view.plane, missing), np.pad(view.valid, missing))


def _cross_power(fixed: Grey, moving: Grey, *, whitening: float) -> npt.NDArray[np.complex128]:
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in fixed.size_px))
    power = fft.fft2(fixed.gradient() * window) * fft.fft2(moving.gradient() * window).conj()
    amplitude = np.abs(power)
    return np.asarray(power / (amplitude + 1e-6 * amplitude.max() + 1e-300) ** whitening)


def _peak_between_pixels(power: npt.NDArray[np.complex128], reach_px: float) -> Shift:
    """Return the shift whose correlation is highest within reach of zero, to thousandths of a pixel."""
    waves = [fft.fftfreq(side) for side in power.shape]
    shift, step_px = (0.0, 0.0), reach_px / 10
    while step_px > 0.0005:
        down, along = (part + step_px * np.arange(-10, 11) for part in shift)
        left = np.exp(-2j * np.pi * np.outer(down, waves[0]))
        right = np.exp(-2j * np.pi * np.outer(waves[1], along))
        heights = (left @ power @ right).real
        row, column = np.unravel_index(int(heights.argmax()), heights.shape)
        shift, step_px = (float(down[row]), float(along[column])), step_px / 10
    return shift
