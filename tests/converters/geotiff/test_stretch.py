import numpy as np
import pytest

from domainvl.converters.geotiff.raster import open_scene
from domainvl.converters.geotiff.settings import StretchMode
from domainvl.converters.geotiff.stretch import SAMPLE_PX, Stretch, find_stretch
from domainvl.errors import ItemError

PERCENTILE = StretchMode("percentile", 2.0, 98.0)


def stretch_of(path, mode=None, bands=(1,)):
    with open_scene(path, path.name) as dataset:
        return find_stretch(dataset, bands, mode, nodata=None, uri=path.name)


def test_fixed_limits_give_hand_computed_bytes():
    # (value - 100) / 400 * 255: 0, 0, 63.75, 127.5 (to even: 128), 255, 255
    pixels = np.array([[[0, 100, 200, 300, 500, 65535]]], dtype=np.uint16)
    stretch = Stretch(StretchMode("fixed", 100, 500), ((100.0, 500.0),))
    assert stretch.apply(pixels).tolist() == [[[0, 0, 64, 128, 255, 255]]]


def test_each_band_has_its_own_limits():
    pixels = np.array([[[50.0]], [[50.0]]], dtype=np.float32)
    stretch = Stretch(PERCENTILE, ((0.0, 100.0), (0.0, 50.0)))
    assert stretch.apply(pixels).ravel().tolist() == [128, 255]


def test_values_that_are_not_finite_give_no_warning_and_a_byte():
    pixels = np.array([[[np.nan, np.inf, -np.inf]]])
    with np.errstate(all="raise"):
        assert Stretch(PERCENTILE, ((0.0, 1.0),)).apply(pixels).tolist() == [[[0, 0, 0]]]


def test_uint8_is_left_alone_by_default(tmp_path, write_scene):
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    stretch = stretch_of(write_scene(tmp_path / "a.tif", pixels))
    assert stretch.mode.kind == "none"
    assert (stretch.apply(pixels) == pixels).all()


def test_dtype_takes_the_whole_range_of_the_type(tmp_path, write_scene):
    path = write_scene(tmp_path / "a.tif", np.zeros((1, 4, 4), np.int16))
    assert stretch_of(path, StretchMode("dtype")).limits == ((-32768.0, 32767.0),)


@pytest.mark.parametrize(("dtype", "kind"), [("uint16", "none"), ("float32", "none"), ("float32", "dtype")])
def test_a_method_that_does_not_suit_the_type_is_refused(tmp_path, write_scene, dtype, kind):
    path = write_scene(tmp_path / "a.tif", np.zeros((1, 4, 4), dtype))
    with pytest.raises(ItemError, match=dtype) as error:
        stretch_of(path, StretchMode(kind))
    assert error.value.reason == "pixel-type"


def test_complex_pixels_are_refused(tmp_path, write_scene):
    path = write_scene(tmp_path / "slc.tif", np.ones((1, 4, 4), np.complex64))
    with pytest.raises(ItemError, match="complex64"):
        stretch_of(path)


def test_limits_are_those_of_numpy_over_the_whole_scene(tmp_path, write_scene):
    pixels = np.random.default_rng(0).integers(1, 5000, (2, 300, 500), dtype=np.uint16)
    stretch = stretch_of(write_scene(tmp_path / "a.tif", pixels), bands=(2,))
    assert stretch.limits[0] == pytest.approx(np.percentile(pixels[1], [2, 98]), abs=1e-9)
    assert stretch.statistics == "linear percentiles of all pixels, 150000 of them valid"


def test_missing_pixels_do_not_move_the_limits(tmp_path, write_scene):
    # Every row holds the same values, so that rows can be taken out without changing the distribution.
    rows = np.tile(np.random.default_rng(1).permutation(np.arange(1000.0, 1500.0)), (100, 1))[np.newaxis]
    clean = stretch_of(write_scene(tmp_path / "clean.tif", rows.astype(np.float32)))
    holed = rows.astype(np.float32)
    holed[:, :40] = -9999.0
    holed[:, 50] = np.nan
    holed[:, 51] = np.inf
    holed[:, 52] = -np.inf
    path = write_scene(tmp_path / "holed.tif", holed, nodata=-9999.0)
    assert stretch_of(path).limits[0] == pytest.approx(clean.limits[0], abs=1.0)
    assert stretch_of(path) == stretch_of(path)
    assert "28500 of them valid" in stretch_of(path).statistics  # 57 rows of 500


def test_a_large_scene_is_sampled_on_a_lattice_and_says_so(tmp_path, write_scene):
    side_px = 2201  # read in parts of 1905 rows: an odd number, so that the lattice must go on over the seam
    assert side_px**2 > SAMPLE_PX
    pixels = np.random.default_rng(2).uniform(200, 4200, (1, side_px, side_px)).astype(np.float32)
    stretch = stretch_of(write_scene(tmp_path / "a.tif", pixels, blockysize=1))
    lattice = pixels[0, ::2, ::2]
    assert stretch.limits[0] == pytest.approx(np.percentile(lattice, [2, 98]), abs=1e-9)
    assert stretch.limits[0] == pytest.approx(np.percentile(pixels, [2, 98]), abs=3)
    assert "one pixel in 2 x 2" in stretch.statistics


def test_a_scene_of_one_value_does_not_divide_by_zero(tmp_path, write_scene):
    pixels = np.full((1, 8, 8), 700, np.uint16)
    stretch = stretch_of(write_scene(tmp_path / "a.tif", pixels))
    with np.errstate(all="raise"):
        assert (stretch.apply(pixels) == 0).all()


def test_a_scene_without_valid_pixels_is_refused(real_data):
    path = real_data / "remote_sensing/rasterio__rasterio/tests/data/all-nodata.tif"
    with pytest.raises(ItemError, match="none of its pixels is valid") as error:
        stretch_of(path, bands=(1, 2, 3))
    assert error.value.reason == "no-valid-pixels"
