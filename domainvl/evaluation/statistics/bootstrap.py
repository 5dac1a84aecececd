"""How sure a score is: bootstrap intervals that respect groups.

Questions about one patient, scene or log are not independent. Groups are resampled, never samples, so that a
hundred questions about one scene do not pass for a hundred scenes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

_CHUNK_BYTES = 1 << 25
"""Memory that one chunk of resampling weights may take."""

_EQUAL_MEANS_TOLERANCE = 1e-12
"""Group means that differ by less differ by rounding only."""


@dataclass(frozen=True)
class BootstrapSettings:
    """How intervals are made.

    Attributes:
        resamples: Number of bootstrap resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.
    """

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0


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
    """Estimate the mean of values and its percentile interval, resampling whole groups.

    Each resample draws as many groups as there are, with replacement, and takes the sum of their values over
    the number of their samples (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).

    Where all group means are equal, as when every answer is right, each resample gives the same mean, and the
    bootstrap would claim certainty from any number of groups. The interval then comes from the number G of groups:
    of G groups none deviates, so the share of deviating groups is at most ``z^2 / (G + z^2)``, the upper Wilson
    score limit (Wilson, JASA 22, 1927) of 0 in G, and a deviating group may have any mean within ``bounds``. For
    all right and all wrong this is the Wilson interval of G in G and of 0 in G.

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
    if resamples < 1 or not 0.0 < confidence < 1.0:
        raise ValueError(f"resamples must be >= 1 and confidence in (0, 1), got {resamples} and {confidence}")
    sums, counts = _sum_by_group(scores, groups)
    mean = float(sums.sum() / counts.sum())
    group_means = sums / counts
    if np.ptp(group_means) <= _EQUAL_MEANS_TOLERANCE:
        z = NormalDist().inv_cdf(0.5 + confidence / 2)
        deviating = z**2 / (len(sums) + z**2)
        low, high = mean - deviating * (mean - low_bound), mean + deviating * (high_bound - mean)
    else:
        means = np.concatenate(list(_resampled_means(sums, counts, resamples, seed)))
        tail = (1 - confidence) / 2
        low, high = (float(limit) for limit in np.quantile(means, [tail, 1 - tail]))
    return Interval(mean, low, high, len(scores), len(sums))


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


def _sum_by_group(
    scores: npt.NDArray[np.float64], groups: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    index_of = {group: index for index, group in enumerate(sorted(set(groups)))}
    index = np.array([index_of[group] for group in groups])
    # Sorted, because a sum of floats depends on its order.
    order = np.lexsort((scores, index))
    sums = np.bincount(index[order], weights=scores[order]).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)


def _resampled_means(
    sums: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], resamples: int, seed: int
) -> Iterator[npt.NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    group_count = len(sums)
    chunk = max(1, _CHUNK_BYTES // (8 * group_count))
    shares = np.full(group_count, 1 / group_count)
    for start in range(0, resamples, chunk):
        times_drawn = rng.multinomial(group_count, shares, size=min(chunk, resamples - start)).astype(np.float64)
        yield (times_drawn @ sums) / (times_drawn @ counts)
