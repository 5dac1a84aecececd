"""Projection, held against cases worked out by hand (principal point 160, 90; image of 320x180 px)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvl.converters.driving.projection import (
    ProjectedBoxes,
    box_corners,
    into_frame,
    project_cuboids,
    rotation_matrices,
)
from domainvl.errors import ItemError

WIDTH_PX, HEIGHT_PX = 320, 180


def matrix(focal_px: float = 100.0) -> np.ndarray:
    return np.array([[focal_px, 0.0, 160.0], [0.0, focal_px, 90.0], [0.0, 0.0, 1.0]])


def project(corners_m: np.ndarray, focal_px: float = 100.0) -> ProjectedBoxes:
    return project_cuboids(corners_m, matrix(focal_px), width_px=WIDTH_PX, height_px=HEIGHT_PX)


def aligned_cuboid(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> np.ndarray:
    """Corners of a cuboid that spans these intervals, shape (1, 8, 3)."""
    low, high = np.array([x, y, z]).T
    size = high - low
    return box_corners((low + high)[None] / 2, size[None, [1, 0, 2]], np.eye(3)[None])


def only(boxes: ProjectedBoxes) -> np.ndarray:
    """The box of the only cuboid, which is seen."""
    assert boxes.seen.tolist() == [True]
    box: np.ndarray = boxes.boxes_px[0]
    return box


def test_all_corners_in_front_and_inside_give_their_extents() -> None:
    boxes = project(aligned_cuboid((-2, 1), (-1, 2), (10, 20)))
    # The near face at 10 m decides: 100 px * (-2, -1, 1, 2) m / 10 m.
    assert only(boxes) == pytest.approx((140.0, 80.0, 170.0, 110.0), abs=0.01)
    assert boxes.visible_fraction.tolist() == [1.0]
    assert np.isnan(boxes.image_share).all()
    assert boxes.truncated.tolist() == [False]


def test_rotated_cuboid_equals_extents_of_its_projected_corners() -> None:
    yaw = 0.7
    rotation = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    corners = [
        rotation @ np.array([a * 2.0, b * 0.5, c * 1.0]) + (0.4, -0.3, 9.0)
        for a in (-1, 1)
        for b in (-1, 1)
        for c in (-1, 1)
    ]
    columns = [160 + 100 * x / z for x, _, z in corners]
    rows = [90 + 100 * y / z for _, y, z in corners]
    box = only(project(box_corners(np.array([[0.4, -0.3, 9.0]]), np.array([[1.0, 4.0, 2.0]]), rotation[None])))
    assert box == pytest.approx((min(columns), min(rows), max(columns), max(rows)), abs=0.01)


def test_drv_20_a_truck_beside_the_car_reaches_the_border_along_its_true_edges() -> None:
    # From 3 m behind to 5 m ahead of the camera, 2 to 4 m to the right. The far end is 40 px high at column
    # 200; from there the outline opens by half a pixel a column, to 10 and 170 at column 320.
    boxes = project(aligned_cuboid((2, 4), (-1, 1), (-3, 5)))
    assert only(boxes) == pytest.approx((200.0, 10.0, 320.0, 170.0), abs=0.01)
    # Of its left face, 2 m away, all between depths of 1.25 and 5 m is inside: column 320 is 1.6 m to the side a metre.
    seen, whole = quarter(1, 5, 2) - quarter(1, 1.25, 2), quarter(1, 5, 2) + quarter(1, 3, 2)
    assert boxes.visible_fraction[0] == pytest.approx(seen / whole)
    assert boxes.image_share[0] == pytest.approx(120 * (40 + 160) / 2 / (320 * 180))
    assert boxes.truncated.tolist() == [True]


def test_drv_20_one_corner_in_front() -> None:
    # A cube of side 2 that points at us with one corner: its three edges there meet the near plane in a
    # regular triangle around the principal point.
    along = np.array([1.0, 1.0, 1.0]) / math.sqrt(3)
    right = np.array([-2.0, 1.0, 1.0]) / math.sqrt(6)
    rotation = np.stack([right, np.cross(along, right), along])
    corners = box_corners(np.array([[0.0, 0.0, -1.0]]), np.full((1, 3), 2.0), rotation[None])
    assert (corners[..., 2] > 0.1).sum() == 1
    drop_m = 2 / math.sqrt(3)  # by which an edge of 2 m loses depth
    share = (math.sqrt(3) - 1.0 - 0.1) / drop_m
    radius_px = 10 * share * math.sqrt(4 - drop_m**2) / 0.1
    half_height_px = radius_px * math.sqrt(3) / 2
    expected = (160 - radius_px / 2, 90 - half_height_px, 160 + radius_px, 90 + half_height_px)
    assert only(project(corners, focal_px=10)) == pytest.approx(expected, abs=0.01)


def test_drv_20_two_corners_in_front() -> None:
    # A cube of side 2 that points at us with an upright edge, at depth sqrt(2) - 1; the neighbouring edges lie at
    # depth -1, sqrt(2) m to the sides.
    half = math.sqrt(0.5)
    rotation = np.array([[half, 0, -half], [0, 1, 0], [half, 0, half]])
    corners = box_corners(np.array([[0.0, 0.0, -1.0]]), np.full((1, 3), 2.0), rotation[None])
    assert (corners[..., 2] > 0.1).sum() == 2
    half_width_px = 5 * (math.sqrt(2) - 1.1) / 0.1
    expected = (160 - half_width_px, 90 - 50, 160 + half_width_px, 90 + 50)
    assert only(project(corners, focal_px=5)) == pytest.approx(expected, abs=0.01)


def test_drv_20_a_box_around_the_camera_fills_the_image() -> None:
    boxes = project(aligned_cuboid((-5, 5), (-5, 5), (-5, 5)))
    assert only(boxes) == pytest.approx((0.0, 0.0, 320.0, 180.0))
    assert boxes.truncated.tolist() == [True]
    # The image is a quarter of 1.6 by 0.9 four times, of the whole sphere.
    assert boxes.visible_fraction[0] == pytest.approx(4 * quarter(1.6, 0.9, 1.0) / (4 * math.pi))
    assert boxes.image_share[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "corners",
    [
        aligned_cuboid((-1, 1), (-1, 1), (-9, -5)),
        aligned_cuboid((-1, 1), (-1, 1), (-2, 0.09)),
        aligned_cuboid((30, 31), (-1, 1), (5, 6)),
    ],
    ids=["behind", "before-the-near-plane", "beside-the-image"],
)
def test_drv_20_what_the_camera_does_not_see_has_no_box(corners: np.ndarray) -> None:
    boxes = project(corners)
    assert boxes.seen.tolist() == [False]
    assert np.isnan(boxes.boxes_px).all()
    assert boxes.visible_fraction.tolist() == [0.0]
    assert np.isnan(boxes.image_share).all()


def test_drv_20_what_is_in_the_image_but_nearer_than_the_near_plane_is_cut() -> None:
    # A rod along the view, 2 cm thick, from 5 cm on: cut at 10 cm it is 20 px thick, and 40 px if it were not.
    boxes = project(aligned_cuboid((-0.01, 0.01), (-0.01, 0.01), (0.05, 0.5)))
    assert only(boxes) == pytest.approx((150.0, 80.0, 170.0, 100.0))
    assert boxes.truncated.tolist() == [True]
    # Its near face is twice as far when it is cut.
    assert boxes.visible_fraction[0] == pytest.approx(quarter(0.01, 0.01, 0.1) / quarter(0.01, 0.01, 0.05))


def test_drv_21_the_outline_is_cut_at_the_border_and_not_clamped() -> None:
    # A flat strip, 100 m deep, that runs out of the image to the lower right: clamping its corners would give
    # y_max 180, but it leaves the image at column 320, where it is at row 90 + 160 * 0.5 = 170.
    box = only(project(aligned_cuboid((10, 10.001), (4.999, 5), (1, 100))))
    assert box[2] == pytest.approx(320)
    assert box[3] == pytest.approx(170, abs=0.1)


def test_drv_20_the_size_of_the_image_is_what_it_is_said_to_be() -> None:
    corners = aligned_cuboid((-20, 20), (-20, 20), (10, 20))
    small = project_cuboids(corners, matrix(), width_px=300, height_px=120)
    assert only(small) == pytest.approx((0.0, 0.0, 300.0, 120.0))


def test_what_only_touches_the_border_is_not_seen() -> None:
    # The far edge of its right face, 16 m to the left at 10 m, is at column 0.
    boxes = project(aligned_cuboid((-20, -16), (-1, 1), (5, 10)))
    assert boxes.seen.tolist() == [False]


def test_cuboids_are_projected_each_for_itself() -> None:
    first, second = aligned_cuboid((-2, 1), (-1, 2), (10, 20)), aligned_cuboid((2, 4), (-1, 1), (-3, 5))
    hidden = aligned_cuboid((-1, 1), (-1, 1), (-9, -5))
    together = project(np.concatenate([first, hidden, second]))
    assert together.seen.tolist() == [True, False, True]
    np.testing.assert_array_equal(together.boxes_px[[0, 2]], [only(project(first)), only(project(second))])
    assert len(project(np.empty((0, 8, 3))).seen) == 0


def quarter(width_m: float, height_m: float, distance_m: float) -> float:
    """Solid angle of a rectangle of which one corner is straight ahead of the eye (a textbook's double integral)."""
    return math.atan(width_m * height_m / (distance_m * math.sqrt(width_m**2 + height_m**2 + distance_m**2)))


def excess(directions: list[np.ndarray]) -> float:
    """Solid angle of a convex polygon: how much the angles between its great circles exceed those of a flat one."""
    angles = 0.0
    for before, here, after in zip(
        directions[-1:] + directions[:-1], directions, directions[1:] + directions[:1], strict=True
    ):
        first, second = np.cross(here, before), np.cross(here, after)
        angles += math.atan2(np.linalg.norm(np.cross(first, second)), first @ second)
    return angles - (len(directions) - 2) * math.pi


def whole_angle(corners_m: np.ndarray) -> float:
    """Solid angle of a cuboid: of those of its faces that look at the camera, or the whole sphere."""
    total, middle = 0.0, corners_m.mean(axis=0)
    for axis, side in itertools.product((1, 2, 4), (0, 1)):
        a, b, c, d = (corners_m[corner] for corner in range(8) if bool(corner & axis) == bool(side))
        outwards = (a + d) / 2 - middle
        if outwards @ a < 0:
            total += excess([a, b, d, c])
    return total or 4 * math.pi


def plain(corners_m: np.ndarray, focal_px: float) -> tuple[tuple[float, float, float, float], float, float] | None:
    """Box, visible share and share of the image of one cuboid, point by point and with polygons of any shape."""
    points = [corner for corner in corners_m if corner[2] >= 0.1]
    for a, b in itertools.combinations(range(8), 2):
        near, far = corners_m[a], corners_m[b]
        if (a ^ b) in (1, 2, 4) and (near[2] < 0.1) != (far[2] < 0.1):
            points.append(near + (0.1 - near[2]) / (far[2] - near[2]) * (far - near))
    if not points:
        return None
    pixels = [(160 + focal_px * x / z, 90 + focal_px * y / z) for x, y, z in points]
    hull = shapely.MultiPoint(pixels).convex_hull
    part = hull.intersection(shapely.box(0, 0, WIDTH_PX, HEIGHT_PX))
    if part.area == 0:
        return None
    outline = [np.array([(x - 160) / focal_px, (y - 90) / focal_px, 1.0]) for x, y in part.exterior.coords[:-1]]
    return part.bounds, excess(outline) / whole_angle(corners_m), part.area / (WIDTH_PX * HEIGHT_PX)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), focal_px=st.floats(60, 600), upright=st.booleans())
def test_drv_20_many_at_once_equal_the_plain_way(seed: int, focal_px: float, upright: bool) -> None:
    generator = np.random.default_rng(seed)
    quaternions = generator.normal(size=(40, 4))
    if upright:  # turned about the camera's y only
        quaternions[:, [1, 3]] = 0.0
    centers_m = generator.uniform((-15, -4, -12), (15, 4, 15), (40, 3))
    corners_m = box_corners(centers_m, generator.uniform(0.2, 9, (40, 3)), rotation_matrices(quaternions))
    boxes = project(corners_m, focal_px)
    for index, corners in enumerate(corners_m):
        expected = plain(corners, focal_px)
        assert boxes.seen[index] == (expected is not None)
        if expected is not None:
            np.testing.assert_allclose(boxes.boxes_px[index], expected[0], rtol=0, atol=1e-9)
            assert boxes.visible_fraction[index] == pytest.approx(expected[1], abs=1e-5)
            if boxes.truncated[index]:
                assert boxes.image_share[index] == pytest.approx(expected[2], abs=1e-9)


def test_each_cuboid_may_have_a_camera_of_its_own() -> None:
    generator = np.random.default_rng(3)
    corners_m = box_corners(
        generator.uniform((-9, -4, -5), (9, 4, 15), (30, 3)),
        generator.uniform(0.2, 6, (30, 3)),
        rotation_matrices(generator.normal(size=(30, 4))),
    )
    sizes_px = {100.0: (320, 180), 250.0: (640, 200)}
    focal_px = np.where(np.arange(30) % 3 == 0, 250.0, 100.0)
    together = project_cuboids(
        corners_m,
        np.stack([matrix(value) for value in focal_px]),
        width_px=np.array([sizes_px[value][0] for value in focal_px]),
        height_px=np.array([sizes_px[value][1] for value in focal_px]),
    )
    assert together.seen.any()
    for value, (width_px, height_px) in sizes_px.items():
        mine = focal_px == value
        alone = project_cuboids(corners_m[mine], matrix(value), width_px=width_px, height_px=height_px)
        np.testing.assert_array_equal(together.seen[mine], alone.seen)
        np.testing.assert_array_equal(together.truncated[mine], alone.truncated)
        np.testing.assert_allclose(together.boxes_px[mine], alone.boxes_px, atol=1e-9)


def test_front_camera_of_nuscenes_looks_ahead() -> None:
    # (0.5, -0.5, 0.5, -0.5) turns camera axes to ego axes: z to ahead (x), x to right (-y), y to down (-z).
    rotation = rotation_matrices(np.array([(0.5, -0.5, 0.5, -0.5)]))[0]
    np.testing.assert_allclose(rotation @ np.eye(3), [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-12)
    point = into_frame(np.array([[11.7, 2.0, 1.0]]), (1.7, 0.0, 1.5), rotation)
    np.testing.assert_allclose(point, [[-2.0, 0.5, 10.0]], atol=1e-12)


def test_quaternion_is_normalised() -> None:
    # A quarter turn about z brings x to y.
    np.testing.assert_allclose(rotation_matrices(np.array([(3.0, 0.0, 0.0, 3.0)])) @ [1, 0, 0], [[0, 1, 0]], atol=1e-12)


def test_zero_quaternion_is_an_error() -> None:
    with pytest.raises(ItemError, match="must not be zero") as caught:
        rotation_matrices(np.array([(1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)]))
    assert caught.value.reason == "bad-rotation"


def test_length_lies_along_x_and_width_along_y() -> None:
    corners = box_corners(np.zeros((1, 3)), np.array([[2.0, 4.0, 6.0]]), np.eye(3)[None])
    np.testing.assert_allclose(np.abs(corners).max(axis=1), [[2.0, 1.0, 3.0]])
