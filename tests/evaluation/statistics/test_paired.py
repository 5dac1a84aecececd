"""Paired tests: beside scipy, by hand, and in simulations of false alarms and of power."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from domainvl.evaluation.statistics.bootstrap import paired_difference
from domainvl.evaluation.statistics.paired import (
    Counted,
    compare_pairs,
    difference,
    holm,
    least_p,
    mcnemar_exact,
    smallest_difference,
)
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Resamples
from domainvl.evaluation.statistics.scores import CompositeScore, mean_score, spread_over

GROUP_COUNT = 150
TRIALS = 1500
SETTINGS = BootstrapSettings(resamples=1000)


def compare(a_values, b_values, groups, *, bounds=(0.0, 1.0)):
    """The difference of two means."""
    resamples = Resamples(groups, SETTINGS)
    a, b = mean_score(a_values, bounds=bounds), mean_score(b_values, bounds=bounds)
    return difference(*resamples.estimates([a, b]), differing_groups=resamples.count_differing_groups(a, b))


def simulate(rng, true_difference, *, group_count=GROUP_COUNT, size=4):
    """Answers of two systems in groups of one size, both better where the group is easy; a better by the difference."""
    groups = np.repeat(np.arange(group_count), size)
    resamples = Resamples(groups.astype(str).tolist(), SETTINGS)
    scores = []
    for _ in range(TRIALS):
        ease = rng.uniform(0.3, 0.7, group_count)[groups]
        scores += [mean_score(rng.random(len(groups)) < ease + shift) for shift in (true_difference, 0.0)]
    estimates = resamples.estimates(scores)
    return [difference(a, b) for a, b in zip(estimates[::2], estimates[1::2], strict=True)]


def test_equal_systems_are_found_to_differ_as_often_as_the_level_says():
    p_values = np.array([found.p for found in simulate(np.random.default_rng(1), 0.0)])
    # The standard error of a share of 0.05 in 1500 trials is 0.0056.
    assert 0.033 <= (p_values < 0.05).mean() <= 0.067
    assert 0.45 <= (p_values < 0.5).mean() <= 0.55


@pytest.mark.parametrize("group_count", [6, 10, 20])
def test_few_groups_do_not_raise_false_alarms(group_count):
    """Twice the bootstrap's share would be below 0.05 in 11, 10 and 7 % of the trials."""
    found = simulate(np.random.default_rng(1), 0.0, group_count=group_count, size=20)
    assert 0.033 <= np.mean([one.p < 0.05 for one in found]) <= 0.067


@pytest.mark.parametrize("tests", [1, 4])
def test_the_smallest_difference_is_found_four_times_in_five(tests):
    rng = np.random.default_rng(2)
    error = np.mean([found.standard_error for found in simulate(rng, 0.0)[:100]])
    # Independent answers of variance about 1/4 each: sqrt(2 * 0.25 / 600) = 0.029.
    assert error == pytest.approx(0.029, abs=0.002)
    found = simulate(rng, smallest_difference(error, GROUP_COUNT, tests=tests))
    assert 0.76 <= np.mean([tests * one.p < 0.05 for one in found]) <= 0.84


def test_the_smallest_difference_in_standard_errors():
    # Normal quantiles from tables: 1.95996 + 0.84162; of 0.05 / 5 in two tails 2.57583.
    assert smallest_difference(0.01, 10**7) == pytest.approx(0.0280158, abs=1e-7)
    assert smallest_difference(0.01, 10**7, tests=5) == pytest.approx(0.0341745, abs=1e-7)
    # Student's of 9 degrees of freedom: 2.262157 + 0.883404, and root 10/9.
    assert smallest_difference(0.01, 10) == pytest.approx(0.03145561 * (10 / 9) ** 0.5, abs=1e-7)


def test_a_difference_has_the_interval_of_the_paired_means():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    a, b = (rng.random(300) < 0.6).astype(float), (rng.random(300) < 0.5).astype(float)
    groups = (np.arange(300) // 3).astype(str).tolist()
    found = compare(a, b, groups)
    expected = paired_difference(a, b, groups, resamples=SETTINGS.resamples)
    assert (found.value, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert (found.n, found.groups) == (300, 100)
    # By the definition of p and of the standard error.
    at_or_below = sum(draw <= 0 for draw in found.draws)
    z = -NormalDist().inv_cdf((at_or_below + 1) / 1001) * 0.99**0.5
    assert found.p == pytest.approx(2 * stats.t.sf(z, 99))
    per_group = (a - b).reshape(100, 3).mean(axis=1)
    assert found.standard_error == pytest.approx(per_group.std() / 10, rel=0.1)
    assert compare(b, a, groups).p == pytest.approx(found.p)


def test_p_is_never_zero_and_never_below_what_the_groups_that_differ_can_give():
    groups = [str(number) for number in range(400)]
    b = np.tile([0.0, 1.0], 200)
    a = b.copy()
    a[:8:2] = 1.0
    # Four groups differ and all favour a: 2 * 2^-4. Resamples without any of them are e^-4 = 0.018 of all.
    assert compare(a, b, groups).p == 0.125
    a[::2] = 1.0
    # The normal has 1 / 1001 beyond 3.0905; of 400 groups that is 3.0866, beyond which Student's t has twice 0.00108.
    assert compare(a, b, groups).p == pytest.approx(0.00217, abs=1e-5)
    assert [least_p(number) for number in (0, 1, 2, 6)] == [1.0, 1.0, 0.5, 0.03125]


def test_equal_scores_give_p_one_even_if_they_differ_by_rounding():
    groups = [str(number) for number in range(50)]
    right = np.tile([1.0, 0.0], 25)
    assert compare(right, right, groups).p == 1.0
    # 0.1 + 0.2 is not 0.3 in floats.
    for bounds in ((0.0, 1.0), None):
        a, b = (
            CompositeScore((mean_score(right),), lambda parts, by=by: parts[0] * by, bounds) for by in (0.1 + 0.2, 0.3)
        )
        found = difference(*Resamples(groups, SETTINGS).estimates([a, b]))
        assert found.value != 0.0
        assert found.p == pytest.approx(1.0, abs=1e-6)


def test_the_same_difference_in_all_groups_is_as_sure_as_their_number_allows():
    # 0.1 in each of 20 groups: the interval reaches 0 at a share of 0.1 / 1.1 of groups, which is z^2 / (20 + z^2) for
    # z = sqrt(2); the normal has 0.1573 beyond that.
    groups = [str(number) for number in range(20)]
    found = compare(np.full(20, 0.6), np.full(20, 0.5), groups)
    assert found.p == pytest.approx(math.erfc(1.0), abs=1e-9)
    assert found.low < 0 < found.high
    assert found.standard_error is None
    assert compare(np.full(20, 0.5), np.full(20, 0.6), groups).p == pytest.approx(found.p)
    # Without bounds there is no interval, and the sign test of 5 groups decides.
    unbounded = compare(np.full(5, 9.0), np.full(5, 4.0), groups[:5], bounds=None)
    assert (unbounded.value, unbounded.low, unbounded.high, unbounded.p) == (5.0, None, None, 0.0625)


def test_without_a_score_there_is_no_difference():
    groups = [str(number) for number in range(10)]
    resamples = Resamples(groups, SETTINGS)
    nothing = CompositeScore((mean_score(np.ones(10)),), lambda parts: np.full_like(parts[0], np.nan))
    found = difference(*resamples.estimates([mean_score(np.ones(10)), nothing]))
    assert (found.value, found.low, found.high, found.p, found.standard_error) == (None,) * 5


def test_where_a_system_leaves_out_items_the_fewer_count():
    resamples = Resamples(["a", "a", "b"], SETTINGS)
    a, b = mean_score([1.0, 0.0, 1.0]), spread_over(mean_score([1.0, 0.0]), [0, 1], 3)
    found = difference(resamples.estimate(a), resamples.estimate(b, [0, 1]))
    assert (found.value, found.n, found.groups) == (pytest.approx(2 / 3 - 1 / 2), 2, 1)


def counted(score, resamples, members):
    """A score that some items count for."""
    return Counted(score, np.array(members), resamples.estimate(score, members))


def test_items_that_count_for_one_system_alone_are_not_compared():
    """Both are right about the same half of 40 items; a leaves out 15 wrong and 5 right ones, b another right one."""
    right = np.tile([1.0, 0.0], 20)
    resamples = Resamples([str(number // 2) for number in range(40)], SETTINGS)
    of_a = [number for number in range(40) if number < 10 or (number < 30 and number % 2 == 0)]
    of_b = [number for number in range(40) if number != 2]
    a = counted(spread_over(mean_score(right[of_a]), of_a, 40), resamples, of_a)
    b = counted(spread_over(mean_score(right[of_b]), of_b, 40), resamples, of_b)
    whole = counted(mean_score(right), resamples, range(40))
    assert a.estimate.value == pytest.approx(15 / 20)
    uneven, even = compare_pairs([(a, b), (whole, whole)], resamples)
    shared = [number for number in of_a if number != 2]
    assert uneven.a.members.tolist() == uneven.b.members.tolist() == shared
    assert (uneven.only_a, uneven.only_b) == (1, 20)
    assert uneven.a.estimate.value == uneven.b.estimate.value == pytest.approx(14 / 19)
    assert (uneven.difference.value, uneven.difference.p) == (0.0, 1.0)
    assert (uneven.difference.n, uneven.difference.groups) == (19, 15)
    assert (even.a, even.b, even.only_a, even.only_b) == (whole, whole, 0, 0)
    assert (even.difference.n, even.difference.value) == (40, 0.0)


def test_without_an_item_that_counts_for_both_there_is_no_difference():
    resamples = Resamples([str(number) for number in range(10)], SETTINGS)
    # A score that has a value even without an item.
    first, second = (
        CompositeScore((mean_score(np.ones(10)),), lambda parts: np.nan_to_num(parts[0])) for _ in range(2)
    )
    pair = (counted(first, resamples, range(5)), counted(second, resamples, range(5, 10)))
    (found,) = compare_pairs([pair], resamples)
    assert (found.only_a, found.only_b, found.difference.n) == (5, 5, 0)
    assert (found.difference.value, found.difference.p) == (None, None)


def test_estimates_of_other_resamples_are_refused():
    score = mean_score([1.0, 0.0, 1.0])
    a, b = (Resamples(["a", "a", "b"], settings).estimate(score) for settings in (SETTINGS, BootstrapSettings()))
    with pytest.raises(ValueError, match="same resamples, got 1000 and 2000"):
        difference(a, b)


def test_mcnemar_by_hand():
    # Only a has the first five right: 2 * 2^-5. With one for b, six: 2 * (1 + 6) / 64. Both right or wrong say nothing.
    assert mcnemar_exact([True] * 5 + [True, False], [False] * 5 + [True, False]) == pytest.approx(0.0625)
    assert mcnemar_exact([True] * 5 + [False], [False] * 5 + [True]) == pytest.approx(14 / 64)
    assert mcnemar_exact([True, False], [False, True]) == 1.0
    assert mcnemar_exact([True], [True]) == 1.0
    with pytest.raises(ValueError, match=r"equally many, got \(2,\) and \(1,\)"):
        mcnemar_exact([True, False], [True])


def test_mcnemar_is_scipys_binomial_test():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(5)
    for size in (3, 20, 300, 5000, 100_000):
        a, b = rng.random(size) < 0.5, rng.random(size) < 0.52
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        assert mcnemar_exact(a, b) == pytest.approx(expected, rel=1e-8)


def test_holm_by_hand():
    # Three tests: 3 * 0.01, then 2 * 0.03, then 0.04, which may not be below the one before.
    assert holm([0.04, None, 0.01, 0.03]) == pytest.approx([0.06, None, 0.03, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([None]) == [None]
    # Holm (1979) as in R: p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm") is 0.04 0.06 0.06 0.06.
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
