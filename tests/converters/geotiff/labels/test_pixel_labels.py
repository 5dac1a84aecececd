"""Labels in pixels: their place in the grid of a scene, and what has none."""

import math
import pickle

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform_bounds

from domainvl.converters.geotiff.georeference import SceneGrid, StoredPixels
from domainvl.converters.geotiff.labels.pixel_labels import (
    LabelRows,
    PixelLabels,
    PixelObject,
    place_pixel_labels,
)
from domainvl.engine import fingerprint
from domainvl.errors import ItemError
from domainvl.schema import Severity

UTM = CRS.from_epsg(32633)
ORIGIN = from_origin(400_000, 5_600_000, 10, 10)
SIZE = (200, 100)


def grid(*, transform=ORIGIN, crs=UTM, stored_to_grid=None, size=SIZE, stored_transform=ORIGIN):
    """A scene of 200 x 100 stored pixels; its grid is that of the stored pixels unless said otherwise."""
    stored = StoredPixels(*SIZE, UTM, stored_transform)
    return SceneGrid(*size, crs, transform, stored, stored_to_grid or Affine.identity())


def boxes(*corners, **more):
    things = [PixelObject(str(row), "tree", box_px=box) for row, box in enumerate(corners, start=2)]
    return PixelLabels("labels/t.csv", tuple(things), **more)


def bounds(placed):
    return [tuple(row) for row in shapely.bounds(placed.areas_px)]


def gathered(*things):
    rows = LabelRows("labels/t.csv")
    for thing in things:
        rows.add(thing)
    return rows.labels()


def test_boxes_stay_where_the_grid_is_that_of_the_file():
    placed, rejects = place_pixel_labels(boxes((10, 20, 30, 40), (150, 0, 250, 10)), grid())
    assert bounds(placed) == [(10, 20, 30, 40), (150, 0, 250, 10)]  # whole: tiles cut them
    assert (placed.ids, placed.names, rejects) == (["2", "3"], ["tree", "tree"], [])
    assert not placed.repaired.any() and not placed.ignored.any()


def test_boxes_follow_a_grid_that_is_mirrored_to_north_up():
    south_up = Affine(10, 0, 400_000, 0, 10, 5_600_000)
    mirrored = Affine(1, 0, 0, 0, -1, SIZE[1])
    placed, _ = place_pixel_labels(
        boxes((10, 20, 30, 40)),
        grid(transform=south_up @ ~mirrored, stored_transform=south_up, stored_to_grid=mirrored),
    )
    assert bounds(placed) == [(10, 60, 30, 80)]


def test_boxes_are_warped_with_the_scene():
    # Half the resolution, the origin 100 m to the west and north: pixel p of the file is (p * 10 + 100) / 20.
    stored = StoredPixels(*SIZE, UTM, ORIGIN)
    coarse = SceneGrid(120, 70, UTM, from_origin(399_900, 5_600_100, 20, 20), stored, None)
    placed, _ = place_pixel_labels(boxes((10, 20, 30, 40)), coarse)
    assert bounds(placed)[0] == pytest.approx((10, 15, 20, 25), abs=1e-6)


def test_edges_are_bent_where_the_warp_bends_them():
    # 1000 km along an easting are no parallel: the middle of the edge must be where the ground is.
    stored = StoredPixels(*SIZE, UTM, from_origin(0, 5_600_000, 5000, 5000))
    degrees = CRS.from_epsg(4326)
    left, bottom, right, top = transform_bounds(UTM, degrees, 0, 5_100_000, 1_000_000, 5_600_000)
    transform = from_origin(left, top, (right - left) / 300, (top - bottom) / 300)
    warped = SceneGrid(300, 300, degrees, transform, stored, None)
    placed, _ = place_pixel_labels(boxes((0, 0, 200, 100)), warped)
    left_end, middle, right_end = warped.from_stored(np.array([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0]]))
    assert math.dist(middle, (left_end + right_end) / 2) > 5  # else this shows nothing
    assert shapely.distance(shapely.Point(middle), placed.areas_px[0].exterior) < 0.1


def test_geo_37_a_quad_is_kept_as_it_is():
    quad = ((10.0, 10.0), (30.0, 20.0), (25.0, 30.0), (5.0, 20.0))
    placed, _ = place_pixel_labels(PixelLabels("l", (PixelObject("1", "ship", rings_px=(quad,)),)), grid())
    assert placed.areas_px[0].equals(shapely.Polygon(quad))
    assert not placed.repaired[0]


def test_several_rings_are_one_area_even_where_they_overlap():
    first, second = ((0, 0), (20, 0), (20, 20), (0, 20)), ((10, 0), (30, 0), (30, 20), (10, 20))
    placed, _ = place_pixel_labels(PixelLabels("l", (PixelObject("1", "roof", rings_px=(first, second)),)), grid())
    assert placed.areas_px[0].area == 600  # 400 + 400 - 200; not even-odd


def test_a_ring_that_crosses_itself_is_repaired_and_said_to_be():
    bow_tie = ((0, 0), (20, 20), (20, 0), (0, 20))
    placed, rejects = place_pixel_labels(PixelLabels("l", (PixelObject("1", "ship", rings_px=(bow_tie,)),)), grid())
    assert placed.areas_px[0].area == 200  # two triangles of 20 x 10 / 2
    assert placed.repaired.tolist() == [True] and rejects == []


@pytest.mark.parametrize("box", [(-30, 10, -1, 20), (200, 10, 220, 20), (10, 100, 20, 110), (-20, 0, 0, 100)])
def test_boxes_outside_their_scene_are_rejects(box):
    placed, rejects = place_pixel_labels(boxes((10, 20, 30, 40), box), grid())
    assert placed.ids == ["2"]
    assert [(reject.input, reject.reason, reject.severity) for reject in rejects] == [
        ("labels/t.csv#3", "outside-scene", Severity.FAILED)
    ]
    assert "200x100 px" in rejects[0].message


def test_a_polygon_without_area_is_a_reject():
    line = ((0, 0), (10, 10), (20, 20))
    placed, rejects = place_pixel_labels(PixelLabels("l", (PixelObject("1", "ship", rings_px=(line,)),)), grid())
    assert (bounds(placed), placed.unusable.tolist()) == ([(0, 0, 20, 20)], [True])
    assert [reject.reason for reject in rejects] == ["no-area"]


def test_labels_of_another_image_size_are_refused():
    with pytest.raises(ItemError, match="400x300 px, the scene has 200x100 px") as caught:
        place_pixel_labels(boxes((1, 1, 2, 2), size_px=(400, 300)), grid())
    assert caught.value.reason == "label-size"
    place_pixel_labels(boxes((1, 1, 2, 2), size_px=SIZE), grid())


def test_a_scene_that_holds_nothing_has_no_rows():
    placed, rejects = place_pixel_labels(PixelLabels("l"), grid())
    assert (len(placed), rejects) == (0, [])


@pytest.mark.parametrize(
    "box", [(30, 20, 10, 40), (10, 40, 30, 20), (10, 20, 10, 40), (10, 20, 30, math.nan), (10, 20, math.inf, 40)]
)
def test_boxes_that_are_none_are_rejects_with_their_row(box):
    labels = gathered(PixelObject("7", "tree", box_px=box), PixelObject("8", "tree", box_px=(1, 1, 2, 2)))
    assert [thing.id for thing in labels.objects] == ["8"]
    (reject,) = labels.rejects
    assert (reject.input, reject.reason) == ("labels/t.csv#7", "invalid-box")
    assert "x_min < x_max" in reject.message


def test_geo_35_rows_that_cannot_be_used_are_known_by_their_place_or_not_at_all():
    labels = gathered(
        PixelObject("1", "tree", box_px=(30, 20, 10, 40)),
        PixelObject("2", "", box_px=(50, 50, 50, 50)),
        PixelObject("3", "ship", rings_px=(((1, 1), (4, 9)),)),
        PixelObject("4", "boat", box_px=(1, 1, math.nan, 5)),
        PixelObject("5", "", rings_px=()),
    )
    placed, rejects = place_pixel_labels(labels, grid())
    assert (placed.names, placed.unusable.tolist()) == (["tree", "unknown class", "ship"], [True] * 3)
    assert bounds(placed) == [(10, 20, 30, 40), (49.5, 49.5, 50.5, 50.5), (1, 1, 4, 9)]
    assert (labels.unclear, rejects, len(labels.rejects)) == (("boat", "unknown class"), [], 5)


def test_geo_37_boxes_are_known_to_be_boxes_and_outlines_not():
    ring = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
    things = (
        PixelObject("1", "tree", box_px=(1, 1, 2, 2)),
        PixelObject("2", "tree", rings_px=(ring,)),
        PixelObject("3", "tree", rings_px=(ring,), is_turned_box=True),
    )
    placed, _ = place_pixel_labels(PixelLabels("l", things), grid())
    assert placed.boxes.tolist() == [True, False, True]


@pytest.mark.parametrize("ring", [((0, 0), (1, 1)), ((0, 0), (1, 0), (1, math.nan))])
def test_rings_that_are_none_are_rejects(ring):
    (reject,) = gathered(PixelObject("7", "tree", rings_px=(ring,))).rejects
    assert reject.reason == "invalid-box"


def test_rows_without_class_geometry_or_id_of_their_own_are_rejects():
    good = PixelObject("1", "tree", box_px=(1, 1, 2, 2))
    labels = gathered(good, good, PixelObject("2", "", box_px=(1, 1, 2, 2)), PixelObject("3", "tree"))
    assert [reject.reason for reject in labels.rejects] == ["same-id", "no-class", "invalid-box"]
    assert labels.objects == (good,)


def test_many_quads_are_placed_as_each_alone():
    random = np.random.default_rng(0)
    quads = random.uniform(0, 90, (300, 4, 2))
    things = [
        PixelObject(str(row), "ship", rings_px=(tuple(map(tuple, quad)),), box_px=None)
        for row, quad in enumerate(quads.tolist())
    ]
    placed, _ = place_pixel_labels(PixelLabels("l", tuple(things)), grid())
    assert placed.repaired.sum() > 10 and (~placed.repaired).sum() > 10  # two edges of random quads often cross
    for thing, area, repaired in zip(things, placed.areas_px, placed.repaired, strict=True):
        alone = shapely.Polygon(thing.rings_px[0])
        assert area.equals(shapely.make_valid(alone)) and area.is_valid
        assert repaired == (not alone.is_valid)


def test_labels_stand_in_a_unit_of_work(tmp_path):
    labels = gathered(
        PixelObject("7", "tree", box_px=(5.5, 5, 1, 1)),
        PixelObject("8", "ship", rings_px=(((0, 0), (1, 0), (1, 1)),), ignored=True, attributes={"difficult": 1}),
    )
    assert pickle.loads(pickle.dumps(labels)) == labels
    assert fingerprint(labels, root=tmp_path) == fingerprint(pickle.loads(pickle.dumps(labels)), root=tmp_path)
    assert fingerprint(labels, root=tmp_path) != fingerprint(PixelLabels("labels/t.csv"), root=tmp_path)
