"""Whether a system is right as often as it says: expected calibration error and the bins of a reliability plot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domainvl.evaluation.results import ReliabilityBin
from domainvl.evaluation.statistics.scores import BoolArray, FloatArray, IntArray, SumScore, ratio

BINS = 10
"""Number of bins of equal width; ECE depends on it. Naeini et al. (AAAI 2015) have 10."""


def ece_score(
    confidences: Sequence[float] | npt.NDArray[np.floating], correct: Sequence[bool] | BoolArray, *, bins: int = BINS
) -> SumScore:
    """Return the expected calibration error: how far confidence and accuracy are apart, over bins of confidence.

    Each bin weighs by its items (Naeini et al., AAAI 2015; Guo et al., ICML 2017, equation 3). A bin holds its upper
    end, the first one 0 as well. With few items a bin it is above 0 even for a perfectly calibrated system.

    Args:
        confidences: How sure a system is of each answer, shape (items,), within 0..1.
        correct: Whether each answer is right, shape (items,).
        bins: Number of bins of equal width.

    Raises:
        ValueError: If the lengths differ, there is no bin, or a confidence is out of range.
    """
    sure, right, bin_of = _binned(confidences, correct, bins)
    terms = np.zeros((len(sure), bins + 1))
    terms[np.arange(len(sure)), bin_of] = right - sure
    terms[:, bins] = 1.0
    return SumScore(terms, _ece)


def reliability_bins(
    confidences: Sequence[float] | npt.NDArray[np.floating], correct: Sequence[bool] | BoolArray, *, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Return the bins that are not empty, in order, with mean confidence and accuracy; as :func:`ece_score`."""
    sure, right, bin_of = _binned(confidences, correct, bins)
    return tuple(
        ReliabilityBin(
            low=index / bins,
            high=(index + 1) / bins,
            n=int(inside.sum()),
            confidence=float(sure[inside].mean()),
            accuracy=float(right[inside].mean()),
        )
        for index in range(bins)
        if (inside := bin_of == index).any()
    )


def _binned(
    confidences: Sequence[float] | npt.NDArray[np.floating], correct: Sequence[bool] | BoolArray, bins: int
) -> tuple[FloatArray, FloatArray, IntArray]:
    sure, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if sure.shape != right.shape or sure.ndim != 1 or bins < 1:
        raise ValueError(f"confidences and correct must be equally many, got {sure.shape}, {right.shape}, {bins} bins")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError(f"confidences must lie within 0..1, got {sure.min()} to {sure.max()}")
    # Searched, not multiplied: 0.7 * 10 is above 7 in binary.
    ends = np.arange(1, bins + 1) / bins
    return sure, right, np.searchsorted(ends, sure, side="left").astype(np.int64)


def _ece(sums: FloatArray) -> FloatArray:
    return ratio(np.stack([np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1]], axis=-1))
