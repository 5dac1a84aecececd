"""From figures to means, intervals and words: who is said to be better, worse, or not told apart."""

import numpy as np
import pytest

from domainvl.enhance.evaluating.results import Figures, PairFigures
from domainvl.enhance.evaluating.summary import summarise
from domainvl.evaluation.statistics.resampling import BootstrapSettings

NAMES = ["bicubic-x2", "net", "plain"]
FEW = BootstrapSettings(resamples=1000)


def figures(groups, of, *, per_group=1, measure="psnr_db"):
    """Figures of ``of(name, pair number)``."""
    return [
        PairFigures(f"p{n}", f"g{n // per_group}", {name: Figures({measure: of(name, n)}, (0, 0)) for name in NAMES})
        for n in range(groups * per_group)
    ]


def made(gains, spread=0.2, seed=0):
    noise = np.random.default_rng(seed).normal(0, spread, (3, 200))
    base = np.random.default_rng(9).normal(25, 3, 200)
    return lambda name, n: float(base[n] + gains[name] + noise[NAMES.index(name), n])


def verdicts(summary):
    return {(one.measure, one.a, one.b): one.verdict for one in summary.comparisons}


def test_a_clear_gain_in_many_groups_is_better_and_its_opposite_worse():
    of = made({"bicubic-x2": 0, "net": 1, "plain": 2})
    found = verdicts(summarise(figures(20, of), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW))
    assert found == {
        ("psnr_db", "net", "bicubic-x2"): "better",
        ("psnr_db", "net", "plain"): "worse",
        ("psnr_db", "plain", "bicubic-x2"): "better",
    }


def test_lower_is_better_where_the_measure_says_so():
    of = made({"bicubic-x2": 0, "net": -1, "plain": 0})
    summary = summarise(figures(20, of, measure="lpips"), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    assert verdicts(summary)["lpips", "net", "bicubic-x2"] == "better"


def test_what_noise_explains_is_not_told_apart():
    of = made({"bicubic-x2": 0, "net": 0, "plain": 0})
    summary = summarise(figures(20, of), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    first = summary.comparisons[0]
    assert first.verdict == "no difference shown"
    assert first.low < 0 < first.high
    assert "would show with a probability of 80 %" in first.words


def test_few_groups_can_show_nothing_however_large_the_gain():
    of = made({"bicubic-x2": 0, "net": 9, "plain": 0})
    summary = summarise(figures(5, of), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    first = summary.comparisons[0]
    assert first.verdict == "too few groups to show any"
    assert "5 groups are too few to show any difference in 3 comparisons" in first.words
    assert "interval is too narrow" in first.words


def test_groups_that_would_do_for_one_comparison_may_be_too_few_for_three():
    of = made({"bicubic-x2": 0, "net": 9, "plain": 0})
    verdict_of = {
        count: summarise(figures(6, of), NAMES[:count], headline="net", bicubic="bicubic-x2", bootstrap=FEW)
        for count in (2, 3)
    }
    assert verdict_of[2].comparisons[0].verdict == "better"
    assert verdict_of[3].comparisons[0].verdict == "too few groups to show any"


def test_pairs_of_one_scene_do_not_pass_for_scenes():
    of = made({"bicubic-x2": 0, "net": 9, "plain": 0})
    summary = summarise(figures(4, of, per_group=10), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    assert summary.comparisons[0].verdict == "too few groups to show any"
    assert (summary.lines[0].pairs, summary.lines[0].groups) == (40, 4)


def test_means_and_differences_are_over_pairs():
    values = {"bicubic-x2": [1, 2, 6], "net": [2, 4, 9], "plain": [0, 0, 0]}
    summary = summarise(
        figures(3, lambda name, n: values[name][n]), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW
    )
    assert summary.lines[0].values["net"].value == pytest.approx(5)
    assert summary.comparisons[0].difference == pytest.approx(2)
    assert "net is not shown to differ from bicubic-x2: +2.000 dB" in summary.comparisons[0].words


def test_p_values_are_corrected_within_a_measure():
    of = made({"bicubic-x2": 0, "net": 1, "plain": 0.1})
    summary = summarise(figures(20, of), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    p = sorted(one.p for one in summary.comparisons)
    assert min(one.p_holm for one in summary.comparisons) == pytest.approx(3 * p[0])


def test_bicubic_is_not_compared_by_what_was_added_to_it():
    of = made({"bicubic-x2": 0, "net": 0.5, "plain": 0.1})
    summary = summarise(
        figures(20, of, measure="hallucination"), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW
    )
    assert list(verdicts(summary)) == [("hallucination", "net", "plain")]
    assert "bicubic-x2" in summary.lines[0].values


def test_what_only_describes_has_a_mean_and_no_verdict():
    of = made({"bicubic-x2": 0, "net": 1, "plain": 1})
    summary = summarise(
        figures(20, of, measure="synthesis"), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW
    )
    assert summary.comparisons == ()
    assert summary.lines[0].measure == "synthesis"


def test_only_pairs_that_all_contestants_have_a_figure_of_count():
    values = made({"bicubic-x2": 0, "net": 1, "plain": 0})
    summary = summarise(
        figures(20, lambda name, n: None if (name, n) == ("plain", 3) else values(name, n)),
        NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW,
    )  # fmt: skip
    assert summary.lines[0].pairs == 19


def test_a_measure_that_nobody_has_is_no_line():
    summary = summarise(figures(3, lambda name, n: None), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    assert summary.lines == ()
    assert summary.verdict[0] == "net against bicubic-x2: no measure compares them."


def test_the_verdict_names_measures_by_what_they_show():
    of = made({"bicubic-x2": 0, "net": 1, "plain": 0})
    pairs = figures(20, of)
    for pair in pairs:
        for name in NAMES:
            pair.of[name].values["ssim"] = 0.5 - 0.2 * (name == "net") + 0.01 * (len(pair.pair) % 2)
    summary = summarise(pairs, NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    assert summary.verdict[0] == "net against bicubic-x2: better by PSNR; worse by SSIM."


def test_one_pair_has_a_mean_without_an_interval():
    summary = summarise(figures(1, lambda name, n: 3.0), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    assert summary.lines[0].values["net"].low is None
    assert {one.verdict for one in summary.comparisons} == {"too few groups to show any"}


def test_the_order_of_pairs_changes_nothing():
    pairs = figures(12, made({"bicubic-x2": 0, "net": 1, "plain": 0}))
    there, back = (
        summarise(order, NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW) for order in (pairs, pairs[::-1])
    )
    assert there == back


def test_the_others_are_judged_against_bicubic_after_the_headline():
    of = made({"bicubic-x2": 0, "net": 3, "plain": -2})
    summary = summarise(figures(20, of), NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW)
    assert summary.verdict == (
        "net against bicubic-x2: better by PSNR.",
        "net against plain: better by PSNR.",
        "plain against bicubic-x2: worse by PSNR.",
    )
    alone = summarise(figures(20, of), NAMES, headline="net", bicubic=None, bootstrap=FEW)
    assert len(alone.verdict) == 2


def test_a_difference_however_small_does_not_read_as_zero():
    of = made({"bicubic-x2": 0, "net": 2, "plain": 0})
    small = figures(20, lambda name, n: of(name, n) * 1e-5, measure="ssim")
    first = summarise(small, NAMES, headline="net", bicubic="bicubic-x2", bootstrap=FEW).comparisons[0]
    assert first.verdict == "better"
    assert 1e-5 < first.difference < 3e-5
    assert f": {first.difference:+.6f} (95 % interval {first.low:+.6f} to {first.high:+.6f}, " in first.words
