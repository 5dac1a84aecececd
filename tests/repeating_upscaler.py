"""An upscaler that repeats pixels: what it gives is known without a network."""

from __future__ import annotations

import numpy as np

from domainvl.enhance.rasters import Pixels, Raster
from domainvl.errors import UsageError


class RepeatingUpscaler:
    """Enlarges to the nearest pixel.

    Args:
        scale: How many times the rows and columns.
        in_bands: Bands that it takes; None for any.
        out_bands: Bands that it gives; the first of the input is repeated where they are more. None for the input's.
        takes_reference: Whether it takes a reference; its output is then the reference's pixels.
        offset: What it adds to each value.
    """

    def __init__(
        self,
        scale: int = 2,
        *,
        in_bands: int | None = None,
        out_bands: int | None = None,
        takes_reference: bool = False,
        offset: float = 0.0,
    ) -> None:
        self.name = f"repeating-x{scale}"
        self.scale = scale
        self.in_bands = in_bands
        self.out_bands = out_bands
        self.takes_reference = takes_reference
        self.overlap_px = 1
        self.offset = offset
        self.seen: list[tuple[int, int]] = []
        """Rows and columns of each raster that it was given."""

    def upscale(self, low: Raster, *, reference: Raster | None = None) -> Pixels:
        self.seen.append(low.size_px)
        pixels = low.pixels if reference is None else reference.pixels
        if self.out_bands is not None and self.out_bands != len(pixels):
            pixels = np.repeat(pixels[:1], self.out_bands, axis=0)
        return pixels.repeat(self.scale, axis=1).repeat(self.scale, axis=2) + np.float32(self.offset)

    def own_colours(self, low: Raster) -> Raster:
        if not self.takes_reference:
            raise UsageError("No reference can be given", rule="it takes none")
        return low
