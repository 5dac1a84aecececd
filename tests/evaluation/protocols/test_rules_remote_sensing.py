"""Rules of RSVQA, DIOR-RSVG and VRSBench; expected values follow from the official code by hand."""

from __future__ import annotations

import numpy as np
import pytest
from protocol_cases import make_item, value_of

from domainvl.errors import DatasetError
from domainvl.evaluation.protocols.rules_remote_sensing import (
    score_area_as_published,
    score_count_as_published,
    score_dior_rsvg_as_published,
    score_range,
    score_vrsbench_answers_as_published,
    score_vrsbench_boxes_as_published,
    score_vrsbench_mean_iou_as_published,
)


def counted(truth, said):
    return make_item(said, task="counting", answer={"kind": "count", "count": truth})


def told(truth, said):
    return make_item(said, answer={"kind": "text", "text": truth})


def boxed(said, box=(80, 80, 160, 160)):
    """One object in an image of 800 x 800 px."""
    return make_item(said, task="grounding", boxes=[("ship", list(box))])


def is_right(result):
    assert value_of(result.score) == result.right[0]
    return bool(result.right[0])


@pytest.mark.parametrize(
    ("truth", "said", "right"),
    [
        (0, "0", True),
        (1, "10", True),
        (10, "11", False),
        (11, "100", True),
        (100, "101", False),
        (101, "1000", True),
        (1000, "1001", False),
        (1001, "900000", True),
        (0, "1", False),
        (0, "", False),
        (3, "three", True),
        (3, "-3", False),
    ],
)
def test_ranges_end_where_rsvqa_has_them(truth, said, right):
    assert is_right(score_range([counted(truth, said)])) == right


@pytest.mark.parametrize(
    ("truth", "said", "right"),
    [
        ("12m2", "12m2", True),
        ("12m2", "12", True),
        ("12m2", "1200 cm2", False),  # 0.12 m2, more than 0 and at most 10
        ("500m2", "0.05 ha", True),
        ("22m2", "2m2", False),
        ("0m2", "0m2", True),
    ],
)
def test_areas_are_compared_by_range_whatever_their_unit(truth, said, right):
    assert is_right(score_range([told(truth, said)], unit="m2")) == right


@pytest.mark.parametrize(
    ("truth", "said", "right"),
    [
        (0, "0", True),
        (1, "100", True),  # one range, of which RSVQA makes two
        (100, "101", False),
        (1000, "101", True),
        (1001, "1000", False),
        (5, " 5\n", True),  # int() takes blanks
        (5, "5.", False),
        (5, "five", False),
        (0, "", False),
        (0, "-1", False),
    ],
)
def test_counts_are_read_as_the_official_code_reads_them(truth, said, right):
    assert is_right(score_count_as_published([counted(truth, said)])) == right


@pytest.mark.parametrize(
    ("truth", "said", "right"),
    [
        ("12m2", "1", True),
        ("12m2", "12m2", False),  # the answer keeps its unit and is no int
        ("1222m2", "2000", False),  # the truth is 1
        ("2m2", "2", False),  # nothing is left of the truth
        ("22m2", "0", False),
        ("0m2", "0", True),
        ("150m2", "999", True),
        ("150", "999", True),
    ],
)
def test_areas_lose_every_two_at_their_end(truth, said, right):
    assert is_right(score_area_as_published([told(truth, said)])) == right


def test_answers_without_a_number_are_counted():
    items = [told("12m2", "12m2"), told("0m2", "none"), told("0m2", "0")]
    assert score_area_as_published(items).unreadable == 2
    assert score_range(items, unit="m2").unreadable == 1


TRUE = "[[100, 100, 200, 200]]"


@pytest.mark.parametrize(
    ("said", "right", "unreadable"),
    [
        (TRUE, True, 0),
        (f"<ref>ship</ref><box>{TRUE}</box>", True, 0),
        (f"It is at {TRUE}, or {TRUE}", True, 0),  # the first match
        ("[[100,100,200,200],[0,0,1,1]]", False, 1),  # no JSON up to the first closing bracket
        ("[100, 100, 200, 200]", False, 1),  # its first element is a number
        ('[["100", "100", "200", "200"]]', False, 1),  # text is not divided
        ("[[100, 100, 200]]", False, 1),
        ("[[100, 100, 200, 200, 300]]", False, 1),
        ("[[0.1, 0.1, 0.2, 0.2]]", False, 0),  # shares are not taken for thousandths
        ("[[80, 80, 160, 160]]", False, 0),  # nor are pixels: 49 x 49 of 65 x 65 + 81 x 81 - 49 x 49 is 0.29
        ("[[a, b, c, d]]", False, 1),
        ("[" * 100_000 + "1,2,3,4]]", False, 1),
        (f"[[1{'0' * 400}, 1, 2, 3]]", False, 1),
        ("[[NaN, NaN, NaN, NaN]]", False, 0),
        ("", False, 1),
    ],
)
def test_boxes_of_dior_rsvg_are_read_as_the_official_code_reads_them(said, right, unreadable):
    result = score_dior_rsvg_as_published([boxed(said)])
    assert is_right(result) == right
    assert result.unreadable == unreadable


def test_the_threshold_of_dior_rsvg_must_be_exceeded():
    # 79 px are 80 with the one added: 80 x 40 of 80 x 80 is exactly a half.
    item = boxed("[[0, 0, 98.75, 48.75]]", (0, 0, 79, 79))
    assert not is_right(score_dior_rsvg_as_published([item]))
    assert is_right(score_dior_rsvg_as_published([item], threshold=0.499))
    assert score_dior_rsvg_as_published([item]).metric == "IoU > 0.5 (+1 px)"


def test_random_boxes_score_about_nothing():
    """Boxes of up to the whole image overlap one of 80 x 80 px by half hardly ever; seen are under 1 % in numpy too."""
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 1001, size=(2000, 2, 2)), axis=1)
    items = [boxed(f"[[{a[0]},{a[1]},{b[0]},{b[1]}]]") for a, b in corners]
    assert value_of(score_dior_rsvg_as_published(items).score) < 0.01
    assert value_of(score_vrsbench_boxes_as_published(items, threshold=0.5).score) < 0.01


def test_vrsbench_adds_one_hundredth_to_whole_ones():
    # 80..88 of 800 px are 10..11 hundredths; 100..110 and 100..104 thousandths are 10..11 and 10..10: 2 x 1 of 2 x 2.
    item = boxed("[[100, 100, 110, 104]]", (80, 80, 88, 88))
    assert value_of(score_vrsbench_mean_iou_as_published([item]).score) == pytest.approx(0.5)
    assert is_right(score_vrsbench_boxes_as_published([item], threshold=0.5))
    assert not is_right(score_vrsbench_boxes_as_published([item], threshold=0.51))


def test_vrsbench_reads_numbers_of_any_size():
    # 0..400 of 800 px are 0..50 hundredths; the answer reaches to 120 in x: 51 x 51 of 121 x 51 (+1 each).
    item = boxed("[[-0, 0, 1200, 500]]", (0, 0, 400, 400))
    assert value_of(score_vrsbench_mean_iou_as_published([item]).score) == pytest.approx(51 / 121)
    assert score_vrsbench_mean_iou_as_published([boxed(f"[[{'9' * 400}, 0, 1, 1]]", (0, 0, 9, 9))]).unreadable == 1


def test_vrsbench_takes_an_answer_that_contains_the_truth():
    items = [counted(1, "12"), told("Yes", "yes, there is"), told("white", "wh ite"), told("no", "")]
    assert score_vrsbench_answers_as_published(items).right.tolist() == [True, True, False, False]


def test_a_sample_of_another_kind_is_refused_by_its_id():
    with pytest.raises(DatasetError, match="in sample s: its true answer must be one box, got 0 objects"):
        score_dior_rsvg_as_published([told("ship", TRUE)])
    with pytest.raises(DatasetError, match="in sample s: its true answer must be a text, a count or an option"):
        score_count_as_published([boxed(TRUE)])
