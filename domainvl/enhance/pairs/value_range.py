"""The range of values that a network sees as 0 to 1, per band, from the training pairs alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from domainvl.enhance.pairs.records import View
from domainvl.enhance.rasters import read_raster

_PERCENTILES = (0.1, 99.9)
_VALUES_PER_FILE = 20_000
_VALUES = 20_000_000
"""Of many files fewer values each are kept, so that they fit into memory: so many of a band in all."""


def measure_view(folder: Path, names: Sequence[str]) -> View:
    """Measure what the low or the high views of a set have in common.

    Of 8-bit views the range is that of the type; of others from the 0.1st to the 99.9th percentile of evenly spaced
    pixels, so that a few glints do not darken everything.

    Args:
        folder: The set of pairs.
        names: Files of the training split; all of one number of bands and one type.
    """
    first = read_raster(folder / names[0])
    dtype = first.dtype
    if dtype in (np.dtype(np.uint8), np.dtype(np.int8)):
        limits = np.iinfo(dtype)
        low, high = (float(limits.min),) * first.bands, (float(limits.max),) * first.bands
        return View(bands=first.bands, dtype=dtype.name, low=low, high=high)
    values = []
    per_file = max(1, min(_VALUES_PER_FILE, _VALUES // len(names)))
    for name in names:
        view = read_raster(folder / name)
        held = view.pixels[:, view.valid]
        # An odd step meets every colour of a mosaic; a copy lets the rest of the file go.
        values.append(held[:, :: max(1, held.shape[1] // per_file) | 1].copy())
    ends = np.percentile(np.concatenate(values, axis=1), _PERCENTILES, axis=1)
    low = tuple(float(value) for value in ends[0])
    # A band of one value alone still needs a range, one that float32 can tell from nothing.
    high = tuple(float(top if top > bottom else bottom + max(1.0, abs(bottom) / 1000)) for bottom, top in ends.T)
    return View(bands=first.bands, dtype=dtype.name, low=low, high=high)
