from __future__ import annotations

import numpy as np
import pytest

from domainvl.converters.medical.volumes import MaximumProjection, montage, slabs
from domainvl.errors import ItemError


@pytest.mark.parametrize(
    ("count", "across", "down"), [(1, 1, 1), (2, 2, 1), (4, 2, 2), (5, 3, 2), (8, 3, 3), (9, 3, 3)]
)
def test_med_28_a_montage_runs_from_left_to_right_and_down(count, across, down):
    images = [np.full((4, 6), 10 * number + 1, np.uint8) for number in range(count)]
    pixels, maps = montage(images)
    assert pixels.shape == (4 * down, 6 * across)
    cells = [pixels[4 * row, 6 * column] for row in range(down) for column in range(across)]
    assert cells == [10 * number + 1 for number in range(count)] + [0] * (across * down - count)
    for image, to_montage in zip(images, maps, strict=True):
        x_min, y_min, x_max, y_max = map(int, to_montage.box((0, 0, 6, 4)))
        np.testing.assert_array_equal(pixels[y_min:y_max, x_min:x_max], image)
        assert (to_montage.width_px, to_montage.height_px) == (6 * across, 4 * down)


def test_med_28_smaller_and_coloured_images_find_their_place_in_a_montage():
    grey, red = np.full((2, 2), 50, np.uint8), np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    pixels, maps = montage([grey, red])
    assert pixels.shape == (4, 8, 3)
    assert maps[0].box((0, 0, 2, 2)) == (1, 1, 3, 3)
    np.testing.assert_array_equal(pixels[1:3, 1:3], np.full((2, 2, 3), 50))
    np.testing.assert_array_equal(pixels[:, 4:], red)
    assert pixels[0, 0].tolist() == [0, 0, 0]


def test_med_28_a_projection_is_the_largest_value_that_is_no_background():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, 6, 7)).astype(np.float32)
    background = rng.random((5, 6, 7)) < 0.4
    background[:, 0, 0] = True
    projection = MaximumProjection()
    for one, behind in zip(values, background, strict=True):
        projection.add(one, behind)
    found, empty = projection.result()
    masked = np.ma.masked_array(values, background).max(axis=0)
    np.testing.assert_array_equal(empty, masked.mask)
    np.testing.assert_array_equal(found[~empty], masked.compressed())
    assert found.dtype == np.float32 and projection.count == 5
    assert found[0, 0] == masked.min()


def test_med_28_a_projection_of_nothing_is_background():
    projection = MaximumProjection()
    projection.add(np.ones((2, 2), np.float32), np.ones((2, 2), bool))
    found, empty = projection.result()
    assert empty.all() and not found.any()
    with pytest.raises(ValueError, match="at least one"):
        MaximumProjection().result()


def test_med_28_slices_of_another_size_are_refused():
    projection = MaximumProjection()
    projection.add(np.ones((2, 2), np.float32), np.zeros((2, 2), bool))
    with pytest.raises(ItemError) as error:
        projection.add(np.ones((2, 3), np.float32), np.zeros((2, 3), bool))
    assert error.value.reason == "size"


def test_med_28_slabs_are_as_thick_for_any_spacing():
    fine, coarse = [float(z) for z in range(40)], [5.0 * z for z in range(8)]
    assert [len(slab) for slab in slabs(fine, 10.0)] == [10, 10, 10, 10]
    assert slabs(coarse, 10.0) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    for thin, thick in zip(slabs(fine, 10.0), slabs(coarse, 10.0), strict=True):
        assert fine[thin[0]] == coarse[thick[0]]
    assert slabs(coarse[::-1], 10.0) == slabs(coarse, 10.0)


def test_med_28_slabs_leave_gaps_out_and_forgive_rounding():
    assert slabs([0.0, 4.9999999, 9.9999999, 60.0], 5.0) == [[0], [1], [2], [3]]
    assert slabs([-7.0], 5.0) == [[0]]
