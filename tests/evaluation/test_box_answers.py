"""Boxes of answers against true ones, in the 800 px squares of the cases: 400 px are 500 thousandths."""

from __future__ import annotations

import pytest
from protocol_cases import make_case_sample

from domainvl.evaluation.box_answers import match_boxes

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


@pytest.mark.parametrize(
    ("said", "readable"),
    [("", False), ("there", False), ("None", True), ("[[0, 0, 1, 1]]", True), ("[[0, 0, 1]]", False)],
)
def test_what_can_be_read_as_boxes(said, readable):
    assert match_boxes(make_case_sample("s", task="grounding", boxes=[CAT]), said).is_readable == readable
