"""The verdict: which way, how sure, corrected for how many lines, and what the words must and must not say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from domainvl.evaluation.results import System
from domainvl.evaluation.statistics.bootstrap import paired_difference
from domainvl.evaluation.statistics.paired import smallest_difference
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Resamples
from domainvl.evaluation.statistics.scores import SumScore, mean_score, ratio, spread_over
from domainvl.evaluation.verdict import ScoredSystem, SystemLine, compare

COUNT = 200
HALF = np.tile([1.0, 0.0], COUNT // 2)
RESAMPLES = Resamples([f"patient-{number}" for number in range(COUNT)])


def with_more_right(number):
    """Answers that are right where ``HALF`` is, and so many times more."""
    values = HALF.copy()
    values[1 : 2 * number : 2] = 1.0
    return values


def swapped(number):
    """Answers of which so many are right instead of wrong, and as many but two the other way round."""
    values = with_more_right(number)
    values[0 : 2 * (number - 2) : 2] = 0.0
    return values


def make_system(name, lines, *, resamples=RESAMPLES, higher_is_better=True, right=False, **about):
    """A system with lines by name, each a mean of values or a score."""
    made = []
    for line, values in lines.items():
        score = values if isinstance(values, SumScore) else mean_score(values)
        made.append(
            SystemLine(
                name=line,
                variant="strict",
                score=score,
                estimate=resamples.estimate(score),
                right=values == 1.0 if right else None,
                higher_is_better=higher_is_better,
            )
        )
    return ScoredSystem(System(name=name, predictions=f"{name}.jsonl", **{"kind": "other"} | about), made)


def test_a_better_system_is_called_better_with_its_numbers():
    adapted = make_system("adapted", {"accuracy": with_more_right(20)}, right=True, kind="adapted")
    base = make_system("base", {"accuracy": HALF}, right=True, kind="base")
    (row,) = compare([adapted, base], RESAMPLES)
    assert (row.a, row.b, row.name, row.variant, row.verdict) == ("adapted", "base", "accuracy", "strict", "better")
    assert row.difference == pytest.approx(0.1)
    groups = [f"patient-{number}" for number in range(COUNT)]
    interval = paired_difference(with_more_right(20), HALF, groups)
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high))
    # No resample is without all of the 20: the least p of 2000 resamples. McNemar: 2 * 2^-20.
    assert row.p_bootstrap == row.p_holm == pytest.approx(2 / 2001)
    assert row.p_mcnemar == pytest.approx(2.0**-19)
    # 20 ones in 200 have a standard error of sqrt(0.1 * 0.9 / 200) = 0.0212.
    assert row.smallest_difference == pytest.approx(smallest_difference(0.0212), rel=0.05)
    assert row.words == (
        f"accuracy: adapted is better than base: 0.600 against 0.500, a difference of +0.100 (95 % interval "
        f"{interval.low:+.3f} to {interval.high:+.3f}, 200 samples in 200 groups, p = 0.001)."
    )
    (mirrored,) = compare([base, adapted], RESAMPLES)
    assert (mirrored.verdict, mirrored.difference) == ("worse", pytest.approx(-0.1))
    assert "base is worse than adapted: 0.500 against 0.600" in mirrored.words


def test_a_lower_error_is_better():
    rng = np.random.default_rng(0)
    small, large = (
        SumScore(
            np.stack([(rng.normal(size=COUNT) * scale) ** 2, np.ones(COUNT)], 1), lambda s: np.sqrt(ratio(s)), None
        )
        for scale in (1.0, 30.0)
    )
    a = make_system("a", {"speed RMSE": small}, higher_is_better=False)
    b = make_system("b", {"speed RMSE": large}, higher_is_better=False)
    (row,) = compare([a, b], RESAMPLES)
    assert row.verdict == "better"
    assert row.difference < -20
    assert row.p_mcnemar is None
    assert "a is better than b" in row.words
    assert "lower is better" in row.words
    assert compare([b, a], RESAMPLES)[0].verdict == "worse"


def test_where_nothing_is_found_the_words_say_what_would_be():
    a, b = make_system("a", {"accuracy": swapped(20)}), make_system("b", {"accuracy": HALF})
    (row,) = compare([a, b], RESAMPLES)
    assert row.difference == pytest.approx(0.01)
    assert (row.verdict, row.low < 0 < row.high) == ("not distinguishable", True)
    # 20 gains and 18 losses in 200: standard error sqrt(38 / 200 / 200) = 0.0308, times 2.80.
    assert row.smallest_difference == pytest.approx(0.0863, rel=0.05)
    assert "a is not distinguishable from b: 0.510 against 0.500" in row.words
    assert f"A true difference of {row.smallest_difference:.3f} would show with a probability of 80 %." in row.words


def test_p_values_are_corrected_over_the_lines_of_one_opponent():
    # Seven groups that differ: 2 * 2^-7 = 0.0156, three times that is 0.047, four times 0.0625.
    seven = with_more_right(7)
    few = {f"line {number}": seven for number in range(3)}
    many = {f"line {number}": seven for number in range(4)}
    base = make_system("base", {f"line {number}": HALF for number in range(4)})
    other = make_system("other", {"line 0": HALF})
    three = compare([make_system("a", few), base, other], RESAMPLES)
    assert [(row.b, row.name, row.verdict) for row in three] == [
        ("base", "line 0", "better"),
        ("base", "line 1", "better"),
        ("base", "line 2", "better"),
        ("other", "line 0", "better"),
    ]
    assert [row.p_holm for row in three] == pytest.approx([0.046875] * 3 + [0.015625])
    four = compare([make_system("a", many), base], RESAMPLES)
    assert {row.verdict for row in four} == {"not distinguishable"}
    assert [row.p_holm for row in four] == pytest.approx([0.0625] * 4)
    assert "Alone it would be significant (p = 0.016), among 4 lines it is not" in four[0].words
    assert "p = 0.062 corrected for 4 lines" in four[0].words
    # What would show is what would show among four lines: sqrt(7 / 200 * 193 / 200 / 200) = 0.0130.
    assert four[0].smallest_difference == pytest.approx(smallest_difference(0.0130, tests=4), rel=0.05)


@pytest.mark.parametrize("values", [with_more_right(40), swapped(20), 1 - HALF, np.zeros(COUNT)])
def test_against_a_network_from_scratch_there_is_no_verdict_on_the_specialist(values):
    specialist = make_system("the specialist", {"accuracy": HALF}, kind="specialist", pretraining="none")
    (row,) = compare([make_system("adapted", {"accuracy": values}), specialist], RESAMPLES)
    assert "than the specialist" not in row.words
    assert "from the specialist" not in row.words
    assert "a network trained from scratch on this split (the specialist)" in row.words
    assert "This is no verdict on the specialist that people use." in row.words


def test_who_left_samples_without_an_answer_is_said():
    silent = make_system("silent", {"accuracy": HALF})
    silent = replace(silent, system=silent.system.model_copy(update={"empty": 7}))
    (row,) = compare([make_system("adapted", {"accuracy": with_more_right(40)}), silent], RESAMPLES)
    assert "silent left 7 samples without an answer." in row.words
    assert "adapted left" not in row.words


def test_a_pretrained_specialist_is_called_by_its_name():
    specialist = make_system("vilt", {"accuracy": HALF}, kind="specialist", pretraining="ImageNet-1k")
    (row,) = compare([make_system("adapted", {"accuracy": with_more_right(40)}), specialist], RESAMPLES)
    assert "adapted is better than vilt:" in row.words
    assert "scratch" not in row.words
    assert "no verdict" not in row.words


@pytest.mark.parametrize(("group_count", "warned"), [(19, True), (20, False)])
def test_few_groups_are_warned_of(group_count, warned):
    resamples = Resamples([str(number % group_count) for number in range(COUNT)])
    a, b = (make_system(name, {"x": v}, resamples=resamples) for name, v in (("a", swapped(20)), ("b", HALF)))
    (row,) = compare([a, b], resamples)
    assert (f"With only {group_count} groups the interval is too narrow." in row.words) == warned


def test_where_no_difference_could_show_the_words_say_why():
    resamples = Resamples([str(number % 5) for number in range(COUNT)])
    a, b = (make_system(name, {"x": v}, resamples=resamples) for name, v in (("a", with_more_right(59)), ("b", HALF)))
    (row,) = compare([a, b], resamples)
    # Five groups that all favour a: 2 * 2^-5.
    assert (row.p_holm, row.verdict, row.smallest_difference) == (0.0625, "not distinguishable", None)
    assert "5 groups are too few to show any difference on one line." in row.words
    # 100 resamples give no p-value below 2 / 101, which is too much for three lines.
    resamples = Resamples([str(number) for number in range(COUNT)], BootstrapSettings(resamples=100))
    lines = {f"line {number}": with_more_right(60) for number in range(3)}
    a, b = (make_system(name, dict.fromkeys(lines, v), resamples=resamples) for name, v in (("a", HALF), ("b", HALF)))
    row = compare([make_system("a", lines, resamples=resamples), b], resamples)[0]
    assert (row.verdict, row.smallest_difference) == ("not distinguishable", None)
    assert "100 resamples are too few to show any difference on 3 lines, take more than 120." in row.words


def test_equal_systems_are_not_distinguishable():
    (row,) = compare([make_system("a", {"x": HALF}), make_system("b", {"x": HALF})], RESAMPLES)
    assert (row.difference, row.p_bootstrap, row.verdict, row.smallest_difference) == (
        0,
        1,
        "not distinguishable",
        None,
    )


def test_a_line_without_a_score_is_not_compared_and_not_corrected_for():
    nothing = SumScore(np.zeros((COUNT, 2)), ratio)
    a = make_system("a", {"empty": nothing, "accuracy": with_more_right(40)})
    b = make_system("b", {"empty": nothing, "accuracy": HALF})
    empty, accuracy = compare([a, b], RESAMPLES)
    assert (empty.difference, empty.p_holm, empty.verdict) == (None, None, "not distinguishable")
    assert "a cannot be compared with b" in empty.words
    assert accuracy.p_holm == accuracy.p_bootstrap


def test_only_strict_lines_that_both_have_are_compared():
    a, b = make_system("a", {"x": HALF, "only a": HALF}), make_system("b", {"x": HALF, "only b": HALF})
    (strict,) = make_system("a", {"x": HALF}).lines
    published = SystemLine("x", "as-published", strict.score, strict.estimate)
    a, b = (ScoredSystem(one.system, [published, *one.lines]) for one in (a, b))
    assert [row.name for row in compare([a, b], RESAMPLES)] == ["x"]
    assert compare([a], RESAMPLES) == ()
    twice = ScoredSystem(a.system, [strict, strict])
    with pytest.raises(ValueError, match="different names"):
        compare([twice, b], RESAMPLES)


def test_scores_over_other_samples_are_said_to_be():
    # System a has the last ten left out, such as answers in which no number could be read.
    members = np.arange(COUNT - 10)
    part = spread_over(mean_score(HALF[members]), members, COUNT)
    whole = make_system("b", {"x": HALF}, right=True)
    line = SystemLine("x", "strict", part, RESAMPLES.estimate(part, members), HALF == 1.0)
    (row,) = compare([ScoredSystem(System(name="a", kind="other", predictions="a"), [line]), whole], RESAMPLES)
    assert "The scores are not about the same samples but about 190 answers of a and 200 of b" in row.words
    assert row.p_mcnemar is None
    (same,) = compare([whole, whole], RESAMPLES)
    assert "same samples" not in same.words
