"""Hidden shares, held against exact areas of polygons and against rays through every pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import raycast
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvl.converters.driving.occlusion import contain_camera, occluded_fractions
from domainvl.converters.driving.projection import box_corners, project_cuboids, rotation_matrices

WIDTH_PX, HEIGHT_PX, FOCAL_PX = 1600, 900, 1266.0
MATRIX = np.array([[FOCAL_PX, 0.0, WIDTH_PX / 2], [0.0, FOCAL_PX, HEIGHT_PX / 2], [0.0, 0.0, 1.0]])


def wall(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> np.ndarray:
    """Corners of a cuboid in the camera's frame that spans these intervals."""
    low, high = np.array([x, y, z]).T
    corners: np.ndarray = box_corners((low + high)[None] / 2, (high - low)[None, [1, 0, 2]], np.eye(3)[None])[0]
    return corners


def hidden(corners_m: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
    """The shares of cuboids that are all seen."""
    boxes = project_cuboids(corners_m, MATRIX, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    assert boxes.seen.all()
    images = np.zeros(len(corners_m), np.intp) if images is None else images
    matrices = np.broadcast_to(MATRIX, (len(corners_m), 3, 3))
    with np.errstate(divide="raise", invalid="raise"):  # also where a ray runs along a face
        return occluded_fractions(corners_m, boxes.boxes_px, images, matrices)


def test_drv_22_a_wall_hides_what_lies_behind_it() -> None:
    # Seen as x/z: the wall from -0.1 to 0 hides the left half of the plate, from -0.1 to 0.1; it hides nothing of it
    # itself. The third stands beside both.
    near, far = wall((-1.0, 0.0), (-2.0, 2.0), (10.0, 10.01)), wall((-2.0, 2.0), (-1.0, 1.0), (20.0, 20.01))
    beside = wall((5.0, 6.0), (-1.0, 1.0), (15.0, 16.0))
    shares = hidden(np.stack([far, near, beside]))
    assert shares[0] == pytest.approx(0.5, abs=0.02)
    assert shares[1:].tolist() == [0.0, 0.0]


def test_drv_22_what_is_wholly_behind_another_is_hidden() -> None:
    near, far = wall((-3.0, 3.0), (-2.0, 2.0), (10.0, 11.0)), wall((-1.0, 1.0), (-1.0, 1.0), (20.0, 22.0))
    assert hidden(np.stack([far, near])).tolist() == [1.0, 0.0]


def test_drv_22_images_hide_nothing_of_each_other() -> None:
    near, far = wall((-3.0, 3.0), (-2.0, 2.0), (10.0, 11.0)), wall((-1.0, 1.0), (-1.0, 1.0), (20.0, 22.0))
    assert hidden(np.stack([far, near]), np.array([0, 1])).tolist() == [0.0, 0.0]


def test_drv_22_two_that_hide_the_same_part_are_not_counted_twice() -> None:
    far = wall((-2.0, 2.0), (-1.0, 1.0), (20.0, 20.01))
    first, second = wall((-1.0, 0.0), (-2.0, 2.0), (10.0, 10.01)), wall((-0.75, 0.0), (-2.0, 2.0), (7.5, 7.51))
    assert hidden(np.stack([first, far, second]))[1] == pytest.approx(0.5, abs=0.02)


def test_drv_22_a_long_thing_whose_middle_is_nearer_is_still_behind() -> None:
    # A bus along the view, from 8 to 20 m, and right of it a car from 15 to 19 m that lies before its flank as seen
    # from the left: by their middles the bus would hide the car.
    bus, car = wall((2.0, 4.5), (-2.0, 1.0), (8.0, 20.0)), wall((0.2, 1.8), (-0.6, 1.0), (15.0, 19.0))
    shares = hidden(np.stack([bus, car]))
    assert shares[0] > 0.0
    assert shares[1] == 0.0


def test_drv_22_of_things_in_one_another_the_inner_is_hidden() -> None:
    outer, inner = wall((-2.0, 2.0), (-2.0, 2.0), (10.0, 14.0)), wall((-1.0, 1.0), (-1.0, 1.0), (11.0, 13.0))
    assert hidden(np.stack([outer, inner])).tolist() == [0.0, 1.0]


def test_drv_22_a_thing_that_contains_the_camera_hides_nothing_and_one_before_it_does() -> None:
    around, before = wall((-2.0, 2.0), (-2.0, 2.0), (-1.0, 3.0)), wall((-2.0, 2.0), (-2.0, 2.0), (0.2, 3.0))
    far = wall((-1.0, 1.0), (-1.0, 1.0), (20.0, 22.0))
    assert hidden(np.stack([far, around])).tolist() == [0.0, 0.0]
    assert hidden(np.stack([far, before])).tolist() == [1.0, 0.0]


def test_drv_22_a_camera_is_within_a_cuboid_however_that_is_turned_and_not_beside_it() -> None:
    # A cube of 2 m whose diagonal points ahead reaches from its middle 1.73 m along it, and 1 m along its normals.
    diagonal = np.array([1.0, 1.0, 1.0]) / math.sqrt(3)
    axis = np.cross(diagonal, [0.0, 0.0, 1.0])
    half = math.acos(diagonal[2]) / 2
    turn = [math.cos(half), *(math.sin(half) * axis / np.linalg.norm(axis))]
    far_m, near_m = 1.72, 1.74
    centers_m = np.array([[0.0, 0.0, far_m], [0.0, 0.0, near_m], [0.0, 0.0, 0.99], [0.0, 0.0, 1.01], [0.0, 1.2, 0.0]])
    quaternions = np.array([turn, turn, [1.0, 0, 0, 0], [1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    corners_m = box_corners(centers_m, np.full((5, 3), 2.0), rotation_matrices(quaternions))
    assert contain_camera(corners_m).tolist() == [True, False, True, False, False]


def far_things(generator: np.random.Generator, count: int) -> np.ndarray:
    """Cuboids at distances so different that the order is beyond doubt."""
    depths_m = np.cumsum(generator.uniform(4.0, 6.0, count)) + 4.0
    yaws_rad = generator.uniform(-math.pi, math.pi, count)
    zeros = np.zeros(count)
    quaternions = np.stack([np.cos(yaws_rad / 2), zeros, np.sin(yaws_rad / 2), zeros], axis=1)
    across_m = depths_m * generator.uniform(-0.2, 0.2, count)
    centers_m = np.stack([across_m, generator.uniform(-0.5, 1.0, count), depths_m], axis=1)
    corners: np.ndarray = box_corners(
        centers_m, generator.uniform(0.4, 2.5, (count, 3)), rotation_matrices(quaternions)
    )
    return corners


def exact(corners_m: np.ndarray) -> list[float]:
    """The shares by areas of polygons; things are sorted from near to far."""
    image = shapely.box(0, 0, WIDTH_PX, HEIGHT_PX)
    outlines = []
    for corners in corners_m:
        pixels = corners @ MATRIX.T
        outlines.append(shapely.MultiPoint(pixels[:, :2] / pixels[:, 2:]).convex_hull.intersection(image))
    return [
        outline.intersection(shapely.unary_union(outlines[:index])).area / outline.area
        for index, outline in enumerate(outlines)
    ]


def test_drv_22_shares_are_near_exact_areas() -> None:
    generator = np.random.default_rng(11)
    errors = []
    for _ in range(120):
        corners_m = far_things(generator, 6)
        order = generator.permutation(6)
        shares = hidden(corners_m[order])
        expected = np.array(exact(corners_m))[order]
        partly = (expected > 0.001) & (expected < 0.999)
        errors += np.abs(shares - expected)[partly].tolist()
        # What is hidden wholly or not at all is known exactly.
        np.testing.assert_array_equal(shares[expected == 0.0], 0.0)
        np.testing.assert_allclose(shares[expected > 1 - 1e-9], 1.0)
    assert len(errors) > 150
    # What the function's documentation says.
    assert np.mean(errors) < 0.01
    assert np.quantile(errors, 0.99) < 0.03
    assert max(errors) < 0.05


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40))
def test_drv_22_neither_order_nor_company_in_other_images_matters(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    corners_m = np.concatenate([far_things(generator, 6) for _ in range(count)])
    images = np.repeat(np.arange(count), 6)
    alone = np.concatenate([hidden(corners_m[images == image]) for image in range(count)])
    order = generator.permutation(len(corners_m))
    np.testing.assert_array_equal(hidden(corners_m[order], images[order]), alone[order])
    assert ((alone >= 0.0) & (alone <= 1.0)).all()


def test_drv_22_shares_are_near_those_of_rays_through_every_pixel() -> None:
    eye = raycast.Eye((0.0, 0.0, 1.5), 0.0)
    names = ("car-ahead", "bus-half-hidden", "walker", "truck-beside")
    ride = raycast.Ride((-1.7, 0.0), 0.0, 0.0)
    blocks = [block for block in raycast.known_blocks(ride) if block.name in names]
    seen = raycast.look(blocks, eye)
    assert set(seen) == set(names)
    # Ahead, left, up to right, down, ahead.
    turn = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    corners_m = np.stack(
        [
            (
                np.array([(a, b, c) for a in (-0.5, 0.5) for b in (-0.5, 0.5) for c in (-0.5, 0.5)])
                * np.array(block.size_wlh_m)[[1, 0, 2]]
                @ block.axes()
                + np.subtract(block.center_m, eye.position_m)
            )
            @ turn.T
            for block in blocks
        ]
    )
    matrix = np.array([[eye.focal_px, 0, eye.width_px / 2], [0, eye.focal_px, eye.height_px / 2], [0, 0, 1]])
    boxes = project_cuboids(corners_m, matrix, width_px=eye.width_px, height_px=eye.height_px)
    images = np.zeros(len(blocks), np.intp)
    shares = occluded_fractions(corners_m, boxes.boxes_px, images, np.broadcast_to(matrix, (len(blocks), 3, 3)))
    for block, share in zip(blocks, shares, strict=True):
        assert share == pytest.approx(seen[block.name].hidden_fraction, abs=0.03)
    assert 0.3 < seen["bus-half-hidden"].hidden_fraction < 0.7
