"""Intervals: coverage in simulation, cases computed by hand, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest

from domainvl.evaluation.statistics import resampling
from domainvl.evaluation.statistics.bootstrap import Interval, clustered_bootstrap, paired_difference

Z_SQUARED = 3.841458820694124  # 0.95 quantile of chi-square with one degree of freedom, from tables


def simulate(rng, group_count):
    """Answers in groups of 1 to 6 whose own accuracy varies: Beta(2, 1) has mean 2/3."""
    sizes = rng.integers(1, 7, size=group_count)
    accuracy = np.repeat(rng.beta(2, 1, size=group_count), sizes)
    groups = np.repeat(np.arange(group_count), sizes).astype(str)
    return (rng.random(len(accuracy)) < accuracy).astype(float), groups.tolist()


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(7)
    trials = 600
    covered = 0
    for _ in range(trials):
        values, groups = simulate(rng, 120)
        interval = clustered_bootstrap(values, groups, resamples=500)
        covered += interval.low <= 2 / 3 <= interval.high
    assert 0.93 <= covered / trials <= 0.97


def test_the_width_is_that_of_the_groups_not_of_the_samples():
    # 100 groups of 50 equal answers each, half of the groups right: the standard error is that of 100 draws,
    # sqrt(0.25 / 100) = 0.05, and the normal interval is 0.5 +- 0.098.
    values = np.repeat([0.0, 1.0] * 50, 50)
    groups = np.repeat(np.arange(100), 50).astype(str).tolist()
    interval = clustered_bootstrap(values, groups, resamples=4000)
    assert (interval.mean, interval.n, interval.groups) == (0.5, 5000, 100)
    assert interval.low == pytest.approx(0.402, abs=0.01)
    assert interval.high == pytest.approx(0.598, abs=0.01)


def test_the_mean_is_over_samples_not_over_groups():
    assert clustered_bootstrap([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]).mean == 0.75


def test_two_groups_by_hand():
    # Resamples are aa, ab, ba, bb with means 1, 1/2, 1/2, 0: the 2.5 and 97.5 percentiles are 0 and 1.
    interval = clustered_bootstrap([1.0, 0.0], ["a", "b"])
    assert interval == Interval(mean=0.5, low=0.0, high=1.0, n=2, groups=2)
    # At 20 % confidence Student's t of one degree of freedom is tan(pi / 10) = 0.325; the normal has 32 % beyond 0.325
    # times root 2. The percentiles 32 and 68 lie within the half of the resamples that give 1/2.
    assert clustered_bootstrap([1.0, 0.0], ["a", "b"], confidence=0.2).low == 0.5
    # With three samples in group a, ab and ba give 3/4: the ratio of sums, not the mean of the group means.
    middle = clustered_bootstrap([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"], confidence=0.2)
    assert (middle.low, middle.high) == (0.75, 0.75)


def test_one_group_by_hand():
    # One group says: at most z^2 / (1 + z^2) = 0.79345 of groups deviate, to 0 or to 1.
    interval = clustered_bootstrap([1.0, 0.0, 0.0, 0.0], ["a"] * 4)
    share = Z_SQUARED / (1 + Z_SQUARED)
    assert share == pytest.approx(0.79345, abs=1e-5)
    assert interval.mean == 0.25
    assert interval.low == pytest.approx(0.25 - 0.25 * share)
    assert interval.high == pytest.approx(0.25 + 0.75 * share)
    assert (interval.n, interval.groups) == (4, 1)
    wider = clustered_bootstrap([1.0], ["a"], bounds=(-1.0, 3.0))
    assert (wider.low, wider.high) == (pytest.approx(1 - 2 * share), pytest.approx(1 + 2 * share))


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.96301, 1.0), (0.0, 0.0, 0.03699)])
def test_all_right_or_all_wrong_gives_the_wilson_interval_of_the_groups(value, low, high):
    # Wilson, 100 of 100 at 95 %: 100 / (100 + 3.8415) = 0.96301 to 1. 400 samples do not make it narrower.
    groups = [str(index % 100) for index in range(400)]
    interval = clustered_bootstrap([value] * 400, groups)
    assert interval.mean == value
    assert interval.low == pytest.approx(low, abs=1e-5)
    assert interval.high == pytest.approx(high, abs=1e-5)


def test_equal_group_means_are_recognised_through_rounding():
    # Three thirds of 0.1 are not 0.3 in floats; the means differ in the last bit.
    values, groups = [0.1] * 3 + [0.1] + [0.1] * 7, ["a"] * 3 + ["b"] + ["c"] * 7
    interval = clustered_bootstrap(values, groups)
    assert interval.low < 0.05
    assert interval.high > 0.5


def test_the_seed_decides_and_nothing_else(monkeypatch):
    rng = np.random.default_rng(3)
    values, groups = simulate(rng, 40)
    values = values * 0.3 + rng.random(len(values)) * 0.1
    first = clustered_bootstrap(values, groups, seed=5)
    assert clustered_bootstrap(values, groups, seed=5) == first
    assert clustered_bootstrap(values, groups, seed=6).low != first.low
    order = rng.permutation(len(values))
    assert clustered_bootstrap(values[order], [groups[index] for index in order], seed=5) == first
    monkeypatch.setattr(resampling, "_CHUNK_BYTES", 8 * 40 * 7)
    in_chunks = clustered_bootstrap(values, groups, seed=5)
    assert in_chunks.low == pytest.approx(first.low, abs=1e-12)
    assert in_chunks.high == pytest.approx(first.high, abs=1e-12)


def test_a_paired_difference_is_narrower_than_two_intervals():
    # System a is right where b is, and in 10 of 100 groups more.
    rng = np.random.default_rng(2)
    b = (rng.random(100) < 0.5).astype(float)
    a = b.copy()
    a[np.flatnonzero(b == 0)[:10]] = 1.0
    groups = [str(index) for index in range(100)]
    difference = paired_difference(a, b, groups)
    assert difference.mean == pytest.approx(0.1)
    # Standard error of 10 ones in 100: sqrt(0.1 * 0.9 / 100) = 0.03, so about 0.1 +- 0.059.
    assert difference.low == pytest.approx(0.041, abs=0.015)
    assert difference.high == pytest.approx(0.159, abs=0.015)
    mirrored = paired_difference(b, a, groups)
    assert (mirrored.low, mirrored.high) == (pytest.approx(-difference.high), pytest.approx(-difference.low))


def test_equal_systems_differ_by_zero_but_not_for_certain():
    share = Z_SQUARED / (50 + Z_SQUARED)
    difference = paired_difference([1.0, 0.0] * 25, [1.0, 0.0] * 25, [str(index) for index in range(50)])
    assert difference.mean == 0.0
    assert (difference.low, difference.high) == (pytest.approx(-share), pytest.approx(share))
    worse = paired_difference([0.0] * 50, [1.0] * 50, [str(index) for index in range(50)])
    assert worse.mean == worse.low == -1.0
    assert worse.high == pytest.approx(-1.0 + 2 * share)


@pytest.mark.parametrize(
    ("values", "groups", "options", "message"),
    [
        ([], [], {}, "equally long, at least 1"),
        ([1.0, 0.0], ["a"], {}, "equally long"),
        ([1.5, 0.0], ["a", "b"], {}, "must lie in"),
        ([float("nan"), 0.0], ["a", "b"], {}, "must lie in"),
        ([1.0, 0.0], ["a", "b"], {"confidence": 95}, "resamples must be >= 1 and confidence in"),
        ([1.0, 0.0], ["a", "b"], {"resamples": 0}, "resamples must be >= 1 and confidence in"),
    ],
)
def test_wrong_arguments_are_refused(values, groups, options, message):
    with pytest.raises(ValueError, match=message):
        clustered_bootstrap(values, groups, **options)


def test_unpaired_values_are_refused():
    with pytest.raises(ValueError, match="equally long, got 2 and 1"):
        paired_difference([1.0, 0.0], [1.0], ["a", "b"])
