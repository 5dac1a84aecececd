"""Figures of one pair: pictures whose figures are plain, and pixels that must not count."""

import numpy as np
import pytest

from domainvl.enhance.evaluating.baseline import bicubic, colours_of
from domainvl.enhance.evaluating.measuring import NothingValidError, Scene, TooSmallError
from domainvl.enhance.pairs.records import PairIndex, View
from domainvl.enhance.rasters import Raster
from domainvl.enhance.resampling import enlarge

ROWS, COLUMNS = 52, 60


def view(bands, high=255.0):
    return View(bands=bands, dtype="uint8", low=(0.0,) * bands, high=(high,) * bands)


def index(low_bands=3, high_bands=3, mosaic=False, low_high=255.0):
    return PairIndex(
        scale=2, layout="folders", mosaic=mosaic, low_view=view(low_bands, low_high), high_view=view(high_bands),
        settings={}, counts={}, rejected={},
    )  # fmt: skip


def raster(pixels, valid=None):
    pixels = np.float32(pixels)
    return Raster(pixels, np.ones(pixels.shape[1:], dtype=bool) if valid is None else valid, np.dtype("uint8"))


def views(bands=3, seed=0):
    rng = np.random.default_rng(seed)
    low = np.rint(rng.uniform(60, 190, (bands, ROWS // 2, COLUMNS // 2)))
    high = np.rint(np.clip(low.repeat(2, axis=1).repeat(2, axis=2) + rng.normal(0, 12, (bands, ROWS, COLUMNS)), 0, 255))
    return raster(low), raster(high)


def test_the_truth_has_the_best_figures_there_are():
    low, high = views()
    found = Scene(low, high, index()).measure(high.pixels)
    assert (found.values["psnr_db"], found.values["cpsnr_db"]) == (pytest.approx(100), pytest.approx(100))
    assert found.values["ssim"] == pytest.approx(1.0, abs=1e-5)
    assert found.values["improvement"] > 0.9
    assert found.shift_px == (0, 0)


def test_bicubic_adds_nothing_and_agrees_with_the_low_view():
    low, high = views()
    found = Scene(low, high, index()).measure(bicubic(low, index())).values
    assert found["omission"] > 0.9
    assert found["synthesis"] == 0.0
    assert found["reflectance"] < 0.1


def test_psnr_is_over_the_range_of_the_high_view():
    low, high = views()
    found = Scene(low, high, index()).measure(np.clip(high.pixels, 20, 235) + 10)
    expected = np.clip(high.pixels, 20, 235) + 10 - high.pixels
    inside = expected[:, 16:-16, 16:-16] / 255
    assert found.values["psnr_db"] == pytest.approx(-10 * np.log10((inside**2).mean()), abs=1e-3)
    assert found.values["cpsnr_db"] > found.values["psnr_db"]


def test_a_shifted_picture_loses_psnr_and_keeps_cpsnr_and_correctness():
    low, high = views()
    scene = Scene(low, high, index())
    moved = np.roll(high.pixels, (2, -1), axis=(1, 2))
    found = scene.measure(moved)
    assert found.shift_px == (-2, 1)
    assert found.values["cpsnr_db"] == pytest.approx(100)
    assert found.values["psnr_db"] < 20
    assert found.values["improvement"] > 0.9


def test_a_picture_that_lies_a_pixel_off_its_low_view_has_a_spatial_shift():
    rng = np.random.default_rng(5)
    big = np.ones((40, 40), dtype=bool)
    high = raster(enlarge(rng.uniform(60, 190, (1, 40, 40)).astype(np.float32), big, 2))
    low = raster(high.pixels.reshape(1, 40, 2, 40, 2).mean(axis=(2, 4)))
    scene = Scene(low, high, index(1, 1))
    assert scene.measure(np.roll(high.pixels, 2, axis=2)).values["spatial_px"] == pytest.approx(1.0, abs=0.1)
    assert scene.measure(high.pixels).values["spatial_px"] < 0.1


def test_a_flat_picture_has_no_spatial_shift():
    low, high = (raster(np.tile(view.pixels, (1, 2, 2))) for view in views())
    scene = Scene(low, high, index())
    assert scene.measure(high.pixels).values["spatial_px"] is not None
    assert scene.measure(np.full_like(high.pixels, 99)).values["spatial_px"] is None


def test_the_border_does_not_count():
    low, high = views()
    spoilt = high.pixels.copy()
    spoilt[:, :11], spoilt[:, -11:], spoilt[:, :, :11], spoilt[:, :, -11:] = 0, 255, 0, 255
    values = Scene(low, high, index()).measure(spoilt).values
    whole = Scene(low, high, index()).measure(high.pixels).values
    for measure in ("psnr_db", "ssim", "cpsnr_db", "synthesis", "improvement", "reflectance"):
        assert values[measure] == pytest.approx(whole[measure], abs=2e-5), measure


@pytest.mark.parametrize("where", ["low", "high"])
def test_pixels_that_are_invalid_in_either_view_do_not_count(where):
    low, high = views()
    gap = np.s_[18:30, 20:40] if where == "high" else np.s_[9:15, 10:20]
    (high if where == "high" else low).valid[gap] = False
    scene = Scene(low, high, index())
    whole = scene.measure(high.pixels).values
    picture = high.pixels.copy()
    picture[:, 18:30, 20:40] = 255 - picture[:, 18:30, 20:40]
    values = scene.measure(picture).values
    for measure in ("psnr_db", "cpsnr_db", "ssim", "improvement"):
        assert values[measure] == pytest.approx(whole[measure], abs=1e-4), measure


def test_a_picture_is_measured_as_a_file_would_hold_it():
    low, high = views()
    scene = Scene(low, high, index())
    assert scene.measure(high.pixels + 0.3).values == scene.measure(high.pixels).values
    wild = high.pixels.copy()
    wild[0, 20, 20] = -900.0
    assert scene.normalised(wild)[0, 20, 20] == 0.0


def test_low_views_of_another_range_are_brought_to_the_high_views():
    low, _ = views()
    dim = raster(low.pixels / 2)
    assert np.allclose(bicubic(dim, index(low_high=127.5)), bicubic(low, index()), atol=1e-3)


def test_a_mosaic_is_read_as_red_green_green_blue():
    mosaic = np.zeros((1, 6, 6), dtype=np.float32)
    mosaic[0, 0::2, 0::2], mosaic[0, 1::2, 1::2] = 51.0, 204.0
    mosaic[0, 0::2, 1::2] = mosaic[0, 1::2, 0::2] = 102.0
    colours = colours_of(raster(mosaic), index(1, 3, mosaic=True))
    assert np.allclose(colours.pixels, np.float32([0.2, 0.4, 0.8])[:, None, None])


def test_invalid_pixels_of_a_mosaic_leave_their_neighbours_alone():
    mosaic = np.full((1, 6, 6), 51.0, dtype=np.float32)
    mosaic[0, 2, 2], valid = 255.0, np.ones((6, 6), dtype=bool)
    valid[2, 2] = False
    colours = colours_of(raster(mosaic, valid), index(1, 3, mosaic=True))
    assert np.allclose(colours.pixels[:, valid], 0.2)


def test_bands_that_differ_in_kind_have_no_bicubic_and_are_measured_all_the_same():
    low, high = views()
    wide = raster(np.concatenate([low.pixels, low.pixels[:1]]))
    assert bicubic(wide, index(4, 3)) is None
    values = Scene(wide, high, index(4, 3)).measure(high.pixels).values
    assert values["reflectance"] == pytest.approx(0.0, abs=1e-6)
    assert values["improvement"] > 0.9


def test_pairs_that_leave_nothing_to_measure_say_so():
    low, high = raster(np.zeros((1, 16, 40))), raster(np.zeros((1, 32, 80)))
    with pytest.raises(TooSmallError, match="16 x 40 low pixels, more than 16"):
        Scene(low, high, index(1, 1))
    low, high = views(1)
    high.valid[16:-16, 16:-16] = False
    with pytest.raises(NothingValidError):
        Scene(low, high, index(1, 1))
