"""Projection, held against cases worked out by hand (principal point 160, 90; image of 320x180 px)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from domainvl.converters.nuscenes.projection import (
    ProjectedBox,
    box_corners,
    into_frame,
    project_cuboids,
    rotation_matrix,
)
from domainvl.errors import ItemError


def project(corners_m: np.ndarray, focal_px: float = 100.0) -> list[ProjectedBox | None]:
    intrinsic = np.array([[focal_px, 0.0, 160.0], [0.0, focal_px, 90.0], [0.0, 0.0, 1.0]])
    return project_cuboids(corners_m, intrinsic, width_px=320, height_px=180)


def aligned_cuboid(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> np.ndarray:
    """Corners of a cuboid that spans these intervals, shape (1, 8, 3)."""
    low, high = np.array([x, y, z]).T
    size = high - low
    return box_corners((low + high)[None] / 2, size[None, [1, 0, 2]], np.eye(3)[None])


def only(boxes: list[ProjectedBox | None]) -> ProjectedBox:
    (box,) = boxes
    assert box is not None
    return box


def test_all_corners_in_front_and_inside_give_their_extents() -> None:
    box = only(project(aligned_cuboid((-2, 1), (-1, 2), (10, 20))))
    # The near face at 10 m decides: 100 px * (-2, -1, 1, 2) m / 10 m.
    assert box.box_px == pytest.approx((140.0, 80.0, 170.0, 110.0), abs=0.01)
    assert box.visible_fraction == 1.0
    assert not box.truncated


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
    assert box.box_px == pytest.approx((min(columns), min(rows), max(columns), max(rows)), abs=0.01)


def test_truck_beside_the_car_reaches_the_border_along_its_true_edges() -> None:
    # From 3 m behind to 5 m ahead of the camera, 2 to 4 m to the right. The far end is 40 px high at column
    # 200; from there the outline opens by half a pixel a column, to 10 and 170 at column 320.
    box = only(project(aligned_cuboid((2, 4), (-1, 1), (-3, 5))))
    assert box.box_px == pytest.approx((200.0, 10.0, 320.0, 170.0), abs=0.01)
    # Silhouette cut at 0.1 m: columns 200, 2160, 4160 with heights 40, 2000, 2000.
    whole = 1960 * (40 + 2000) / 2 + 2000 * 2000
    assert box.visible_fraction == pytest.approx(120 * (40 + 160) / 2 / whole, rel=1e-6)
    assert box.truncated


def test_one_corner_in_front() -> None:
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
    assert only(project(corners, focal_px=10)).box_px == pytest.approx(expected, abs=0.01)


def test_two_corners_in_front() -> None:
    # A cube of side 2 that points at us with an upright edge, at depth sqrt(2) - 1; the neighbouring edges lie at
    # depth -1, sqrt(2) m to the sides.
    half = math.sqrt(0.5)
    rotation = np.array([[half, 0, -half], [0, 1, 0], [half, 0, half]])
    corners = box_corners(np.array([[0.0, 0.0, -1.0]]), np.full((1, 3), 2.0), rotation[None])
    assert (corners[..., 2] > 0.1).sum() == 2
    half_width_px = 5 * (math.sqrt(2) - 1.1) / 0.1
    expected = (160 - half_width_px, 90 - 50, 160 + half_width_px, 90 + 50)
    assert only(project(corners, focal_px=5)).box_px == pytest.approx(expected, abs=0.01)


def test_box_around_the_camera_fills_the_image() -> None:
    box = only(project(aligned_cuboid((-5, 5), (-5, 5), (-5, 5))))
    assert box.box_px == pytest.approx((0.0, 0.0, 320.0, 180.0))
    assert box.truncated


@pytest.mark.parametrize(
    "corners",
    [
        aligned_cuboid((-1, 1), (-1, 1), (-9, -5)),
        aligned_cuboid((-1, 1), (-1, 1), (-2, 0.09)),
        aligned_cuboid((30, 31), (-1, 1), (5, 6)),
    ],
    ids=["behind", "before-the-near-plane", "beside-the-image"],
)
def test_what_the_camera_does_not_see(corners: np.ndarray) -> None:
    assert project(corners) == [None]


def test_outline_is_cut_at_the_border_and_not_clamped() -> None:
    # A flat strip, 100 m deep, that runs out of the image to the lower right: clamping its corners would give
    # y_max 180, but it leaves the image at column 320, where it is at row 90 + 160 * 0.5 = 170.
    box = only(project(aligned_cuboid((10, 10.001), (4.999, 5), (1, 100))))
    assert box.box_px[2] == pytest.approx(320)
    assert box.box_px[3] == pytest.approx(170, abs=0.1)


def test_cuboids_are_projected_each_for_itself() -> None:
    first, second = aligned_cuboid((-2, 1), (-1, 2), (10, 20)), aligned_cuboid((2, 4), (-1, 1), (-3, 5))
    hidden = aligned_cuboid((-1, 1), (-1, 1), (-9, -5))
    together = project(np.concatenate([first, hidden, second]))
    assert together == [only(project(first)), None, only(project(second))]
    assert project(np.empty((0, 8, 3))) == []


def test_front_camera_of_nuscenes_looks_ahead() -> None:
    # (0.5, -0.5, 0.5, -0.5) turns camera axes to ego axes: z to ahead (x), x to right (-y), y to down (-z).
    rotation = rotation_matrix((0.5, -0.5, 0.5, -0.5))
    np.testing.assert_allclose(rotation @ np.eye(3), [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-12)
    point = into_frame(np.array([[11.7, 2.0, 1.0]]), (1.7, 0.0, 1.5), rotation)
    np.testing.assert_allclose(point, [[-2.0, 0.5, 10.0]], atol=1e-12)


def test_quaternion_is_normalised() -> None:
    # A quarter turn about z brings x to y.
    np.testing.assert_allclose(rotation_matrix((3.0, 0.0, 0.0, 3.0)) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_zero_quaternion_is_an_error() -> None:
    with pytest.raises(ItemError, match="must not be zero") as caught:
        rotation_matrix((0.0, 0.0, 0.0, 0.0))
    assert caught.value.reason == "bad-rotation"


def test_length_lies_along_x_and_width_along_y() -> None:
    corners = box_corners(np.zeros((1, 3)), np.array([[2.0, 4.0, 6.0]]), np.eye(3)[None])
    np.testing.assert_allclose(np.abs(corners).max(axis=1), [[2.0, 1.0, 3.0]])
