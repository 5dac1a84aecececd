"""What the header of a scene tells: its bands, its date, its place on the globe."""

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from scene_layouts import EAST_M, LANDSAT_NAME, NORTH_M, write_landsat, write_safe
from shapely import Point

from domainvl.converters.geotiff.georeference import SceneGrid, StoredPixels
from domainvl.converters.geotiff.headers import bands_of, footprint, look_at_header, outline_in, reference_path
from domainvl.converters.geotiff.products import Band, find_products
from domainvl.converters.geotiff.reading import open_product
from domainvl.converters.geotiff.scene_grid import GridRequest
from domainvl.errors import ItemError


def look(path, **request):
    (product,) = find_products(path).products
    return look_at_header(product, GridRequest(**request))


def grid_of(transform, crs, width_px=100, height_px=80):
    crs = None if crs is None else CRS.from_user_input(crs)
    pixels = StoredPixels(width_px, height_px, crs, transform)
    return SceneGrid(width_px, height_px, crs, transform, pixels, None)


def test_a_real_scene_lies_where_rasterio_says(real_data):
    path = real_data / "remote_sensing/opengeos__data/naip/m_4709963_se_14_1_20160816.tif"
    header = look(path)
    with rasterio.open(path) as dataset:
        expected = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds, densify_pts=21)
    assert header.footprint.bounds == pytest.approx(expected, abs=1e-6)
    assert (header.date, header.gsd_m) == ("2016-08-16", 5.0)


def test_dates_come_from_tags_where_the_name_has_none(tmp_path, write_scene, real_data):
    path = write_scene(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint8))
    assert look(path).date is None
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2018:07:16 06:06:23")
    assert look(path).date == "2018-07-16"
    # The day on which a file was written says less than its name, that of acquisition more.
    named = write_scene(tmp_path / "a_20150301.tif", np.ones((1, 4, 4), np.uint8))
    with rasterio.open(named, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2018:07:16 06:06:23")
    assert look(named).date == "2015-03-01"
    with rasterio.open(named, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2014-12-31T10:00:00Z")
    assert look(named).date == "2014-12-31"
    assert look(real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_gcps.tif").date == "2018-07-16"


def test_delivered_products_have_their_date_and_finest_pixels(tmp_path):
    planes = {"B02": np.ones((20, 20), np.uint16), "B11": np.ones((10, 10), np.uint16)}
    safe = look(write_safe(tmp_path / "s2", planes))
    assert (safe.date, safe.gsd_m) == ("2023-07-01", 10.0)
    landsat = look(write_landsat(tmp_path / "l", {"4": np.ones((10, 10), np.uint16)}))
    assert landsat.date == f"{LANDSAT_NAME[17:21]}-{LANDSAT_NAME[21:23]}-{LANDSAT_NAME[23:25]}"
    expected = transform_bounds("EPSG:32631", "EPSG:4326", EAST_M, NORTH_M - 200, EAST_M + 200, NORTH_M)
    assert safe.footprint.bounds == pytest.approx(expected, abs=1e-5)


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    (tmp_path / "a.tif").write_text("no raster")
    with pytest.raises(ItemError, match=r"in a\.tif") as error:
        look(tmp_path / "a.tif")
    assert error.value.reason == "scene-open"


def test_geo_16_a_scene_across_the_antimeridian_is_on_both_sides_of_the_map(real_data):
    outline = look(real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_dateline.tif").footprint
    for longitude in (179.0, 180.5, -180.5, -179.5):
        assert outline.contains(Point(longitude, 51.7))
    assert not outline.intersects(Point(0.0, 51.7))


def test_geo_16_a_scene_around_the_globe_is_not_taken_to_cross_the_antimeridian(real_data):
    outline = look(real_data / "remote_sensing/rasterio__rasterio/tests/data/world.byte.tif").footprint
    assert outline.bounds == pytest.approx((-180, -75, 180, 75))
    assert outline.area == pytest.approx(360 * 150)


@pytest.mark.parametrize(("crs", "sign"), [("EPSG:3413", 1), ("EPSG:3031", -1)])
def test_geo_40_a_scene_around_a_pole_is_all_that_lies_poleward(crs, sign):
    """400 km x 300 km of which the pole is not the middle: its sides are 100 km to 300 km away."""
    outline = footprint(grid_of(from_origin(-100_000, 150_000, 1000, 1000), crs, 400, 300))
    for longitude in range(-180, 181, 15):
        assert outline.covers(Point(longitude, sign * 89.2))  # 89 km from the pole
        assert not outline.intersects(Point(longitude, sign * 86.0))
    beside = footprint(grid_of(from_origin(-400_000, 150_000, 1000, 1000), crs, 290, 300))
    assert not outline.intersects(beside)
    over = footprint(grid_of(from_origin(-400_000, 150_000, 1000, 1000), crs, 330, 300))
    assert outline.intersection(over).area > 0


def test_geo_16_the_world_in_mercator_is_no_ground_around_a_pole():
    side_m = 2 * 20_037_508.34
    outline = footprint(grid_of(from_origin(-side_m / 2, side_m / 2, side_m / 64, side_m / 64), "EPSG:3857", 64, 64))
    assert outline.contains(Point(10, 0)) and outline.contains(Point(-170, -70))
    assert outline.area == pytest.approx(360 * 2 * 85.05, rel=1e-3)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4269"])
def test_geo_16_longitudes_from_0_to_360_are_shown_where_others_have_them(crs):
    outline = footprint(grid_of(from_origin(190, 10, 0.1, 0.1), crs))
    assert outline.contains(Point(195, 5)) or outline.contains(Point(-165, 5))
    assert outline.intersection(footprint(grid_of(from_origin(-170, 10, 0.1, 0.1), "EPSG:4326"))).area == pytest.approx(
        80, rel=1e-3
    )


@pytest.mark.parametrize(("transform", "crs"), [(from_origin(0, 0, 1, 1), None), (None, "EPSG:32633"), (None, None)])
def test_geo_17_without_georeference_there_is_no_footprint(transform, crs):
    assert footprint(grid_of(transform, crs)) is None


def test_geo_17_other_planets_have_no_place_on_earth(real_data):
    header = look(real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_hirise_mars.tif")
    assert header.footprint is None
    assert header.gsd_m == pytest.approx(5.0, abs=0.01)


def test_geo_33_sides_are_divided_before_they_are_brought_to_another_crs():
    """In a polar scene of 500 km the upper side bulges far beyond the line between its ends."""
    grid = grid_of(from_origin(250_000, 9_200_000, 1000, 1000), "EPSG:32633", 500, 400)
    outline = outline_in(grid, CRS.from_epsg(4326))
    corners = outline[::16]  # sixteen points on each side
    assert outline[:, 1].max() > corners[:, 1].max() + 0.1


def test_scale_and_offset_of_bands_can_be_left_out(real_data):
    (product,) = find_products(real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_scale.tif").products
    with open_product(product) as opened:
        assert [(band.scale, band.offset) for band in bands_of(opened, scaling=True)] == [(1e-4, 1000), (1e-3, 2000)]
        assert [(band.scale, band.offset) for band in bands_of(opened, scaling=False)] == [(1, 0), (1, 0)]


def test_the_finest_band_that_is_shown_gives_the_pixels(tmp_path):
    path = write_safe(tmp_path, {"B02": np.ones((20, 20), np.uint16), "B11": np.ones((10, 10), np.uint16)})
    (product,) = find_products(path).products
    by_name = {band.name: band for band in product.bands}
    assert reference_path(product, [by_name["B11"], by_name["B02"]]) == by_name["B02"].path
    assert reference_path(product, [by_name["B11"]]) == by_name["B11"].path
    assert reference_path(product, [Band("1", None, "other.tif", 1)]) == "other.tif"
