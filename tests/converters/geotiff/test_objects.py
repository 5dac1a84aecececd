import numpy as np
import pytest
import shapely

from domainvl.converters.geotiff.grid import Tile
from domainvl.converters.geotiff.objects import LabelIndex
from domainvl.converters.geotiff.vectors import Label

TILE = Tile(row=1, col=2, x_px=200, y_px=100, width_px=100, height_px=100)
VALID = np.ones((100, 100), dtype=bool)


def objects_in(polygon, *, min_visible=0.5, valid=VALID, tile=TILE):
    index = LabelIndex([Label("7", "thing", polygon, False, {"height_m": 3.0})])
    return index.objects_in(tile, valid, min_visible=min_visible)[0]


def polygon(*corners):
    return shapely.Polygon([(x + 200, y + 100) for x, y in corners])


def box(x_min, y_min, x_max, y_max):
    return polygon((x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max))


U_SHAPE = polygon((-60, 10), (40, 10), (40, 20), (-50, 20), (-50, 30), (40, 30), (40, 40), (-60, 40))
WITH_HOLE = shapely.Polygon(
    [(210, 110), (230, 110), (230, 130), (210, 130)], holes=[[(215, 115), (225, 115), (225, 125), (215, 125)]]
)

# Geometry in pixels of the tile, visible fraction and box: by hand. None: not in the tile.
TABLE = [
    pytest.param(box(10, 20, 11, 21), 1.0, (10, 20, 11, 21), id="one pixel"),
    pytest.param(box(0, 0, 100, 100), 1.0, (0, 0, 100, 100), id="exactly the tile"),
    pytest.param(box(-100, -100, 200, 200), 1 / 9, (0, 0, 100, 100), id="around the tile"),
    pytest.param(box(-10, 40, 10, 60), 0.5, (0, 40, 10, 60), id="half to the left"),
    pytest.param(box(90, 90, 110, 110), 0.25, (90, 90, 100, 100), id="a quarter in the corner"),
    pytest.param(box(97, 40, 107, 60), 0.3, (97, 40, 100, 60), id="too little to the right"),
    pytest.param(box(100, 40, 120, 60), None, None, id="touches the edge"),
    pytest.param(box(100, 100, 120, 120), None, None, id="touches the corner"),
    pytest.param(box(150, 40, 160, 60), None, None, id="outside"),
    pytest.param(polygon((-20, 0), (20, 0), (0, 40)), 0.5, (0, 0, 20, 40), id="half a triangle"),
    # The U has arms of 100 x 10 and a back of 10 x 10; 40 x 10 of each arm lie in the tile: 800 of 2100.
    pytest.param(U_SHAPE, 800 / 2100, (0, 10, 40, 40), id="two parts of a U"),
    pytest.param(WITH_HOLE, 1.0, (10, 10, 30, 30), id="with a hole"),
    pytest.param(
        shapely.MultiPolygon([box(10, 10, 20, 20), box(-30, 10, -20, 20)]), 0.5, (10, 10, 20, 20), id="one of two parts"
    ),
]


@pytest.mark.parametrize(("geometry", "fraction", "expected_box"), TABLE)
def test_objects_are_cut_as_hand_computation_says(geometry, fraction, expected_box):
    objects = objects_in(geometry)
    if fraction is None:
        assert objects == []
        return
    (thing,) = objects
    assert thing.box_px == expected_box
    assert thing.visible_fraction == pytest.approx(fraction, abs=1e-6)
    assert thing.truncated == (fraction < 1)
    assert thing.ignore == (fraction < 0.5)
    assert (thing.id, thing.label, thing.attributes) == ("7", "thing", {"height_m": 3.0})


def test_a_u_gives_a_polygon_for_each_visible_arm():
    (thing,) = objects_in(U_SHAPE)
    areas = [shapely.Polygon(ring).area for ring in thing.polygons_px]
    assert areas == pytest.approx([400, 400])
    assert all(ring[0] != ring[-1] for ring in thing.polygons_px)


def test_a_sliver_below_a_pixel_is_not_there():
    # 0.01 x 20 px of 20 x 20 px: nobody can see it, and it must not make its class unclear.
    assert objects_in(box(99.99, 40, 119.99, 60)) == []
    assert objects_in(box(99.9, 40, 119.9, 60))[0].ignore


def test_boxes_stay_out_of_the_padding():
    tile = Tile(row=0, col=0, x_px=200, y_px=100, width_px=30, height_px=50)
    (thing,) = objects_in(box(20, 40, 40, 60), tile=tile, valid=np.ones((50, 30), dtype=bool))
    assert thing.box_px == (20, 40, 30, 50)
    assert thing.visible_fraction == pytest.approx(0.25)


def test_what_lies_where_the_scene_has_no_data_is_not_visible():
    valid = VALID.copy()
    valid[:, 25:] = False
    (thing,) = objects_in(box(20, 40, 40, 60), valid=valid)
    # all_touched adds the pixels that share the right or lower edge: 5 of 20 or 21 columns are valid
    assert thing.visible_fraction == pytest.approx(0.25, abs=0.02)
    assert thing.ignore


def test_coordinates_are_kept_to_a_thousandth_of_a_pixel():
    (thing,) = objects_in(box(1.23456, 2, 3.45678, 4))
    assert thing.box_px == (1.235, 2.0, 3.457, 4.0)


def test_repaired_objects_are_counted():
    labels = [Label(str(i), "x", box(10 * i, 0, 10 * i + 5, 5), i != 1, {}) for i in range(3)]
    objects, repaired = LabelIndex(labels).objects_in(TILE, VALID, min_visible=0.5)
    assert [thing.id for thing in objects] == ["0", "1", "2"]
    assert repaired == 2


def test_no_labels_give_no_objects():
    assert LabelIndex([]).objects_in(TILE, VALID, min_visible=0.5) == ([], 0)
