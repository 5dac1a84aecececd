"""One pair: fitting its views, registering them, and refusing what is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage
from zoomed_views import ZoomedPair, make_pair, make_scene

from domainvl.enhance.pairs import registering
from domainvl.enhance.pairs.affine import Affine
from domainvl.enhance.pairs.fitting import read_views
from domainvl.enhance.pairs.registering import register_pair, register_views
from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.enhance.rasters import Raster, masked, read_raster, write_tiff
from domainvl.errors import ItemError

SOURCE = PairSource("one", "one", Path("low.tif"), Path("high.tif"))


def _settings(**values: Any) -> RegisterSettings:
    return RegisterSettings.model_validate({"scale": 2, "layout": "folders", "least_size_px": 16, **values})


def _stored(folder: Path, pair: ZoomedPair) -> PairSource:
    write_tiff(folder / "low.tif", pair.low)
    write_tiff(folder / "high.tif", pair.high)
    return replace(SOURCE, low=folder / "low.tif", high=folder / "high.tif")


@pytest.mark.parametrize("shift_px", [(2.5, -3.0), (-4.0, 1.5)])
def test_whole_high_pixels_bring_the_views_together_without_resampling(shift_px: tuple[float, float]) -> None:
    pair = make_pair(1, (64, 64), shift_px=shift_px)
    low, high, figures = register_views(pair.low, pair.high, SOURCE, _settings())
    assert figures.shift_px == pytest.approx(shift_px, abs=0.05)
    assert figures.residual_px < 0.06
    assert figures.similarity > 0.97 > 0.5 > figures.similarity_before
    assert high.size_px == (2 * low.size_px[0], 2 * low.size_px[1])
    # The high view is a part of what it was, value by value.
    corner = [max(0, round(2 * part)) if part > 0 else round(2 * part) % 2 for part in shift_px]
    rows, columns = high.size_px
    assert (high.pixels == pair.high.crop(corner[0], corner[1], rows, columns).pixels).all()


def test_the_rest_is_below_half_a_high_pixel_and_told() -> None:
    pair = make_pair(2, (64, 64), shift_px=(1.2, 0.0))  # 2.4 high pixels: 0.4 of one is left
    _, _, figures = register_views(pair.low, pair.high, SOURCE, _settings())
    assert figures.residual_px == pytest.approx(0.2, abs=0.05)


def test_a_mosaic_keeps_its_first_colour() -> None:
    pair = make_pair(3, (64, 64), shift_px=(-3.0, -1.0), mosaic=True)
    low, high, figures = register_views(pair.low, pair.high, SOURCE, _settings(mosaic=True))
    assert figures.residual_px < 0.15
    assert (low.pixels == pair.low.crop(4, 2, *low.size_px).pixels).all()
    assert high.size_px == (2 * low.size_px[0], 2 * low.size_px[1])


def _turned(degrees: float) -> tuple[Raster, Raster]:
    angle = np.deg2rad(degrees)
    turn = (float(np.cos(angle)), float(np.sin(angle)), float(-np.sin(angle)), float(np.cos(angle)))
    scene = make_scene(4, 160, 160, 1)[0]
    warped = ndimage.map_coordinates(scene, Affine(turn, (1.5, 0.5)).places(80, 80, 2), order=3, mode="nearest")
    low = warped.reshape(80, 2, 80, 2).mean(axis=(1, 3))
    views = (masked(200 * view[None], np.ones(view.shape, bool), np.uint8) for view in (low, scene))
    return next(views), next(views)


def test_a_turned_view_is_turned_back_where_affine_is_asked_for() -> None:
    low, high = _turned(2.0)
    _, _, shifted = register_views(low, high, SOURCE, _settings())
    _, turned, figures = register_views(low, high, SOURCE, _settings(method="affine"))
    assert figures.similarity > 0.97 > shifted.similarity + 0.05
    assert figures.affine[1] == pytest.approx(np.sin(np.deg2rad(2.0)), abs=0.002)
    assert figures.residual_px < 0.05
    assert not turned.valid.all()  # what was outside of the high view
    assert shifted.affine == (1.0, 0.0, 0.0, 1.0)


def test_a_window_of_a_raster_keeps_its_size_and_shows_what_lies_beside_it() -> None:
    pair = make_pair(12, (48, 48), shift_px=(2.0, -1.5))
    moved = []

    def elsewhere(moved_px: tuple[int, int]) -> Raster:
        moved.append(moved_px)
        rolled = np.roll(pair.high.pixels, (-moved_px[0], -moved_px[1]), axis=(1, 2))  # its edges are of elsewhere
        return Raster(rolled, pair.high.valid, pair.high.dtype)

    low, high, figures = register_views(pair.low, pair.high, SOURCE, _settings(least_size_px=48), elsewhere)
    assert moved == [(4, -3)]
    assert (low.size_px, high.size_px) == ((48, 48), (96, 96))
    assert figures.residual_px < 0.06


def test_gaps_do_not_darken_what_is_beside_them_when_a_view_is_warped() -> None:
    low, high = _turned(2.0)
    high.valid[60:90, 60:90] = False
    plain = register_views(low, high, SOURCE, _settings(method="affine"))[1]
    high.pixels[:, 60:90, 60:90] = 0.0  # as a raster holds what is not valid
    emptied = register_views(low, high, SOURCE, _settings(method="affine"))[1]
    assert emptied.pixels == pytest.approx(plain.pixels, abs=0.5)


def test_without_registration_the_views_stay_as_they_are() -> None:
    pair = make_pair(5, (48, 48), shift_px=(3.0, 0.0))
    low, high, figures = register_views(pair.low, pair.high, SOURCE, _settings(method="none"))
    assert (low.pixels == pair.low.pixels).all()
    assert (high.pixels == pair.high.pixels).all()
    assert figures.shift_px == (0.0, 0.0)
    assert figures.residual_px > 0.5


def _reason(low: Raster, high: Raster, **values: Any) -> str:
    with pytest.raises(ItemError) as caught:
        register_views(low, high, SOURCE, _settings(**values))
    return caught.value.reason


def test_views_of_different_scenes_do_not_match() -> None:
    one, other = make_pair(6, (96, 96)), make_pair(7, (96, 96))
    assert _reason(one.low, other.high) == "no-match"


def test_views_of_nothing_do_not_match() -> None:
    flat = masked(np.full((1, 48, 48), 9), np.ones((48, 48), bool), np.uint8)
    assert _reason(flat, masked(np.full((1, 96, 96), 9), np.ones((96, 96), bool), np.uint8)) == "no-match"


def test_views_that_are_too_far_apart_are_told_how_far() -> None:
    pair = make_pair(8, (80, 80), shift_px=(9.0, 0.0))
    with pytest.raises(ItemError, match=r"9\.0 low pixels, at most 5") as caught:
        register_views(pair.low, pair.high, SOURCE, _settings(largest_shift_px=5.0))
    assert caught.value.reason == "shift-too-large"
    assert _reason(pair.low, pair.high, least_size_px=72) == "too-small"


def test_a_pair_is_written_and_read_back(tmp_path: Path) -> None:
    source = _stored(tmp_path, make_pair(9, (48, 48), shift_px=(1.0, 0.0), dtype="uint16"))
    figures = register_pair(source, settings=_settings(), folder=tmp_path / "out")
    low, high = (read_raster(tmp_path / "out" / part / "one.tif") for part in ("low", "high"))
    assert low.dtype == np.uint16
    assert (low.size_px, high.size_px) == ((47, 48), (94, 96))
    assert figures.record(source, "test").low == "low/one.tif"


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"val_share": 0.5, "test_share": 0.5}, "must leave something"),
        ({"shrink_low": True, "mosaic": True}, "colours"),
        ({"shrink_low": True, "layout": "geotiffs"}, "geotiffs"),
        ({"mosaic": True, "layout": "geotiffs", "window_px": 65}, "even"),
        ({"layout": "geotiffs", "window_px": 5000}, "100.0 megapixels"),
        ({"method": "none", "largest_shift_px": 3.0}, "--register none"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        _settings(**values)


@pytest.mark.parametrize(
    ("low_px", "high_px", "values", "reason"),
    [
        ((40, 40), (80, 82), {}, "size-does-not-fit"),
        ((40, 40), (40, 40), {}, "size-does-not-fit"),
        ((40, 40), (80, 80), {"scale": 4}, "size-does-not-fit"),
        ((80, 80), (40, 40), {}, "size-does-not-fit"),
        ((12, 40), (24, 80), {}, "too-small"),
        ((40, 40), (80, 80), {"largest_mpx": 0.005}, "too-large"),
        ((40, 40), (80, 80), {"mosaic": True}, "not-a-mosaic"),
    ],
)
def test_files_that_are_no_pair_are_refused_with_a_reason(
    tmp_path: Path, low_px: tuple[int, int], high_px: tuple[int, int], values: dict[str, Any], reason: str
) -> None:
    for name, (rows, columns) in (("low.png", low_px), ("high.png", high_px)):
        Image.fromarray(np.zeros((rows, columns, 3), np.uint8)).save(tmp_path / name)
    source = replace(SOURCE, low=tmp_path / "low.png", high=tmp_path / "high.png")
    with pytest.raises(ItemError) as caught:
        read_views(source, _settings(**values))
    assert caught.value.reason == reason
    assert caught.value.action


def test_views_that_are_named_the_wrong_way_round_are_told_to_be_swapped(tmp_path: Path) -> None:
    for name, side_px in (("low.png", 80), ("high.png", 40)):
        Image.fromarray(np.zeros((side_px, side_px), np.uint8)).save(tmp_path / name)
    source = replace(SOURCE, low=tmp_path / "low.png", high=tmp_path / "high.png")
    with pytest.raises(ItemError, match="Swap the two"):
        read_views(source, _settings())
    with pytest.raises(ItemError, match="Give the --scale"):  # there is nothing to swap
        read_views(source, _settings(layout="city100"))


def test_a_correlation_just_below_what_is_needed_does_not_read_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = make_pair(3, (48, 48))
    monkeypatch.setattr(registering, "_judge", lambda *_: (0.24996, 0.0))
    with pytest.raises(ItemError, match=r"correlate by 0\.249, 0\.25 is needed"):
        register_views(pair.low, pair.high, SOURCE, _settings())


def test_sizes_that_differ_by_less_than_a_low_pixel_are_cut(tmp_path: Path) -> None:
    for name, size in (("low.png", (41, 40)), ("high.png", (81, 81))):
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / name)
    low, high = read_views(replace(SOURCE, low=tmp_path / "low.png", high=tmp_path / "high.png"), _settings())
    assert (low.size_px, high.size_px) == ((40, 40), (80, 80))


def test_low_views_stored_large_are_shrunk_when_that_is_said(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:81, :80]
    Image.fromarray((rows + columns).astype(np.uint8)).save(tmp_path / "low.png")
    Image.fromarray((rows + columns).astype(np.uint8)).save(tmp_path / "high.png")
    source = replace(SOURCE, low=tmp_path / "low.png", high=tmp_path / "high.png")
    low, high = read_views(source, _settings(shrink_low=True))
    assert (low.size_px, high.size_px) == ((40, 40), (80, 80))
    assert low.pixels[0, 10, 10] == pytest.approx(41.0, abs=0.01)  # the mean of pixels 20 and 21 both ways


def test_a_zoomed_frame_shows_the_middle_of_the_wide_one(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:160, :160]
    Image.fromarray((rows + columns).astype(np.uint16)).save(tmp_path / "low.png")
    Image.fromarray((rows + columns).astype(np.uint16)).save(tmp_path / "high.png")
    source = replace(SOURCE, low=tmp_path / "low.png", high=tmp_path / "high.png", zoom=5.0)
    low, high = read_views(source, _settings(scale=4))
    assert low.size_px == (32, 32)
    assert low.pixels[0, 0, 0] == 64 + 64
    assert high.size_px == (128, 128)  # 160 pixels of the high frame, resampled: its zoom is more than the scale
    assert high.pixels[0, 64, 64] == pytest.approx(2 * (64.5 * 1.25 - 0.5), abs=0.1)


def test_pairs_with_too_few_valid_pixels_are_refused(tmp_path: Path) -> None:
    pair = make_pair(10, (48, 48))
    pair.low.valid[:30] = False
    with pytest.raises(ItemError, match="38% are valid") as caught:
        register_pair(_stored(tmp_path, pair), settings=_settings(), folder=tmp_path / "out")
    assert caught.value.reason == "no-valid-pixels"
    pair.low.valid[:] = False
    with pytest.raises(ItemError) as caught:
        register_pair(_stored(tmp_path, pair), settings=_settings(), folder=tmp_path / "out")
    assert caught.value.reason == "no-valid-pixels"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    source = _stored(tmp_path, make_pair(11, (32, 32)))
    source.high.write_text("no picture")
    with pytest.raises(ItemError, match=r"high\.tif") as caught:
        register_pair(source, settings=_settings(), folder=tmp_path / "out")
    assert caught.value.reason == "unreadable"
