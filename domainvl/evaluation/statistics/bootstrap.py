"""Intervals of a mean and of a paired difference of means, from values and groups alone.

What resampling is stands in :mod:`.resampling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from domainvl.evaluation.statistics.resampling import BootstrapSettings, Resamples
from domainvl.evaluation.statistics.scores import mean_score

__all__ = ["BootstrapSettings", "Interval", "clustered_bootstrap", "paired_difference"]


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    Attributes:
        mean: Mean over all samples.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of samples.
        groups: Number of groups.
    """

    mean: float
    low: float
    high: float
    n: int
    groups: int


def clustered_bootstrap(
    values: Sequence[float] | npt.NDArray[np.floating],
    groups: Sequence[str],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Estimate the mean of values and its interval, resampling whole groups.

    The mean is over samples: of each resample the sum of the values over their number. The interval is that of
    :meth:`.resampling.Resamples.estimates`.

    Args:
        values: Score of each sample, shape (n,), n >= 1.
        groups: Group of each sample, n names.
        resamples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling; the order of the samples does not matter.
        bounds: Smallest and largest value that a sample can have.

    Raises:
        ValueError: If lengths differ, there is no value, or a value or setting is out of range.
    """
    scores = np.asarray(values, dtype=np.float64)
    low_bound, high_bound = bounds
    if scores.ndim != 1 or len(scores) == 0 or len(scores) != len(groups):
        raise ValueError(f"values and groups must be equally long, at least 1: {scores.shape} and {len(groups)}")
    if not ((scores >= low_bound) & (scores <= high_bound)).all():
        raise ValueError(f"values must lie in {bounds}, got {scores.min()} to {scores.max()}")
    estimate = Resamples(groups, BootstrapSettings(resamples, confidence, seed)).estimate(
        mean_score(scores, bounds=bounds)
    )
    # A mean of bounded values always has a value and an interval.
    mean, low, high = (cast(float, limit) for limit in (estimate.value, estimate.low, estimate.high))
    return Interval(mean, low, high, estimate.n, estimate.groups)


def paired_difference(
    a_values: Sequence[float] | npt.NDArray[np.floating],
    b_values: Sequence[float] | npt.NDArray[np.floating],
    groups: Sequence[str],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Estimate by how much system a is better than b on the same samples.

    Both are resampled together: the difference of two ratios with one denominator is the ratio of the differences.

    Args:
        a_values: Scores of system a, shape (n,), within 0..1.
        b_values: Scores of system b on the same samples in the same order.
        groups: Group of each sample.
        resamples: Number of resamples.
        confidence: Confidence level.
        seed: Seed of the resampling.

    Returns:
        Mean of a minus b. An interval above 0 says that a is better.

    Raises:
        ValueError: As :func:`clustered_bootstrap`.
    """
    if len(a_values) != len(b_values):
        raise ValueError(f"paired values must be equally long, got {len(a_values)} and {len(b_values)}")
    differences = np.asarray(a_values, dtype=np.float64) - np.asarray(b_values, dtype=np.float64)
    return clustered_bootstrap(
        differences, groups, resamples=resamples, confidence=confidence, seed=seed, bounds=(-1.0, 1.0)
    )
