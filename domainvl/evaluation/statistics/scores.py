"""What a score is made of, so that it can be computed again for any resample of the groups.

Nearly all scores are functions of sums over items: a mean is (sum of values) / (number), BLEU a function of summed
n-gram counts, RMSE the root of a mean of squares, F1 and kappa functions of counts. A few need the items in order of a
confidence, such as AP and AUROC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SumScore:
    """A function of sums over items.

    Attributes:
        terms: What each item adds, shape (items, terms); a row of zeros where an item does not take part.
        combine: Turns sums of shape (..., terms) into scores of shape (...); NaN where there is none.
        bounds: Smallest and largest value that the score can have; None where there is no largest.
    """

    terms: FloatArray
    combine: Callable[[FloatArray], FloatArray]
    bounds: tuple[float, float] | None = (0.0, 1.0)


@dataclass(frozen=True)
class WeightedScore:
    """A score that needs all items at once, such as AP and AUROC.

    Attributes:
        item_count: Number of items.
        compute: Turns how often each item counts, shape (items,), into a score; NaN where there is none.
        bounds: Smallest and largest value that the score can have; None where there is no largest.
    """

    item_count: int
    compute: Callable[[FloatArray], float]
    bounds: tuple[float, float] | None = (0.0, 1.0)


@dataclass(frozen=True)
class CompositeScore:
    """A function of other scores over the same items, such as a macro average.

    Attributes:
        parts: The scores.
        combine: Turns values of shape (parts, ...) into scores of shape (...).
        bounds: Smallest and largest value that the score can have; None where there is no largest.
    """

    parts: tuple[Score, ...]
    combine: Callable[[FloatArray], FloatArray]
    bounds: tuple[float, float] | None = (0.0, 1.0)


Score: TypeAlias = SumScore | WeightedScore | CompositeScore


def ratio(sums: FloatArray) -> FloatArray:
    """Return the first sum over the second, shape (..., 2) to (...); NaN where the second is 0."""
    numerator, denominator = sums[..., 0], sums[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator != 0, numerator / denominator, np.nan)


def mean_score(
    values: Sequence[float] | npt.NDArray[np.generic], *, bounds: tuple[float, float] | None = (0.0, 1.0)
) -> SumScore:
    """Return the mean of values as a score.

    Args:
        values: One an item, shape (items,).
        bounds: Smallest and largest value that an item can have.
    """
    column = np.asarray(values, dtype=np.float64)
    return SumScore(np.stack([column, np.ones_like(column)], axis=1), ratio, bounds)


def spread_over(score: Score, places: Sequence[int] | IntArray, item_count: int) -> Score:
    """Return the same score as one over more items, of which the others do not take part.

    Args:
        score: Over some items.
        places: Where they stand among all of them, shape (items of the score,).
        item_count: Number of all items.
    """
    where = np.asarray(places, dtype=np.int64)
    match score:
        case SumScore():
            terms = np.zeros((item_count, score.terms.shape[1]))
            terms[where] = score.terms
            return SumScore(terms, score.combine, score.bounds)
        case WeightedScore():
            return WeightedScore(item_count, lambda weights: score.compute(weights[where]), score.bounds)
        case CompositeScore():
            parts = tuple(spread_over(part, where, item_count) for part in score.parts)
            return CompositeScore(parts, score.combine, score.bounds)


def restrict(score: Score, places: Sequence[int] | IntArray) -> Score:
    """Return the same score of some of its items; the others do not take part.

    Args:
        score: Over all items.
        places: Which items, shape (some,).
    """
    inside = np.asarray(places, dtype=np.int64)
    match score:
        case SumScore():
            terms = np.zeros_like(score.terms)
            terms[inside] = score.terms[inside]
            return SumScore(terms, score.combine, score.bounds)
        case WeightedScore():
            mask = np.zeros(score.item_count)
            mask[inside] = 1.0
            return WeightedScore(score.item_count, lambda weights: score.compute(weights * mask), score.bounds)
        case CompositeScore():
            return CompositeScore(tuple(restrict(part, inside) for part in score.parts), score.combine, score.bounds)
