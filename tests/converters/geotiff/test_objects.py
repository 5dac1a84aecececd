import itertools

import numpy as np
import pytest
import shapely

from domainvl.converters.geotiff.grid import Tile, plan_tiles
from domainvl.converters.geotiff.labels.placed import PlacedLabels
from domainvl.converters.geotiff.objects import CutSettings, LabelIndex
from domainvl.schema import to_box_1000

TILE = Tile(row=1, col=2, x_px=200, y_px=100, width_px=100, height_px=100)
VALID = np.ones((100, 100), dtype=bool)


def placed(polygons, *, names=None, repaired=(), ignored=(), boxes=(), unusable=()):
    """Labels with the ids 0, 1, ...; those of ``repaired``, ``ignored``, ``boxes`` and ``unusable`` are marked."""
    areas = np.empty(len(polygons), dtype=object)
    areas[:] = polygons
    ids = range(len(polygons))
    marks = [np.array([number in marked for number in ids], bool) for marked in (repaired, ignored, boxes, unusable)]
    attributes = [{"height_m": 3.0}] * len(polygons)
    return PlacedLabels([str(number) for number in ids], names or ["thing"] * len(polygons), areas, *marks, attributes)


def cut(polygons, *, valid=VALID, tile=TILE, classes=("thing",), **marks):
    given = {name: marks.pop(name) for name in ("names", "repaired", "ignored", "boxes", "unusable") if name in marks}
    index = LabelIndex(placed(polygons, **given), [tile], classes=classes)
    return index.objects_in(tile, valid, settings=CutSettings(**marks))


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
    # A part of the step's outline lies on the tile's edge: clipping gives a polygon and a line.
    pytest.param(
        polygon((-20, 10), (0, 10), (0, 20), (10, 20), (10, 30), (0, 30), (-20, 30)), 0.2, (0, 20, 10, 30), id="step"
    ),
    pytest.param(polygon((50, -50), (150, 50), (50, 50)), 0.5, (50, 0, 100, 50), id="a corner of a triangle"),
    pytest.param(WITH_HOLE, 1.0, (10, 10, 30, 30), id="with a hole"),
    pytest.param(
        shapely.MultiPolygon([box(10, 10, 20, 20), box(-30, 10, -20, 20)]), 0.5, (10, 10, 20, 20), id="one of two parts"
    ),
]


@pytest.mark.parametrize(("geometry", "fraction", "expected_box"), TABLE)
def test_geo_34_objects_are_cut_as_hand_computation_says(geometry, fraction, expected_box):
    seen = cut([geometry])
    if fraction is None:
        assert (seen.objects, seen.dropped) == ([], {})
        return
    (thing,) = seen.objects
    assert thing.box_px == expected_box
    assert thing.visible_fraction == pytest.approx(fraction, abs=1e-6)
    assert thing.truncated == (fraction < 1)
    assert thing.ignore == (fraction < 0.5)
    assert (thing.id, thing.label, thing.attributes) == ("0", "thing", {"height_m": 3.0})


def test_geo_34_a_u_gives_a_polygon_for_each_visible_arm():
    (thing,) = cut([U_SHAPE]).objects
    areas = [shapely.Polygon(ring).area for ring in thing.polygons_px]
    assert areas == pytest.approx([400, 400])
    assert all(ring[0] != ring[-1] for ring in thing.polygons_px)


def test_geo_34_a_u_can_be_an_object_for_each_arm():
    objects = cut([U_SHAPE], multipart="split", min_visible=0.1).objects
    assert [thing.id for thing in objects] == ["0.1", "0.2"]
    assert sorted(thing.box_px for thing in objects) == [(0, 10, 40, 20), (0, 30, 40, 40)]
    assert [thing.visible_fraction for thing in objects] == pytest.approx([400 / 2100] * 2, abs=1e-6)


def test_geo_34_parts_keep_their_number_whichever_of_them_are_seen():
    parts = shapely.MultiPolygon([box(-30, 10, -20, 20), box(-5, 10, 5, 20), box(50, 50, 60, 60)])
    objects = cut([parts], multipart="split").objects
    assert [(thing.id, thing.box_px) for thing in objects] == [("0.2", (0, 10, 5, 20)), ("0.3", (50, 50, 60, 60))]
    assert [(thing.visible_fraction, thing.truncated) for thing in objects] == [(0.5, True), (1.0, False)]
    (union,) = cut([parts]).objects
    assert (union.box_px, union.visible_fraction) == ((0, 10, 60, 60), 0.5)


def test_geo_34_slivers_are_dropped_and_counted():
    strip, thin = box(99.6, 40, 119.6, 60), polygon((10, 10), (30, 30), (30, 30.01), (10, 10.01))
    seen = cut([strip, thin, box(10, 50, 10.4, 70), box(99.4, 40, 119.4, 60)])
    assert [thing.box_px for thing in seen.objects] == [(99.4, 40, 100, 60)]
    assert seen.dropped == {"sliver": 1, "too-small": 2}
    assert [thing.label for thing in cut([strip]).elsewhere] == []  # it may lie beside the tile
    assert cut([strip], min_px=0.1).objects[0].box_px == (99.6, 40, 100, 60)


def test_a_sliver_of_a_part_does_not_widen_the_box():
    parts = shapely.MultiPolygon([box(10, 10, 20, 20), box(99.9, 10, 110, 20)])
    assert cut([parts]).objects[0].box_px == (10, 10, 20, 20)


def test_geo_36_a_pixel_never_degenerates():
    for x, y in itertools.product((0, 37.3, 99), repeat=2):
        (thing,) = cut([box(x, y, x + 1, y + 1)]).objects
        assert thing.box_px == pytest.approx((x, y, x + 1, y + 1), abs=1e-9)
        x_min, y_min, x_max, y_max = to_box_1000(thing.box_px, 100, 100)
        assert (x_max - x_min, y_max - y_min) == (10, 10)


def test_geo_36_without_a_limit_nothing_degenerates_or_leaves_the_tile():
    rng = np.random.default_rng(0)
    corners = rng.uniform(-1, 101, (500, 2))
    sides = 10 ** rng.uniform(-6, 1, (500, 2))
    shapes = [box(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sides, strict=True)]
    seen = cut(shapes, min_px=0, min_visible=0)
    assert len(seen.objects) + sum(seen.dropped.values()) == sum(
        shape.intersection(box(0, 0, 100, 100)).area > 0 for shape in shapes
    )
    for thing in seen.objects:
        x_min, y_min, x_max, y_max = thing.box_px
        assert 0 <= x_min < x_max <= 100 and 0 <= y_min < y_max <= 100


def test_boxes_stay_out_of_the_padding():
    tile = Tile(row=0, col=0, x_px=200, y_px=100, width_px=30, height_px=50)
    (thing,) = cut([box(20, 40, 40, 60)], tile=tile, valid=np.ones((50, 30), dtype=bool)).objects
    assert thing.box_px == (20, 40, 30, 50)
    assert thing.visible_fraction == pytest.approx(0.25)


def test_what_lies_where_the_scene_has_no_data_is_not_visible():
    valid = VALID.copy()
    valid[:, 25:] = False
    hidden, beside = cut([box(20, 40, 40, 60), box(2, 2, 9, 9)], valid=valid).objects
    # Pixels whose edge is touched may count too: 5 of 20 or 21 columns are valid.
    assert hidden.visible_fraction == pytest.approx(0.25, abs=0.02)
    assert hidden.ignore
    assert (beside.visible_fraction, beside.ignore) == (1.0, False)


def test_coordinates_are_kept_to_a_thousandth_of_a_pixel():
    (thing,) = cut([box(1.23456, 2, 3.45678, 4)]).objects
    assert thing.box_px == (1.235, 2.0, 3.457, 4.0)


def test_geo_34_repaired_objects_are_counted():
    shapes = [box(10 * i, 0, 10 * i + 5, 5) for i in range(3)]
    seen = cut(shapes, repaired={0, 2})
    assert [thing.id for thing in seen.objects] == ["0", "1", "2"]
    assert seen.repaired == 2


def test_geo_35_ignored_objects_come_with_what_is_seen_of_them():
    below, crowd, clear = box(90, 10, 130, 20), box(10, 10, 20, 20), box(40, 40, 50, 50)
    seen = cut([below, crowd, clear], ignored={1})
    assert [thing.ignore for thing in seen.objects] == [True, True, False]
    assert [area.bounds for area in seen.ignored_areas] == [(290, 110, 300, 120), (210, 110, 220, 120)]


def test_geo_37_a_rotated_box_goes_around_what_is_seen():
    # A 20 x 10 rectangle turned by 30 degrees (clockwise on screen) around (50, 50).
    turned = shapely.affinity.rotate(box(40, 45, 60, 55), 30)
    (thing,) = cut([turned], oriented=True).objects
    found = thing.oriented_box_px
    assert (found.center_x_px, found.center_y_px) == pytest.approx((50, 50), abs=1e-3)
    assert (found.width_px, found.height_px, found.angle_deg) == pytest.approx((20, 10, 30), abs=0.02)
    assert cut([turned]).objects[0].oriented_box_px is None


def test_no_labels_give_no_objects():
    seen = cut([])
    assert (seen.objects, seen.elsewhere, seen.dropped) == ([], [], {})


def scattered(count=200):
    rng = np.random.default_rng(1)
    return [
        shapely.box(x, y, x + w, y + h)
        for (x, y), (w, h) in zip(rng.uniform(-10, 250, (count, 2)), rng.uniform(2, 60, (count, 2)), strict=True)
    ]


def over_tiles(shapes, assign, wanted=None):
    """All objects of a scene of 260 px in tiles of 100 px that overlap by half, with their tiles."""
    tiles = plan_tiles(260, 260, tile_px=100, overlap_px=50, edge="pad")
    chosen = tiles if wanted is None else [tile for tile in tiles if wanted(tile)]
    index = LabelIndex(placed(shapes), chosen, assign=assign, all_tiles=tiles)
    cuts = [
        (tile, index.objects_in(tile, np.ones((tile.height_px, tile.width_px), bool), settings=CutSettings(min_px=0)))
        for tile in chosen
    ]
    return tiles, cuts


def test_geo_13_with_all_ids_repeat_and_the_record_says_so():
    shapes = scattered()
    _, cuts = over_tiles(shapes, "all")
    objects = [thing for _, seen in cuts for thing in seen.objects]
    assert len(objects) > 2 * len(shapes)
    assert all(seen.elsewhere == [] for _, seen in cuts)
    for tile, seen in cuts:
        frame = shapely.box(tile.x_px, tile.y_px, tile.x_px + tile.width_px, tile.y_px + tile.height_px)
        for thing in seen.objects:
            shape = shapes[int(thing.id)]
            assert thing.visible_fraction == pytest.approx(shape.intersection(frame).area / shape.area, abs=1e-6)
            assert thing.truncated == (not frame.covers(shape))


def test_geo_13_with_best_each_id_is_in_the_tile_that_shows_most():
    shapes = scattered()
    tiles, cuts = over_tiles(shapes, "best")
    frames = [shapely.box(t.x_px, t.y_px, t.x_px + t.width_px, t.y_px + t.height_px) for t in tiles]
    expected = {}
    for number, shape in enumerate(shapes):
        seen_px2 = [round(shape.intersection(frame).area, 6) for frame in frames]
        if max(seen_px2) > 0:
            best = tiles[seen_px2.index(max(seen_px2))]
            expected[str(number)] = (best.row, best.col)
    found = [(thing.id, (tile.row, tile.col)) for tile, seen in cuts for thing in seen.objects]
    assert len({thing_id for thing_id, _ in found}) == len(found)
    assert dict(found) == expected
    # What is seen of the others is known, but not asked about.
    _, all_cuts = over_tiles(shapes, "all")
    for (_, seen), (_, everything) in zip(cuts, all_cuts, strict=True):
        assert all(thing.ignore for thing in seen.elsewhere)
        ids = sorted(thing.id for thing in [*seen.objects, *seen.elsewhere])
        assert ids == sorted(thing.id for thing in everything.objects)
        assert len(seen.ignored_areas) == sum(thing.ignore for thing in [*seen.objects, *seen.elsewhere])


def test_geo_13_the_best_tile_does_not_depend_on_the_band_that_is_converted():
    shapes = scattered()
    _, whole = over_tiles(shapes, "best")
    for row in range(4):
        _, band = over_tiles(shapes, "best", wanted=lambda tile, row=row: tile.row == row)
        assert band == [(tile, seen) for tile, seen in whole if tile.row == row]


def test_geo_13_of_equal_tiles_the_first_has_the_object():
    half = shapely.box(70, 20, 80, 30)  # wholly in the first and the second tile of the first row
    _, cuts = over_tiles([half], "best")
    assert [(tile.row, tile.col) for tile, seen in cuts if seen.objects] == [(0, 0)]


def test_what_has_holes_is_named_because_its_polygons_leave_them_out():
    # The hole of the second lies in the part that the border of the tile cuts off.
    corners = [(290, 110), (330, 110), (330, 130), (290, 130)]
    hole_outside = shapely.Polygon(corners, holes=[[(310, 115), (320, 115), (320, 125), (310, 125)]])
    seen = cut([WITH_HOLE, hole_outside], min_visible=0)
    assert [thing.id for thing in seen.objects] == ["0", "1"]
    assert seen.without_area == {"0"}


def test_geo_35_what_is_small_is_no_object_but_its_class_is_there():
    """A whole object, and a rest of half a pixel or more, can be seen: their class must not be denied."""
    whole, rest, sliver = box(10, 10, 13, 13), box(97, 50, 120, 60), box(99.7, 80, 120, 90)
    seen = cut([whole, rest, sliver], names=["car", "bus", "van"], min_px=8, classes=("car", "bus", "van"))
    assert seen.objects == []
    assert [(thing.label, thing.ignore) for thing in seen.elsewhere] == [("car", True), ("bus", True)]
    assert seen.dropped == {"too-small": 2, "sliver": 1}
    assert seen.ignored_areas == []


def test_geo_35_what_is_unusable_silences_its_class_and_is_no_object():
    point, clear = box(10, 10, 11, 11), box(40, 40, 50, 50)
    seen = cut([point, clear], names=["tree", "shed"], unusable={0}, min_px=5, classes=("shed", "tree"))
    assert [thing.label for thing in seen.objects] == ["shed"]
    assert [(thing.label, thing.ignore) for thing in seen.elsewhere] == [("tree", True)]
    assert seen.dropped == {}


def test_geo_35_what_has_no_class_may_be_of_any():
    seen = cut([box(10, 10, 20, 20)], names=["unknown class"], unusable={0}, classes=("shed", "tree"))
    assert seen.objects == []
    assert [(thing.label, thing.ignore) for thing in seen.elsewhere] == [
        ("unknown class", True),
        ("shed", True),
        ("tree", True),
    ]
    named_so = cut([box(10, 10, 20, 20)], names=["unknown class"], classes=("shed", "unknown class"))
    assert ([thing.label for thing in named_so.objects], named_so.elsewhere) == (["unknown class"], [])


def test_labels_are_counted_by_tile_without_the_unusable_ones():
    index = LabelIndex(placed([box(1, 1, 9, 9), box(20, 20, 30, 30)], unusable={1}), [TILE])
    assert index.label_count(TILE) == 1


def test_geo_37_an_upright_box_is_no_outline():
    upright, outline = box(10, 10, 30, 20), box(40, 10, 60, 20)
    turned = shapely.affinity.rotate(box(40, 45, 60, 55), 30)
    seen = cut([upright, outline, turned, box(90, 50, 130, 60)], boxes={0, 2, 3}, min_visible=0)
    rings = {thing.id: thing.polygons_px for thing in seen.objects}
    assert (rings["0"], rings["3"]) == (None, None)
    assert len(rings["1"][0]) == len(rings["2"][0]) == 4
    assert seen.without_area == {"0", "2", "3"}
