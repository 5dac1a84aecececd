"""DriveLM's tags: from pixels to thousandths and back, and what cannot be understood."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.converters.driving.point_tags import find_tags, to_model, to_pixels

CHANNELS = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
LARGEST_ERROR_PX = {"stitched": 3.3, "single": 1.25}
# Half a thousandth of 2688x896 px in a view of 1600x900 px, which 896x448 px of it show; and of the view itself.
HALF_STEP_PX = {"stitched": (2.4, 0.9), "single": (0.8, 0.45)}
SCORER_NUMBERS = re.compile(r"\d+\.\d+")
"""What the official scorer of DriveLM takes for a coordinate."""


def round_trip(text, layout):
    there = to_model(text, layout)
    back = to_pixels(there.text, layout)
    assert not there.faults
    assert not there.outside
    assert not back.faults
    assert not back.outside
    return there.text, back.text


def test_drv_52_a_tag_is_written_in_thousandths_of_the_stitched_image_or_of_its_view():
    # x: (896 + 1043.2/1600 * 896) / 2688 = 0.55067; y: (82.2/900 * 448) / 896 = 0.04567. Alone: 0.652, 0.09133.
    text = "Where is <c1,CAM_FRONT,1043.2,82.2>?"
    assert to_model(text, "stitched").text == "Where is <c1,CAM_FRONT,[551,46]>?"
    assert to_model(text, "single").text == "Where is <c1,CAM_FRONT,[652,91]>?"


def test_drv_52_the_way_back_is_that_of_the_official_evaluation():
    # 0.388 * 2688 - 896 = 146.944, of 896 px that show 1600: 262.4; 0.117 * 896 = 104.832, of 448 that show 900: 210.6.
    assert to_pixels("<c1,CAM_FRONT,[388,117]>", "stitched").text == "<c1,CAM_FRONT,262.4,210.6>"
    # One row down and one column to the right: 0.9 * 2688 - 1792 = 627.2 -> 1120; 0.75 * 896 - 448 = 224 -> 450.
    assert to_pixels("<c2 ,CAM_BACK_RIGHT, [900, 750] >", "stitched").text == "<c2 ,CAM_BACK_RIGHT,1120.0,450.0>"
    assert to_pixels("<c1,CAM_BACK,[388,117]>", "single").text == "<c1,CAM_BACK,620.8,105.3>"
    assert to_pixels("<c1,CAM_BACK,[-0,-0.0]>", "single").text == "<c1,CAM_BACK,0.0,0.0>"


def test_drv_52_a_point_beyond_its_view_is_clamped_and_reported_with_one_decimal_all_the_same():
    back = to_pixels("<c1,CAM_FRONT,[100,990]> <c2,CAM_BACK,[999,10]> <c3,CAM_BACK,[500,750]>", "stitched")
    assert back.text == "<c1,CAM_FRONT,0.0,900.0> <c2,CAM_BACK,1600.0,0.0> <c3,CAM_BACK,800.0,450.0>"
    assert [tag.name for tag in back.outside] == ["c1", "c2"]
    assert back.faults == ()


@pytest.mark.parametrize("layout", ["stitched", "single"])
def test_drv_53_a_point_outside_its_image_is_kept_at_the_border_and_reported(layout):
    there = to_model("<c1,CAM_FRONT,1612.5,-3.0> <c2,CAM_FRONT,1600.0,0.0>", layout)
    assert [(tag.name, tag.point) for tag in there.outside] == [("c1", (1612.5, -3.0))]
    first, second = (tag.point for tag in find_tags(there.text))
    assert first == second
    assert to_pixels(there.text, layout).text == "<c1,CAM_FRONT,1600.0,0.0> <c2,CAM_FRONT,1600.0,0.0>"


# Alone, one view is as another.
@pytest.mark.parametrize(
    ("layout", "channel"), [("single", "CAM_FRONT"), *(("stitched", channel) for channel in CHANNELS)]
)
def test_drv_52_no_point_of_the_image_moves_farther_than_the_rounding(layout, channel):
    # Each coordinate goes its own way, so that all columns and all rows cover all points of a tenth of a pixel.
    columns = [f"<c1,{channel},{x // 10}.{x % 10},450.0>" for x in range(16001)]
    rows = [f"<c1,{channel},800.0,{y // 10}.{y % 10}>" for y in range(9001)]
    there, back = round_trip(" ".join(columns + rows), layout)
    assert all(0 <= value <= 1000 and value == int(value) for tag in find_tags(there) for value in tag.point)
    points = [tag.point for tag in find_tags(back)]
    assert len(points) == 25002
    furthest_x_px = max(abs(point[0] - x / 10) for x, point in enumerate(points[:16001]))
    furthest_y_px = max(abs(point[1] - y / 10) for y, point in enumerate(points[16001:]))
    assert furthest_x_px + furthest_y_px <= LARGEST_ERROR_PX[layout] + 1e-9
    # The bounds are reached, so none is looser than need be.
    assert (furthest_x_px, furthest_y_px) == pytest.approx(HALF_STEP_PX[layout], abs=0.11)
    assert len(SCORER_NUMBERS.findall(back)) == 2 * len(points)


@given(
    channel=st.sampled_from(CHANNELS),
    x_px=st.floats(0, 1600),
    y_px=st.floats(0, 900),
    layout=st.sampled_from(["stitched", "single"]),
)
def test_drv_52_a_round_trip_stays_within_the_bound_and_the_scorer_sees_both_numbers(channel, x_px, y_px, layout):
    _, back = round_trip(f"<c7,{channel},{x_px:.9f},{y_px:.9f}>", layout)
    numbers = [float(number) for number in SCORER_NUMBERS.findall(back)]
    assert len(numbers) == 2
    assert abs(numbers[0] - x_px) + abs(numbers[1] - y_px) <= LARGEST_ERROR_PX[layout] + 1e-6


def test_drv_52_another_rig_has_its_own_grid_and_sizes():
    sizes_px = {"A": (800, 600), "B": (400, 300), "C": (1000, 1000)}
    # Two columns: A and B above, C below; 1792x896 px.
    there = to_model("<c1,CAM_A,800,600> <c2,CAM_B,200,150> <c3,CAM_C,0,0>", "stitched", sizes_px)
    assert there.text == "<c1,CAM_A,[500,500]> <c2,CAM_B,[750,250]> <c3,CAM_C,[0,500]>"
    assert (
        to_pixels(there.text, "stitched", sizes_px).text
        == "<c1,CAM_A,800.0,600.0> <c2,CAM_B,200.0,150.0> <c3,CAM_C,0.0,0.0>"
    )


@pytest.mark.parametrize(
    ("tag", "reason", "said"),
    [
        ("<c1,CAM_FRONT,1.0,2.0,3.0>", "tag-number-count", "got 3"),
        ("<c1,CAM_FRONT,1.0>", "tag-number-count", "got 1"),
        ("<c1,CAM_FRONT,1.0,>", "tag-not-a-number", "<c1,CAM_FRONT,1.0,>"),
        ("<c1,CAM_FRONT,nan,2.0>", "tag-not-a-number", "nan"),
        ("<c1,CAM_FRONT,1e3,2.0>", "tag-not-a-number", "1e3"),
        ("<c1,CAM_TOP,1.0,2.0>", "unknown-camera", "'CAM_TOP'"),
        ("<c1,FRONT,1.0,2.0>", "unknown-camera", "'FRONT'"),
    ],
)
def test_drv_52_a_tag_that_cannot_be_understood_stays_and_is_named(tag, reason, said):
    there = to_model(f"{tag} and <c2,CAM_FRONT,1600.0,900.0>", "single")
    assert there.text == f"{tag} and <c2,CAM_FRONT,[1000,1000]>"
    assert [(fault.tag.text, fault.reason) for fault in there.faults] == [(tag, reason)]
    assert said in there.faults[0].rule


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("<c1, CAM_FRONT,[1,2]>", "unknown-camera"),
        ("<c1,CAM_TOP,[1,2]>", "unknown-camera"),
        ("<c1,CAM_FRONT,[1,2,3]>", "tag-number-count"),
        ("<c1,CAM_FRONT,[1,x]>", "tag-not-a-number"),
        ("<c1,CAM_FRONT,[1,2>", "tag-not-a-number"),
        ("<c1,CAM_FRONT,[.5,2]>", "tag-not-a-number"),
    ],
)
def test_drv_52_what_the_official_evaluation_leaves_is_left(tag, reason):
    back = to_pixels(f" {tag} ", "stitched")
    assert back.text == f" {tag} "
    assert [fault.reason for fault in back.faults] == [reason]


def test_drv_52_a_text_may_hold_tags_of_both_kinds_and_what_only_looks_like_one():
    text = "<image>\n<c1,CAM_FRONT,800.0,450.0> < c2,CAM_FRONT,1.0,1.0> <c3,CAM_BACK,[500,750]> <c> a < b, c > d"
    assert [(tag.text, tag.unit, tag.point, text[tag.start : tag.end]) for tag in find_tags(text)] == [
        ("<c1,CAM_FRONT,800.0,450.0>", "pixels", (800.0, 450.0), "<c1,CAM_FRONT,800.0,450.0>"),
        ("<c3,CAM_BACK,[500,750]>", "thousandths", (500.0, 750.0), "<c3,CAM_BACK,[500,750]>"),
    ]
    assert to_model(text, "stitched").text == text.replace("800.0,450.0", "[500,250]")
    assert to_pixels(text, "stitched").text == text.replace("[500,750]", "800.0,450.0")


def test_drv_52_blanks_in_a_tag_in_pixels_do_no_harm():
    assert to_model("<c1 , CAM_BACK , 800.0, 450.0 >", "single").text == "<c1,CAM_BACK,[500,500]>"
