"""What a picture adds to its low view, and whether it is there: the measures of opensr-test.

Aybar et al., A Comprehensive Benchmark for Optical Remote Sensing Image Super-Resolution, IEEE GRSL 21 (2024), as
ESAOpenSR/opensr-test 1.3.3 computes them: the formulas of correctness.py and distance.py, the constants of config.py.
Where pairs come from two sensors the package's data were harmonised beforehand; here :func:`match_histogram` and the
best shift do it, to the picture and to the enlarged low view alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domainvl.enhance.rasters import Mask, Pixels

IMPROVEMENT_RATE = OMISSION_RATE = HALLUCINATION_RATE = 0.05
"""``im_score``, ``om_score`` and ``ha_score`` of config.py; before they had these names they were 0.8, 0.8 and 0.4."""
TEMPERATURE = 0.25
"""``correctness_temperature`` of config.py, of the softmin."""
GRADIENT_QUANTILE = 0.75
"""``auto75`` of main.py: pixels where no distance is above this quantile of the reference distances do not count."""

_EPSILON = 1e-8
_LEAST_REFERENCE = 1e-6
_QUANTILES = 257


@dataclass(frozen=True)
class Correctness:
    """What the details of a picture are, as shares that add up to 1; means over the pixels that count.

    Attributes:
        improvement: Like the truth.
        omission: Like the enlarged low view: nothing was added.
        hallucination: Like neither.
    """

    improvement: float
    omission: float
    hallucination: float


def match_histogram(picture: Pixels, truth: Pixels, valid: Mask) -> Pixels:
    """Give each band of a picture the truth's distribution of values, over valid pixels.

    The package matches every value (skimage's ``match_histograms``); here 257 quantiles are matched and what lies
    between them is interpolated.

    Args:
        picture: (bands, rows, columns).
        truth: The same of the truth.
        valid: (rows, columns).

    Returns:
        The picture with the truth's brightness and contrast; without a valid pixel, the picture.
    """
    if not valid.any():
        return picture
    return np.stack([_match_band(band, other, valid) for band, other in zip(picture, truth, strict=True)])


def _match_band(band: Pixels, truth: Pixels, valid: Mask) -> Pixels:
    seen, wanted = _quantiles(band[valid]), _quantiles(truth[valid])
    # A value that many pixels share has several quantiles: it becomes their mean.
    knots, places = np.unique(seen, return_inverse=True)
    targets = np.bincount(places, weights=wanted) / np.bincount(places)
    return np.interp(band, knots, targets).astype(np.float32)


def _quantiles(values: Pixels) -> Pixels:
    count = len(values)
    middles = ((np.arange(_QUANTILES - 2) + 0.5) / (_QUANTILES - 2) * count).astype(np.int64)
    ends_and_middles: Pixels = np.sort(values)[np.concatenate([[0], middles, [count - 1]])]
    return ends_and_middles


def distance(a: Pixels, b: Pixels) -> Pixels:
    """Return the normalised difference of two pictures at each pixel, the mean over bands: the package's ``nd``.

    Args:
        a: (bands, rows, columns), not negative.
        b: The same of another.

    Returns:
        (rows, columns), 0 where they are equal, 1 where one of them is 0.
    """
    apart: Pixels = (np.abs(a - b) / (a + b + np.float32(_EPSILON))).mean(axis=0)
    return apart


def synthesis(picture: Pixels, enlarged: Pixels, valid: Mask) -> float:
    """Return how much a picture adds to the enlarged low view: the mean absolute difference over valid pixels."""
    return float(np.abs(picture - enlarged)[:, valid].mean(dtype=np.float64))


def measure_correctness(picture: Pixels, enlarged: Pixels, truth: Pixels, valid: Mask) -> Correctness | None:
    """Say how much of a picture's detail is right, missing or made up.

    At each pixel the distances to the truth and to the enlarged low view are divided by the distance between these two;
    how near that is to having improved, omitted and hallucinated becomes shares by a softmin. Pixels without detail, at
    which all three distances are small, do not count.

    Args:
        picture: (bands, rows, columns), harmonised, not negative.
        enlarged: The same of the enlarged low view.
        truth: The same of the truth.
        valid: (rows, columns).

    Returns:
        Means over the pixels that count; None where none does, as where the low view tells all.
    """
    between, to_truth, to_low = (
        distance(a, b)[valid] for a, b in ((enlarged, truth), (picture, truth), (picture, enlarged))
    )
    if not len(between):
        return None
    threshold = np.quantile(between, GRADIENT_QUANTILE, method="lower")
    counted = np.maximum(np.maximum(between, to_truth), to_low) > threshold
    if not counted.any():
        return None
    reference = np.maximum(between[counted], _LEAST_REFERENCE)
    return correctness_shares(to_truth[counted] / reference, to_low[counted] / reference)


def correctness_shares(to_truth: npt.NDArray[np.floating], to_low: npt.NDArray[np.floating]) -> Correctness:
    """Turn relative distances into shares (correctness.py: ``tc_*``, ``softmin``).

    Args:
        to_truth: Distance to the truth over that between the enlarged low view and the truth, shape (pixels,).
        to_low: Distance to the enlarged low view over the same.
    """
    excess = to_truth + to_low - 1.0
    scores = np.stack(
        [
            to_truth + to_low * (1.0 - np.exp(-IMPROVEMENT_RATE * excess)),
            to_low + to_truth * (1.0 - np.exp(-OMISSION_RATE * excess)),
            np.exp(-HALLUCINATION_RATE * to_truth * to_low),
        ]
    )
    # The third is never above 1, so that not all of them round to 0.
    weights = np.exp(-scores / TEMPERATURE)
    shares = (weights / weights.sum(axis=0)).mean(axis=1, dtype=np.float64)
    return Correctness(*map(float, shares))


def spectral_angle_deg(a: Pixels, b: Pixels, valid: Mask) -> float | None:
    """Return the mean angle between two pictures' spectra (distance.py: ``SAD``).

    Args:
        a: (bands, rows, columns).
        b: The same of another.
        valid: (rows, columns).

    Returns:
        Degrees; None for one band, or where no valid pixel is above 0 in both.
    """
    if len(a) == 1:
        return None
    # In float32 the angle of two equal spectra could be 0.03 degrees.
    one, other = a.astype(np.float64), b.astype(np.float64)
    product = (one * other).sum(axis=0)
    lengths = np.sqrt((one * one).sum(axis=0) * (other * other).sum(axis=0))
    counted = valid & (lengths > 0)
    if not counted.any():
        return None
    return float(np.rad2deg(np.arccos(np.clip(product[counted] / lengths[counted], -1.0, 1.0))).mean(dtype=np.float64))
