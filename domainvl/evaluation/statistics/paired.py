"""Whether two systems differ on the same items: paired differences, their tests, and what a set could show at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from domainvl.evaluation.statistics.resampling import EQUAL_TOLERANCE, Estimate, Resamples, all_equal, interval_limits
from domainvl.evaluation.statistics.scores import BoolArray, FloatArray, IntArray, Score, restrict
from domainvl.evaluation.statistics.student import t_quantile, two_sided_p

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
        n: Number of items that the scores are about; of the system with fewer, where they differ.
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


@dataclass(frozen=True)
class Counted:
    """A score of one system.

    Attributes:
        score: Over all items of the resamples.
        members: Indices of the items that count for it, rising, shape (members,).
        estimate: Of the score.
    """

    score: Score
    members: IntArray
    estimate: Estimate


@dataclass(frozen=True)
class Pair:
    """Two systems compared by one score over the items that count for both.

    Attributes:
        a: Of one system; of these items only.
        b: Of the other, likewise.
        only_a: Number of items that count for a alone and are left out.
        only_b: The same of b.
        difference: Of a and b.
    """

    a: Counted
    b: Counted
    only_a: int
    only_b: int
    difference: Difference


def compare_pairs(pairs: Sequence[tuple[Counted, Counted]], resamples: Resamples) -> list[Pair]:
    """Compare pairs of scores, each over the items that count for both systems.

    A rule may leave out items of its own for each system, such as those that DriveLM's graph gates. Over different
    items a difference would say which items are easier, not which system is better.

    Args:
        pairs: The scores; which items count may differ between the two of a pair.
        resamples: What their estimates were made from.

    Raises:
        ValueError: If the estimates are from other resamples.
    """
    uneven = [place for place, (a, b) in enumerate(pairs) if not np.array_equal(a.members, b.members)]
    shared = {place: np.intersect1d(pairs[place][0].members, pairs[place][1].members) for place in uneven}
    scores = [restrict(one.score, shared[place]) for place in uneven for one in pairs[place]]
    members = [shared[place] for place in uneven for _ in pairs[place]]
    estimates = resamples.estimates(scores, members) if scores else []
    restricted = iter(map(Counted, scores, members, estimates))
    return [
        _pair(a, b, (next(restricted), next(restricted)) if place in shared else (a, b), resamples)
        for place, (a, b) in enumerate(pairs)
    ]


def _pair(whole_a: Counted, whole_b: Counted, shared: tuple[Counted, Counted], resamples: Resamples) -> Pair:
    a, b = shared
    found = difference(a.estimate, b.estimate, differing_groups=resamples.count_differing_groups(a.score, b.score))
    return Pair(a, b, len(whole_a.members) - len(a.members), len(whole_b.members) - len(b.members), found)


def difference(a: Estimate, b: Estimate, *, differing_groups: int | None = None) -> Difference:
    """Compare two systems by one score over the same resamples.

    The p-value inverts the interval. It comes from the smaller of the shares of resamples at or below 0 and at or above
    0 (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 15.4), with 1 added to count and number so
    that it is never 0 (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2), by Student's t
    (:func:`.student.two_sided_p`): about twice this share for many groups, more for few. It is not below ``2^(1 - D)``:
    if the systems were equally good, D groups in which they differ would all favour the same one so often (the sign
    test), and no number of resamples tells more than D groups do. Where all resamples agree, it is the level at which
    the interval of :meth:`.resampling.Resamples.estimates` ends at 0.

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
    if n == 0 or a.value is None or b.value is None or np.isnan(draws).all():
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
    if all_equal(draws) and bounds is not None:
        # The Wilson limit z^2 / (G + z^2) of deviating groups at which the interval reaches 0, solved for z.
        opposite = bounds[0] if value > 0 else bounds[1]
        share = value / (value - opposite) if value != opposite else 0.0
        z = math.sqrt(groups * share / (1 - share))
        return max(2 * _NORMAL.cdf(-z), two_sided_p(1 / (len(known) + 1), groups))
    # Equal scores may differ by rounding.
    fewer = min(int((known <= EQUAL_TOLERANCE).sum()), int((known >= -EQUAL_TOLERANCE).sum()))
    return two_sided_p((fewer + 1) / (len(known) + 1), groups)


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


def smallest_difference(standard_error: float, groups: int, *, tests: int = 1) -> float:
    """Return the smallest true difference that would be found with a probability of ``POWER``.

    With many groups an estimate is significant at level alpha if it is beyond ``z(1 - alpha / 2)`` standard errors,
    which a true difference of ``z(1 - alpha / 2) + z(power)`` of them is with that probability: 2.80 of them for a
    single test at 5 %. With few, Student's quantiles take the normal's place, and the standard error is corrected for
    the number of groups, as in :mod:`.student`.

    Args:
        standard_error: Of the paired difference, as the bootstrap has it.
        groups: Number of groups, at least two.
        tests: Number of tests that are corrected for: alpha is ``SIGNIFICANCE / tests``, which is what Holm asks of the
            smallest p-value. The difference would then be found whatever the other tests say.
    """
    level = SIGNIFICANCE / tests
    multiple = t_quantile(1 - level / 2, groups) + t_quantile(POWER, groups)
    return multiple * standard_error * math.sqrt(groups / (groups - 1))
