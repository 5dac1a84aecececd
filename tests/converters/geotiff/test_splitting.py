"""GEO-40: no ground lies in two splits, whatever the scenes' CRSs, and the same tiles fall into the same splits."""

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_coordinates
from shapely import STRtree

from domainvl.converters.geotiff.georeference import SceneGrid, StoredPixels
from domainvl.converters.geotiff.grid import plan_tiles
from domainvl.converters.geotiff.headers import footprint
from domainvl.converters.geotiff.split_areas import read_split_areas
from domainvl.converters.geotiff.split_scenes import group_scenes, taken_ground
from domainvl.converters.geotiff.splitting import (
    Blocks,
    NoSplitError,
    SplitArea,
    SplitRule,
    Splitter,
)
from domainvl.errors import ItemError, UsageError
from domainvl.schema import Split, SplitFractions, assign_split

TILE_PX = 32
THIRDS = SplitFractions(val=1 / 3, test=1 / 3)


def grid_of(left, top, *, crs="EPSG:32633", side_px=320, gsd=10.0, turn_deg=0.0):
    transform = from_origin(left, top, gsd, gsd) @ Affine.rotation(turn_deg)
    crs = CRS.from_user_input(crs)
    pixels = StoredPixels(side_px, side_px, crs, transform)
    return SceneGrid(side_px, side_px, crs, transform, pixels, Affine.identity())


def in_zone(zone, lon, lat, **options):
    """A scene in a UTM zone whose upper left corner is at a longitude and latitude."""
    crs = f"EPSG:326{zone}"
    (x,), (y,) = transform_coordinates("EPSG:4326", crs, [lon], [lat])
    return grid_of(round(x, -1), round(y, -1), crs=crs, **options)


def ground_of(grid, tile, margin_px=0):
    """The ground of a tile in EPSG:6933, by rasterio alone, with many points along its sides."""
    frame = shapely.box(
        tile.x_px - margin_px,
        tile.y_px - margin_px,
        tile.x_px + tile.width_px + margin_px,
        tile.y_px + tile.height_px + margin_px,
    )

    def bring(points):
        xs, ys = zip(*(grid.transform @ tuple(point) for point in points), strict=True)
        return np.column_stack(transform_coordinates(grid.crs, "EPSG:6933", xs, ys))

    return shapely.transform(shapely.segmentize(frame, 4), bring)


def place_all(grid, rule, *, overlap_px=0, margin_px=0):
    """Each tile that belongs to a split, with its group and ground, and the reasons of the others."""
    splitter = Splitter(rule, grid, uri="a.tif")
    placed, reasons = [], []
    for tile in plan_tiles(grid.width_px, grid.height_px, tile_px=TILE_PX, overlap_px=overlap_px, edge="pad"):
        try:
            place = splitter.place(tile)
        except NoSplitError as error:
            reasons.append(error.reason)
        else:
            placed.append((place.split, place.group, ground_of(grid, tile, margin_px)))
    return placed, reasons


def meeting(placed):
    """Pairs of splits whose tiles share ground."""
    grounds = [ground for _, _, ground in placed]
    pairs = STRtree(grounds).query(grounds, predicate="intersects").T.tolist()
    return {
        (placed[one][0], placed[other][0])
        for one, other in pairs
        if placed[one][0] != placed[other][0] and grounds[one].intersection(grounds[other]).area > 1.0
    }


def test_the_check_itself_finds_ground_in_two_splits():
    ground = shapely.box(0, 0, 100, 100)
    beside = shapely.box(100, 0, 200, 100)
    assert meeting([(Split.TRAIN, "a", ground), (Split.VAL, "b", beside)]) == set()
    moved = shapely.box(90, 0, 190, 100)
    assert meeting([(Split.TRAIN, "a", ground), (Split.VAL, "b", moved)]) == {
        (Split.TRAIN, Split.VAL),
        (Split.VAL, Split.TRAIN),
    }


BLOCKS = SplitRule("scene", blocks=Blocks(1000.0, THIRDS))
# Zones 32 and 33 meet at 12 degrees east.
BOTH_ZONES = [in_zone(32, 11.98, 51.0), in_zone(33, 11.99, 50.995), in_zone(33, 11.985, 51.01, turn_deg=-20, gsd=7.0)]


def test_geo_40_blocks_share_no_ground_across_zones_and_turned_scenes():
    placed = [each for grid in BOTH_ZONES for each in place_all(grid, BLOCKS, overlap_px=8)[0]]
    assert {split for split, _, _ in placed} == set(Split)
    assert meeting(placed) == set()
    # The scenes do overlap, and their tiles too.
    assert len(placed) > 60
    assert shapely.union_all([ground for _, _, ground in placed]).area < 0.7 * sum(g.area for _, _, g in placed)


def test_geo_40_a_buffer_keeps_tiles_of_two_splits_apart():
    near, _ = place_all(BOTH_ZONES[0], BLOCKS)
    with_buffer = SplitRule("scene", blocks=BLOCKS.blocks, buffer_px=12)
    far, reasons = place_all(BOTH_ZONES[0], with_buffer, margin_px=12)
    assert meeting(far) == set()
    assert 0 < len(far) < len(near)
    assert set(reasons) == {"split-border"}
    # Distance on the ground, of tiles without their margin: at least two buffers of 12 px of 10 m.
    bare, _ = place_all(BOTH_ZONES[0], with_buffer)
    distances = [
        one.distance(other) for split, _, one in bare for other_split, _, other in bare if split != other_split
    ]
    assert min(distances) > 2 * 12 * 10 * 0.9


def lone_block():
    """Column and row of a block in another split than all around it."""
    for column in range(1000):
        splits = {
            (right, up): assign_split(f"block/1000m/x{column + right}y{up}", THIRDS)
            for right in (-1, 0, 1)
            for up in (-1, 0, 1)
        }
        if splits.pop((0, 0)) not in splits.values():
            return column
    raise LookupError


@pytest.mark.parametrize("side", ["left", "right", "upper", "lower"])
@pytest.mark.parametrize(("distance_px", "is_kept"), [(13, True), (11, False)])
def test_geo_40_the_buffer_is_kept_on_every_side(side, distance_px, is_kept):
    """A tile of 32 px of 10 m in a block of 100 px, so many pixels from one of its sides."""
    middle_px, far_px = (100 - TILE_PX) // 2, 100 - TILE_PX - distance_px
    from_left_px = {"left": distance_px, "right": far_px}.get(side, middle_px)
    from_top_px = {"upper": distance_px, "lower": far_px}.get(side, middle_px)
    left, top = 1000 * lone_block() + 10 * from_left_px, 1000 - 10 * from_top_px
    grid = grid_of(left, top, crs="EPSG:6933", side_px=TILE_PX)
    placed, reasons = place_all(grid, SplitRule("scene", blocks=BLOCKS.blocks, buffer_px=12))
    assert (len(placed), reasons) == ((1, []) if is_kept else (0, ["split-border"]))


def test_geo_40_a_block_has_one_split_in_every_scene_and_one_group():
    placed = [each for grid in BOTH_ZONES for each in place_all(grid, BLOCKS)[0]]
    splits = {}
    for split, group, _ in placed:
        assert splits.setdefault(group, split) is split
    assert len(splits) > 5
    assert [each[:2] for each in place_all(BOTH_ZONES[0], BLOCKS)[0]] == [
        each[:2] for each in place_all(BOTH_ZONES[0], BLOCKS)[0]
    ]


def test_geo_40_another_seed_draws_other_blocks():
    other = SplitRule("scene", blocks=Blocks(1000.0, SplitFractions(val=1 / 3, test=1 / 3, seed=1)))
    assert [each[:2] for each in place_all(BOTH_ZONES[0], BLOCKS)[0]] != [
        each[:2] for each in place_all(BOTH_ZONES[0], other)[0]
    ]


def test_geo_40_blocks_go_on_at_the_antimeridian():
    """Without care a tile across it would lie on all blocks around the globe, and be left out."""
    grids = [in_zone("60", 179.98, 10.0, gsd=20.0), in_zone("01", -180.0, 10.0, gsd=20.0)]
    (edge,) = transform_coordinates("EPSG:4326", "EPSG:6933", [180.0], [0.0])[0]
    assert edge == pytest.approx(17_367_530.45, abs=0.01)
    all_train = SplitRule("scene", blocks=Blocks(3000.0, SplitFractions(val=0.0, test=0.0)))
    placed, reasons = place_all(grids[0], all_train)
    assert reasons == []
    assert any(ground.bounds[0] < 0 < ground.bounds[2] for _, _, ground in placed)
    # The middle of each tile is in a block at either end of the map, where 17367 km / 3 km = 5789.
    columns = {int(group.split("/x")[1].split("y")[0]) for _, group, _ in placed}
    assert columns <= {5787, 5788, 5789, -5790, -5789}
    placed = [each for grid in grids for each in place_all(grid, SplitRule("s", blocks=Blocks(3000.0, THIRDS)))[0]]
    inside = [each for each in placed if each[2].bounds[0] > 0 or each[2].bounds[2] < 0]
    assert meeting(inside) == set()


@pytest.mark.parametrize("rule", [BLOCKS, SplitRule("s", areas=(SplitArea("area/0", Split.VAL, b""),))])
def test_geo_40_ground_needs_a_place_on_earth(rule):
    bare = SceneGrid(64, 64, None, None, StoredPixels(64, 64, None, None), Affine.identity())
    with pytest.raises(ItemError, match=r"in a\.tif: the scene has no georeference.*--split-by scene") as error:
        Splitter(rule, bare, uri="a.tif")
    assert error.value.reason == "no-crs"


def lonlat_area(grid, name, split, x_min, y_min, x_max, y_max):
    def bring(points):
        xs, ys = zip(*(grid.transform @ tuple(point) for point in points), strict=True)
        return np.column_stack(transform_coordinates(grid.crs, "EPSG:4326", xs, ys))

    frame = shapely.segmentize(shapely.box(x_min, y_min, x_max, y_max), 4)
    return SplitArea(name, split, shapely.to_wkb(shapely.transform(frame, bring)))


def test_geo_40_areas_take_the_tiles_that_lie_in_them():
    grid = grid_of(400_000, 5_600_000)
    areas = (
        lonlat_area(grid, "area/0", Split.TRAIN, -9, -9, 150, 329),
        lonlat_area(grid, "area/1", Split.TRAIN, 150, -9, 200, 329),  # beside the first: one ground of two areas
        lonlat_area(grid, "area/2", Split.TEST, 200, -9, 280, 329),
    )
    placed, reasons = place_all(grid, SplitRule("scene", areas=areas))
    # Columns of tiles start at 0, 32, ... 288: those up to 160 end at 192 in train; 192 lies on the border at 200;
    # 224 and no other ends at 256 in test; 256 passes 280; 288 lies in no area.
    assert [split for split, _, _ in placed[:7]] == [Split.TRAIN] * 6 + [Split.TEST]
    assert len(placed) == 70
    assert sorted(set(reasons)) == ["outside-areas", "split-border"]
    assert reasons[:3] == ["split-border", "split-border", "outside-areas"]
    assert meeting(placed) == set()
    assert {group for _, group, _ in placed} == {"area/0", "area/1", "area/2"}


def test_geo_40_a_tile_over_two_areas_belongs_to_the_one_with_more_of_it():
    grid = grid_of(400_000, 5_600_000, side_px=32)
    areas = (
        lonlat_area(grid, "area/0", Split.VAL, -5, -5, 10, 40),
        lonlat_area(grid, "area/1", Split.VAL, 10, -5, 40, 40),
    )
    ((split, group, _),), _ = place_all(grid, SplitRule("scene", areas=areas))
    assert (split, group) == (Split.VAL, "area/1")


def taken(grids, splits):
    footprints = {name: footprint(grid) for name, grid in grids.items()}
    return taken_ground(footprints, splits)


def test_geo_40_of_scenes_that_overlap_the_one_that_is_held_out_keeps_its_tiles():
    """Scenes in two zones that overlap by a fifth: the training scene loses the tiles that show the other's ground."""
    grids = {"a": BOTH_ZONES[0], "b": BOTH_ZONES[1], "c": grid_of(900_000, 5_000_000)}
    splits = {"a": Split.TRAIN, "b": Split.VAL, "c": Split.TEST}
    ground = taken(grids, splits)
    assert [len(ground[name]) for name in "abc"] == [1, 0, 0]
    placed, lost = [], {}
    for name, grid in grids.items():
        rule = SplitRule(name, split=splits[name], taken=ground[name])
        of_scene, lost[name] = place_all(grid, rule)
        placed += of_scene
    assert meeting(placed) == set()
    assert set(lost["a"]) == {"split-border"}
    assert (len(lost["b"]), len(lost["c"])) == (0, 0)
    assert 0 < len(lost["a"]) < 100
    # Without the rule they would meet.
    whole = [each for name in "ab" for each in place_all(grids[name], SplitRule(name, split=splits[name]))[0]]
    assert meeting(whole)


@pytest.mark.parametrize(("one", "other"), [("train", "val"), ("train", "test"), ("val", "test")])
def test_geo_40_test_ranks_above_validation_and_that_above_training(one, other):
    grids = {"a": BOTH_ZONES[0], "b": BOTH_ZONES[1]}
    low, high = {"a": Split(one), "b": Split(other)}, {"a": Split(other), "b": Split(one)}
    assert [len(taken(grids, low)[name]) for name in "ab"] == [1, 0]
    assert [len(taken(grids, high)[name]) for name in "ab"] == [0, 1]
    assert taken(grids, {"a": Split(one), "b": Split(one)}) == {"a": (), "b": ()}


def test_geo_40_a_buffer_keeps_tiles_away_from_taken_ground_too():
    grids = {"a": BOTH_ZONES[0], "b": BOTH_ZONES[1]}
    ground = taken(grids, {"a": Split.TRAIN, "b": Split.TEST})["a"]
    counts = [len(place_all(grids["a"], SplitRule("a", taken=ground, buffer_px=px))[0]) for px in (0, 40)]
    assert counts[1] < counts[0]


def square(x, y, side=10.0):
    return shapely.box(x, y, x + side, y + side)


def test_geo_40_scenes_of_one_place_are_grouped_even_by_way_of_a_third():
    # b shares 60 % with a and with c; a and c share 20 % with each other. d only touches c.
    outlines = {"a": square(0, 0), "b": square(4, 0), "c": square(8, 0), "d": square(18, 0), "n": None}
    assert group_scenes(outlines) == {"a": "a", "b": "a", "c": "a", "d": "d", "n": "n"}


def test_geo_40_a_small_scene_inside_a_large_one_is_of_its_place():
    assert group_scenes({"a": square(0, 0, 100), "b": square(95, 0, 8)}) == {"a": "a", "b": "a"}
    assert group_scenes({"a": square(0, 0, 100), "b": square(97, 0, 8)}) == {"a": "a", "b": "b"}


def write_areas(path, write_geojson, *areas, **members):
    features = [
        (properties, {"type": "Polygon", "coordinates": [[list(point) for point in square(*corner).exterior.coords]]})
        for properties, corner in areas
    ]
    return write_geojson(path, features, **members)


def test_geo_40_areas_are_read_from_a_vector_file(tmp_path, write_geojson):
    path = write_areas(tmp_path / "a.geojson", write_geojson, ({"split": "val"}, (0, 0)), ({"split": "test"}, (10, 0)))
    areas = read_split_areas(path)
    assert [(area.name, area.split) for area in areas] == [("area/0", Split.VAL), ("area/1", Split.TEST)]
    assert shapely.from_wkb(areas[1].wkb).equals(square(10, 0))


def test_geo_40_areas_in_another_crs_are_brought_to_degrees(tmp_path, write_geojson):
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path = write_areas(tmp_path / "a.geojson", write_geojson, ({"split": "val"}, (500_000, 5_600_000, 90_000)), crs=crs)
    (area,) = read_split_areas(path)
    outline = shapely.from_wkb(area.wkb)
    (lon,), (lat,) = transform_coordinates("EPSG:32633", "EPSG:4326", [545_000], [5_600_000])
    # The middle of the lower side, which is no straight line in degrees, lies on the border.
    assert outline.exterior.distance(shapely.Point(lon, lat)) < 1e-4


@pytest.mark.parametrize(
    ("areas", "rule"),
    [
        ([({"kind": "val"}, (0, 0))], "no field split"),
        ([({"split": "dev"}, (0, 0))], "feature 0: split must be train, val or test, got 'dev'"),
        ([({"split": "val"}, (0, 0)), ({"split": "train"}, (5, 5))], "area/0 .val. and area/1 .train. overlap"),
    ],
)
def test_geo_40_wrong_areas_are_refused(tmp_path, write_geojson, areas, rule):
    with pytest.raises(UsageError, match=rf"a\.geojson.*{rule}"):
        read_split_areas(write_areas(tmp_path / "a.geojson", write_geojson, *areas))


@pytest.mark.parametrize("geometry", [None, {"type": "Point", "coordinates": [1, 2]}])
def test_geo_40_areas_are_polygons(tmp_path, write_geojson, geometry):
    path = write_geojson(tmp_path / "a.geojson", [({"split": "val"}, geometry)])
    with pytest.raises(UsageError, match="feature 0: it must be a polygon"):
        read_split_areas(path)


def test_a_file_of_areas_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "a.gpkg").write_bytes(b"no package")
    with pytest.raises(UsageError, match=r"--split-areas in .*a\.gpkg"):
        read_split_areas(tmp_path / "a.gpkg")


def test_geo_40_areas_that_share_a_border_are_apart_in_any_crs(tmp_path):
    """Of different size, both are divided in their own way before they are brought to degrees."""
    import pyogrio

    def write(name, *outlines):
        path = tmp_path / name
        fields = [np.array(["train", "test"], dtype=object)]
        options = {"driver": "GPKG", "crs": "EPSG:32633", "geometry_type": "Polygon"}
        pyogrio.raw.write(path, shapely.to_wkb(list(outlines)), fields, ["split"], **options)
        return path

    west = shapely.box(400_000, 5_590_000, 403_000, 5_600_000)
    east = shapely.box(403_000, 5_590_000, 410_000, 5_600_000)
    areas = read_split_areas(write("areas.gpkg", west, east))
    assert [area.split for area in areas] == [Split.TRAIN, Split.TEST]
    with pytest.raises(UsageError, match="overlap"):
        read_split_areas(write("over.gpkg", west.buffer(5), east))


def test_geo_40_tiles_that_only_touch_a_border_are_kept(tmp_path):
    """Areas whose borders are those of tiles: brought to degrees, they coincide but for rounding."""
    import pyogrio

    grid = grid_of(400_000, 5_600_000)  # 320 px of 10 m, tiles of 32 px
    west = shapely.box(400_000, 5_596_800, 401_600, 5_600_000)
    east = shapely.box(401_600, 5_596_800, 403_200, 5_600_000)
    fields = [np.array(["train", "test"], dtype=object)]
    options = {"driver": "GPKG", "crs": "EPSG:32633", "geometry_type": "Polygon"}
    pyogrio.raw.write(tmp_path / "a.gpkg", shapely.to_wkb([west, east]), fields, ["split"], **options)
    rule = SplitRule("scene", areas=read_split_areas(tmp_path / "a.gpkg"))
    splitter = Splitter(rule, grid, uri="a.tif")
    tiles = plan_tiles(320, 320, tile_px=TILE_PX, overlap_px=0, edge="pad")
    found = {(tile.row, tile.col): splitter.place(tile).split for tile in tiles}
    assert found == {
        (row, column): Split.TRAIN if column < 5 else Split.TEST for row in range(10) for column in range(10)
    }
    # With a buffer the two columns at the border show ground of both, and those at the edge ground of none.
    buffered = Splitter(SplitRule("scene", areas=rule.areas, buffer_px=2), grid, uri="a.tif")
    with pytest.raises(NoSplitError, match="on ground of test and train"):
        buffered.place(tiles[14])
    with pytest.raises(NoSplitError, match="only partly in an area of train"):
        buffered.place(tiles[10])
