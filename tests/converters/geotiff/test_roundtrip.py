"""Pixels to the map and back, and the map to 0-1000 boxes and back, wherever a scene lies and however it is turned."""

import math

import hypothesis.strategies as st
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from rasterio.crs import CRS
from rasterio.warp import transform as transform_coordinates

from domainvl.converters.geotiff.georeference import SceneGrid, StoredPixels
from domainvl.converters.geotiff.grid import Tile
from domainvl.converters.geotiff.labels.placed import PlacedLabels
from domainvl.converters.geotiff.labels.placement import place_geometries
from domainvl.converters.geotiff.labels.vectors import look_at_vector_file, place_vector_labels
from domainvl.converters.geotiff.objects import CutSettings, LabelIndex
from domainvl.schema import to_box_1000, to_box_px

LONLAT = CRS.from_epsg(4326)
SIDE_PX = 512

# CRS, where a scene's middle may lie in it (left, bottom, right, top) and the side of a pixel (least, largest).
PLACES = {
    "EPSG:32633": ((200_000, 1_000_000, 800_000, 9_000_000), (0.1, 100)),
    "EPSG:32719": ((200_000, 2_000_000, 800_000, 9_900_000), (0.1, 100)),
    "EPSG:4326": ((-179, -80, 179, 80), (1e-6, 1e-3)),
    "EPSG:3857": ((-19_000_000, -10_000_000, 19_000_000, 10_000_000), (0.1, 100)),
    "EPSG:3031": ((-2_500_000, -2_500_000, 2_500_000, 2_500_000), (0.5, 100)),
    "EPSG:3413": ((-2_500_000, -2_500_000, 2_500_000, 2_500_000), (0.5, 100)),
    "EPSG:2180": ((200_000, 200_000, 800_000, 700_000), (0.1, 100)),
}


@st.composite
def grids(draw):
    """Turned by any angle, sheared a little, pixels not quite square, rows from the north or from the south."""
    crs = draw(st.sampled_from(sorted(PLACES)))
    (left, bottom, right, top), (least, largest) = PLACES[crs]
    side = least * (largest / least) ** draw(st.floats(0, 1))
    angle = draw(st.one_of(st.just(0.0), st.floats(-180, 180)))
    shear = draw(st.one_of(st.just(0.0), st.floats(-20, 20)))
    aspect = draw(st.floats(0.5, 2))
    direction = draw(st.sampled_from([-1, 1]))
    shape = Affine.rotation(angle) @ Affine.shear(shear) @ Affine.scale(side, direction * side * aspect)
    x, y = draw(st.floats(left, right)), draw(st.floats(bottom, top))
    dx, dy = shape @ (SIDE_PX / 2, SIDE_PX / 2)
    transform = Affine.translation(x - dx, y - dy) @ shape
    stored = StoredPixels(SIDE_PX, SIDE_PX, CRS.from_user_input(crs), transform)
    return SceneGrid(SIDE_PX, SIDE_PX, stored.crs, transform, stored, Affine.identity())


@st.composite
def polygons_px(draw):
    """A star around a point, which is never invalid, wholly inside the scene."""
    count = draw(st.integers(3, 9))
    radii = np.array(draw(st.lists(st.floats(2, 60), min_size=count, max_size=count)))
    angles = (np.arange(count) + 0.5) * 2 * math.pi / count
    x, y = draw(st.floats(61, SIDE_PX - 61)), draw(st.floats(61, SIDE_PX - 61))
    return shapely.Polygon(np.column_stack([x + radii * np.cos(angles), y + radii * np.sin(angles)]))


def to_lonlat(grid, geometry):
    """By rasterio alone: corners to the map with the affine formula, to degrees with PROJ."""

    def bring(points):
        xs, ys = zip(*(grid.transform @ (x, y) for x, y in points), strict=True)
        return np.column_stack(transform_coordinates(grid.crs, LONLAT, xs, ys))

    return shapely.transform(geometry, bring)


def crosses_antimeridian(geometry):
    longitudes = shapely.get_coordinates(geometry)[:, 0]
    return longitudes.max() - longitudes.min() > 180


def pole_distance_px(grid, polygon_px):
    """How far a polygon is from the pole of a polar projection, where longitudes turn in no time."""
    if grid.crs not in (CRS.from_epsg(3031), CRS.from_epsg(3413)):
        return math.inf
    return polygon_px.distance(shapely.Point(~grid.transform @ (0, 0)))


def place(geometry, grid):
    placed = place_geometries(np.array([geometry], dtype=object), LONLAT, grid)
    assert placed.faults.tolist() == [None]
    return placed.areas_px[0]


@settings(max_examples=150, deadline=None)
@given(grid=grids(), polygon_px=polygons_px())
def test_pixels_to_the_map_and_back_are_the_same_pixels(grid, polygon_px):
    assume(pole_distance_px(grid, polygon_px) > 100)
    # Edges are straight in pixels and bent in degrees; in short pieces the bend does not count.
    fine_px = shapely.segmentize(polygon_px, 4)
    on_map = to_lonlat(grid, fine_px)
    if crosses_antimeridian(on_map):  # written with longitudes that jump, it is another polygon
        on_map = shapely.transform(on_map, lambda points: points + [360, 0] * (points[:, :1] < 0))
    back = place(on_map, grid)
    assert shapely.get_coordinates(back) == pytest.approx(shapely.get_coordinates(fine_px), abs=0.5)
    assert back.hausdorff_distance(polygon_px) < 0.5


@settings(max_examples=150, deadline=None)
@given(grid=grids(), polygon_px=polygons_px(), x_px=st.integers(0, 200), y_px=st.integers(0, 200))
def test_geo_36_the_map_to_thousandths_and_back_is_the_same_place(grid, polygon_px, x_px, y_px):
    """The inverse of the 0-1000 box lies within half a thousandth of the tile's side, on the ground too."""
    tile = Tile(row=0, col=0, x_px=x_px, y_px=y_px, width_px=SIDE_PX - 200, height_px=SIDE_PX - 200)
    areas = np.array([place_geometries(np.array([grid_polygon(grid, polygon_px)]), grid.crs, grid).areas_px[0]])
    labels = PlacedLabels(["0"], ["thing"], areas, *np.zeros((4, 1), bool), [{}])
    valid = np.ones((tile.height_px, tile.width_px), dtype=bool)
    objects = LabelIndex(labels, [tile]).objects_in(tile, valid, settings=CutSettings(min_px=0)).objects
    frame = shapely.box(x_px, y_px, x_px + tile.width_px, y_px + tile.height_px)
    visible = polygon_px.intersection(frame)
    if not objects:  # nothing, or thinner than the thousandth of a pixel to which coordinates are kept
        x_min, y_min, x_max, y_max = (0, 0, 0, 0) if visible.area == 0 else visible.bounds
        assert min(x_max - x_min, y_max - y_min) < 0.002
        return
    box_1000 = to_box_1000(objects[0].box_px, tile.width_px, tile.height_px)
    found = np.array(to_box_px(box_1000, tile.width_px, tile.height_px)).reshape(2, 2) + np.array([x_px, y_px])
    expected = np.array(visible.bounds).reshape(2, 2)
    # A box thinner than a thousandth is widened to one, which moves an edge by one thousandth at most.
    thin = (expected[1] - expected[0]) * 1000 / tile.width_px < 1
    limit_px = np.where(thin, 1.0, 0.5) * tile.width_px / 1000 + 0.01
    assert (np.abs(found - expected) <= limit_px).all()
    on_map, wanted = grid.to_map(found), np.array([grid.transform @ tuple(corner) for corner in expected])
    pixel = math.hypot(*grid.transform[:2]) + math.hypot(grid.transform.d, grid.transform.e)
    assert (np.abs(on_map - wanted) <= limit_px.max() * pixel).all()


def grid_polygon(grid, polygon_px):
    """A polygon of pixels in the CRS of the grid."""
    return shapely.transform(polygon_px, lambda points: np.array([grid.transform @ (x, y) for x, y in points]))


SCENES = {
    "500 km, polar UTM": ("EPSG:32633", Affine(1_000, 0, 250_000, 0, -1_000, 9_400_000)),
    "around the south pole": ("EPSG:3031", Affine(2_000, 0, -500_000, 0, -2_000, 500_000)),
    "near the north pole": ("EPSG:3413", Affine(2_000, 0, -100_000, 0, -2_000, 700_000)),
    "turned and sheared": ("EPSG:2180", Affine(300, 200, 400_000, 250, -300, 400_000)),
    "across the antimeridian": ("EPSG:32660", Affine(500, 0, 570_000, 0, -500, 5_800_000)),
    "degrees": ("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 60)),
}


@pytest.mark.parametrize("labels_crs", ["EPSG:4326", "EPSG:3857", "EPSG:3413"])
@pytest.mark.parametrize("scene", SCENES)
def test_geo_33_no_label_that_meets_the_scene_is_lost(tmp_path, scene, labels_crs):
    crs, transform = SCENES[scene]
    if labels_crs != "EPSG:4326" and "pole" in scene:
        pytest.skip("Mercator has no poles, and a projection of the north none of the south")
    side_px = 500
    stored = StoredPixels(side_px, side_px, CRS.from_user_input(crs), transform)
    grid = SceneGrid(side_px, side_px, stored.crs, transform, stored, Affine.identity())
    rng = np.random.default_rng(0)
    along, off = rng.uniform(0, side_px - 1, 400), rng.uniform(0, 0.5, 400)
    border = np.vstack([np.column_stack([along, off]), np.column_stack([off, along])])
    corners_px = np.vstack([border, side_px - 1 - border])[:, None] + np.array([(0, 0), (0.4, 0), (0.4, 0.4), (0, 0)])
    xs, ys = transform_coordinates(grid.crs, labels_crs, *grid.to_map(corners_px.reshape(-1, 2)).T)
    corners = np.column_stack([xs, ys]).reshape(corners_px.shape)
    whole = np.ptp(corners[..., 0], axis=1) < (180 if labels_crs == "EPSG:4326" else 1e7)
    path = tmp_path / "l.gpkg"
    wkb = shapely.to_wkb(shapely.polygons(corners[whole]))
    pyogrio.raw.write(path, wkb, [], [], driver="GPKG", crs=labels_crs, geometry_type="Polygon")
    file = look_at_vector_file(path, "l.gpkg", field=None, one_class="hut", layer=None)
    labels, rejects = place_vector_labels(file, grid, uri="scene.tif")
    assert rejects == []
    assert len(labels) == whole.sum() > 1_500
