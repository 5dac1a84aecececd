"""The global affine transform between two views, refined from a shift.

Gauss-Newton on the grey planes from coarse to fine, with gain and offset of brightness fitted along; this is the
forwards additive step of Evangelidis and Psarakis 2008 ("Parametric image alignment using enhanced correlation
coefficient maximization"), whose measure does not change with brightness and contrast either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from domainvl.enhance.pairs.planes import Grey, Plane
from domainvl.enhance.pairs.shifts import Shift

_SIGMAS_PX = (4.0, 2.0, 1.0)
_ROUNDS = 25
_CLOSE_PX = 0.002
_LARGEST_STRETCH = 1.15
"""Two views of one place that were scaled to each other differ by less; more is a solution that ran away."""
_LARGEST_SIDE_PX = 1024
"""Larger views are looked at in blocks: millions of pixels more would not move six numbers."""
_LEAST_SHARED = 0.3
"""Share of the fixed view that must lie in the moving one."""


@dataclass(frozen=True)
class Affine:
    """Where a pixel of the fixed view lies in the moving one: ``linear @ p + shift_px``.

    Attributes:
        linear: Row-major 2 x 2.
        shift_px: Rows, columns.
    """

    linear: tuple[float, float, float, float]
    shift_px: Shift

    def places(self, rows: int, columns: int, scale: int = 1) -> npt.NDArray[np.float64]:
        """Return where a view's pixels lie in the other one; (2, rows x scale, columns x scale).

        Args:
            rows: Of the fixed view.
            columns: Of the fixed view.
            scale: How many times finer than the pixels of the transform both views are sampled.
        """
        fine = (np.mgrid[: rows * scale, : columns * scale] + 0.5) / scale - 0.5
        linear = np.array(self.linear).reshape(2, 2)
        there = np.tensordot(linear, fine, axes=1) + np.array(self.shift_px)[:, None, None]
        return np.asarray((there + 0.5) * scale - 0.5)

    def in_smaller_pixels(self, factor: int) -> Affine:
        """Return the same transform for pixels that are ``factor`` times smaller."""
        first = self.places(1, 1, factor)[:, 0, 0]
        return Affine(self.linear, (float(first[0]), float(first[1])))


def find_affine(fixed: Grey, moving: Grey, shift_px: Shift) -> Affine | None:
    """Find the affine transform near a shift.

    Args:
        fixed: A view.
        moving: The other, of pixels of the same size.
        shift_px: The shift between them, to about a pixel.

    Returns:
        The transform; None if it ran away, or the views share too little.
    """
    factor = -(-max(fixed.size_px) // _LARGEST_SIDE_PX)
    if factor > 1:
        found = find_affine(fixed.binned(factor), moving.binned(factor), (shift_px[0] / factor, shift_px[1] / factor))
        return None if found is None else found.in_smaller_pixels(factor)
    middle = (np.array(fixed.size_px) - 1) / 2
    # Around the middle: linear part and shift would otherwise pull at each other.
    parameters = np.array([1.0, 0.0, 0.0, 1.0, *shift_px])
    for sigma_px in _SIGMAS_PX:
        planes = tuple(ndimage.gaussian_filter(view.plane, sigma_px) for view in (fixed, moving))
        for _ in range(_ROUNDS):
            step = _step(planes[0], planes[1], fixed, moving, parameters, middle)
            if step is None:
                return None
            parameters = parameters + step
            if max(np.abs(step[:4]).max() * middle.max(), np.abs(step[4:]).max()) < _CLOSE_PX:
                break
    linear = parameters[:4].reshape(2, 2)
    stretches = np.linalg.svd(linear, compute_uv=False)
    if stretches.max() > _LARGEST_STRETCH or stretches.min() < 1 / _LARGEST_STRETCH:
        return None
    shift = parameters[4:] + middle - linear @ middle
    a, b, c, d = (float(part) for part in parameters[:4])
    return Affine((a, b, c, d), (float(shift[0]), float(shift[1])))


def _step(
    fixed_plane: Plane,
    moving_plane: Plane,
    fixed: Grey,
    moving: Grey,
    parameters: npt.NDArray[np.float64],
    middle: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64] | None:
    centred = np.mgrid[: fixed.size_px[0], : fixed.size_px[1]] - middle[:, None, None]
    places = np.tensordot(parameters[:4].reshape(2, 2), centred, axes=1) + (middle + parameters[4:])[:, None, None]
    inside = np.ones(fixed.size_px, bool)
    for axis in range(2):
        inside &= (places[axis] >= 1) & (places[axis] <= moving.size_px[axis] - 2)
    if not moving.valid.all():
        inside &= ndimage.map_coordinates(moving.valid.astype(float), places, order=1) > 0.99
    inside &= fixed.valid
    if inside.mean() < _LEAST_SHARED:
        return None
    where, away = places[:, inside], centred[:, inside]
    slopes = [ndimage.map_coordinates(slope, where, order=1) for slope in np.gradient(moving_plane)]
    values = ndimage.map_coordinates(moving_plane, where, order=3, mode="nearest")
    wanted = fixed_plane[inside]
    brightness = np.stack([values, np.ones_like(values)], axis=1)
    gain, offset = np.linalg.lstsq(brightness, wanted, rcond=None)[0]
    if gain <= 0:
        return None
    columns = [slopes[0] * away[0], slopes[0] * away[1], slopes[1] * away[0], slopes[1] * away[1], *slopes]
    columns = [column * gain for column in columns]
    system = np.column_stack([*columns, brightness])
    normal, target = system.T @ system, system.T @ (wanted - gain * values - offset)
    try:
        return np.asarray(np.linalg.solve(normal, target)[:6])
    except np.linalg.LinAlgError:  # nothing in the overlap has an edge
        return None
