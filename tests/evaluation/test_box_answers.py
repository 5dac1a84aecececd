"""Boxes of answers against true ones, in the 800 px squares of the cases: 400 px are 500 thousandths."""

from __future__ import annotations

import numpy as np
import pytest
from protocol_cases import make_case_sample

from domainvl.evaluation.box_answers import match_boxes, match_oriented_boxes
from domainvl.evaluation.metrics.detection import detection_counts, read_detection
from domainvl.evaluation.predictions import Prediction

CAT, DOG = ["cat", [0, 0, 400, 400]], ["dog", [400, 400, 800, 800]]
SAID_CAT, SAID_DOG = "<ref>cat</ref><box>[[0, 0, 500, 500]]</box>", "<ref>dog</ref><box>[[500, 500, 1000, 1000]]</box>"


@pytest.mark.parametrize(
    ("task", "boxes", "said", "right", "mean_iou"),
    [
        ("detection", [CAT, DOG], SAID_DOG + SAID_CAT, True, 1),
        ("detection", [CAT, DOG], SAID_CAT, False, 1 / 2),  # one is missed
        ("detection", [CAT], SAID_CAT + SAID_DOG, False, 1 / 2),  # one is surplus
        ("detection", [CAT], SAID_CAT.replace("cat", "dog"), False, 0),  # at the place, of another name
        ("detection", [CAT], "[[0, 0, 500, 500]]", False, 0),  # without a name
        ("detection", [CAT], SAID_CAT.replace("500]", "300]"), True, 0.6),
        ("detection", [CAT], SAID_CAT.replace("500]", "249]"), False, 0.498),
        ("detection", [CAT], "None", False, 0),
        ("detection", [], "None.", True, 1),
        ("detection", [], SAID_CAT, False, 0),
        ("detection", [], "", False, 0),
        ("grounding", [CAT], "[[0, 0, 500, 500]]", True, 1),
        ("grounding", [CAT], "<ref>dog</ref><box>[[0, 0, 500, 500]]</box>", True, 1),  # the expression is given
        ("grounding", [CAT], "[[0, 0, 400, 400]]", True, 0.64),  # pixels are not thousandths
        ("grounding", [CAT], "[[0, 0, 0.5, 0.5]]", False, 1e-6),  # nor are shares
        ("grounding", [CAT], "[[500, 500, 0, 0]]", False, 0),  # corners are not swapped
    ],
)
def test_what_is_right_and_how_much_overlaps(task, boxes, said, right, mean_iou):
    match = match_boxes(make_case_sample("s", task=task, boxes=boxes), said)
    assert (match.is_right(), match.mean_iou) == (right, pytest.approx(mean_iou))


SAID_LYNX = "<ref>cat</ref><box>[[500, 0, 1000, 500]]</box>"
LYNX = ["cat", [400, 0, 800, 400]]


@pytest.mark.parametrize(
    ("boxes", "said", "right", "mean_iou"),
    [
        ([CAT], SAID_CAT + SAID_LYNX, True, 1),  # the second is neither right nor surplus
        ([CAT], SAID_LYNX, False, 0),  # nor does it stand for the one that is missed
        ([CAT], SAID_CAT + SAID_LYNX * 2, False, 1 / 2),  # an ignored object takes one box
        ([CAT], SAID_CAT + SAID_LYNX.replace("cat", "dog"), False, 1 / 2),  # of another name it is surplus
        ([CAT], SAID_CAT + SAID_LYNX.replace("500]", "240]"), False, 1 / 2),  # IoU 0.48
        ([], SAID_LYNX, True, 1),
        ([], SAID_CAT, False, 0),
        ([LYNX], SAID_LYNX, True, 1),  # where a true one is at the same place, that is meant
        ([["cat", [400, 0, 800, 100]]], SAID_LYNX, False, 0),  # IoU 0.25 with the true one, 1 with the ignored one
    ],
)
def test_boxes_on_objects_to_be_ignored_count_for_nothing(boxes, said, right, mean_iou):
    match = match_boxes(make_case_sample("s", task="detection", boxes=boxes, ignored=[LYNX]), said)
    assert (match.is_right(), match.mean_iou) == (right, pytest.approx(mean_iou))
    assert match.is_readable


def test_an_expression_names_what_is_asked_whatever_is_ignored():
    match = match_boxes(make_case_sample("s", task="grounding", boxes=[CAT], ignored=[LYNX]), "[[500, 0, 1000, 500]]")
    assert (match.predicted, match.is_right()) == (1, False)


def test_accuracy_and_f1_agree_about_what_is_surplus_or_missed():
    rng = np.random.default_rng(3)

    def anywhere():
        x, y = rng.integers(0, 6, 2) * 100
        width, height = rng.integers(2, 5, 2) * 50
        return [str(rng.choice(["cat", "dog"])), [x, y, x + width, y + height]]

    def said_of(label, box):
        x_min, y_min, x_max, y_max = (round(value / 0.8) for value in np.array(box) + rng.integers(-30, 30, 4))
        return f"<ref>{label}</ref><box>[[{max(x_min, 0)}, {max(y_min, 0)}, {x_max}, {y_max}]]</box>"

    right = 0
    for _ in range(300):
        true, ignored = ([anywhere() for _ in range(rng.integers(0, 3))] for _ in range(2))
        text = "".join(said_of(*box) for box in [*true, *ignored] if rng.random() < 0.9)
        sample = make_case_sample("s", task="detection", boxes=true, ignored=ignored)
        found = read_detection(sample, Prediction(sample_id="s", text=text))
        (counts,) = detection_counts([found], 0.5).tolist()
        match = match_boxes(sample, text)
        assert (match.true, match.predicted) == (counts[0] + counts[2], counts[0] + counts[1])
        assert match.is_right() == (counts[1:] == [0, 0] and match.is_readable)
        right += match.is_right()
    assert 50 < right < 250


TURNED = ["ship", [400, 400, 400, 200, 45]]


def test_oriented_boxes_are_compared_as_they_lie():
    def match(said, task="grounding", **truth):
        return match_oriented_boxes(make_case_sample("s", task=task, **({"oriented": [TURNED]} | truth)), said)

    # Half the sides along the diagonals: (200 +- 100) / sqrt(2) px are 88.388 and 265.165 thousandths.
    exact = "[[234.835, 411.612, 411.612, 234.835, 765.165, 588.388, 588.388, 765.165]]"
    wrong_way = "[[234.835, 588.388, 411.612, 765.165, 765.165, 411.612, 588.388, 234.835]]"
    assert match(exact).mean_iou == pytest.approx(1, abs=1e-5)
    assert match(exact).is_right(0.99)
    assert match(wrong_way).mean_iou == pytest.approx(1 / 3, abs=1e-5)  # crossing bars: 1 x 1 of 2 + 2 - 1
    # The box around it: 2 of (2 + 1)^2 / 2 in units of 200 px.
    assert match("[[234.835, 234.835, 765.165, 765.165]]").mean_iou == pytest.approx(4 / 9, abs=1e-5)
    named = f"<ref>ship</ref><quad>{exact}</quad>"
    assert match(named, task="detection").mean_iou == pytest.approx(1, abs=1e-5)
    assert match(named.replace("ship", "quay"), task="detection").mean_iou == 0
    assert match(exact, task="detection").is_readable is False
    assert match("<ref>ship</ref><box>[[234.835, 234.835, 765.165, 765.165]]</box>", task="detection").predicted == 1


def test_oriented_boxes_may_lie_on_what_is_ignored_and_beside_upright_ones():
    sample = make_case_sample("s", task="detection", boxes=[CAT], oriented=[TURNED], ignored=[LYNX])
    exact = "<ref>ship</ref>[[234.835, 411.612, 411.612, 234.835, 765.165, 588.388, 588.388, 765.165]]"
    cat = "<ref>cat</ref><quad>[[0, 0, 500, 0, 500, 500, 0, 500], [500, 0, 1000, 0, 1000, 500, 500, 500]]</quad>"
    match = match_oriented_boxes(sample, exact + cat)
    assert (match.predicted, match.true, match.mean_iou) == (2, 2, pytest.approx(1, abs=1e-5))


@pytest.mark.parametrize(
    ("said", "readable"),
    [("", False), ("there", False), ("None", True), ("[[0, 0, 1, 1]]", True), ("[[0, 0, 1]]", False)],
)
def test_what_can_be_read_as_boxes(said, readable):
    assert match_boxes(make_case_sample("s", task="grounding", boxes=[CAT]), said).is_readable == readable
