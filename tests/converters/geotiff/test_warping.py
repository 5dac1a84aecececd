"""Files warped to another grid: those that only control points place, and what stays missing."""

from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.windows import Window

from domainvl.converters.geotiff.georeference import MAX_SPLINE_POINTS, StoredPixels
from domainvl.converters.geotiff.headers import bands_of
from domainvl.converters.geotiff.products import find_products
from domainvl.converters.geotiff.reading import open_product
from domainvl.converters.geotiff.scene_grid import GridRequest, plan_grid
from domainvl.converters.geotiff.settings import NodataRule
from domainvl.errors import ItemError


@contextmanager
def on_grid(path, *, nodata=None, **request):
    """Read all of a file on a grid: the grid, the planes and the mask."""
    (product,) = find_products(path).products
    with open_product(product) as opened:
        grid = plan_grid(opened.stored_pixels(product.path), GridRequest(**request), uri=product.uri)
        bands = [band for band in bands_of(opened, scaling=True) if band.role != "alpha"]
        planes, valid = opened.reader(grid, nodata=nodata, resampling=None).read(
            bands, Window(0, 0, grid.width_px, grid.height_px)
        )
        yield grid, planes, valid


def bent_points(side_px=100, step_px=24):
    """Control points of a scene of 10 m a pixel that is turned by some degrees and bent by up to 40 m."""
    points = []
    for row in range(2, side_px, step_px):
        for column in range(2, side_px, step_px):
            x = 500_000 + 9.5 * (column + 0.5) + 3.0 * (row + 0.5) + 40 * np.sin(row / 15)
            y = 5_600_000 + 3.0 * (column + 0.5) - 9.5 * (row + 0.5) + 40 * np.cos(column / 12)
            points.append(GroundControlPoint(row=row + 0.5, col=column + 0.5, x=x, y=y))
    return points


def write_with_points(path, pixels, points, crs="EPSG:32633", **options):
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **profile, gcps=points, crs=crs, **options) as dataset:
        dataset.write(pixels)
    return path


def spots(plane, places_px):
    """Return the middle of what is bright around each place, in continuous pixels."""
    found = []
    for x, y in places_px:
        left, top = int(x) - 4, int(y) - 4
        part = plane[top : top + 9, left : left + 9].astype(float)
        rows, columns = np.indices(part.shape)
        found.append(((part * columns).sum() / part.sum() + left + 0.5, (part * rows).sum() / part.sum() + top + 0.5))
    return np.array(found)


@pytest.mark.parametrize("request_", [{}, {"crs": "EPSG:32632"}, {"gsd_m": 7.0}])
def test_geo_17_each_control_point_is_shown_where_it_says(tmp_path, request_):
    """Bright pixels at the control points are found at their map positions."""
    points = bent_points()
    pixels = np.zeros((1, 100, 100), np.uint16)
    for point in points:
        pixels[0, int(point.row), int(point.col)] = 1000
    path = write_with_points(tmp_path / "a.tif", pixels, points)
    with on_grid(path, **request_) as (grid, (plane,), valid):
        places = grid.from_map(np.array([(point.x, point.y) for point in points]), grid.stored.crs)
        inner = ((places > 6) & (places < [grid.width_px - 6, grid.height_px - 6])).all(axis=1)
        assert inner.sum() >= 9
        off = spots(plane, places[inner]) - places[inner]
        assert np.abs(off).max() < 0.5
        # The turned scene leaves the corners of its box free.
        assert not valid[0, 0] and not valid[-1, -1]
        assert valid[grid.height_px // 2, grid.width_px // 2]
        stored = np.array([(point.col, point.row) for point in points])
        assert grid.from_stored(stored) == pytest.approx(places, abs=1e-3)


def test_geo_17_the_real_scene_with_control_points_shows_its_pixels_where_they_say(real_data):
    """The mean around each control point is that of the file, which differs from place to place."""
    path = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_gcps.tif"
    with rasterio.open(path) as dataset:
        points, crs = dataset.gcps
        stored = dataset.read(1).astype(float)
    with on_grid(path) as (grid, (plane,), valid):
        assert 0.5 < valid.mean() < 0.9  # a swath that is turned by some ten degrees
        places = grid.from_map(np.array([(point.x, point.y) for point in points]), crs)
        assert grid.from_stored(np.array([(point.col, point.row) for point in points])) == pytest.approx(
            places, abs=0.5
        )
        seen, told = [], []
        for (x, y), point in zip(places, points, strict=True):
            column, row = int(point.col), int(point.row)
            if 8 < column < stored.shape[1] - 8 and 8 < row < stored.shape[0] - 8:
                told.append(stored[row - 6 : row + 7, column - 6 : column + 7].mean())
                seen.append(plane[int(y) - 6 : int(y) + 7, int(x) - 6 : int(x) + 7].mean())
    assert len(seen) > 100
    assert np.corrcoef(seen, told)[0, 1] > 0.99


def test_geo_17_a_polynomial_takes_over_where_there_are_very_many_points():
    point = GroundControlPoint(row=0, col=0, x=0, y=0)
    assert StoredPixels(9, 9, None, None, (point,) * MAX_SPLINE_POINTS).takes_splines
    assert not StoredPixels(9, 9, None, None, (point,) * (MAX_SPLINE_POINTS + 1)).takes_splines


def test_geo_17_polynomial_and_warped_pixels_agree(tmp_path, monkeypatch):
    monkeypatch.setattr("domainvl.converters.geotiff.georeference.MAX_SPLINE_POINTS", 2)
    # An affine arrangement, through which every polynomial goes.
    points = [
        GroundControlPoint(row=row + 0.5, col=col + 0.5, x=9.5 * (col + 0.5) + 3 * row, y=3 * col - 9.5 * (row + 0.5))
        for row in (20, 50, 80)
        for col in (20, 50, 80)
    ]
    pixels = np.zeros((1, 100, 100), np.uint16)
    for point in points:
        pixels[0, int(point.row), int(point.col)] = 1000
    with on_grid(write_with_points(tmp_path / "a.tif", pixels, points)) as (grid, (plane,), _):
        places = grid.from_map(np.array([(point.x, point.y) for point in points]), grid.stored.crs)
        assert np.abs(spots(plane, places) - places).max() < 0.5


@pytest.mark.parametrize("count", [1, 2])
def test_geo_17_too_few_control_points_place_nothing(tmp_path, count):
    path = write_with_points(tmp_path / "a.tif", np.ones((1, 30, 30), np.uint8), bent_points(30)[:count])
    with on_grid(path) as (grid, _, valid):
        assert not grid.is_georeferenced
        assert (grid.width_px, grid.height_px) == (30, 30) and valid.all()


def test_geo_17_control_points_in_a_line_are_refused(tmp_path):
    points = [GroundControlPoint(row=5, col=col, x=10 * col, y=0) for col in range(5)]
    path = write_with_points(tmp_path / "a.tif", np.ones((1, 30, 30), np.uint8), points)
    with pytest.raises(ItemError, match=r"in a\.tif") as error, on_grid(path):
        pass
    assert error.value.reason == "crs"


def holed(shape=(3, 60, 60)):
    pixels = np.full(shape, 200, np.uint8)
    hole = np.zeros(shape[1:], bool)
    hole[20:40, 20:40] = True
    return pixels, hole


def missing_share(path, **options):
    """Share of missing pixels in the middle of the warped scene, whose border is another matter."""
    with on_grid(path, crs="EPSG:32632", **options) as (_, _, valid):
        height_px, width_px = valid.shape
        return 1 - valid[height_px // 5 : -height_px // 5, width_px // 5 : -width_px // 5].mean()


def test_geo_20_an_internal_mask_is_warped_along(tmp_path, write_scene):
    pixels, hole = holed()
    path = write_scene(tmp_path / "a.tif", pixels, photometric="RGB")
    assert missing_share(path) == 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(~hole)
    assert missing_share(path) == pytest.approx(400 / 36**2, abs=0.05)


def test_geo_20_alpha_is_warped_along(tmp_path, write_scene):
    pixels, hole = holed((4, 60, 60))
    pixels[3] = np.where(hole, 0, 255)
    path = write_scene(tmp_path / "a.tif", pixels, photometric="RGB", alpha="yes")
    assert missing_share(path) == pytest.approx(400 / 36**2, abs=0.05)


@pytest.mark.parametrize("kind", ["mask", "alpha", "nodata"])
def test_geo_05_a_named_value_does_not_mix_with_the_files_own_when_warped(tmp_path, write_scene, kind):
    """Half of the scene has the named value, a hole elsewhere is what the file says."""
    pixels, hole = holed((4, 60, 60) if kind == "alpha" else (3, 60, 60))
    pixels[:3, hole] = 7 if kind == "nodata" else 200
    pixels[:3, :, 45:] = 9
    options = {"photometric": "RGB"} | ({"alpha": "yes"} if kind == "alpha" else {})
    if kind == "alpha":
        pixels[3] = np.where(hole, 0, 255)
    path = write_scene(tmp_path / "a.tif", pixels, **options, **({"nodata": 7} if kind == "nodata" else {}))
    if kind == "mask":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(~hole)
    with on_grid(path, crs="EPSG:32632", nodata=NodataRule(9.0)) as (grid, _, valid):
        places = grid.from_stored(np.array([(30.0, 30.0), (10.0, 30.0), (52.0, 30.0)])).astype(int)
        assert [bool(valid[y, x]) for x, y in places] == [True, True, False]
    with on_grid(path, crs="EPSG:32632", nodata=NodataRule(None)) as (grid, _, valid):
        assert all(valid[y, x] for x, y in places)


def test_class_numbers_are_never_mixed_by_the_nearest(tmp_path, write_scene):
    numbers = np.random.default_rng(0).choice([3, 90, 200], (1, 64, 64)).astype(np.uint8)
    path = write_scene(tmp_path / "a.tif", numbers)
    (product,) = find_products(path).products
    with open_product(product) as opened:
        grid = plan_grid(opened.stored_pixels(product.path), GridRequest(gsd_m=40.0), uri="a.tif")
        reader = opened.reader(grid, nodata=None, resampling=Resampling.nearest)
        (plane,), _ = reader.read(bands_of(opened, scaling=True), Window(0, 0, 16, 16))
    assert set(np.unique(plane)) == {3, 90, 200}
