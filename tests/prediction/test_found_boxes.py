"""Reads boxes of answers and places them; expected values by hand."""

from __future__ import annotations

import pytest

from domainvl.prediction.found_boxes import place_found
from domainvl.schema import Task, to_box_px

SIZE = (200, 100)
CAR = ("car", (1.8, 0.9, 6, 4))


def placed(task, text):
    return place_found(task, "car", text, lambda box: to_box_px(box, *SIZE), SIZE)


@pytest.mark.parametrize(
    ("task", "text", "found", "unread"),
    [
        (Task.GROUNDING, "<ref>a car</ref><box>[[0, 0, 500, 1000]]</box>", [("car", (0, 0, 100, 100))], None),
        (
            Task.GROUNDING,
            "[[1, 2, 3, 4], [10, 20, 30, 40]]",
            [("car", (0.2, 0.2, 0.6, 0.4)), ("car", (2, 2, 6, 4))],
            None,
        ),
        (Task.DETECTION, "<ref>bus</ref><box>[[0, 0, 500, 500]]</box>", [("bus", (0, 0, 100, 50))], None),
        (Task.DETECTION, "<box>[[0, 0, 500, 500]]</box>", [], "no-box"),
        (Task.GROUNDING, "None", [], None),
        (Task.GROUNDING, "none.", [], None),
        (Task.GROUNDING, "", [], "no-box"),
        (Task.GROUNDING, "at the left", [], "no-box"),
        (Task.GROUNDING, "[[500, 0, 500, 500]]", [], "box-without-area"),
        (Task.GROUNDING, "[[500, 0, 400, 500]]", [], "box-without-area"),  # corners are not swapped
        (Task.GROUNDING, "[[0, 0, 9, 9], [5, 5, 5, 5]]", [("car", (0, 0, 1.8, 0.9))], "box-without-area"),
    ],
)
def test_what_is_read_is_placed_and_what_is_not_is_told(task, text, found, unread):
    boxes, why = placed(task, text)
    assert [label for label, _ in boxes] == [label for label, _ in found]
    for (_, box), (_, expected) in zip(boxes, found, strict=True):
        assert box == pytest.approx(expected, abs=1e-9)
    assert why == unread


def test_boxes_are_cut_to_the_image():
    boxes, unread = place_found(
        Task.GROUNDING, "car", "[[0, 0, 1000, 1000]]", lambda box: (-9.0, 5.0, 300.0, 50.0), SIZE
    )
    assert boxes == [("car", (0.0, 5.0, 200.0, 50.0))]
    assert unread is None
