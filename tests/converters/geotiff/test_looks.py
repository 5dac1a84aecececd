"""Which views of a scene are made, and with which limits."""

import numpy as np
import pytest
import rasterio
from scene_layouts import write_safe

from domainvl.converters.geotiff import GeotiffSettings
from domainvl.converters.geotiff.looks import choose_views, grid_of, reader_of, shared_limits, stretch_views
from domainvl.converters.geotiff.products import find_products
from domainvl.converters.geotiff.reading import open_product
from domainvl.converters.geotiff.scene_grid import GridRequest
from domainvl.errors import ItemError


def views_of(path, **options):
    """Choose and stretch the views of a scene as a conversion does."""
    settings = GeotiffSettings(**options)
    (product,) = find_products(path).products
    with open_product(product) as opened:
        views = choose_views(opened, settings)
        reader = reader_of(opened, grid_of(opened, views, GridRequest()), settings)
        return stretch_views(views, opened, reader, settings)


def limits_of(path, **options):
    (view,) = views_of(path, **options)
    return [(channel.stretch.low, channel.stretch.high) for channel in view.channels]


def test_geo_02_limits_are_those_of_numpy_over_the_whole_scene(tmp_path, write_scene):
    pixels = np.random.default_rng(0).integers(1, 5000, (3, 300, 500), dtype=np.uint16)
    path = write_scene(tmp_path / "a.tif", pixels)
    expected = [pytest.approx(np.percentile(plane, [2, 98]), abs=1e-9) for plane in pixels]
    assert limits_of(path) == expected
    plane = pixels[1].astype(float)
    deviation = 3 * plane.std()
    assert limits_of(path, bands="2", stretch="stddev:3") == [
        pytest.approx((plane.mean() - deviation, plane.mean() + deviation), abs=1e-6)
    ]


def test_geo_03_missing_pixels_do_not_move_the_limits(tmp_path, write_scene):
    # Every row holds the same values, so that rows can be taken out without changing the distribution.
    rows = np.tile(np.random.default_rng(1).permutation(np.arange(1000.0, 1500.0)), (100, 1))[np.newaxis]
    clean = write_scene(tmp_path / "clean.tif", rows.astype(np.float32))
    holed = rows.astype(np.float32)
    holed[:, :40] = -9999.0
    holed[:, 50] = np.nan
    holed[:, 51] = np.inf
    holed[:, 52] = -np.inf
    path = write_scene(tmp_path / "holed.tif", holed, nodata=-9999.0)
    assert limits_of(path)[0] == pytest.approx(limits_of(clean)[0], abs=1.0)
    assert views_of(path) == views_of(path)
    (view,) = views_of(path)
    assert view.statistics == "all pixels, 28500 of them valid"  # 57 rows of 500


def test_geo_03_a_real_scene_is_stretched_by_its_valid_pixels(real_data):
    path = real_data / "remote_sensing/opengeos__data/elevation/dsm.tif"
    with rasterio.open(path) as dataset:
        heights = dataset.read(1)
    expected = np.percentile(heights[heights != -9999].astype(float), [2, 98])
    assert limits_of(path)[0] == pytest.approx(expected, abs=1e-6)


def test_geo_04_limits_are_of_physical_values(tmp_path, write_scene):
    stored = np.random.default_rng(3).integers(1000, 5000, (1, 80, 90)).astype(np.uint16)
    path = write_scene(tmp_path / "a.tif", stored)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4,), (-0.1,)
    assert limits_of(path)[0] == pytest.approx(np.percentile(stored * 1e-4 - 0.1, [2, 98]), abs=1e-9)
    assert limits_of(path, scaling="ignore")[0] == pytest.approx(np.percentile(stored, [2, 98]), abs=1e-9)


def test_geo_04_scale_and_offset_of_a_real_file(real_data):
    path = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_scale.tif"
    (view,) = views_of(path, bands="2", stretch="fixed:1990,2010")
    (channel,) = view.channels
    assert (channel.stretch.scale, channel.stretch.offset) == (0.001, 2000.0)


def test_geo_04_the_offset_of_sentinel_2_comes_from_its_metadata(tmp_path):
    """Reflectance is (DN - 1000) / 10000 from baseline 04.00 on and DN / 10000 before: both give the same pixels."""
    # Not a multiple of 100: there the value before rounding is a half, which may fall to either side.
    reflectance = np.random.default_rng(4).integers(0, 80, (3, 60, 60)) * 100 + 37
    bands = dict(zip(("B02", "B03", "B04"), reflectance, strict=True))
    new = write_safe(tmp_path / "new", {key: (plane + 1000).astype(np.uint16) for key, plane in bands.items()})
    old = write_safe(
        tmp_path / "old",
        {key: plane.astype(np.uint16) for key, plane in bands.items()},
        baseline="02.14",
        offset=None,
    )
    ((new_view,), (old_view,)) = (views_of(path, stretch="fixed:0,0.3") for path in (new, old))
    for index, channel in enumerate(new_view.channels):
        plane = reflectance[2 - index]
        from_new = channel.stretch.apply((plane + 1000).astype(np.uint16))
        from_old = old_view.channels[index].stretch.apply(plane.astype(np.uint16))
        assert (from_new == from_old).all()
        assert (from_new == np.rint(np.clip(plane / 10_000 / 0.3, 0, 1) * 255)).all()


def test_geo_02_limits_of_a_data_set_do_not_depend_on_the_size_of_its_scenes(tmp_path, write_scene):
    """0 to 1000 in one scene, 1000 to 2000 in one sixteen times as large: 2 % and 98 % of both are 40 and 1960."""
    rng = np.random.default_rng(5)
    write_scene(tmp_path / "small.tif", rng.uniform(0, 1000, (1, 100, 100)).astype(np.float32))
    write_scene(tmp_path / "large.tif", rng.uniform(1000, 2000, (1, 400, 400)).astype(np.float32))
    products = find_products(tmp_path).products
    ((name, stretch),) = shared_limits(products, GeotiffSettings(), GridRequest())
    assert name == "1"
    assert (stretch.low, stretch.high) == pytest.approx((40, 1960), abs=10)
    ((_, stretch),) = shared_limits(products, GeotiffSettings(stretch="stddev:1"), GridRequest())
    # Mean 1000; deviation of 0 to 2000, evenly: 2000 / sqrt(12).
    assert (stretch.low, stretch.high) == pytest.approx((1000 - 577, 1000 + 577), abs=10)


def test_geo_02_limits_of_a_data_set_of_one_scene_are_those_of_the_scene(tmp_path, write_scene):
    pixels = np.random.default_rng(6).gamma(2.0, 300.0, (1, 256, 256)).astype(np.float32)
    path = write_scene(tmp_path / "a.tif", pixels)
    ((_, stretch),) = shared_limits(find_products(path).products, GeotiffSettings(), GridRequest())
    assert (stretch.low, stretch.high) == pytest.approx(limits_of(path)[0], rel=1e-3)


def test_geo_02_fixed_limits_need_no_look_at_the_pixels(real_data):
    path = real_data / "remote_sensing/rasterio__rasterio/tests/data/all-nodata.tif"
    (view,) = views_of(path, stretch="fixed:0,1000")
    assert view.statistics is None
    with pytest.raises(ItemError, match="none of its pixels is valid") as error:
        views_of(path)
    assert error.value.reason == "no-valid-pixels"


def test_a_view_without_plain_bands_needs_no_stretch(tmp_path, write_scene):
    """An index has limits of its own, so the type and the values of its bands do not matter."""
    pixels = np.ones((2, 20, 20), np.float32)
    path = write_scene(tmp_path / "a.tif", pixels, descriptions=("red", "nir"))
    ndvi, grey = views_of(path, view=["ndvi", "grey=red"])
    assert (ndvi.mode, ndvi.statistics) == (None, None)
    assert grey.statistics == "all pixels, 400 of them valid"
