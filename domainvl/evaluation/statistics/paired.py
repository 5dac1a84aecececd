"""Whether two systems differ on the same items: paired differences, their tests, and what a set could show at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from domainvl.evaluation.statistics.resampling import EQUAL_TOLERANCE, Estimate, all_equal, interval_limits
from domainvl.evaluation.statistics.scores import BoolArray, FloatArray

SIGNIFICANCE = 0.05
"""Level of all tests."""

POWER = 0.8
"""How likely the smallest difference is to be found."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Difference:
    """By how much system a is above system b on the same items.

    Attributes:
        value: a minus b; None where one of them has no value.
        low: Lower end of the interval; None without a value, or where all resamples agree and the scores are unbounded.
        high: Upper end, likewise.
        p: Two-sided p-value of the paired bootstrap, see :func:`difference`; None without a value.
        standard_error: Standard deviation of the resampled differences; None where all resamples agree.
        n: Number of items that the scores are about; of the system with fewer, where a rule leaves out answers.
        groups: Number of their groups, likewise.
        draws: The difference of each resample, shape (resamples,); NaN where there is none.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    standard_error: float | None
    n: int
    groups: int
    draws: FloatArray = field(repr=False, compare=False)


def difference(a: Estimate, b: Estimate, *, differing_groups: int | None = None) -> Difference:
    """Compare two systems by one score over the same resamples.

    The p-value inverts the percentile interval: twice the smaller of the shares of resamples at or below 0 and at or
    above 0 (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 15.4), with 1 added to count and
    number so that it is never 0 (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2).
    It is not below ``2^(1 - D)``: if the systems were equally good, D groups in which they differ would all favour the
    same one so often (the sign test), and no number of resamples tells more than D groups do. Where all resamples
    agree, it is the level at which the interval of :meth:`.resampling.Resamples.estimates` ends at 0.

    Args:
        a: Estimate of one system.
        b: Estimate of the other, from the same resamples.
        differing_groups: Number D, see :meth:`.resampling.Resamples.count_differing_groups`; all groups where None.

    Raises:
        ValueError: If the estimates are not from equally many resamples.
    """
    if len(a.draws) != len(b.draws):
        raise ValueError(f"paired estimates must be of the same resamples, got {len(a.draws)} and {len(b.draws)}")
    n, groups = min(a.n, b.n), min(a.groups, b.groups)
    draws = a.draws - b.draws
    if a.value is None or b.value is None or np.isnan(draws).all():
        return Difference(None, None, None, None, None, n, groups, draws)
    value = a.value - b.value
    bounds = (a.bounds[0] - b.bounds[1], a.bounds[1] - b.bounds[0]) if a.bounds and b.bounds else None
    low, high = interval_limits(value, draws, groups, bounds, a.confidence)
    p = _bootstrap_p(value, draws, groups, bounds)
    differing = groups if differing_groups is None else differing_groups
    return Difference(
        value=value,
        low=low,
        high=high,
        p=min(1.0, max(p, least_p(differing))),
        standard_error=None if all_equal(draws) else float(np.nanstd(draws, ddof=1)),
        n=n,
        groups=groups,
        draws=draws,
    )


def least_p(differing_groups: int) -> float:
    """Return the smallest two-sided p-value that so many groups can give: that of the sign test if all agree."""
    return min(1.0, 2.0 ** (1 - differing_groups))


def _bootstrap_p(value: float, draws: FloatArray, groups: int, bounds: tuple[float, float] | None) -> float:
    known = draws[~np.isnan(draws)]
    smallest = 2 / (len(known) + 1)
    if all_equal(draws) and bounds is not None:
        # The Wilson limit z^2 / (G + z^2) of deviating groups at which the interval reaches 0, solved for z.
        opposite = bounds[0] if value > 0 else bounds[1]
        share = value / (value - opposite) if value != opposite else 0.0
        z = math.sqrt(groups * share / (1 - share))
        return max(2 * _NORMAL.cdf(-z), smallest)
    # Equal scores may differ by rounding.
    fewer = min(int((known <= EQUAL_TOLERANCE).sum()), int((known >= -EQUAL_TOLERANCE).sum()))
    return min(1.0, smallest * (fewer + 1))


def mcnemar_exact(right_a: BoolArray | Sequence[bool], right_b: BoolArray | Sequence[bool]) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Of the items that only one system has right, each is as likely to be a's as b's if they are equally good: the
    p-value is twice the binomial probability of the smaller number or fewer, at most 1 (McNemar, Psychometrika 12,
    1947; the exact form as in statsmodels' ``mcnemar(exact=True)``). It takes items for independent: where groups have
    several items, it claims too much.

    Args:
        right_a: Whether system a has each item right, shape (items,).
        right_b: The same of system b.

    Raises:
        ValueError: If they are not equally long.
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"paired answers must be equally many, got {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    differing, fewer = only_a + only_b, min(only_a, only_b)
    # By logarithms, as 2^-n is 0 in floats from n = 1075 on.
    log_all = math.lgamma(differing + 1) - differing * math.log(2)
    terms = (math.exp(log_all - math.lgamma(k + 1) - math.lgamma(differing - k + 1)) for k in range(fewer + 1))
    return min(1.0, 2 * math.fsum(terms))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for being many (Holm, Scandinavian Journal of Statistics 6, 1979).

    The k-th smallest of m is multiplied by m - k + 1; none becomes smaller than the one before it, none larger than 1.

    Args:
        p_values: One a test; None where there is nothing to test, which does not count.

    Returns:
        The corrected ones in the same order.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[place] = largest
    return corrected


def smallest_difference(standard_error: float, *, tests: int = 1) -> float:
    """Return the smallest true difference that would be found with a probability of ``POWER``.

    A normal estimate with this standard error is significant at level alpha if it is beyond ``z(1 - alpha / 2)`` of
    them, which a true difference of ``z(1 - alpha / 2) + z(power)`` of them is with that probability: 2.80 of them for
    a single test at 5 %.

    Args:
        standard_error: Of the paired difference, as the bootstrap has it.
        tests: Number of tests that are corrected for: alpha is ``SIGNIFICANCE / tests``, which is what Holm asks of the
            smallest p-value. The difference would then be found whatever the other tests say.
    """
    level = SIGNIFICANCE / tests
    return (_NORMAL.inv_cdf(1 - level / 2) + _NORMAL.inv_cdf(POWER)) * standard_error
