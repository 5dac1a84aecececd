"""PSNR and SSIM against direct evaluations of their definitions."""

import math

import numpy as np
import pytest

from domainvl.enhance.evaluating.metrics import Similarity, cpsnr_db, decibels, psnr_db
from domainvl.enhance.evaluating.shifts import BestShift

ROWS, COLUMNS = 22, 19


def noise(seed, bands=2):
    return np.random.default_rng(seed).random((bands, ROWS, COLUMNS), dtype=np.float32)


def direct_ssim(a, b, valid, border):
    """Wang et al. 2004, equations 13 to 16, window by window."""
    places = np.arange(-5, 6)
    window = np.exp(-(places[:, None] ** 2 + places[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    edge = max(border, 5)
    of_bands = []
    for x, y in zip(a.astype(np.float64), b.astype(np.float64), strict=True):
        values = []
        for r in range(edge, ROWS - edge):
            for c in range(edge, COLUMNS - edge):
                part = np.s_[r - 5 : r + 6, c - 5 : c + 6]
                if not valid[part].all():
                    continue
                mx, my = (window * x[part]).sum(), (window * y[part]).sum()
                vx, vy = (window * (x[part] - mx) ** 2).sum(), (window * (y[part] - my) ** 2).sum()
                cov = (window * (x[part] - mx) * (y[part] - my)).sum()
                likeness = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
                values.append(likeness / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
        of_bands.append(np.mean(values))
    return np.mean(of_bands)


def test_psnr_is_that_of_the_mean_squared_difference_of_all_bands():
    truth = np.zeros((2, ROWS, COLUMNS), dtype=np.float32)
    shown = truth.copy()
    shown[0], shown[1] = 0.1, 0.3
    valid = np.ones((ROWS, COLUMNS), dtype=bool)
    assert psnr_db(shown, truth, valid) == pytest.approx(10 * math.log10(1 / 0.05), abs=1e-4)


def test_psnr_looks_at_valid_pixels_only():
    truth, shown = np.zeros((1, ROWS, COLUMNS), dtype=np.float32), np.full((1, ROWS, COLUMNS), 9.0, dtype=np.float32)
    valid = np.zeros((ROWS, COLUMNS), dtype=bool)
    valid[3, 4] = True
    shown[0, 3, 4] = 0.01
    assert psnr_db(shown, truth, valid) == pytest.approx(40.0, abs=1e-3)


def test_equal_pictures_have_a_finite_psnr():
    assert decibels(0.0) == pytest.approx(100.0)
    assert cpsnr_db(BestShift((0, 0), 1e-3)) == pytest.approx(30.0)


@pytest.mark.parametrize("border", [0, 7])
def test_ssim_is_that_of_the_definition(border):
    truth, valid = noise(0), np.ones((ROWS, COLUMNS), dtype=bool)
    shown = 0.7 * truth + 0.3 * noise(1)
    expected = direct_ssim(shown, truth, valid, border)
    assert Similarity(truth, valid, border_px=border).of(shown) == pytest.approx(expected, abs=1e-5)


def test_windows_with_an_invalid_pixel_do_not_count():
    truth, valid = noise(0), np.ones((ROWS, COLUMNS), dtype=bool)
    shown = 0.7 * truth + 0.3 * noise(1)
    valid[9, 3] = False
    expected = direct_ssim(shown, truth, valid, 0)
    shown[:, 9, 3] = 30.0
    assert Similarity(truth, valid, border_px=0).of(shown) == pytest.approx(expected, abs=1e-5)


def test_a_picture_is_like_itself():
    truth, valid = noise(0), np.ones((ROWS, COLUMNS), dtype=bool)
    assert Similarity(truth, valid, border_px=0).of(truth) == pytest.approx(1.0, abs=1e-6)


def test_without_a_valid_window_there_is_no_ssim():
    truth, valid = noise(0), np.zeros((ROWS, COLUMNS), dtype=bool)
    assert Similarity(truth, valid, border_px=0).of(truth) is None
