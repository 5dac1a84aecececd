"""The best shift against a direct evaluation of its definition, and against shifts that are known."""

import itertools

import numpy as np
import pytest

from domainvl.enhance.evaluating.shifts import find_best_shift, moved

BORDER = 4


def picture(seed, rows=30, columns=26, bands=2):
    return np.random.default_rng(seed).random((bands, rows, columns), dtype=np.float32)


def brute_force(shown, truth, valid, truth_valid, max_shift_px=3):
    """PROBA-V's definition, pixel by pixel: the least mean over bands of the spread of differences."""
    bands, rows, columns = shown.shape
    found = {}
    for dr, dc in itertools.product(range(-max_shift_px, max_shift_px + 1), repeat=2):
        differences = [[] for _ in range(bands)]
        for r, c in itertools.product(range(BORDER, rows - BORDER), range(BORDER, columns - BORDER)):
            if valid[r, c] and truth_valid[r + dr, c + dc]:
                for band in range(bands):
                    differences[band].append(float(shown[band, r, c]) - float(truth[band, r + dr, c + dc]))
        if differences[0]:
            found[dr, dc] = np.mean([np.var(values) for values in differences])
    return found


def test_the_best_shift_is_that_of_the_definition():
    shown, truth = picture(0), picture(1)
    valid = np.ones((30, 26), dtype=bool)
    expected = brute_force(shown, truth, valid, valid)
    best = find_best_shift(shown, truth, valid, valid, border_px=BORDER)
    assert best.shift_px == min(expected, key=expected.get)
    assert best.error == pytest.approx(min(expected.values()), rel=1e-5)


def test_pixels_that_are_invalid_in_either_do_not_count():
    shown, truth = picture(0), picture(1)
    rng = np.random.default_rng(2)
    valid, truth_valid = rng.random((30, 26)) > 0.4, rng.random((30, 26)) > 0.4
    expected = brute_force(shown, truth, valid, truth_valid)
    shown[:, ~valid], truth[:, ~truth_valid] = 50.0, -70.0
    best = find_best_shift(shown, truth, valid, truth_valid, border_px=BORDER)
    assert best.shift_px == min(expected, key=expected.get)
    assert best.error == pytest.approx(min(expected.values()), rel=1e-3)


@pytest.mark.parametrize("shift_px", [(0, 0), (2, -1), (-3, 3)])
def test_a_shift_that_is_known_is_found_whatever_the_brightness_of_each_band(shift_px):
    truth = picture(3)
    shown = np.roll(truth, (-shift_px[0], -shift_px[1]), axis=(1, 2)) + np.float32([[[0.25]], [[-0.5]]])
    valid = np.ones((30, 26), dtype=bool)
    best = find_best_shift(shown, truth, valid, valid, border_px=BORDER)
    assert best.shift_px == shift_px
    assert best.error < 1e-9


def test_of_equally_good_shifts_the_shortest_is_taken():
    flat, valid = np.full((1, 20, 20), 0.5, dtype=np.float32), np.ones((20, 20), dtype=bool)
    assert find_best_shift(flat, flat, valid, valid, border_px=BORDER).shift_px == (0, 0)


def test_without_a_valid_pixel_there_is_no_shift():
    flat, valid = np.zeros((1, 20, 20), dtype=np.float32), np.zeros((20, 20), dtype=bool)
    assert find_best_shift(flat, flat, valid, valid, border_px=BORDER) is None


def test_a_border_that_cannot_hold_the_shift_is_refused():
    flat, valid = np.zeros((1, 20, 20), dtype=np.float32), np.ones((20, 20), dtype=bool)
    with pytest.raises(ValueError, match="2 px for 3 px"):
        find_best_shift(flat, flat, valid, valid, border_px=2)


def test_a_moved_interior_holds_what_lies_at_the_shift():
    values = np.arange(36).reshape(6, 6)
    assert moved(values, 2, (1, -2)).tolist() == [[18, 19], [24, 25]]
