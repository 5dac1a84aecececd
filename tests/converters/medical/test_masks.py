from __future__ import annotations

import numpy as np
import pytest
import shapely
from rasterio.features import geometry_mask
from rasterio.transform import IDENTITY

from domainvl.converters.medical.masks import components_of, polygons_of


def test_rings_run_along_pixel_edges():
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:7] = True
    rings, area_px, box_px = polygons_of(mask)
    assert [len(ring) for ring in rings] == [4]
    assert {frozenset(ring) for ring in rings} == {frozenset({(2, 1), (7, 1), (7, 3), (2, 3)})}
    assert (area_px, box_px) == (10, (2, 1, 7, 3))


def test_holes_are_no_area_and_no_ring():
    mask = np.ones((5, 5), bool)
    mask[2, 1:4] = False
    region = polygons_of(mask, offset_px=(10, 20))
    assert (len(region.polygons_px), region.area_px, region.box_px) == (1, 22, (10, 20, 15, 25))


def test_empty_masks_have_no_box():
    assert polygons_of(np.zeros((3, 3), bool)) == ((), 0.0, None)
    assert components_of(np.zeros((3, 3), bool)) == ()


@pytest.mark.parametrize("seed", range(5))
def test_rings_give_the_mask_back_but_for_holes(seed):
    mask = np.random.default_rng(seed).random((17, 23)) < 0.6
    region = polygons_of(mask)
    shapes = [shapely.Polygon(ring) for ring in region.polygons_px]
    assert all(shape.is_valid for shape in shapes)
    filled = geometry_mask(shapes, mask.shape, IDENTITY, invert=True)
    assert region.area_px == mask.sum()
    assert not (mask & ~filled).any()
    # What is filled beside the mask is closed in by it: it does not reach the border.
    ys, xs = np.nonzero(filled & ~mask)
    assert not len(ys) or (0 < ys.min() and ys.max() < 16 and 0 < xs.min() and xs.max() < 22)


def test_components_are_those_of_pixels_that_touch():
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
    found = components_of(mask)
    assert [(each.box_px, each.area_px) for each in found] == [
        ((0, 0, 2, 2), 2), ((3, 0, 4, 2), 2), ((0, 3, 2, 4), 2)]  # fmt: skip


def test_what_lies_in_a_hole_is_a_component_of_its_own():
    mask = np.ones((7, 7), bool)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    assert [(each.box_px, each.area_px) for each in components_of(mask)] == [((0, 0, 7, 7), 24), ((3, 3, 4, 4), 1)]
