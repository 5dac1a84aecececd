"""PSNR, shift-tolerant PSNR and SSIM of a picture against the truth, over valid pixels only.

All pictures are normalised: 0 and 1 are the ends of the high view's range, band by band, so that the peak is 1.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from domainvl.enhance.evaluating.shifts import BestShift
from domainvl.enhance.rasters import Mask, Pixels

LEAST_ERROR = 1e-10
"""Mean squared errors below it count as this: 100 dB is the highest PSNR, so that means of figures stay finite."""

SSIM_SIDE_PX = 11
SSIM_SIGMA_PX = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""Window and constants of Wang et al., Image Quality Assessment, IEEE TIP 13 (2004), section III-C."""


def decibels(error: float) -> float:
    """Return the PSNR in dB of a mean squared error, for a peak of 1."""
    return -10.0 * math.log10(max(error, LEAST_ERROR))


def psnr_db(picture: Pixels, truth: Pixels, valid: Mask) -> float:
    """Return the PSNR over valid pixels, all bands together.

    Args:
        picture: (bands, rows, columns), normalised.
        truth: The same of the truth.
        valid: (rows, columns); at least one pixel must be.
    """
    differences = (picture - truth)[:, valid]
    return decibels(float(np.square(differences, out=differences).mean(dtype=np.float64)))


def cpsnr_db(best: BestShift) -> float:
    """Return PROBA-V's shift- and brightness-tolerant PSNR, see :func:`.shifts.find_best_shift`."""
    return decibels(best.error)


class Similarity:
    """SSIM against one truth; what depends on the truth alone is computed once for all pictures.

    The window is a Gaussian of 11 x 11 pixels with a sigma of 1.5 pixels. Windows with an invalid pixel, and those that
    reach over the edge, do not count. The SSIM of several bands is the mean of theirs.

    Args:
        truth: (bands, rows, columns), normalised.
        valid: (rows, columns).
        border_px: Windows whose centre is nearer to the edge do not count either.
    """

    def __init__(self, truth: Pixels, valid: Mask, *, border_px: int) -> None:
        from scipy.ndimage import minimum_filter  # type: ignore[import-untyped]

        inside = np.zeros_like(valid)
        inside[border_px : len(valid) - border_px, border_px : valid.shape[1] - border_px] = True
        whole = minimum_filter(valid.astype(np.uint8), SSIM_SIDE_PX, mode="constant", cval=0).astype(bool)
        self._counted: Mask = whole & inside
        self._truth = truth
        self._means = [_blur(band) for band in truth]
        self._variances = [_blur(band * band) - mean * mean for band, mean in zip(truth, self._means, strict=True)]

    def of(self, picture: Pixels) -> float | None:
        """Return the SSIM of a picture of the truth's shape; None where no window is valid."""
        if not self._counted.any():
            return None
        bands = zip(picture, self._truth, self._means, self._variances, strict=True)
        return float(np.mean([self._of_band(*band) for band in bands]))

    def _of_band(self, band: Pixels, truth: Pixels, truth_mean: Pixels, truth_variance: Pixels) -> float:
        mean = _blur(band)
        variance = _blur(band * band) - mean * mean
        covariance = _blur(band * truth) - mean * truth_mean
        c1, c2 = SSIM_K1**2, SSIM_K2**2
        likeness = (2 * mean * truth_mean + c1) * (2 * covariance + c2)
        likeness /= (mean**2 + truth_mean**2 + c1) * (variance + truth_variance + c2)
        return float(likeness[self._counted].mean(dtype=np.float64))


def _window() -> npt.NDArray[np.float64]:
    places = np.arange(SSIM_SIDE_PX) - SSIM_SIDE_PX // 2
    weights = np.exp(-(places**2) / (2 * SSIM_SIGMA_PX**2))
    window: npt.NDArray[np.float64] = weights / weights.sum()
    return window


def _blur(band: Pixels) -> Pixels:
    from scipy.ndimage import correlate1d

    window = _window()
    along_rows = correlate1d(band, window, axis=0)
    blurred: Pixels = correlate1d(along_rows, window, axis=1)
    return blurred
