"""Bicubic interpolation of a low view in the high view's bands: what every enhancer must be better than."""

from __future__ import annotations

import numpy as np

from domainvl.enhance.pairs.records import PairIndex, View
from domainvl.enhance.rasters import Mask, Pixels, Raster
from domainvl.enhance.resampling import enlarge
from domainvl.enhance.training.views import normalise

_COLOURS = ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1))
"""Of RGGB: band, and the row and column of the 2 x 2 square where it stands."""


def colours_of(low: Raster, index: PairIndex) -> Raster | None:
    """Return a low view in the high view's bands and the network's units, where 0 and 1 are the ends of its range.

    A raw mosaic is read as RGGB, and each colour interpolated from its neighbours; nothing balances its whites or bends
    its tones.

    Args:
        low: The low view.
        index: What the set of pairs says of its views.

    Returns:
        The view; None where the two views' bands are not of one kind.
    """
    if index.mosaic and index.high_view.bands == 3:
        pixels = _demosaic(normalise(low.pixels, index.low_view)[0], low.valid)
    elif low.bands == index.high_view.bands:
        pixels = normalise(low.pixels, index.low_view)
    else:
        return None
    pixels = np.where(low.valid, pixels, np.float32(0))
    return Raster(pixels, low.valid, np.dtype(np.float32))


def bicubic(low: Raster, index: PairIndex) -> Pixels | None:
    """Enlarge a low view.

    Args:
        low: The low view.
        index: What the set of pairs says of its views.

    Returns:
        The picture in the units of the high view's file, in its bands; None as :func:`colours_of`.
    """
    colours = colours_of(low, index)
    if colours is None:
        return None
    return in_file_units(enlarge(colours.pixels, colours.valid, index.scale), index.high_view)


def in_file_units(pixels: Pixels, view: View) -> Pixels:
    """Undo :func:`domainvl.enhance.training.views.normalise`, but for bands without a range.

    Args:
        pixels: (bands, rows, columns).
        view: The range of each band.
    """
    low, high = (np.asarray(limits, dtype=np.float32)[:, None, None] for limits in (view.low, view.high))
    return np.asarray(pixels * (high - low) + low, dtype=np.float32)


def _demosaic(mosaic: Pixels, valid: Mask) -> Pixels:
    from scipy.ndimage import convolve  # type: ignore[import-untyped]

    # Bilinear: half of each neighbour along a row or column, a quarter of each across.
    kernel = np.array([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]], dtype=np.float32)
    colours = np.zeros((3, *mosaic.shape), dtype=np.float32)
    for band in range(3):
        here = np.zeros(mosaic.shape, dtype=bool)
        for _, row, column in (place for place in _COLOURS if place[0] == band):
            here[row::2, column::2] = True
        seen = (here & valid).astype(np.float32)
        weight = convolve(seen, kernel, mode="mirror")
        mean = convolve(mosaic * seen, kernel, mode="mirror") / np.maximum(weight, 1e-6)
        colours[band] = np.where(here, mosaic, mean)
    return colours
