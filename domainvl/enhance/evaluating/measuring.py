"""All figures of one pair: each contestant's picture against the high view, the truth, and the low view.

The border of eight low pixels is left out of every picture alike: there a network sees less than it was trained on.
Pixels that are not valid in the low or the high view never count. A picture is measured as a file would hold it, in the
high view's type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from domainvl.enhance.evaluating.baseline import bicubic, colours_of
from domainvl.enhance.evaluating.lpips import Lpips
from domainvl.enhance.evaluating.metrics import Similarity, cpsnr_db, psnr_db
from domainvl.enhance.evaluating.opensr import match_histogram, measure_correctness, spectral_angle_deg, synthesis
from domainvl.enhance.evaluating.results import Figures
from domainvl.enhance.evaluating.shifts import find_best_shift, moved
from domainvl.enhance.pairs.planes import LEAST_OVERLAP_PX, Grey, to_grey
from domainvl.enhance.pairs.records import PairIndex
from domainvl.enhance.pairs.shifts import refine_shift
from domainvl.enhance.rasters import Mask, Pixels, Raster, to_dtype
from domainvl.enhance.resampling import enlarge, enlarge_mask, fill_invalid, shrink
from domainvl.enhance.training.views import normalise

BORDER_LOW_PX = 8
"""Low pixels at each edge that do not count."""

_SHIFT_ROUNDS = 3

_Scalar = TypeVar("_Scalar", bound=np.generic)


class TooSmallError(ValueError):
    """Nothing is left of a pair without its border."""


class NothingValidError(ValueError):
    """No pixel of a pair is valid in both views, its border left out."""


class Scene:
    """One pair, with what all contestants are measured by.

    Args:
        low: The low view.
        high: The high view.
        index: What the set of pairs says of its views.
        lpips: Measures LPIPS; None leaves it out.

    Attributes:
        border_px: High pixels at each edge that do not count.
        valid: (rows, columns), which high pixels are valid in both views.
        truth: The high view, normalised; filled where it is not valid.
        enlarged: The low view by bicubic interpolation, normalised.

    Raises:
        TooSmallError: If nothing is left without the border.
        NothingValidError: If no pixel is valid in both views.
    """

    def __init__(self, low: Raster, high: Raster, index: PairIndex, *, lpips: Lpips | None = None) -> None:
        self._index, self._lpips, self._dtype = index, lpips, high.dtype
        self.border_px = BORDER_LOW_PX * index.scale
        if min(low.size_px) <= 2 * BORDER_LOW_PX:
            raise TooSmallError(
                f"{low.size_px[0]} x {low.size_px[1]} low pixels, more than {2 * BORDER_LOW_PX} are needed"
            )
        self._low_valid: Mask = enlarge_mask(low.valid, index.scale)
        self._high_valid = high.valid
        self.valid = self._low_valid & high.valid
        self._counted = self._inside(self.valid)
        if not self._counted.any():
            raise NothingValidError("no pixel is valid in both views")
        self.truth = fill_invalid(normalise(high.pixels, index.high_view), high.valid)
        self._similarity = Similarity(self.truth, self.valid, border_px=self.border_px)
        self._low = self._low_reference(low, high)
        self._low_grey = _grey(self._low)
        enlarged = bicubic(low, index)
        self.enlarged = (
            enlarge(self._low.pixels, self._low.valid, index.scale) if enlarged is None else self.normalised(enlarged)
        )
        self._enlarged_shift = self._shift_of(self.enlarged)[0]

    def normalised(self, picture: Pixels) -> Pixels:
        """Return a picture in the network's units, rounded and clipped to what the high view's type can hold."""
        return normalise(to_dtype(picture, self._dtype), self._index.high_view)

    def low_pixelated(self) -> Pixels:
        """Return the low view, or what stands for it, with each pixel repeated to the high view's size."""
        scale = self._index.scale
        return np.asarray(self._low.pixels.repeat(scale, axis=1).repeat(scale, axis=2))

    def measure(self, picture: Pixels) -> Figures:
        """Measure a picture.

        Args:
            picture: (high bands, rows, columns) of the high view, in the units of its file, finite everywhere.
        """
        seen = self.normalised(picture)
        shift_px, cpsnr = self._shift_of(seen)
        inside, truth = self._inside(seen), self._inside(self.truth)
        values: dict[str, float | None] = {
            "psnr_db": psnr_db(inside, truth, self._counted),
            "ssim": self._similarity.of(seen),
            "cpsnr_db": cpsnr,
            **self._consistency(seen),
            **self._added(seen, shift_px),
        }
        if self._lpips is not None:
            values["lpips"] = self._lpips.of(inside, truth, self._counted)
        return Figures(values, shift_px)

    def _inside(self, values: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        return moved(values, self.border_px, (0, 0))

    def _shift_of(self, seen: Pixels) -> tuple[tuple[int, int], float | None]:
        best = find_best_shift(seen, self.truth, self._low_valid, self._high_valid, border_px=self.border_px)
        return ((0, 0), None) if best is None else (best.shift_px, cpsnr_db(best))

    def _low_reference(self, low: Raster, high: Raster) -> Raster:
        """Return what pictures must be consistent with: the low view, or the shrunk high view where bands differ."""
        if not self._index.mosaic and (colours := colours_of(low, self._index)) is not None:
            return colours
        pixels, valid = shrink(normalise(high.pixels, self._index.high_view), high.valid, self._index.scale)
        return Raster(np.where(valid, pixels, np.float32(0)), valid & low.valid, np.dtype(np.float32))

    def _consistency(self, seen: Pixels) -> Mapping[str, float | None]:
        small, _ = shrink(seen, np.ones(seen.shape[1:], dtype=bool), self._index.scale)
        inner = slice(BORDER_LOW_PX, -BORDER_LOW_PX), slice(BORDER_LOW_PX, -BORDER_LOW_PX)
        shown, low = small[:, *inner], self._low.pixels[:, *inner]
        valid = self._low.valid[inner]
        if not valid.any():
            return {}
        return {
            "reflectance": float(np.abs(shown - low)[:, valid].mean(dtype=np.float64)),
            "spectral_deg": spectral_angle_deg(np.maximum(shown, 0), np.maximum(low, 0), valid),
            "spatial_px": self._spatial_px(small),
        }

    def _spatial_px(self, small: Pixels) -> float | None:
        shown = _grey(Raster(np.where(self._low.valid, small, np.float32(0)), self._low.valid, np.dtype(np.float32)))
        flat = not (shown.plane.any() and self._low_grey.plane.any())
        if flat or min(shown.size_px) < LEAST_OVERLAP_PX:
            return None
        return float(np.hypot(*refine_shift(self._low_grey, shown, (0.0, 0.0), rounds=_SHIFT_ROUNDS)))

    def _added(self, seen: Pixels, shift_px: tuple[int, int]) -> Mapping[str, float | None]:
        """Measure what a picture adds: it and the enlarged low view are shifted and matched to the truth alike."""
        truth = self._inside(self.truth)
        back = [(-shift[0], -shift[1]) for shift in (shift_px, self._enlarged_shift)]
        valid = self._inside(self._high_valid)
        for shift in back:
            valid = valid & moved(self._low_valid, self.border_px, shift)
        if not valid.any():
            return {}
        picture, enlarged = (
            np.maximum(match_histogram(moved(view, self.border_px, shift), truth, valid), 0)
            for view, shift in zip((seen, self.enlarged), back, strict=True)
        )
        shares = measure_correctness(picture, enlarged, np.maximum(truth, 0), valid)
        values: dict[str, float | None] = {"synthesis": synthesis(picture, enlarged, valid)}
        if shares is not None:
            values |= {
                "improvement": shares.improvement,
                "omission": shares.omission,
                "hallucination": shares.hallucination,
            }
        return values


def _grey(view: Raster) -> Grey:
    inner = view.crop(
        BORDER_LOW_PX, BORDER_LOW_PX, view.size_px[0] - 2 * BORDER_LOW_PX, view.size_px[1] - 2 * BORDER_LOW_PX
    )
    return to_grey(inner)
