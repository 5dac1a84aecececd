"""Between pixels and thousandths: corners on pixel edges, never empty, and back within half a thousandth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.errors import DatasetError
from domainvl.schema.boxes import clip_box, to_box_1000, to_box_px

SIDES = st.integers(1, 20_000)


@st.composite
def boxes_in_images(draw):
    width_px, height_px = draw(SIDES), draw(SIDES)
    x = sorted(draw(st.tuples(*[st.floats(0, width_px)] * 2)))
    y = sorted(draw(st.tuples(*[st.floats(0, height_px)] * 2)))
    return (x[0], y[0], x[1], y[1]), width_px, height_px


@pytest.mark.parametrize(
    ("box_px", "size_px", "expected"),
    [
        ((10, 20, 30, 40), (200, 100), (50, 200, 150, 400)),
        ((0, 0, 200, 100), (200, 100), (0, 0, 1000, 1000)),
        ((1, 1, 2, 2), (3, 3), (333, 333, 667, 667)),
        # A pixel of an image of 8000 px is an eighth of a thousandth.
        ((0, 0, 1, 1), (8000, 8000), (0, 0, 1, 1)),
        ((7999, 7999, 8000, 8000), (8000, 8000), (999, 999, 1000, 1000)),
        # Beyond the image: clamped, and still not empty.
        ((-5, -5, 300, 50), (200, 100), (0, 0, 1000, 500)),
        ((300, 200, 400, 300), (200, 100), (999, 999, 1000, 1000)),
        ((-9, -9, -5, -5), (200, 100), (0, 0, 1, 1)),
    ],
)
def test_boxes_by_hand(box_px, size_px, expected):
    assert to_box_1000(box_px, *size_px) == expected


def test_back_to_pixels_by_hand():
    assert to_box_px((50, 200, 150, 400), 200, 100) == (10.0, 20.0, 30.0, 40.0)


@given(SIDES, SIDES, st.data())
def test_one_pixel_never_degenerates(width_px, height_px, data):
    x, y = data.draw(st.integers(0, width_px - 1)), data.draw(st.integers(0, height_px - 1))

    x_min, y_min, x_max, y_max = to_box_1000((x, y, x + 1, y + 1), width_px, height_px)

    assert 0 <= x_min < x_max <= 1000
    assert 0 <= y_min < y_max <= 1000


@given(boxes_in_images())
def test_back_within_half_a_thousandth(case):
    box_px, width_px, height_px = case

    box_1000 = to_box_1000(box_px, width_px, height_px)
    back_px = to_box_px(box_1000, width_px, height_px)

    assert all(isinstance(value, int) for value in box_1000)
    for low, high, side_px in ((0, 2, width_px), (1, 3, height_px)):
        half = 0.5 * side_px / 1000 * (1 + 1e-9) + 1e-9
        # Only a box thinner than a thousandth may have been widened, by one thousandth.
        widened = box_1000[high] - box_1000[low] == 1 and box_px[high] - box_px[low] < side_px / 1000
        limit = 3 * half if widened else half
        assert abs(back_px[low] - box_px[low]) <= limit
        assert abs(back_px[high] - box_px[high]) <= limit


@given(st.tuples(*[st.integers(0, 999)] * 2), st.tuples(*[st.integers(1, 500)] * 2), SIDES, SIDES)
def test_thousandths_come_back_unchanged(low, extent, width_px, height_px):
    box = (low[0], low[1], min(low[0] + extent[0], 1000), min(low[1] + extent[1], 1000))

    assert to_box_1000(to_box_px(box, width_px, height_px), width_px, height_px) == box


@pytest.mark.parametrize("box_px", [(5, 0, 4, 1), (0, 5, 1, 4)])
def test_a_turned_box_is_refused(box_px):
    with pytest.raises(DatasetError, match=r"x_min <= x_max and y_min <= y_max must hold, got \("):
        to_box_1000(box_px, 10, 10)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("position", range(4))
def test_a_box_that_is_not_finite_is_refused(value, position):
    box_px = [1.0, 1.0, 2.0, 2.0]
    box_px[position] = value

    with pytest.raises(DatasetError, match="finite"):
        to_box_1000(tuple(box_px), 10, 10)


def test_a_box_is_cut_to_the_image():
    assert clip_box((-1, -2, 300, 50.5), 200, 100) == (0.0, 0.0, 200.0, 50.5)
    assert clip_box((3, 120, 4, 130), 200, 100) == (3.0, 100.0, 4.0, 100.0)
