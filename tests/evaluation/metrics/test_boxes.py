"""IoU in both conventions, counts of right boxes, and how far off a number is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.evaluation.metrics.boxes import (
    box_iou,
    box_iou_plus_one,
    f1_score,
    hits,
    iou_accuracy,
    mean_iou,
    paired_iou,
    pairwise_iou,
    precision_score,
    recall_score,
)

COORDINATES = st.tuples(*[st.floats(-10, 50)] * 4)


def value(score, rows=slice(None)):
    """The score of some items."""
    return float(score.combine(score.terms[rows].sum(axis=0)))


def test_the_published_iou_takes_corners_for_the_last_pixels():
    # 10 x 10 and 10 x 10 pixels that share 5 x 10 of them, counted from 0 to 9 and 5 to 14: 50 / 150.
    assert box_iou_plus_one((0, 0, 9, 9), (5, 0, 14, 9)) == pytest.approx(50 / 150)
    # The same numbers as edges: 9 x 9 each, 4 x 9 shared.
    assert box_iou((0, 0, 9, 9), (5, 0, 14, 9)) == pytest.approx(36 / 126)


def test_the_published_iou_has_its_flaws():
    # Boxes half a pixel apart share half a pixel times 3: 1.5 of 3 * 3 + 3 * 3 - 1.5.
    assert box_iou_plus_one((0, 0, 2, 2), (2.5, 0, 4.5, 2)) == pytest.approx(1.5 / 16.5)
    assert box_iou((0, 0, 2, 2), (2.5, 0, 4.5, 2)) == 0
    # Sides of 1 - 1 = 0 pixels: the published code divides by zero, catches it and counts the answer as wrong.
    assert box_iou_plus_one((1, 1, 0, 0), (1, 1, 0, 0)) == 0


def test_a_decision_differs_between_the_conventions():
    # Edges: 2 x 4 of 4 x 4 is 0.5. Pixels: 3 x 5 of 5 x 5 is 0.6.
    a, b = (0, 0, 4, 4), (0, 0, 2, 4)
    assert not hits([box_iou(a, b)], inclusive=False)[0]
    assert hits([box_iou_plus_one(a, b)], inclusive=False)[0]


@given(st.lists(COORDINATES, max_size=5), st.lists(COORDINATES, max_size=5))
def test_many_pairs_agree_with_one(a_boxes, b_boxes):
    ious = pairwise_iou(a_boxes, b_boxes)
    assert ious.shape == (len(a_boxes), len(b_boxes))
    for row, a in enumerate(a_boxes):
        for column, b in enumerate(b_boxes):
            # Where one box has no area, or its corners swapped, the shared part has none either.
            assert ious[row, column] == pytest.approx(box_iou(a, b), abs=1e-12)


def test_paired_boxes_are_compared_place_by_place():
    assert paired_iou([(0, 0, 2, 2), (0, 0, 2, 2)], [(0, 0, 2, 2), (1, 0, 3, 2)]) == pytest.approx([1, 1 / 3])


def test_the_threshold_is_met_or_passed():
    ious = [0.5, 0.7, 0.4999, 0.9]
    assert value(iou_accuracy(ious, 0.5)) == 0.75
    assert value(iou_accuracy(ious, 0.5, inclusive=False)) == 0.5
    assert value(iou_accuracy(ious, 0.7)) == 0.5
    assert value(iou_accuracy(ious, 0.7, inclusive=False)) == 0.25
    assert value(mean_iou([0.0, 0.5, 1.0, 0.5])) == 0.5


def test_f1_is_over_all_boxes_not_over_items():
    counts = [(1, 2, 2), (3, 0, 1)]
    assert value(precision_score(counts)) == pytest.approx(4 / 6)
    assert value(recall_score(counts)) == pytest.approx(4 / 7)
    assert value(f1_score(counts)) == pytest.approx(8 / 13)
    assert value(f1_score(counts), [1]) == pytest.approx(6 / 7)  # as in a resample of the second item alone


def test_there_is_no_f1_of_nothing():
    assert np.isnan(value(f1_score([(0, 0, 0)])))
    assert np.isnan(value(f1_score([])))


def test_f1_of_many_resamples_at_once():
    score = f1_score([(1, 0, 0), (0, 1, 1)])
    assert score.combine(np.array([[1, 0, 0], [1, 1, 1], [0, 2, 2]], float)) == pytest.approx([1, 0.5, 0])


def test_random_boxes_score_about_nothing():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 1000, (2, 5000, 2, 2)), axis=2).reshape(2, 5000, 4)
    ious = paired_iou(*boxes)
    # Of half a million such pairs 0.92 % and 0.09 % are right.
    assert value(iou_accuracy(ious, 0.5)) < 0.02
    assert value(iou_accuracy(ious, 0.7)) < 0.005
