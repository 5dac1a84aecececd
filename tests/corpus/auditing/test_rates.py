"""Shares and their intervals, against hand computation and scipy; rates of rules against known errors."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from domainvl.corpus.auditing.rates import clopper_pearson, measure_rates, weighted_share
from domainvl.corpus.auditing.things import Marked, Stratum, Thing
from domainvl.corpus.filtering.removals import Level


def mark(rule, level, number, *, keep, problem=""):
    return Marked(Thing(f"m{rule}{level}{number}", "d", level, rule, 0, 1.0, 2.0, ""), keep, problem)


def test_no_hit_and_hits_alone_have_limits_that_can_be_written_down():
    # P(0 of n) = (1 - p) ** n = 0.025 at the upper limit.
    assert clopper_pearson(0, 10) == pytest.approx((0, 1 - 0.025 ** (1 / 10)))
    assert clopper_pearson(10, 10) == pytest.approx((0.025 ** (1 / 10), 1))
    assert clopper_pearson(0, 0) == (0, 1)


@pytest.mark.parametrize(("count", "total"), [(1, 2), (1, 30), (7, 50), (25, 50), (49, 50), (167, 1000)])
def test_limits_are_scipys(count, total):
    expected = binomtest(count, total).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, total) == pytest.approx((expected.low, expected.high))


def test_strata_count_as_often_as_they_are_large():
    # 0.9 * 1/10 + 0.1 * 5/10; weights 90 (ten times) and 10 (ten times): 1000 ** 2 / (10 * 90 ** 2 + 10 * 10 ** 2).
    share = weighted_share([(900, 10, 1), (100, 10, 5)])
    assert share.value == pytest.approx(0.14)
    assert share.total == pytest.approx(1_000_000 / 82_000)
    assert share.low < 0.14 < share.high


def test_equal_weights_are_a_simple_sample():
    share = weighted_share([(100, 10, 2), (300, 30, 1)])
    assert (share.count, share.total) == pytest.approx((3, 40))
    assert (share.low, share.high) == pytest.approx(clopper_pearson(3, 40))


def test_known_errors_give_their_rates():
    paragraph, rule = Level.PARAGRAPH, "hf-four-words"
    marks = [mark(rule, paragraph, number, keep=number < 3) for number in range(12)]
    kept = [mark(None, paragraph, number, keep=True) for number in range(16)]
    kept += [mark(None, paragraph, 100 + number, keep=False, problem=rule) for number in range(3)]
    kept += [mark(None, paragraph, 200, keep=False, problem="it is nonsense")]
    strata = [Stratum(paragraph, rule, 120, ()), Stratum(paragraph, None, 1000, ())]
    rates = measure_rates(strata, [*marks, *kept])
    (one,) = rates.rules
    assert (one.level, one.rule, one.removed) == (paragraph, rule, 120)
    assert (one.false_positives.count, one.false_positives.total) == (3, 12)
    assert (one.misses.count, one.misses.total, one.missed) == (3, 20, pytest.approx(150))
    assert one.published == 0.083  # OmniCorpus, table 11: overly short paragraphs
    assert (rates.misses[paragraph].count, rates.misses[paragraph].total) == (4, 20)
    assert rates.false_positives[paragraph].value == pytest.approx(0.25)
    assert rates.problems == {(paragraph, rule): 3, (paragraph, "it is nonsense"): 1}


def test_a_rule_that_took_nothing_and_is_said_to_have_missed_is_told():
    marks = [mark(None, Level.PARAGRAPH, 0, keep=False, problem="hf-urls")]
    rates = measure_rates([Stratum(Level.PARAGRAPH, None, 5, ())], marks)
    assert [(one.level, one.rule, one.removed, one.missed) for one in rates.rules] == [(Level.SPAN, "hf-urls", 0, 5)]


def test_what_was_kept_rightly_misses_nothing_whatever_is_written_beside():
    marks = [mark(None, Level.PARAGRAPH, 0, keep=True, problem="hf-urls")]
    rates = measure_rates([Stratum(Level.PARAGRAPH, None, 5, ())], marks)
    assert rates.rules == ()
    assert rates.misses[Level.PARAGRAPH].count == 0
