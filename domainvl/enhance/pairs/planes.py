"""What two views are compared by: one grey plane each, its gradients, and how alike these are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from domainvl.enhance.rasters import Mask, Raster
from domainvl.enhance.resampling import shrink

Plane = npt.NDArray[np.float64]
"""(rows, columns)."""

LEAST_OVERLAP_PX = 16
"""Views that share fewer rows or columns than this cannot be compared."""

_GRADIENT_SIGMA_PX = 1.0


@dataclass(frozen=True)
class Grey:
    """A view as one plane.

    Attributes:
        plane: Mean of its bands, each of mean 0 and deviation 1; 0 where it is not valid.
        valid: Where it is valid.
    """

    plane: Plane
    valid: Mask

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.valid.shape[0], self.valid.shape[1]

    def crop(self, row: int, column: int, rows: int, columns: int) -> Grey:
        """Return a part of it, given by its upper left corner and its size in pixels."""
        inside = (slice(row, row + rows), slice(column, column + columns))
        return Grey(self.plane[inside], self.valid[inside])

    def binned(self, factor: int) -> Grey:
        """Return it with blocks of ``factor`` x ``factor`` pixels averaged; a block is valid if half of it is."""
        rows, columns = (side // factor for side in self.size_px)
        blocks = (rows, factor, columns, factor)
        used = (slice(rows * factor), slice(columns * factor))
        share = self.valid[used].reshape(blocks).mean(axis=(1, 3))
        mean = self.plane[used].reshape(blocks).mean(axis=(1, 3)) / np.maximum(share, 1e-9)
        return Grey(np.where(share >= 0.5, mean, 0.0), share >= 0.5)

    def gradient(self) -> npt.NDArray[np.complex128]:
        """Return its gradient, down the rows as real and along the columns as imaginary part; 0 beside gaps."""
        down = ndimage.gaussian_filter(self.plane, _GRADIENT_SIGMA_PX, order=(1, 0))
        along = ndimage.gaussian_filter(self.plane, _GRADIENT_SIGMA_PX, order=(0, 1))
        return np.where(self.inner(), down + 1j * along, 0.0)

    def inner(self) -> Mask:
        """Return where the gradient is made of valid pixels alone."""
        if self.valid.all():
            return self.valid
        return np.asarray(ndimage.binary_erosion(self.valid, iterations=3, border_value=1))


def to_grey(view: Raster, *, mosaic: bool = False) -> Grey:
    """Reduce a view to one plane.

    Args:
        view: Of any number of bands.
        mosaic: Its one band holds colours by turns of 2 x 2; a symmetric filter takes each colour to the same share.
    """
    plane = np.zeros(view.size_px)
    for band in view.pixels.astype(np.float64):
        held = band[view.valid]
        deviation = held.std() if held.size else 0.0
        if deviation > 0:
            plane += np.where(view.valid, (band - held.mean()) / deviation, 0.0)
    plane /= view.bands
    if not mosaic:
        return Grey(plane, view.valid)
    weight = _mosaic_mean(view.valid.astype(np.float64))
    mean = _mosaic_mean(plane) / np.maximum(weight, 1e-9)
    return Grey(np.where(view.valid, mean, 0.0), view.valid)


def shrunk_grey(view: Raster, scale: int) -> Grey:
    """Reduce a high view to one plane at the low one's size.

    Args:
        view: Of rows and columns that are multiples of the scale.
        scale: How many times smaller.
    """
    pixels, valid = shrink(view.pixels, view.valid, scale)
    return to_grey(Raster(pixels, valid, view.dtype))


def _mosaic_mean(plane: Plane) -> Plane:
    kernel = np.array([0.25, 0.5, 0.25])
    return np.asarray(ndimage.convolve1d(ndimage.convolve1d(plane, kernel, axis=0), kernel, axis=1))


def similarity(fixed: Grey, moving: Grey) -> float:
    """Return the correlation of two views' gradients where both are valid, -1 to 1; 0 where nothing can be compared.

    Both gradients' parts enter without their means taken out, for edges of opposite directions balance anyway.
    """
    shared = fixed.inner() & moving.inner()
    ours, theirs = fixed.gradient()[shared], moving.gradient()[shared]
    power = float(np.sqrt((np.abs(ours) ** 2).sum() * (np.abs(theirs) ** 2).sum()))
    return float((ours * theirs.conj()).real.sum()) / power if power > 0 else 0.0


def overlap(fixed: Grey, moving: Grey, shift_px: tuple[float, float]) -> tuple[Grey, Grey] | None:
    """Cut out what two views share, with the moving one resampled onto the fixed one's pixels.

    Args:
        fixed: Its pixel p shows what the moving one shows at p + shift.
        moving: Of any size.
        shift_px: Rows, columns.

    Returns:
        Two views of one size; None if they share less than :data:`LEAST_OVERLAP_PX` rows or columns.
    """
    whole = [int(np.floor(part + 0.5)) for part in shift_px]
    first = [max(0, -part) for part in whole]
    last = [min(f, m - part) for f, m, part in zip(fixed.size_px, moving.size_px, whole, strict=True)]
    rows, columns = (end - start for start, end in zip(first, last, strict=True))
    if min(rows, columns) < LEAST_OVERLAP_PX:
        return None
    ours = fixed.crop(first[0], first[1], rows, columns)
    theirs = moving.crop(first[0] + whole[0], first[1] + whole[1], rows, columns)
    rest = [part - step for part, step in zip(shift_px, whole, strict=True)]
    if any(abs(part) > 1e-6 for part in rest):
        plane = ndimage.shift(theirs.plane, [-part for part in rest], order=3, mode="nearest")
        theirs = Grey(plane, theirs.valid if theirs.valid.all() else np.asarray(ndimage.binary_erosion(theirs.valid)))
    return ours, theirs
