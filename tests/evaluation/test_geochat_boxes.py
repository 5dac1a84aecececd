"""GeoChat's boxes in the form that is scored here."""

import math

import pytest

from domainvl.evaluation.geochat_boxes import to_our_boxes
from domainvl.evaluation.metrics.reading import read_boxes, read_labelled_boxes


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("{<10><20><30><40>}", "<box>[[100, 200, 300, 400]]</box>"),
        ("{<10><20><30><40>|<0>}", "<box>[[100, 200, 300, 400]]</box>"),
        ("{<30><40><10><20>|<180>}", "<box>[[100, 200, 300, 400]]</box>"),  # corners in any order
        ("{<0><0><150><100>}.", "<box>[[0, 0, 1000, 1000]]</box>."),
        (
            "two <p>large ships</p> {<1><2><3><4>|<0>}<delim>{<5><6><7><8>|<0>} here",
            "two <ref>large ships</ref><box>[[10, 20, 30, 40], [50, 60, 70, 80]]</box> here",
        ),
        ("{<10><20><30>} or [10, 20, 30, 40] or yes", "{<10><20><30>} or [10, 20, 30, 40] or yes"),
    ],
)
def test_boxes_that_are_not_turned(text: str, ours: str) -> None:
    assert to_our_boxes(text, 500, 200) == ours


def test_a_quarter_turn_swaps_the_sides_in_pixels() -> None:
    """On 200x100 px the box of 80x20 px about (100, 50) becomes one of 20x80 px: 90..110 and 10..90 px."""
    assert read_boxes(to_our_boxes("{<30><40><70><60>|<90>}", 200, 100)) == [(450.0, 100.0, 550.0, 900.0)]


@pytest.mark.parametrize("angle_deg", [30, -30])
def test_the_upright_box_around_a_turned_one(angle_deg: int) -> None:
    """Either sense of turning gives the same one: half sides 40 |cos| + 10 |sin| and 40 |sin| + 10 |cos| px."""
    ((label, box),) = read_labelled_boxes(to_our_boxes(f"<p>ship</p>{{<30><45><70><55>|<{angle_deg}>}}", 200, 200))
    half_x = 40 * math.cos(math.radians(30)) + 10 * math.sin(math.radians(30))
    half_y = 40 * math.sin(math.radians(30)) + 10 * math.cos(math.radians(30))
    exact = (100 - half_x, 100 - half_y, 100 + half_x, 100 + half_y)
    assert label == "ship"
    assert box == pytest.approx([value * 5 for value in exact], abs=0.5)


def test_a_box_without_area_is_widened_by_a_thousandth() -> None:
    assert read_boxes(to_our_boxes("{<50><20><50><40>|<45>}", 100, 100)) == [(500.0, 200.0, 501.0, 400.0)]
