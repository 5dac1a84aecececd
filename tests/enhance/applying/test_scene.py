"""Enlarging one raster by tiles: pixels, place, what is missing, and what is said of it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.transform import RPCTransformer
from repeating_upscaler import RepeatingUpscaler

from domainvl.enhance.applying.modes import Mode
from domainvl.errors import ItemError

BOTH = pytest.mark.parametrize("mode", [Mode.ZERO, Mode.SELF])


def _repeated(planes, scale=2):
    return planes.repeat(scale, axis=-2).repeat(scale, axis=-1)


@BOTH
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_every_pixel_is_where_it_belongs(write, enhance, noise, mode, dtype):
    low = noise(3, 100, 70, dtype=dtype)

    facts, path = enhance(write(low), mode=mode)

    with rasterio.open(path) as high:
        np.testing.assert_array_equal(np.rint(high.read()), _repeated(low))
        assert high.dtypes == (np.dtype(dtype).name,) * 3
        assert high.profile["tiled"] and high.compression.name == "deflate"
    assert (facts.low_size_px, facts.high_size_px, facts.tiles) == ((100, 70), (200, 140), 12)


def test_tiles_see_their_surroundings_and_no_more(write, enhance, noise):
    upscaler = RepeatingUpscaler(2)

    enhance(write(noise(1, 40, 64)), upscaler)

    assert upscaler.seen == [(33, 33), (33, 33), (9, 33), (9, 33)]


def test_tiles_that_are_blended_reach_into_each_other_and_see_their_surroundings(write, enhance, noise):
    upscaler = RepeatingUpscaler(2, takes_reference=True)

    enhance(write(noise(1, 32, 64)), upscaler, mode=Mode.SELF)

    # 32 pixels of its own, an eighth of the tile to blend, and the upscaler's overlap of 1.
    assert upscaler.seen == [(32, 37), (32, 37)]


@pytest.mark.parametrize(
    "transform", [Affine(10, 0, 500000, 0, -10, 4600000), Affine(3, 4, 100, 4, -3, 200), Affine(1, 0, 9, 0, 2, 7)]
)
def test_a_raster_stays_in_its_place(write, enhance, noise, transform):
    _, path = enhance(write(noise(1, 20, 30), transform=transform))

    with rasterio.open(path) as high:
        assert high.crs == "EPSG:32633"
        for column, row in ((0, 0), (30, 0), (0, 20), (17, 3)):
            assert high.transform @ (2 * column, 2 * row) == pytest.approx(transform @ (column, row))


@BOTH
def test_nodata_pixels_stay_nodata_and_others_do_not_become_it(write, enhance, noise, mode):
    low = noise(2, 50, 60, dtype=np.int16)
    low[:, 10:20, 5:40] = -9
    low[0, 30, 30] = -9
    low[1, 40, 40] = 7

    # What is 7 or 8 becomes -9 in the enlarged picture, which must not make it missing.
    _, path = enhance(write(low, nodata=-9), RepeatingUpscaler(2, takes_reference=True, offset=-16), mode=mode)

    with rasterio.open(path) as high:
        assert high.nodata == -9
        found = high.read()
    np.testing.assert_array_equal(found == -9, _repeated(low == -9))
    assert (found[1, 80:82, 80:82] == -8).all()


def test_a_nodata_value_at_the_top_of_its_type_is_stepped_below(write, enhance):
    low = np.full((1, 4, 4), 254, np.uint8)
    low[0, 0, 0] = 255

    _, path = enhance(write(low, nodata=255), RepeatingUpscaler(2, offset=5))

    with rasterio.open(path) as high:
        np.testing.assert_array_equal(np.unique(high.read()), [254, 255])
        assert (high.read(1) == 255).sum() == 4


def test_single_bands_without_a_value_show_the_network_a_near_one(write, enhance):
    class Looking(RepeatingUpscaler):
        def upscale(self, low, *, reference=None):
            self.low = low
            return super().upscale(low, reference=reference)

    low = np.full((2, 5, 5), 50, np.int16)
    low[0, 2, 2] = -9999
    low[:, 4, 4] = -9999
    upscaler = Looking(2)

    enhance(write(low, nodata=-9999), upscaler)

    assert upscaler.low.pixels[0, 2, 2] == 50
    assert not upscaler.low.valid[4, 4] and upscaler.low.valid.sum() == 24


def test_floats_that_are_not_finite_stay_not_a_number(write, enhance):
    low = np.ones((1, 4, 4), np.float32)
    low[0, 1, 1], low[0, 2, 2] = np.nan, np.inf

    _, path = enhance(write(low))

    with rasterio.open(path) as high:
        np.testing.assert_array_equal(np.isnan(high.read()), _repeated(~np.isfinite(low)))


@BOTH
def test_an_internal_mask_is_kept(write, enhance, noise, mode):
    mask = noise(40, 40, lowest=0, highest=2).astype(bool)

    facts, path = enhance(write(noise(3, 40, 40), mask=mask), mode=mode)

    with rasterio.open(path) as high:
        np.testing.assert_array_equal(high.dataset_mask() > 0, _repeated(mask))
    assert facts.marked_by == "mask"
    assert sorted(one.name for one in path.parent.glob("*")) == ["high.tif", "low.tif"]


def test_an_alpha_band_is_kept_with_all_its_bits(write, enhance, noise):
    low = noise(4, 40, 40, dtype=np.uint16, highest=60000)
    low[3, :20], low[3, 30] = 0, 100
    path = write(low, photometric="rgb", alpha="yes")

    _, path = enhance(path)

    with rasterio.open(path) as high:
        assert high.colorinterp[3] == ColorInterp.alpha
        np.testing.assert_array_equal(high.read(4), _repeated(low[3]))
        np.testing.assert_array_equal(high.read()[:3, 40:], _repeated(low[:3])[:, 40:])
        assert not high.read()[:3, :40].any()


def test_a_palette_is_resolved_to_its_colours(write, enhance, noise):
    low = noise(1, 20, 20, lowest=0, highest=4)
    path = write(low, nodata=3, photometric="palette")
    colours = {0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 2: (7, 8, 9, 255), 3: (90, 91, 92, 255)}
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, colours)

    facts, path = enhance(path)

    with rasterio.open(path) as high:
        assert [one.name for one in high.colorinterp] == ["red", "green", "blue"]
        np.testing.assert_array_equal(high.dataset_mask() > 0, _repeated(low[0] != 3))
        np.testing.assert_array_equal(high.read()[:, _repeated(low[0]) == 1][:, 0], (40, 50, 60))
    assert facts.notes == ["the palette is resolved to its colours"]


def test_what_is_said_of_bands_is_kept_and_statistics_are_not(write, enhance, noise):
    path = write(noise(2, 20, 20, dtype=np.int16), nodata=0)
    with rasterio.open(path, "r+") as low:
        low.descriptions = ("B04", "B08")
        low.scales, low.offsets, low.units = (0.0001, 0.5), (-0.1, 3.0), ("1", "K")
        low.update_tags(SENSOR="S2", AREA_OR_POINT="Point")
        low.update_tags(1, STATISTICS_MEAN="5", WAVELENGTH="665")
        low.update_tags(ns="MINE", KEY="value")
        place = low.transform

    _, path = enhance(path, sha256="ab" * 32, medical=True)

    with rasterio.open(path) as high:
        assert high.descriptions == ("B04", "B08")
        assert (high.scales, high.offsets, high.units) == ((0.0001, 0.5), (-0.1, 3.0), ("1", "K"))
        assert high.tags(1) == {"WAVELENGTH": "665"}
        assert high.tags(ns="MINE") == {"KEY": "value"}
        assert high.tags() == {
            "SENSOR": "S2",
            "AREA_OR_POINT": "Point",
            "DOMAINVL_ENHANCED": "repeating-x2 mode=zero offset scale=2 forced=medical",
            "DOMAINVL_ENHANCER_SHA256": "ab" * 32,
        }
        assert high.transform.almost_equals(place @ Affine.scale(0.5))


def test_ground_control_points_and_rational_polynomials_are_scaled(real_data, enhance):
    folder = real_data / "remote_sensing/rasterio__rasterio/tests/data"

    _, path = enhance(folder / "RGB.byte.gcp.vrt", tile_px=512)
    with rasterio.open(folder / "RGB.byte.gcp.vrt") as low, rasterio.open(path) as high:
        (points, crs), (before, crs_before) = high.gcps, low.gcps
        assert crs == crs_before
        assert [(p.row, p.col, p.x, p.y, p.z) for p in points] == [
            (2 * p.row, 2 * p.col, p.x, p.y, p.z) for p in before
        ]

    _, path = enhance(folder / "RGB.byte.rpc.vrt", tile_px=512)
    with rasterio.open(folder / "RGB.byte.rpc.vrt") as low, rasterio.open(path) as high:
        x, y = RPCTransformer(low.rpcs).xy(100, 200, offset="center")
        row, column = RPCTransformer(high.rpcs).rowcol([x], [y], op=float)
        low_row, low_column = RPCTransformer(low.rpcs).rowcol([x], [y], op=float)
    # From the corner of the first pixel, both count twice as far.
    assert np.ravel(row)[0] == pytest.approx(2 * np.ravel(low_row)[0], abs=0.01)
    assert np.ravel(column)[0] == pytest.approx(2 * np.ravel(low_column)[0], abs=0.01)


def test_real_rasters_keep_their_pixels(real_data, enhance):
    folder = real_data / "remote_sensing"
    for name in ("rasterio__rasterio/tests/data/rotated.tif", "cogeotiff__rio-tiler/tests/fixtures/cog_scale.tif"):
        _, path = enhance(folder / name)
        with rasterio.open(folder / name) as low, rasterio.open(path) as high:
            np.testing.assert_array_equal(high.read(), _repeated(low.read()))
            assert (high.scales, high.offsets, high.nodata) == (low.scales, low.offsets, low.nodata)


def test_tiles_that_differ_fade_into_each_other_without_a_seam(write, enhance):
    class Uneven(RepeatingUpscaler):
        def upscale(self, low, *, reference=None):
            return super().upscale(low, reference=reference) + 100 * (len(self.seen) % 2)

    _, path = enhance(
        write(np.zeros((1, 64, 90), np.float32)), Uneven(2, takes_reference=True), mode=Mode.SELF, tile_px=32
    )

    with rasterio.open(path) as high:
        found = high.read(1)
    # A raised cosine from 0 to 100 over 2 * 4 * 2 pixels is nowhere steeper than 100 pi / 2 / 16.
    steepest = 100 * np.pi / 2 / 16
    assert found.max() - found.min() == pytest.approx(100, abs=1)
    for axis in (0, 1):
        steps = np.abs(np.diff(found, axis=axis))
        assert 0.9 * steepest < steps.max() <= steepest


@BOTH
def test_memory_does_not_grow_with_the_height(write, enhance, mode):
    peaks = []
    for rows in (256, 1024):
        path = write(np.ones((1, rows, 64), np.uint8))
        tracemalloc.start()
        enhance(path, mode=mode, tile_px=64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.2 * peaks[0]


def test_other_bands_and_types_than_those_trained_on_are_refused_before_anything_is_written(write, enhance, noise):
    path = write(noise(3, 20, 20))

    with pytest.raises(ItemError, match="it has 3, and repeating-x2 takes 4"):
        enhance(path, RepeatingUpscaler(2, in_bands=4))
    with pytest.raises(ItemError, match="they are uint8, and repeating-x2 was trained on uint16"):
        enhance(path, low_type=np.dtype("uint16"), high_type=np.dtype("uint16"))
    assert not (path.parent / "high.tif").exists()


def test_a_refused_file_says_which_band_is_taken_for_alpha(write, enhance, noise):
    path = write(noise(4, 20, 20), photometric="rgb", alpha="yes")

    with pytest.raises(ItemError, match="it has 3 beside band 4, which is marked as alpha.*-colorinterp_4 undefined"):
        enhance(path, RepeatingUpscaler(2, in_bands=4))


@pytest.mark.parametrize(
    ("factor", "fits"), [(1 / 255, False), (1 / 120, False), (1 / 50, True), (9, True), (12, False)]
)
def test_values_in_other_units_than_those_trained_on_are_refused(write, enhance, factor, fits):
    low = np.full((3, 40, 40), 255 * factor, np.float32)
    low[:, :10], low[:, 10:15] = -9999, 0
    path = write(low, nodata=-9999)

    if fits:
        enhance(path, low_range=(0.0, 255.0))
    else:
        with pytest.raises(ItemError, match="trained on 0 to 255: they seem to be in other units"):
            enhance(path, low_range=(0.0, 255.0))
        assert not (path.parent / "high.tif").exists()


def test_a_dark_scene_of_the_type_trained_on_is_enlarged_with_a_note(write, enhance):
    facts, _ = enhance(write(np.ones((3, 20, 20), np.uint8)), low_range=(0.0, 255.0), low_type=np.dtype("uint8"))

    assert facts.notes == ["values are far from the range that the enhancer was trained on"]


def test_a_raster_without_a_valid_pixel_is_not_said_to_be_in_other_units(write, enhance):
    path = write(np.full((1, 8, 8), -9999, np.float32), nodata=-9999)

    with pytest.raises(ItemError, match="no pixel of it is valid"):
        enhance(path, low_range=(0.0, 255.0))


def test_the_type_is_that_of_the_high_view_where_the_views_differ(write, enhance, noise):
    types = {"low_type": np.dtype("uint16"), "high_type": np.dtype("uint8")}

    facts, path = enhance(write(noise(1, 20, 20, dtype=np.uint16), nodata=300), RepeatingUpscaler(2), **types)

    with rasterio.open(path) as high:
        assert high.dtypes == ("uint8",) and high.nodata is None
    assert facts.marked_by == "mask"
    assert facts.notes == ["the nodata value 300 is none of uint8; a mask marks missing pixels"]


def test_a_mosaic_gives_colours(write, enhance, noise):
    low = noise(1, 20, 20, dtype=np.uint16)

    _, path = enhance(write(low), RepeatingUpscaler(4, in_bands=1, out_bands=3))

    with rasterio.open(path) as high:
        assert [one.name for one in high.colorinterp] == ["red", "green", "blue"]
        np.testing.assert_array_equal(high.read(3), _repeated(low[0], 4))


def test_a_raster_without_a_valid_pixel_and_a_damaged_one_are_said(real_data, enhance):
    folder = real_data / "remote_sensing/rasterio__rasterio/tests/data"

    with pytest.raises(ItemError, match="no pixel of it is valid"):
        enhance(folder / "all-nodata.tif", tile_px=512)
    with pytest.raises(ItemError, match="corrupt.tif, rows 255 to 513, columns 255 to 513"):
        enhance(folder / "corrupt.tif", tile_px=256)


def test_complex_values_are_refused(write, enhance):
    with pytest.raises(ItemError, match="its values are complex"):
        enhance(write(np.ones((1, 4, 4), np.complex64)))


def test_what_was_enhanced_before_says_so_and_by_what(write, enhance, noise):
    facts, once = enhance(write(noise(1, 20, 20)), sha256="ab12")
    again = once.rename(once.with_name("once.tif"))
    assert not facts.notes

    facts, twice = enhance(again)

    with rasterio.open(twice) as high:
        tags = high.tags()
    assert tags["DOMAINVL_ENHANCED_EARLIER"] == "repeating-x2 mode=zero offset scale=2 sha256=ab12"
    # The hash was that of the first enhancer.
    assert "DOMAINVL_ENHANCER_SHA256" not in tags
    assert facts.notes == ["the input had been enhanced before: its detail may be invented already"]
    _, thrice = enhance(twice.rename(twice.with_name("twice.tif")))
    with rasterio.open(thrice) as high:
        assert high.tags()["DOMAINVL_ENHANCED_EARLIER"].endswith("sha256=ab12; repeating-x2 mode=zero offset scale=2")


def test_a_medical_picture_stays_one_when_it_was_enhanced(write, enhance, noise):
    _, once = enhance(write(noise(1, 20, 20)), medical=True)
    once = once.rename(once.with_name("once.tif"))

    with pytest.raises(ItemError, match="its tags say that it is one .*--force-medical"):
        enhance(once)
    _, twice = enhance(once, forced=True)

    with rasterio.open(twice) as high:
        assert high.tags()["DOMAINVL_ENHANCED"].endswith("forced=medical")
