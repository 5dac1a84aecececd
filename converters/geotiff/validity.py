"""What a file itself says about its missing pixels.

By a mask of the whole file (an internal one, a ``.msk`` file, an alpha band), else by the nodata value of each band. A
value speaks of its band alone, so of some bands those pixels are missing where all of these have their values: black
land is not there because the near infrared, which nobody reads, sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

Mask: TypeAlias = npt.NDArray[np.bool_]
"""True where a pixel is valid, shape (height, width)."""


@dataclass(frozen=True)
class MaskPlane:
    """A plane that is above 0 where pixels are valid.

    Attributes:
        number: A band, from 1.
        is_alpha: Whether the band itself is the plane; else it is what GDAL calls the mask of the band.
    """

    number: int
    is_alpha: bool = False

    @property
    def source_band(self) -> str:
        """How a virtual raster names it (GDAL, VRT driver, SourceBand)."""
        return str(self.number) if self.is_alpha else f"mask,{self.number}"


def mask_planes(dataset: rasterio.DatasetReader, numbers: Sequence[int]) -> tuple[MaskPlane, ...]:
    """Return the planes that tell which pixels of some bands are valid: those that are above 0 in any of them.

    Args:
        dataset: The file.
        numbers: The bands, from 1.

    Returns:
        None where all pixels are valid.
    """
    flags = dataset.mask_flag_enums
    of_file = next((number for number in dataset.indexes if MaskFlags.per_dataset in flags[number - 1]), None)
    if of_file is not None:
        return (MaskPlane(of_file),)
    alpha = next((n for n in dataset.indexes if dataset.colorinterp[n - 1] is ColorInterp.alpha), None)
    if alpha is not None:  # of a file with a nodata value too, for which GDAL forgets the alpha band
        return (MaskPlane(alpha, is_alpha=True),)
    if any(MaskFlags.all_valid in flags[number - 1] for number in numbers):
        return ()
    return tuple(map(MaskPlane, dict.fromkeys(numbers)))


def read_mask(dataset: rasterio.DatasetReader, planes: Sequence[MaskPlane], window: Window) -> Mask:
    """Read which pixels of a window are valid."""
    if not planes:
        return np.ones((window.height, window.width), bool)
    if planes[0].is_alpha:
        return np.asarray(dataset.read(planes[0].number, window=window) > 0)
    masks = dataset.read_masks([plane.number for plane in planes], window=window)
    return np.asarray(masks.any(axis=0))
