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
    # No resample is without all of the 20: the least p of 2000 resamples. The normal has 1 / 2001 beyond 3.2907, which
    # is 3.2824 of 200 groups, and Student's t twice 0.000608. McNemar: 2 * 2^-20.
    assert row.p_bootstrap == row.p_holm == pytest.approx(0.001216, abs=1e-6)
    assert row.p_mcnemar == pytest.approx(2.0**-19)
    # 20 ones in 200 have a standard error of sqrt(0.1 * 0.9 / 200) = 0.0212.
    assert row.smallest_difference == pytest.approx(smallest_difference(0.0212, COUNT), rel=0.05)
    assert row.words == (
        f"accuracy: adapted is better than base: 0.600 against 0.500, a difference of +0.100 (95 % interval "
        f"{interval.low:+.3f} to {interval.high:+.3f}, 200 samples in 200 groups, p = 0.0012)."
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
    assert four[0].smallest_difference == pytest.approx(smallest_difference(0.0130, COUNT, tests=4), rel=0.05)


@pytest.mark.parametrize("pretraining", ["none", "None", " NONE"])
@pytest.mark.parametrize("values", [with_more_right(40), swapped(20), 1 - HALF, np.zeros(COUNT)])
def test_against_a_network_from_scratch_there_is_no_verdict_on_the_specialist(values, pretraining):
    specialist = make_system("the specialist", {"accuracy": HALF}, kind="specialist", pretraining=pretraining)
    (row,) = compare([make_system("adapted", {"accuracy": values}), specialist], RESAMPLES)
    assert "than the specialist" not in row.words
    assert "from the specialist" not in row.words
    assert "a network trained from scratch on this split (the specialist)" in row.words
    assert "This is no verdict on the specialist that people use." in row.words


def test_who_left_samples_without_an_answer_is_said():
    """Only of the samples that the line is about: eleven answers are empty, seven of them among the first half."""
    empty = np.zeros(COUNT, dtype=bool)
    empty[[*range(7), *range(COUNT - 4, COUNT)]] = True
    silent = replace(make_system("silent", {"accuracy": HALF, "first half": HALF}), empty=empty)
    adapted = make_system("adapted", {"accuracy": with_more_right(40), "first half": with_more_right(40)})
    whole, half = zip(adapted.lines, silent.lines, strict=True)
    first_half = [with_members(line, range(COUNT // 2)) for line in half]
    of_two = zip((adapted, silent), whole, first_half, strict=True)
    accuracy, half = compare([replace(one, lines=lines) for one, *lines in of_two], RESAMPLES)
    assert "silent left 11 samples without an answer." in accuracy.words
    assert "silent left 7 samples without an answer." in half.words
    assert "adapted left" not in accuracy.words + half.words
    everything = replace(silent, empty=np.ones(COUNT, dtype=bool))
    (row, _) = compare([everything, adapted], RESAMPLES)
    assert f"silent left {COUNT} samples without an answer." in row.words


def test_a_pretrained_specialist_is_called_by_its_name():
    specialist = make_system("vilt", {"accuracy": HALF}, kind="specialist", pretraining="ImageNet-1k")
    (row,) = compare([make_system("adapted", {"accuracy": with_more_right(40)}), specialist], RESAMPLES)
    assert "adapted is better than vilt:" in row.words
    assert "scratch" not in row.words
    assert "no verdict" not in row.words


@pytest.mark.parametrize(
    ("group_count", "bounds", "warned"),
    [(9, (0.0, 1.0), True), (10, (0.0, 1.0), False), (49, None, True), (50, None, False)],
)
def test_few_groups_are_warned_of(group_count, bounds, warned):
    resamples = Resamples([str(number % group_count) for number in range(COUNT)])
    a, b = (
        make_system(name, {"x": SumScore(mean_score(values).terms, ratio, bounds)}, resamples=resamples)
        for name, values in (("a", swapped(20)), ("b", HALF))
    )
    (row,) = compare([a, b], resamples)
    assert (f"With only {group_count} groups the interval is too narrow." in row.words) == warned


def test_where_no_difference_could_show_the_words_say_why():
    resamples = Resamples([str(number % 5) for number in range(COUNT)])
    a, b = (make_system(name, {"x": v}, resamples=resamples) for name, v in (("a", with_more_right(59)), ("b", HALF)))
    (row,) = compare([a, b], resamples)
    # Five groups that all favour a: 2 * 2^-5.
    assert (row.p_holm, row.verdict, row.smallest_difference) == (0.0625, "not distinguishable", None)
    assert "5 groups are too few to show any difference on one line." in row.words
    # 100 resamples give no p-value below 2 / 101, which is too much for three lines: they need a share of less than
    # 0.0078, as the normal has beyond 2.4204, root 200 / 199 times the quantile 2.4143 of Student's t for 0.05 / 3.
    resamples = Resamples([str(number) for number in range(COUNT)], BootstrapSettings(resamples=100))
    lines = {f"line {number}": with_more_right(60) for number in range(3)}
    a, b = (make_system(name, dict.fromkeys(lines, v), resamples=resamples) for name, v in (("a", HALF), ("b", HALF)))
    row = compare([make_system("a", lines, resamples=resamples), b], resamples)[0]
    assert (row.verdict, row.smallest_difference) == ("not distinguishable", None)
    assert "100 resamples are too few to show any difference on 3 lines, take more than 129." in row.words
    # Ten groups could agree to 2 * 2^-10, but 2000 resamples show 3.2907 of the normal, 3.1218 of ten groups, and that
    # is p = 0.012: too much for seven lines. 0.05 / 7 needs 3.4616 of Student's t, 3.6488 of the normal, 1 in 7592.
    resamples = Resamples([str(number % 10) for number in range(COUNT)])
    lines = {f"line {number}": with_more_right(60) for number in range(7)}
    a, b = (
        make_system(name, dict.fromkeys(lines, v), resamples=resamples) for name, v in (("a", 1 - HALF), ("b", HALF))
    )
    row = compare([a, b], resamples)[0]
    assert "2000 resamples are too few to show any difference on 7 lines, take more than 7592." in row.words


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


def test_what_no_true_difference_would_show_is_not_given_as_one_that_would():
    """Ten groups that are wholly right or wrong, evenly: a difference has a standard error of about 0.3."""
    resamples = Resamples([str(number // 20) for number in range(COUNT)], BootstrapSettings(resamples=10_000))
    one, other = (np.repeat(values, 20).astype(float) for values in ([1, 0] * 5, [0, 1] * 5))
    lines = ({f"line {number}": values for number in range(3)} for values in (one, other))
    a, b = (make_system(name, of, resamples=resamples) for name, of in zip("ab", lines, strict=True))
    row = compare([a, b], resamples)[0]
    # The differences of the groups are 1 and -1: standard error sqrt(1 / 10), of ten groups sqrt(1 / 9). Student's t of
    # 9 degrees of freedom has 0.05 / 6 beyond 2.93 and 0.2 beyond 0.88: 1.27 in all.
    assert smallest_difference(0.316, 10, tests=3) == pytest.approx(1.27, abs=0.01)
    assert (row.verdict, row.smallest_difference) == ("not distinguishable", None)
    assert "Not even the largest possible difference would show with a probability of 80 %." in row.words
    assert "A true difference" not in row.words
    # An error has no largest value.
    unbounded = [
        make_system(name, {"x": SumScore(mean_score(values).terms, ratio, None)}, resamples=resamples)
        for name, values in (("a", one), ("b", other))
    ]
    assert compare(unbounded, resamples)[0].smallest_difference == pytest.approx(
        smallest_difference(0.316, 10), rel=0.03
    )


def with_members(line, members):
    """The same line, about some items only."""
    members = np.array(members)
    score = spread_over(SumScore(line.score.terms[members], line.score.combine, line.score.bounds), members, COUNT)
    return replace(line, score=score, estimate=RESAMPLES.estimate(score, members), members=members)


def test_to_leave_out_what_is_hard_is_not_better():
    """Two copies of a model; the hard half is off by 3, and one of them does not answer it."""
    errors = np.where(np.arange(COUNT) < COUNT // 2, 0.1, 3.0)
    score = SumScore(np.stack([errors**2, np.ones(COUNT)], 1), lambda sums: np.sqrt(ratio(sums)), None)
    whole, copy = (make_system(name, {"RMSE": score}, higher_is_better=False) for name in ("whole", "silent"))
    silent = replace(copy, lines=[with_members(copy.lines[0], range(COUNT // 2))])
    assert silent.lines[0].estimate.value == pytest.approx(0.1)
    assert whole.lines[0].estimate.value == pytest.approx((4.505) ** 0.5)
    (row,) = compare([silent, whole], RESAMPLES)
    assert (row.verdict, row.difference) == ("not distinguishable", 0.0)
    assert "0.1 against 0.1" in row.words
    assert "100 samples in 100 groups" in row.words
    assert "Only the 100 samples that count for both are compared, 100 more count for whole alone." in row.words


def test_as_many_samples_are_not_the_same_ones():
    """a leaves out the last ten, b the first ten; McNemar's test is about the 180 that both have."""
    a, b = make_system("a", {"x": with_more_right(20)}, right=True), make_system("b", {"x": HALF}, right=True)
    a = replace(a, lines=[with_members(a.lines[0], range(COUNT - 10))])
    b = replace(b, lines=[with_members(b.lines[0], range(10, COUNT))])
    (row,) = compare([a, b], RESAMPLES)
    # Of the 20 that a has right besides, at 1, 3 ... 39, five are among the first ten.
    assert row.difference == pytest.approx(15 / 180)
    assert row.p_mcnemar == pytest.approx(2.0**-14)
    compared = "Only the 180 samples that count for both are compared"
    assert f"{compared}, 10 more count for a alone and 10 more count for b alone." in row.words
    (same,) = compare([b, b], RESAMPLES)
    assert "are compared" not in same.words


def test_without_a_sample_that_counts_for_both_there_is_no_comparison():
    a, b = make_system("a", {"x": HALF}, right=True), make_system("b", {"x": HALF}, right=True)
    a = replace(a, lines=[with_members(a.lines[0], range(100))])
    b = replace(b, lines=[with_members(b.lines[0], range(100, COUNT))])
    (row,) = compare([a, b], RESAMPLES)
    assert (row.difference, row.p_holm, row.p_mcnemar, row.verdict) == (None, None, None, "not distinguishable")
    assert row.words == "x: a cannot be compared with b, as no sample counts for both."
