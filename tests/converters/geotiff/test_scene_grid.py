"""Which pixels a scene is cut from."""

import math

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_coordinates

from domainvl.converters.geotiff.georeference import StoredPixels
from domainvl.converters.geotiff.products import find_products
from domainvl.converters.geotiff.reading import open_product
from domainvl.converters.geotiff.scene_grid import MAX_SIDE_PX, GridRequest, plan_grid
from domainvl.errors import ItemError

UTM33 = CRS.from_epsg(32633)
LONLAT = CRS.from_epsg(4326)
NORTH_UP = from_origin(400_000, 5_600_000, 10, 10)


def stored(transform=NORTH_UP, crs=UTM33, width_px=60, height_px=40):
    return StoredPixels(width_px, height_px, crs, transform)


def plan(pixels=None, **request):
    return plan_grid(pixels or stored(), GridRequest(**request), uri="a.tif")


def plan_file(path, **request):
    (product,) = find_products(path).products
    with open_product(product) as opened:
        return plan_grid(opened.stored_pixels(product.path), GridRequest(**request), uri=product.uri)


def test_a_north_up_scene_is_taken_as_it_is():
    grid = plan()
    assert (grid.width_px, grid.height_px, grid.crs, grid.transform) == (60, 40, UTM33, NORTH_UP)
    assert grid.stored_to_grid == Affine.identity()


@pytest.mark.parametrize("a", [10, -10])
@pytest.mark.parametrize("e", [10, -10])
def test_geo_15_mirrored_scenes_are_turned_north_up(a, e):
    """A stored pixel keeps its place on the ground, and rows run south and columns east."""
    pixels = stored(Affine(a, 0, 400_000, 0, e, 5_600_000))
    grid = plan(pixels)
    assert (grid.transform.a, grid.transform.e, grid.transform.b, grid.transform.d) == (10, -10, 0, 0)
    points = np.array([(0.0, 0.0), (17.5, 3.25), (60.0, 40.0)])
    assert grid.to_map(grid.from_stored(points)) == pytest.approx(pixels.to_map(points))
    corners = grid.from_stored(np.array([(0.0, 0.0), (60.0, 40.0)]))
    assert sorted(corners[:, 0]) == [0, 60] and sorted(corners[:, 1]) == [0, 40]


def test_geo_14_a_rotated_scene_keeps_its_pixels(real_data):
    path = real_data / "remote_sensing/GeoTIFF__test-data/files/umbra_mount_yasur.tiff"
    with rasterio.open(path) as dataset:
        transform, crs, shape = dataset.transform, dataset.crs, dataset.shape
    assert transform.b != 0 and transform.d != 0
    grid = plan_file(path)
    assert (grid.transform, (grid.height_px, grid.width_px)) == (transform, shape)
    # A marker in longitude and latitude lands where the inverse of the geotransform puts it.
    lon, lat = [169.4475, 169.4480], [-19.5285, -19.5270]
    xs, ys = transform_coordinates(LONLAT, crs, lon, lat)
    expected = [~transform @ (x, y) for x, y in zip(xs, ys, strict=True)]
    assert grid.from_map(np.column_stack([lon, lat]), LONLAT) == pytest.approx(np.array(expected), abs=0.01)


@pytest.mark.parametrize("pixels", [stored(crs=None), stored(transform=None), stored(transform=None, crs=None)])
def test_geo_17_without_georeference_there_are_only_pixels(pixels):
    grid = plan(pixels)
    assert not grid.is_georeferenced
    assert (grid.crs, grid.transform, grid.gsd_m()) == (None, None, None)
    assert (grid.width_px, grid.height_px) == (60, 40)
    assert grid.from_stored(np.array([(3.0, 4.0)])).tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize("request_", [{"crs": "EPSG:32633"}, {"gsd_m": 5.0}, {"snap_px": 64}])
@pytest.mark.parametrize(
    ("pixels", "reason", "lacking"),
    [
        (stored(crs=None), "no-crs", "coordinate reference system"),
        (stored(transform=None), "no-geotransform", "geotransform"),
    ],
)
def test_geo_17_no_grid_can_be_asked_for_without_georeference(pixels, reason, lacking, request_):
    with pytest.raises(ItemError, match=rf"in a\.tif: it has no {lacking}.*gdal_edit") as error:
        plan(pixels, **request_)
    assert error.value.reason == reason


def test_geo_17_files_without_crs_place_nothing(real_data):
    for name in ("rotated.tif", "float.tif"):
        assert not plan_file(real_data / "remote_sensing/rasterio__rasterio/tests/data" / name).is_georeferenced


def test_geo_19_a_gsd_gives_square_pixels_that_hold_the_scene():
    grid = plan(gsd_m=25.0)
    assert (grid.transform.a, grid.transform.e) == (25, -25)
    assert (grid.width_px, grid.height_px) == (24, 16)  # 600 m x 400 m
    assert grid.bounds() == plan().bounds()
    feet = CRS.from_epsg(2263)  # US survey feet of 1200/3937 m
    grid = plan(stored(from_origin(0, 0, 100, 100), feet), gsd_m=60.0)
    assert grid.transform.a == pytest.approx(60 * 3937 / 1200)


def test_geo_19_a_gsd_in_degrees_is_refused_with_a_way_out():
    pixels = stored(from_origin(10, 50, 0.001, 0.001), LONLAT)
    with pytest.raises(ItemError, match="--gsd-m 10 needs a projected CRS.*--crs") as error:
        plan(pixels, gsd_m=10.0)
    assert error.value.reason == "crs"
    grid = plan(pixels, gsd_m=10.0, crs="EPSG:32632")
    assert (grid.transform.a, grid.transform.e) == (10, -10)


@pytest.mark.parametrize(("crs", "request_"), [("EPSG:32632", {}), ("EPSG:3857", {"gsd_m": 20.0})])
def test_geo_18_a_grid_in_another_crs_holds_the_scene(crs, request_):
    pixels = stored(width_px=700, height_px=900)
    grid = plan(pixels, crs=crs, **request_)
    border = [(x, y) for x in np.linspace(0, 700, 30) for y in (0, 900)]
    border += [(x, y) for y in np.linspace(0, 900, 30) for x in (0, 700)]
    places = grid.from_stored(np.array(border, dtype=float))
    assert places.min() > -1 and places[:, 0].max() < grid.width_px + 1 and places[:, 1].max() < grid.height_px + 1
    # No larger than needed, but for what bulges.
    assert places[:, 0].min() < 20 and places[:, 0].max() > grid.width_px - 20


def test_geo_12_snapped_origins_are_multiples_of_the_step():
    """Two scenes whose pixels are 3.7 apart lie on the same lattice, and each grid still holds its scene."""
    grids = [
        plan(stored(from_origin(400_003 + shift_m, 5_600_007 - shift_m, 10, 10)), snap_px=64) for shift_m in (0.0, 37.0)
    ]
    for grid, shift_m in zip(grids, (0.0, 37.0), strict=True):
        assert grid.transform.c % 640 == 0 and grid.transform.f % 640 == 0
        left, bottom, right, top = grid.bounds()
        assert left <= 400_003 + shift_m and right >= 400_603 + shift_m
        assert top >= 5_600_007 - shift_m and bottom <= 5_599_607 - shift_m


@pytest.mark.parametrize("off_m", [0.0, 1e-6, -1e-6])
def test_geo_12_an_origin_on_the_lattice_stays_there_in_spite_of_its_last_digits(off_m):
    grid = plan(stored(from_origin(640 * 625 + off_m, 640 * 8750 + off_m, 10, 10)), snap_px=64)
    assert (grid.transform.c, grid.transform.f) == (640 * 625, 640 * 8750)


def test_geo_16_a_scene_across_the_antimeridian_has_no_grid_around_the_globe(real_data):
    path = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_dateline.tif"
    grid = plan_file(path, crs="EPSG:4326")
    left, _, right, _ = grid.bounds()
    assert right - left < 5
    # The same point with both longitudes that it may be given: its own pixels find it in the grid.
    places = grid.from_stored(np.array([(1200.0, 1200.0)]))
    assert (places > 0).all() and (places < [grid.width_px, grid.height_px]).all()


def test_a_grid_that_is_too_large_is_refused():
    with pytest.raises(ItemError, match=rf"more than {MAX_SIDE_PX} on a side.*--gsd-m") as error:
        plan(gsd_m=1e-5)
    assert error.value.reason == "grid-size"


@pytest.mark.parametrize("crs", ["EPSG:999999", "nonsense"])
def test_an_unknown_crs_is_refused(crs):
    with pytest.raises(ItemError, match=f"a.tif: there is no way from its CRS to {crs}.*--crs") as error:
        plan(crs=crs)
    assert error.value.reason == "crs"


def test_geo_17_another_planet_has_no_way_to_earth(real_data):
    path = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_hirise_mars.tif"
    assert plan_file(path).gsd_m() == pytest.approx(5.0, abs=0.01)
    with pytest.raises(ItemError, match="there is no way from its CRS to EPSG:32633") as error:
        plan_file(path, crs="EPSG:32633")
    assert error.value.reason == "crs"
    assert "Cannot find coordinate operations" in str(error.value)
    assert len(str(error.value)) < 300  # PROJ describes both CRSs on a page


def test_geo_17_a_scene_with_rational_polynomials_only_says_how_to_warp_it(real_data):
    path = real_data / "remote_sensing/rasterio__rasterio/tests/data/RGB.byte.rpc.vrt"
    assert plan_file(path).stored.has_rpcs
    with pytest.raises(ItemError, match=r"rational polynomials \(RPCs\).*gdalwarp -rpc") as error:
        plan_file(path, crs="EPSG:32618")
    assert error.value.reason == "no-crs"
    assert not plan_file(path.with_name("RGB.byte.gcp.vrt")).stored.has_rpcs
    assert not plan_file(path.with_name("RGB.byte.tif")).stored.has_rpcs


def test_a_rotated_scene_is_warped_with_its_own_area_of_a_pixel():
    angle = math.radians(30)
    turned = Affine(4 * math.cos(angle), math.sin(angle), 0, 4 * math.sin(angle), -math.cos(angle), 0)
    grid = plan(stored(turned), snap_px=32)
    assert grid.transform.a == pytest.approx(2.0)  # 4 m x 1 m
    assert grid.transform.b == grid.transform.d == 0


@pytest.mark.parametrize("request_", [{"crs": "EPSG:4326"}, {"crs": "EPSG:3857", "gsd_m": 50_000.0}])
def test_a_disk_of_the_whole_earth_is_not_warped_as_a_whole(real_data, request_):
    """The corners of a geostationary image look past the Earth."""
    path = real_data / "remote_sensing/rasterio__rasterio/tests/data/goes.tif"
    with pytest.raises(ItemError, match=r"goes\.tif: a part of it has no place in EPSG") as error:
        plan_file(path, **request_)
    assert error.value.reason == "crs"
    assert plan_file(path).width_px == 542
