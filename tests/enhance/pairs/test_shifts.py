"""The global shift between two views."""

from __future__ import annotations

import numpy as np
import pytest
from zoomed_views import ZoomedPair, make_pair, make_scene

from domainvl.enhance.pairs.planes import Grey, overlap, shrunk_grey, similarity, to_grey
from domainvl.enhance.pairs.shifts import find_shift, refine_shift
from domainvl.enhance.rasters import Raster


def _greys(pair: ZoomedPair, scale: int, *, mosaic: bool = False) -> tuple[Grey, Grey]:
    return to_grey(pair.low, mosaic=mosaic), shrunk_grey(pair.high, scale)


@pytest.mark.parametrize(
    ("seed", "scale", "shift_px", "noise", "mosaic"),
    [
        (0, 2, (0.0, 0.0), 0.0, False),
        (1, 2, (1.37, -2.61), 0.02, False),
        (2, 4, (-6.5, 4.25), 0.02, False),
        (3, 8, (0.3, 0.45), 0.0, False),
        (4, 2, (-17.2, 12.8), 0.05, False),
        (5, 4, (2.2, -3.7), 0.01, True),
    ],
)
def test_a_known_shift_is_found_to_a_fraction_of_a_low_pixel(
    seed: int, scale: int, shift_px: tuple[float, float], noise: float, mosaic: bool
) -> None:
    size_px = (80, 64) if scale < 8 else (48, 40)
    pair = make_pair(seed, size_px, scale, shift_px=shift_px, noise=noise, mosaic=mosaic)
    found = find_shift(*_greys(pair, scale, mosaic=mosaic))
    assert found == pytest.approx(shift_px, abs=0.1 if mosaic else 0.05)  # a mosaic's colours are alike only on average


def test_views_of_different_brightness_contrast_and_bands_are_matched() -> None:
    pair = make_pair(7, (64, 64), shift_px=(1.25, 2.5))
    dim = Raster(np.float32(500.0) + np.float32(7.5) * pair.high.pixels[:2], pair.high.valid, np.dtype(np.uint16))
    assert find_shift(to_grey(pair.low), shrunk_grey(dim, 2)) == pytest.approx((1.25, 2.5), abs=0.1)


def test_large_views_are_found_in_blocks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domainvl.enhance.pairs.shifts._COARSE_SIDE_PX", 64)
    monkeypatch.setattr("domainvl.enhance.pairs.shifts._FINE_SIDE_PX", 128)
    scene = make_scene(0, 200, 240, 1)[0] - 0.5
    fixed = Grey(scene[20:180, 17:220], np.ones((160, 203), bool))
    moving = Grey(scene[:160, :203], np.ones((160, 203), bool))
    assert find_shift(fixed, moving) == pytest.approx((20.0, 17.0), abs=0.01)


def test_narrow_views_are_not_made_too_small_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domainvl.enhance.pairs.shifts._COARSE_SIDE_PX", 64)
    scene = make_scene(0, 40, 260, 1)[0] - 0.5
    views = (Grey(scene[:36, start : start + 240], np.ones((36, 240), bool)) for start in (12, 0))
    assert find_shift(*views) == pytest.approx((0.0, 12.0), abs=0.01)


def test_gaps_do_not_hold_the_shift_back() -> None:
    pair = make_pair(8, (96, 96), shift_px=(3.3, -1.6))
    low, high = _greys(pair, 2)
    for view in (low, high):  # both lack the same pixels, which pulls towards no shift at all
        view.valid[30:50, 20:70] = False
        view.plane[30:50, 20:70] = 0.0
    assert find_shift(low, high) == pytest.approx((3.3, -1.6), abs=0.1)


def test_shifts_beyond_the_largest_are_not_looked_at() -> None:
    pair = make_pair(9, (80, 80), shift_px=(12.0, 0.0))
    found = find_shift(*_greys(pair, 2), largest_px=5.0)
    assert found is None or max(abs(part) for part in found) < 8


def test_what_is_left_is_measured_from_where_it_starts() -> None:
    pair = make_pair(10, (64, 64), shift_px=(0.3, -0.2))
    assert refine_shift(*_greys(pair, 2), (0.0, 0.0)) == pytest.approx((0.3, -0.2), abs=0.05)


def test_similarity_is_one_for_a_view_and_itself_and_falls_with_a_shift() -> None:
    low = to_grey(make_pair(11, (64, 64)).low)
    assert similarity(low, low) == pytest.approx(1.0)
    shared = overlap(low, low, (3.0, 0.0))
    assert shared is not None
    assert similarity(*shared) < 0.5
    flat = Grey(np.zeros((64, 64)), np.ones((64, 64), bool))
    assert similarity(low, flat) == 0.0


def test_an_overlap_shows_the_same_places() -> None:
    rows, columns = np.mgrid[:40, :50].astype(float)
    view = Grey(rows + 100 * columns, np.ones((40, 50), bool))
    shared = overlap(view, view, (2.0, -3.5))
    assert shared is not None
    ours, theirs = shared
    assert ours.size_px == theirs.size_px == (38, 47)
    inner = (slice(8, -8), slice(8, -8))  # the spline bends beside an edge
    assert (theirs.plane - ours.plane)[inner] == pytest.approx(2.0 - 350.0, abs=0.1)
    assert overlap(view, view, (30.0, 0.0)) is None


def test_each_colour_of_a_mosaic_has_the_same_share_in_its_grey_plane() -> None:
    row, column = np.mgrid[:20, :20] % 2
    colours = np.array([3.0, 8.0, 13.0], np.float32)[row + column]
    view = to_grey(Raster(colours[None], np.ones((20, 20), bool), np.dtype(np.uint16)), mosaic=True)
    assert np.ptp(view.plane[2:-2, 2:-2]) == pytest.approx(0.0, abs=1e-9)


def test_blocks_are_means_of_their_valid_pixels() -> None:
    plane = np.array([[1.0, 3.0, 5.0, 0.0], [1.0, 3.0, 7.0, 0.0]])
    valid = np.array([[True, True, True, False], [True, True, True, False]])
    small = Grey(plane, valid).binned(2)
    assert small.plane.tolist() == [[2.0, 6.0]]
    assert small.valid.all()
