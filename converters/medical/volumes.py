"""Several slices in one image: montages, and maximum-intensity projections of slabs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError

from .display import Pixels
from .pixel_map import PixelMap

_ROUNDING_MM = 1e-3
"""Positions are rounded by headers; a slice at a limit of a slab belongs to the next one."""


def montage(images: Sequence[Pixels]) -> tuple[Pixels, list[PixelMap]]:
    """Put images beside and below each other, from left to right and then down, in a grid that is nearly square.

    Args:
        images: Images of shape (h, w) or (h, w, 3), at least one. Smaller ones stand in the middle of their cell.

    Returns:
        The montage, black where there is no image and in colour if any of them is; and for each image the map from
        its pixels to those of the montage.
    """
    across = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / across)
    cell_h, cell_w = max(image.shape[0] for image in images), max(image.shape[1] for image in images)
    in_colour = any(image.ndim == 3 for image in images)
    size = (down * cell_h, across * cell_w)
    pixels = np.zeros((*size, 3) if in_colour else size, np.uint8)
    maps = []
    for number, image in enumerate(images):
        height, width = image.shape[:2]
        top = number // across * cell_h + (cell_h - height) // 2
        left = number % across * cell_w + (cell_w - width) // 2
        pixels[top : top + height, left : left + width] = (
            image[..., np.newaxis] if in_colour and image.ndim == 2 else image
        )
        maps.append(PixelMap.placing((left, top), (size[1], size[0])))
    return pixels, maps


class MaximumProjection:
    """The largest value along a slab, taken in slice by slice, so that the slab is never held."""

    def __init__(self) -> None:
        self._largest: npt.NDArray[np.float32] | None = None
        self.count = 0
        """Slices taken in."""

    def add(self, values: npt.NDArray[np.float32], background: npt.NDArray[np.bool_]) -> None:
        """Take in one slice.

        Args:
            values: Values in modality units, of shape (rows, columns).
            background: Pixels that show nothing, of the same shape; their values do not count.

        Raises:
            ItemError: If it has another size than the slices before it.
        """
        if self._largest is None:
            self._largest = np.full(values.shape, -np.inf, np.float32)
        if values.shape != self._largest.shape:
            raise ItemError(
                "Cannot project a slab",
                reason="size",
                rule=f"its slices have {self._largest.shape[1]}x{self._largest.shape[0]} and "
                f"{values.shape[1]}x{values.shape[0]} pixels",
                action="Convert it as single slices",
            )
        np.maximum(self._largest, values, out=self._largest, where=~background)
        self.count += 1

    def result(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return the largest values and where all slices were background; there the value is the least of the rest.

        Raises:
            ValueError: If no slice was taken in.
        """
        if self._largest is None:
            raise ValueError("a projection needs at least one slice")
        background = np.isneginf(self._largest)
        lowest = np.float32(0.0) if background.all() else self._largest[~background].min()
        return np.where(background, lowest, self._largest).astype(np.float32), background


def slabs(positions_mm: Sequence[float], slab_mm: float) -> list[list[int]]:
    """Divide a stack into slabs of equal thickness, from its first slice on; the last slab may be thinner.

    Args:
        positions_mm: Where each slice lies along the normal, in order, rising or falling.
        slab_mm: Thickness of a slab, above 0. A slice stands for what lies between it and the next one.

    Returns:
        The indices of each slab's slices, in order; slabs that hold no slice are left out.
    """
    found: dict[int, list[int]] = {}
    for index, place in enumerate(positions_mm):
        number = math.floor((abs(place - positions_mm[0]) + _ROUNDING_MM) / slab_mm)
        found.setdefault(number, []).append(index)
    return list(found.values())
