"""Rotated boxes: round trips, the smallest box, conventions, and what has no box."""

import math

import numpy as np
import pytest
import shapely

from domainvl.errors import DatasetError
from domainvl.schema.oriented import corners_of, in_convention, smallest_oriented_box
from domainvl.schema.sample import OrientedBox

RANGES = {"le90": (-90, 90), "le135": (-45, 135), "oc": (0, 90)}


def box(width, height, angle, center=(50.0, 40.0)):
    return OrientedBox(center_x_px=center[0], center_y_px=center[1], width_px=width, height_px=height, angle_deg=angle)


def iou(first, second):
    return first.intersection(second).area / first.union(second).area


def random_boxes(count):
    random = np.random.default_rng(0)
    for _ in range(count):
        width, height = random.uniform(1, 500, 2)
        yield box(width, height, random.uniform(-360, 360), random.uniform(-1000, 20_000, 2))


@pytest.mark.parametrize("convention", RANGES)
def test_geo_37_a_rectangle_comes_back_from_its_four_corners(convention):
    for original in random_boxes(1000):
        quad = np.array(corners_of(original))
        found = smallest_oriented_box(np.random.default_rng(1).permutation(quad), convention)
        assert iou(shapely.Polygon(quad), shapely.Polygon(corners_of(found))) >= 0.999
        low, high = RANGES[convention]
        assert (low < found.angle_deg <= high) if convention == "oc" else (low <= found.angle_deg < high)
        assert convention == "oc" or found.width_px >= found.height_px


def test_geo_37_rounded_corners_of_a_quad_keep_its_place():
    # As DOTA writes them: whole pixels, so no exact rectangle.
    quad = [(349, 491), (388, 508), (353, 591), (313, 573)]
    found = shapely.Polygon(corners_of(smallest_oriented_box(quad)))
    assert iou(shapely.Polygon(quad), found) > 0.95
    assert found.buffer(1e-6).covers(shapely.Polygon(quad))


def test_geo_37_the_angle_is_clockwise_on_screen():
    # A bar from the upper left to the lower right, 45 degrees from x towards y.
    found = smallest_oriented_box([(0, 1), (1, 0), (11, 10), (10, 11)])
    assert found.angle_deg == pytest.approx(45)
    assert (found.width_px, found.height_px) == pytest.approx((10 * math.sqrt(2), math.sqrt(2)))
    assert (found.center_x_px, found.center_y_px) == pytest.approx((5.5, 5.5))


def test_corners_go_clockwise_from_the_upper_left():
    assert corners_of(box(20, 10, 0)) == ((40, 35), (60, 35), (60, 45), (40, 45))
    turned = corners_of(box(20, 10, 90))
    assert np.allclose(turned, [(55, 30), (55, 50), (45, 50), (45, 30)])


@pytest.mark.parametrize(
    ("convention", "given", "expected"),
    [
        # (width, height, angle), by the definitions in MMRotate's docs/en/intro.md and its code.
        ("le90", (20, 10, 0), (20, 10, 0)),
        ("le90", (20, 10, 90), (20, 10, -90)),
        ("le90", (10, 20, 0), (20, 10, -90)),
        ("le90", (10, 20, 30), (20, 10, -60)),
        ("le90", (10, 10, 80), (10, 10, -10)),
        ("le135", (10, 10, 80), (10, 10, -10)),
        ("le135", (20, 10, -60), (20, 10, 120)),
        ("le135", (20, 10, -45), (20, 10, -45)),
        ("le135", (20, 10, 135), (20, 10, -45)),
        ("oc", (20, 10, 0), (10, 20, 90)),
        ("oc", (20, 10, -90), (20, 10, 90)),
        ("oc", (20, 10, 30), (20, 10, 30)),
        ("oc", (20, 10, -30), (10, 20, 60)),
        ("oc", (20, 10, 90), (20, 10, 90)),
    ],
)
def test_geo_37_conventions_are_as_declared(convention, given, expected):
    found = in_convention(box(*given), convention)
    assert (found.width_px, found.height_px, found.angle_deg) == pytest.approx(expected)


@pytest.mark.parametrize("convention", RANGES)
def test_another_convention_covers_the_same_area(convention):
    for original in random_boxes(100):
        there = in_convention(original, convention)
        same = shapely.Polygon(corners_of(there)).symmetric_difference(shapely.Polygon(corners_of(original)))
        assert same.area < 1e-6


def test_an_angle_just_below_the_range_does_not_become_its_end():
    assert in_convention(box(20, 10, -90 - 1e-15), "le90").angle_deg < 90
    assert in_convention(box(20, 10, math.nextafter(-90, -91)), "le90").angle_deg < 90


def test_no_smaller_box_is_found_by_turning():
    random = np.random.default_rng(2)
    for _ in range(50):
        points = random.uniform(0, 100, (8, 2))
        found = smallest_oriented_box(points)
        assert shapely.Polygon(corners_of(found)).buffer(1e-6).covers(shapely.MultiPoint(points))
        for angle in np.radians(np.arange(0, 90, 0.5)):
            turned = points @ np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            assert found.width_px * found.height_px <= np.prod(np.ptp(turned, axis=0)) + 1e-6


def test_the_order_of_the_points_does_not_matter():
    # All three boxes along the sides of a right triangle have the same area: twice its own.
    points = [(0, 0), (30, 0), (0, 40)]
    found = {
        smallest_oriented_box(points[start:] + points[:start]) == smallest_oriented_box(points) for start in range(3)
    }
    assert found == {True}
    assert smallest_oriented_box(points).width_px * smallest_oriented_box(points).height_px == pytest.approx(1200)


def test_a_square_keeps_its_axes():
    assert smallest_oriented_box([(10, 10), (20, 10), (20, 20), (10, 20)]).angle_deg == 0


@pytest.mark.parametrize(
    "points",
    [
        [(5, 5)] * 4,
        [(0, 0), (10, 10), (20, 20), (30, 30)],
        [(0, 0), (0.1, 0.3), (0.2, 0.6), (0.3, 0.9)],
        [(0, 0), (10, 0), (10, 0), (0, 0)],
        [],
    ],
)
def test_geo_37_points_and_lines_have_no_box(points):
    with pytest.raises(DatasetError, match="must not lie on a line"):
        smallest_oriented_box(points)


def test_a_corner_that_is_nowhere_is_refused():
    with pytest.raises(DatasetError, match="must be finite"):
        smallest_oriented_box([(0, 0), (10, 0), (10, math.nan), (0, 10)])
