"""The area that rotated boxes share, however their angle is written, and the corners that an answer can hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvl.evaluation.metrics.boxes import pairwise_iou
from domainvl.evaluation.metrics.oriented import oriented_iou, pairwise_quad_iou, read_quads, upright_quad
from domainvl.schema.oriented import corners_of, in_convention
from domainvl.schema.sample import OrientedBox


def box(x, y, width, height, angle):
    return OrientedBox(center_x_px=x, center_y_px=y, width_px=width, height_px=height, angle_deg=angle)


BOXES = st.builds(box, *[st.floats(-20, 20)] * 2, *[st.floats(1, 40)] * 2, st.floats(-180, 180))


def test_known_areas():
    square = box(0, 0, 2, 2, 0)
    # Turned by 45 degrees it keeps a regular octagon: 8 * (sqrt(2) - 1) of 4 + 4 - that.
    shared = 8 * (math.sqrt(2) - 1)
    assert oriented_iou(square, box(0, 0, 2, 2, 45)) == pytest.approx(shared / (8 - shared))
    # Inside, whatever its angle: its area over the other's.
    assert oriented_iou(square, box(0, 0, 1, 1, 30)) == pytest.approx(1 / 4)
    # A bar across another: 1 x 1 of 4 + 4 - 1.
    assert oriented_iou(box(0, 0, 4, 1, 20), box(0, 0, 4, 1, 110)) == pytest.approx(1 / 7)
    # Corner to corner they touch, and share nothing.
    assert oriented_iou(square, box(2, 2, 2, 2, 0)) == 0


def test_the_angle_turns_clockwise_on_screen():
    # The end of a long bar at 30 degrees lies to the right and below its middle, for y points down.
    bar = box(0, 0, 100, 2, 30)
    at_end = box(40 * math.cos(math.radians(30)), 40 * math.sin(math.radians(30)), 1, 1, 0)
    mirrored = box(40 * math.cos(math.radians(30)), -40 * math.sin(math.radians(30)), 1, 1, 0)
    assert oriented_iou(bar, at_end) == pytest.approx(1 / 200)
    assert oriented_iou(bar, mirrored) == 0


@given(BOXES, BOXES, st.sampled_from(["le90", "le135", "oc"]))
@settings(max_examples=50, deadline=None)
def test_how_the_angle_is_written_does_not_matter(a, b, convention):
    expected = oriented_iou(a, b)
    assert oriented_iou(in_convention(a, convention), b) == pytest.approx(expected, abs=1e-9)
    half_turn = a.model_copy(update={"angle_deg": a.angle_deg + 180})
    quarter = a.model_copy(update={"width_px": a.height_px, "height_px": a.width_px, "angle_deg": a.angle_deg + 90})
    assert oriented_iou(half_turn, b) == pytest.approx(expected, abs=1e-9)
    assert oriented_iou(quarter, b) == pytest.approx(expected, abs=1e-9)
    assert oriented_iou(b, a) == pytest.approx(expected, abs=1e-9)
    assert oriented_iou(a, a) == pytest.approx(1)


def test_boxes_equal_but_for_rounding_are_equal():
    # For these shapely's own intersection is empty.
    a, b = box(8, 0, 20.432291751072018, 1.00001, -27), box(8, 0, 1.00001, 20.432291751072018, 63)
    assert oriented_iou(a, b) == pytest.approx(1)
    assert oriented_iou(a, box(8, 0, 20.432291751072018, 1.00001, -27 + 1e-9)) == pytest.approx(1, abs=1e-6)


def inside(boxed, points):
    """Whether points lie in a box, from its definition: along its own axes, no farther than half its sides."""
    angle = math.radians(boxed.angle_deg)
    x, y = points[:, 0] - boxed.center_x_px, points[:, 1] - boxed.center_y_px
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return (np.abs(along) <= boxed.width_px / 2) & (np.abs(across) <= boxed.height_px / 2)


def test_thrown_points_agree():
    rng = np.random.default_rng(1)
    points = rng.uniform(-20, 20, (100_000, 2))
    for _ in range(10):
        a, b = (box(*rng.uniform(-6, 6, 2), *rng.uniform(5, 16, 2), rng.uniform(-90, 90)) for _ in range(2))
        in_a, in_b = inside(a, points), inside(b, points)
        thrown = (in_a & in_b).sum() / (in_a | in_b).sum()
        # About 10,000 points in the union: a standard error of 0.005.
        assert oriented_iou(a, b) == pytest.approx(thrown, abs=0.025)


def test_shapely_agrees_about_boxes_at_random():
    rng = np.random.default_rng(2)
    a, b = (
        [corners_of(box(*rng.uniform(0, 60, 2), *rng.uniform(1, 40, 2), rng.uniform(-180, 180))) for _ in range(40)]
        for _ in range(2)
    )
    ious = pairwise_quad_iou(a, b)
    for row, first in enumerate(a):
        for column, second in enumerate(b):
            p, q = shapely.Polygon(first), shapely.Polygon(second)
            expected = p.intersection(q).area / p.union(q).area
            assert ious[row, column] == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 4), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_upright_boxes_have_the_same_iou(corners):
    boxes = [(min(x1, x2), min(y1, y2), max(x1, x2) + 1, max(y1, y2) + 1) for x1, y1, x2, y2 in corners]
    quads = [upright_quad(upright) for upright in boxes]
    assert pairwise_quad_iou(quads, quads) == pytest.approx(pairwise_iou(boxes, boxes))


def test_the_order_of_corners_does_not_matter_and_a_line_is_nothing():
    first, second, third, fourth = corners_of(box(5, 5, 4, 2, 30))
    assert pairwise_quad_iou([(first, third, second, fourth)], [(fourth, third, second, first)])[0, 0] == pytest.approx(
        1
    )
    line = ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0))
    point = ((1.0, 1.0),) * 4
    real = (first, second, third, fourth)
    assert pairwise_quad_iou([line, point], [line, point, real]).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert pairwise_quad_iou([real], [line, point]).tolist() == [[0, 0]]
    assert pairwise_quad_iou([], [line]).shape == (0, 1)


def test_corners_are_read_in_thousandths():
    text = "<ref>ship</ref><quad>[[100, 200, 300.5, 250, 280, 350, 80, 300], [0, 0, 10, 0, 10, 10, -5, 10]]</quad>"
    first, second = read_quads(text, width_px=500, height_px=200)
    assert np.array(first) == pytest.approx(np.array([(50, 40), (150.25, 50), (140, 70), (40, 60)]))
    assert second[3] == (-2.5, 2.0)


def test_a_rotated_truth_is_found_by_its_written_corners():
    truth = box(250, 100, 120, 40, 25)
    numbers = [f"{x / 500 * 1000:.3f}, {y / 200 * 1000:.3f}" for x, y in corners_of(truth)]
    quads = read_quads(f"[[{', '.join(numbers)}]]", 500, 200)
    assert pairwise_quad_iou([corners_of(truth)], quads)[0, 0] == pytest.approx(1, abs=1e-4)


def test_an_upright_answer_cannot_be_right_about_a_diagonal_truth():
    # The square around a square that stands on its corner has twice its area.
    truth = corners_of(box(50, 50, 20, 20, 45))
    reach = 10 * math.sqrt(2)
    upright = ", ".join(f"{value * 10:.4f}" for value in (50 - reach, 50 - reach, 50 + reach, 50 + reach))
    assert pairwise_quad_iou([truth], read_quads(f"<box>[[{upright}]]</box>", 100, 100))[0, 0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no ship",
        "[[1, 2, 3]]",
        "[[1, 2, 3, 4, 5, 6, 7]]",
        "[[1, 2, 3, 4, 5, 6, 7, 8, 9]]",
        "{<20><20><40><40>|<30>}",
        "[1, 2, 3, 4, 5, 6, 7, 8]",
    ],
)
def test_what_is_not_read(text):
    assert read_quads(text, 100, 100) == []
