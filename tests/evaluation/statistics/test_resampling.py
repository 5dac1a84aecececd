"""Resampling: coverage in simulation, values beside a plain computation from the weights, cases by hand."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from domainvl.evaluation.statistics import resampling
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Resamples
from domainvl.evaluation.statistics.scores import (
    CompositeScore,
    SumScore,
    WeightedScore,
    mean_score,
    ratio,
    spread_over,
)

Z_SQUARED = 3.841458820694124  # 0.95 quantile of chi-square with one degree of freedom, from tables
TRIALS = 4000
# With 4000 trials the standard error of a coverage of 0.95 is 0.0034: the bounds 0.93 and 0.97 are six of them away.


def draw_mean(rng, group, group_count):
    """Right or wrong, the accuracy of a group from Beta(2, 1), whose mean is 2/3."""
    return mean_score(rng.random(len(group)) < rng.beta(2, 1, group_count)[group]), 2 / 3


def draw_ratio(rng, group, group_count):
    """A share q of a group counts, q uniform, with accuracy 0.4 + 0.4 q: E[q (0.4 + 0.4 q)] / E[q] = 2/3."""
    share = rng.random(group_count)[group]
    counts = rng.random(len(group)) < share
    right = counts & (rng.random(len(group)) < 0.4 + 0.4 * share)
    return SumScore(np.stack([right, counts], axis=1).astype(float), ratio), 2 / 3


def draw_rmse(rng, group, group_count):
    """Errors are a normal of the group and one of the item, of variance 1 each: the RMSE is the root of 2."""
    errors = rng.normal(size=group_count)[group] + rng.normal(size=len(group))
    terms = np.stack([errors**2, np.ones(len(group))], axis=1)
    return SumScore(terms, lambda sums: np.sqrt(ratio(sums)), None), 2**0.5


def draw_f1(rng, group, group_count):
    """0.4 of the items are positive, 0.7 of them found, 0.2 of the others too: 2 * 0.28 / (2 * 0.28 + 0.24) = 0.7."""
    positive = rng.random(len(group)) < 0.4
    found = rng.random(len(group)) < np.where(positive, rng.beta(7, 3, group_count)[group], 0.2)
    twice_hits, misses = 2.0 * (positive & found), (positive != found).astype(float)
    return SumScore(np.stack([twice_hits, twice_hits + misses], axis=1), ratio), 0.7


@pytest.mark.parametrize(
    ("draw", "group_count"),
    # Squared errors have long tails: the intervals of this RMSE cover 93.2 to 93.8 % of the trials of three seeds.
    [(draw_mean, 100), (draw_ratio, 100), (draw_f1, 100), (draw_rmse, 100)],
)
def test_intervals_cover_the_truth_as_often_as_they_say(draw, group_count):
    rng = np.random.default_rng(11)
    # 1 to 9 items a group.
    group = np.repeat(np.arange(group_count), rng.integers(1, 10, size=group_count))
    scores, truths = zip(*(draw(rng, group, group_count) for _ in range(TRIALS)), strict=True)
    estimates = Resamples(group.astype(str).tolist(), BootstrapSettings(resamples=1000)).estimates(scores)
    pairs = list(zip(estimates, truths, strict=True))
    assert 0.93 <= np.mean([estimate.low <= truth <= estimate.high for estimate, truth in pairs]) <= 0.97
    # The misses lie on both sides.
    assert 0.01 <= np.mean([truth < estimate.low for estimate, truth in pairs]) <= 0.04


@pytest.mark.parametrize("draw", [draw_mean, draw_ratio, draw_f1])
@pytest.mark.parametrize("group_count", [10, 20, 50])
def test_intervals_of_few_groups_cover_the_truth_about_as_often(draw, group_count):
    """Percentiles at 2.5 and 97.5 % would cover 89 to 90 % with 10 groups; here 93 and 94 %."""
    rng = np.random.default_rng(11)
    group = np.repeat(np.arange(group_count), rng.integers(1, 10, size=group_count))
    scores, truths = zip(*(draw(rng, group, group_count) for _ in range(TRIALS)), strict=True)
    estimates = Resamples(group.astype(str).tolist(), BootstrapSettings(resamples=1000)).estimates(scores)
    covered = [
        one.low <= truth <= one.high for one, truth in zip(estimates, truths, strict=True) if one.value is not None
    ]
    assert len(covered) > 0.99 * TRIALS
    assert 0.92 <= np.mean(covered) <= 0.97


GROUPS = ["c", "a", "b", "a", "c", "a", "d", "e"]
VALUES = np.array([0.1, 0.7, 0.2, 0.9, 0.4, 0.3, 0.8, 0.6])


def count_group(name):
    """The number of items of a group, so that each resample says how often the group was drawn."""
    return SumScore(np.array([[float(group == name)] for group in GROUPS]), lambda sums: sums[..., 0], None)


def group_weights(resamples):
    """How often each of a to e was drawn, shape (resamples, 5); a and c have three and two items."""
    return np.stack([resamples.values(count_group(name)) for name in "abcde"], axis=1) / [3, 1, 2, 1, 1]


def test_each_resample_draws_as_many_groups_as_there_are():
    weights = group_weights(Resamples(GROUPS, BootstrapSettings(resamples=20_000)))
    assert (weights == weights.round()).all()
    assert (weights.sum(axis=1) == 5).all()
    # Each weight is binomial with 5 draws of probability 1/5: mean 1, variance 0.8; standard error of the mean 0.0063.
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    assert weights.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.05)


def test_all_kinds_of_score_see_the_same_resamples():
    resamples = Resamples(GROUPS)
    weights = group_weights(resamples)
    item_weights = weights[:, ["abcde".index(group) for group in GROUPS]]
    expected = (item_weights @ VALUES) / item_weights.sum(axis=1)
    squares = (item_weights @ VALUES**2) / item_weights.sum(axis=1)
    mean = mean_score(VALUES)
    weighted = WeightedScore(8, lambda counts: float(np.average(VALUES, weights=counts)))
    both = CompositeScore(
        (weighted, CompositeScore((mean_score(VALUES**2),), lambda parts: parts[0])), lambda parts: parts[0] - parts[1]
    )
    of_mean, of_weighted, of_both = Resamples(GROUPS).estimates([mean, weighted, both])
    assert of_mean.draws == pytest.approx(expected, abs=1e-12)
    assert of_weighted.draws == pytest.approx(expected, abs=1e-12)
    assert of_both.draws == pytest.approx(expected - squares, abs=1e-12)
    assert of_mean.value == pytest.approx(0.5)
    assert of_both.value == pytest.approx(0.5 - (VALUES**2).mean())
    # Student's t of 4 degrees of freedom has 2.776445 (tables); the normal's tail beyond root 5/4 of it is 0.0955 %.
    tail = NormalDist().cdf(-2.776445 * (5 / 4) ** 0.5)
    assert tail == pytest.approx(0.000955, abs=1e-6)
    assert (of_mean.low, of_mean.high) == pytest.approx(tuple(np.quantile(expected, [tail, 1 - tail])), abs=1e-6)


def test_neither_order_nor_company_nor_chunks_matter(monkeypatch):
    settings = BootstrapSettings(resamples=300, seed=4)
    rng = np.random.default_rng(0)
    groups = [f"g{number}" for number in rng.integers(30, size=200)]
    values = rng.random(200)
    alone = Resamples(groups, settings).estimate(mean_score(values))
    order = rng.permutation(200)
    shuffled = Resamples([groups[place] for place in order], settings).estimate(mean_score(values[order]))
    assert shuffled == alone
    assert (shuffled.draws == alone.draws).all()
    in_company = Resamples(groups, settings).estimates([mean_score(values**2), mean_score(values)])[1]
    assert in_company.draws == pytest.approx(alone.draws, abs=1e-12)
    monkeypatch.setattr(resampling, "_CHUNK_BYTES", 8 * 30 * 7)
    assert Resamples(groups, settings).values(mean_score(values)) == pytest.approx(alone.draws, abs=1e-12)
    other_seed = Resamples(groups, BootstrapSettings(resamples=300, seed=5)).estimate(mean_score(values))
    assert other_seed.low != alone.low


def test_a_column_counts_its_own_groups_and_leaves_out_resamples_without_them():
    # Items 1, 3 and 5 are group a, all right: a column of one group.
    resamples = Resamples(GROUPS)
    column = spread_over(mean_score([1.0, 1.0, 1.0]), [1, 3, 5], 8)
    estimate = resamples.estimate(column, [1, 3, 5])
    assert (estimate.value, estimate.n, estimate.groups) == (1.0, 3, 1)
    absent = group_weights(resamples)[:, 0] == 0
    assert (np.isnan(estimate.draws) == absent).all()
    # Not drawn in five draws of five: 0.8^5 = 0.328 of 2000, standard deviation 21.
    assert estimate.left_out == absent.sum() == pytest.approx(655, abs=85)
    # One group that is right says: at most z^2 / (1 + z^2) of groups are not.
    assert estimate.low == pytest.approx(1 - Z_SQUARED / (1 + Z_SQUARED))
    assert estimate.high == 1.0
    # With groups b and d too, of which d alone is wrong, there is no such case.
    two = resamples.estimate(spread_over(mean_score([1.0, 0.0]), [2, 6], 8), [2, 6])
    assert (two.value, two.low, two.high, two.n, two.groups) == (0.5, 0.0, 1.0, 2, 2)


def test_what_has_no_value_and_what_has_no_bounds_has_no_interval():
    resamples = Resamples(GROUPS)
    nothing = resamples.estimate(SumScore(np.zeros((8, 2)), ratio), [])
    assert (nothing.value, nothing.low, nothing.high, nothing.n, nothing.groups) == (None, None, None, 0, 0)
    assert nothing.left_out == 2000
    equal = resamples.estimate(mean_score(np.full(8, 3.0), bounds=None))
    assert (equal.value, equal.low, equal.high) == (3.0, None, None)


def test_groups_that_differ_are_those_that_add_something_else():
    resamples = Resamples(GROUPS)
    other = VALUES.copy()
    other[[0, 4, 6]] += 0.05  # two items of group c and the one of d
    a, b = mean_score(VALUES), mean_score(other)
    assert resamples.count_differing_groups(a, b) == 2
    assert resamples.count_differing_groups(a, a) == 0
    macro = [CompositeScore((part, mean_score(VALUES)), lambda parts: parts.mean(axis=0)) for part in (a, b)]
    assert resamples.count_differing_groups(*macro) == 2
    unknown = WeightedScore(8, lambda weights: 0.5)
    assert resamples.count_differing_groups(unknown, unknown) is None


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (mean_score([1.0, 0.0]), "over all 8 items that are resampled, got 2"),
        (WeightedScore(7, lambda weights: 0.5), "over all 8 items that are resampled, got 7"),
        (mean_score([float("nan")] * 8), "must be finite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(score, message):
    with pytest.raises(ValueError, match=message):
        Resamples(GROUPS).estimate(score)


def test_nothing_cannot_be_resampled():
    with pytest.raises(ValueError, match="at least one item"):
        Resamples([])
