"""GEO-37: rotated boxes in the text of GeoChat and of FIT-RS, read and written; the two are never confused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity
from shapely.geometry import Polygon, box

from domainvl.converters.benchmarks.rotated_text import (
    FIT_RS,
    GEOCHAT,
    GEOCHAT_CLOCKWISE,
    enclosing_box_px,
    find_boxes,
    is_line,
    parse_box,
    write_box,
)
from domainvl.errors import ItemError
from domainvl.schema import OrientedBox
from domainvl.schema.oriented import corners_of

NOTATIONS = pytest.mark.parametrize("notation", [GEOCHAT, GEOCHAT_CLOCKWISE, FIT_RS], ids=["ccw", "cw", "fit-rs"])


def area_of(oriented):
    return Polygon(corners_of(oriented))


def iou(one, two):
    return one.intersection(two).area / one.union(two).area


def rectangle(text, notation, width_px, height_px):
    """Make the area of a box with shapely alone, from what the notation means."""
    first, second, third, fourth, angle = (float(part.strip("<>{}")) for part in text.replace("|", "").split("><"))
    if notation is FIT_RS:
        first, second, third, fourth = first - third / 2, second - fourth / 2, first + third / 2, second + fourth / 2
    upright = box(first * width_px / 100, second * height_px / 100, third * width_px / 100, fourth * height_px / 100)
    # shapely turns x towards y, which is clockwise where y points down.
    return affinity.rotate(upright, -angle if notation is GEOCHAT else angle, origin="center")


def test_geo_37_geochat_corners_by_hand():
    # Corners 20, 30 and 40, 70 of 100 in an image of 200 x 100 px: 40 x 40 px about (60, 50).
    square = parse_box("{<20><30><40><70>|<0>}", GEOCHAT, 200, 100)
    assert square == OrientedBox(center_x_px=60, center_y_px=50, width_px=40, height_px=40, angle_deg=0)
    # 40 x 20 px about (50, 50), turned by 30 degrees to the left: its right end goes up.
    lying = parse_box("{<30><40><70><60>|<30>}", GEOCHAT, 100, 100)
    assert lying == OrientedBox(center_x_px=50, center_y_px=50, width_px=40, height_px=20, angle_deg=-30)
    assert parse_box("{<30><40><70><60>|<30>}", GEOCHAT_CLOCKWISE, 100, 100).angle_deg == 30


def test_geo_37_a_standing_box_of_90_degrees_lies_down():
    # OpenCV's 90 degrees: what is 10 wide and 40 high before it is turned is 40 wide and 10 high.
    oriented = parse_box("{<45><30><55><70>|<90>}", GEOCHAT, 100, 100)
    assert area_of(oriented).bounds == pytest.approx((30, 45, 70, 55))


def test_geo_37_a_box_without_angle_is_upright():
    assert parse_box("{<8><26><22><37>}", GEOCHAT, 100, 100).angle_deg == 0


def test_geo_37_fit_rs_centre_and_sides_by_hand():
    oriented = parse_box("{<50.00><40.00><20.00><10.00>|<60>}", FIT_RS, 512, 512)
    # 512 px are 100 units; the angle turns clockwise.
    assert tuple(oriented.model_dump().values()) == pytest.approx((256, 204.8, 102.4, 51.2, 60))


def test_geo_53_the_same_numbers_are_what_the_notation_says():
    text = "{<20><20><40><40>|<90>}"
    assert area_of(parse_box(text, GEOCHAT, 100, 100)).bounds == pytest.approx((20, 20, 40, 40))
    assert area_of(parse_box(text, FIT_RS, 100, 100)).bounds == pytest.approx((0, 0, 40, 40))


@NOTATIONS
@pytest.mark.parametrize("size", [(100, 100), (512, 512), (640, 360)])
@pytest.mark.parametrize("text", ["{<30><40><70><60>|<30>}", "{<10><20><15><80>|<1>}", "{<40><40><50><60>|<89>}"])
def test_geo_37_boxes_cover_what_shapely_turns(notation, size, text):
    found = area_of(parse_box(text, notation, *size))
    assert iou(found, rectangle(text, notation, *size)) > 1 - 1e-9


WHOLE = st.integers(0, 100)
ANGLES = st.integers(1, 90)


@given(WHOLE, WHOLE, WHOLE, WHOLE, ANGLES, st.sampled_from([GEOCHAT, GEOCHAT_CLOCKWISE]))
def test_geo_37_geochat_text_comes_back(x, y, other_x, other_y, angle, notation):
    x_min, x_max = sorted((x, other_x))
    y_min, y_max = sorted((y, other_y))
    text = f"{{<{x_min}><{y_min}><{x_max}><{y_max}>|<{angle}>}}"
    assert is_line(text, notation) is (x_min == x_max or y_min == y_max)
    if not is_line(text, notation):
        assert write_box(parse_box(text, notation, 600, 600), notation, 600, 600) == text


@given(st.integers(0, 10000), st.integers(0, 10000), st.integers(1, 9000), st.integers(1, 9000), ANGLES)
def test_geo_37_fit_rs_text_comes_back(x, y, width, height, angle):
    numbers = "".join(f"<{value / 100:.2f}>" for value in (x, y, width, height))
    text = f"{{{numbers}|<{angle}>}}"
    assert write_box(parse_box(text, FIT_RS, 512, 512), FIT_RS, 512, 512) == text


@given(
    st.floats(0, 512), st.floats(0, 512), st.floats(2, 300), st.floats(2, 300), st.floats(-720, 720), st.integers(0, 1)
)
def test_geo_37_a_written_box_is_the_box_within_what_is_rounded(x, y, width, height, angle, turns_left):
    true = OrientedBox(center_x_px=x, center_y_px=y, width_px=width, height_px=height, angle_deg=angle)
    # FIT-RS: half of 0.01 unit of 5.12 px, and up to one degree.
    fine = parse_box(write_box(true, FIT_RS, 512, 512), FIT_RS, 512, 512)
    half_diagonal_px = math.hypot(width, height) / 2
    assert distance_px(true, fine) <= half_diagonal_px * math.radians(1) + 4 * 0.005 * 5.12 + 1e-6
    # GeoChat: one unit at most for each corner, where a thin box is widened; and half a degree.
    notation = (GEOCHAT_CLOCKWISE, GEOCHAT)[turns_left]
    coarse = parse_box(write_box(true, notation, 512, 512), notation, 512, 512)
    assert distance_px(true, coarse) <= half_diagonal_px * math.radians(0.5) + 2 * math.sqrt(2) * 5.12


def distance_px(one, two):
    """Return how far the corners of two boxes are apart at most."""
    return area_of(one).hausdorff_distance(area_of(two))


def test_geo_37_geochat_never_writes_an_empty_box():
    thin = OrientedBox(center_x_px=50.2, center_y_px=50.2, width_px=0.1, height_px=0.1, angle_deg=90)
    assert write_box(thin, GEOCHAT, 100, 100) == "{<50><50><51><51>|<90>}"


def test_geo_37_an_angle_is_cut_not_rounded_in_fit_rs():
    oriented = OrientedBox(center_x_px=50, center_y_px=50, width_px=20, height_px=10, angle_deg=45.9)
    assert write_box(oriented, FIT_RS, 100, 100) == "{<50.00><50.00><20.00><10.00>|<45>}"


@pytest.mark.parametrize("text", ["{<10><20><30><40>|<15>}", "{<50><50><100><10>|<45>}", "{<5><5><20><20>|<30>}"])
def test_geo_37_the_upright_box_does_not_hang_on_the_side_of_turning(text):
    boxes = [
        enclosing_box_px(parse_box(text, notation, 200, 100), 200, 100) for notation in (GEOCHAT, GEOCHAT_CLOCKWISE)
    ]
    assert boxes[0][0] == pytest.approx(boxes[1][0])
    assert boxes[0][1] == boxes[1][1]


def test_geo_37_the_upright_box_is_cut_to_the_image():
    oriented = parse_box("{<90.00><50.00><40.00><10.00>|<90>}", FIT_RS, 100, 100)
    assert enclosing_box_px(oriented, 100, 100) == (pytest.approx((85, 30, 95, 70)), False)
    wide = parse_box("{<90.00><50.00><10.00><40.00>|<90>}", FIT_RS, 100, 100)
    assert enclosing_box_px(wide, 100, 100) == (pytest.approx((70, 45, 100, 55)), True)


@pytest.mark.parametrize(
    ("text", "notation", "reason"),
    [
        ("{<1><2><3>|<4>}", GEOCHAT, "box-form"),
        ("{<1><2><3><x>|<4>}", GEOCHAT, "box-form"),
        ("<1><2><3><4>|<4>", GEOCHAT, "box-form"),
        ("{<35><32><0.00><36>|<67>}", FIT_RS, "box-empty"),
        ("{<77><981><83><100>|<29>}", GEOCHAT, "box-outside"),
        ("{<120.00><50.00><90.00><36>|<67>}", FIT_RS, "box-outside"),
    ],
)
def test_geo_37_what_is_no_box_is_refused_by_name(text, notation, reason):
    with pytest.raises(ItemError) as caught:
        parse_box(text, notation, 100, 100)
    assert caught.value.reason == reason
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        # A unit is 2 px in x and 1 px in y; half a unit is a pixel wide and half a pixel high.
        ("{<35><20><35><60>|<0>}", (69.5, 20, 70.5, 60)),
        ("{<10><40><30><40>|<0>}", (20, 39.75, 60, 40.25)),
        ("{<50><50><50><50>|<0>}", (99.5, 49.75, 100.5, 50.25)),
    ],
)
def test_geo_53_a_side_that_rounding_made_0_is_half_a_unit(text, bounds):
    assert is_line(text, GEOCHAT)
    assert area_of(parse_box(text, GEOCHAT, 200, 100)).bounds == pytest.approx(bounds)


def test_geo_53_only_corners_are_rounded_to_a_line():
    assert not is_line("{<35><32><0.00><36>|<67>}", FIT_RS)
    assert not is_line("{<35><32><36><36>|<67>}", GEOCHAT)


def test_geo_37_boxes_are_found_in_a_text():
    text = "<p>two</p> {<1><2><3><4>|<5>}<delim>{<6><7><8><9>} and {<1>}, {<1.25><2><3><4>|<5>}"
    assert find_boxes(text) == ["{<1><2><3><4>|<5>}", "{<6><7><8><9>}", "{<1.25><2><3><4>|<5>}"]
