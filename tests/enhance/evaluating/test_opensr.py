"""What was added to the low view: cases whose answer is plain, and numbers worked out by hand."""

import math

import numpy as np
import pytest

from domainvl.enhance.evaluating.opensr import (
    correctness_shares,
    distance,
    match_histogram,
    measure_correctness,
    spectral_angle_deg,
    synthesis,
)

SIDE = 24


def pictures():
    """An enlarged low view and its truth, which has detail of both signs."""
    rng = np.random.default_rng(0)
    enlarged = np.full((2, SIDE, SIDE), 0.4, dtype=np.float32)
    truth = enlarged + rng.choice(np.float32([-0.1, -0.02, 0.02, 0.1]), size=(2, SIDE, SIDE))
    return enlarged, truth, np.ones((SIDE, SIDE), dtype=bool)


def test_the_truth_itself_is_all_improvement():
    enlarged, truth, valid = pictures()
    shares = measure_correctness(truth, enlarged, truth, valid)
    assert shares.improvement > 0.95
    assert shares.omission < 0.03


def test_the_enlarged_low_view_is_all_omission():
    enlarged, truth, valid = pictures()
    shares = measure_correctness(enlarged, enlarged, truth, valid)
    assert shares.omission > 0.95
    assert shares.hallucination < 0.03


def test_detail_that_is_far_from_both_is_all_hallucination():
    enlarged, truth, valid = pictures()
    noise = np.random.default_rng(1).choice(np.float32([0.0, 3.0]), size=truth.shape)
    shares = measure_correctness(noise, enlarged, truth, valid)
    assert shares.hallucination > 0.95


def test_shares_are_those_of_the_formulas():
    to_truth, to_low = 0.5, 1.2
    excess = to_truth + to_low - 1
    scores = [
        to_truth + to_low * (1 - math.exp(-0.05 * excess)),
        to_low + to_truth * (1 - math.exp(-0.05 * excess)),
        math.exp(-0.05 * to_truth * to_low),
    ]
    weights = [math.exp(-score / 0.25) for score in scores]
    shares = correctness_shares(np.array([to_truth]), np.array([to_low]))
    expected = [weight / sum(weights) for weight in weights]
    assert [shares.improvement, shares.omission, shares.hallucination] == pytest.approx(expected)


def test_distances_of_any_size_give_shares():
    shares = correctness_shares(np.array([1e6]), np.array([1e6]))
    assert (shares.improvement, shares.hallucination) == (0.0, 1.0)


def test_pixels_without_detail_do_not_count():
    enlarged, truth, valid = pictures()
    enlarged[..., 8:], truth[..., 8:] = 0.5, 0.5
    shown = truth.copy()
    shown[..., :8] += np.float32(0.03)
    found = measure_correctness(shown, enlarged, truth, valid)
    # Two thirds of the pixels are flat, and a little is not much: they would be all hallucination.
    shown[..., 8:] += np.float32(1e-4)
    truth[..., 8:] += np.random.default_rng(2).uniform(0, 2e-4, truth[..., 8:].shape).astype(np.float32)
    again = measure_correctness(shown, enlarged, truth, valid)
    assert again.hallucination == pytest.approx(found.hallucination, abs=1e-6)


def test_invalid_pixels_do_not_count():
    enlarged, truth, valid = pictures()
    shown = truth.copy()
    valid[:10] = False
    shown[:, :10] = 7.0
    assert measure_correctness(shown, enlarged, truth, valid).improvement > 0.95


def test_there_is_no_answer_where_the_low_view_tells_all():
    enlarged, _, valid = pictures()
    assert measure_correctness(enlarged, enlarged, enlarged, valid) is None
    assert measure_correctness(enlarged, enlarged, enlarged, ~valid) is None


def test_the_distance_is_a_share_of_the_sum():
    a, b = np.float32([[[0.2]], [[0.0]]]), np.float32([[[0.6]], [[0.5]]])
    assert distance(a, b)[0, 0] == pytest.approx((0.5 + 1.0) / 2)


def test_synthesis_is_the_mean_difference_of_valid_pixels():
    enlarged, _, valid = pictures()
    shown = enlarged.copy()
    shown[0] += 0.25
    shown[:, 0], valid[0] = 5.0, False
    assert synthesis(shown, enlarged, valid) == pytest.approx(0.125, rel=1e-5)


def test_matching_gives_the_distribution_of_the_truth():
    rng = np.random.default_rng(3)
    truth = rng.random((1, 60, 60), dtype=np.float32)
    valid = np.ones((60, 60), dtype=bool)
    matched = match_histogram((0.3 * truth + 0.1) ** 2, truth, valid)
    assert np.abs(matched - truth).max() < 0.01


def test_matching_learns_from_valid_pixels_only():
    truth = np.random.default_rng(3).random((1, 60, 60), dtype=np.float32)
    valid = np.ones((60, 60), dtype=bool)
    valid[:30] = False
    shown, spoilt = 2 * truth, truth.copy()
    shown[:, :30], spoilt[:, :30] = 9.0, -9.0
    assert np.abs(match_histogram(shown, spoilt, valid) - truth)[:, 30:].max() < 0.01
    assert match_histogram(shown, truth, np.zeros_like(valid)) is shown


def test_a_value_that_many_pixels_share_becomes_their_mean():
    shown = np.float32([[[0.0, 0.0, 1.0, 1.0]]])
    truth = np.float32([[[0.2, 0.4, 0.6, 1.0]]])
    matched = match_histogram(shown, truth, np.ones((1, 4), dtype=bool))
    assert matched[0, 0].tolist() == pytest.approx([0.3, 0.3, 0.8, 0.8], abs=0.01)


def test_the_spectral_angle_is_that_between_the_spectra():
    a = np.float32([[[1.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]]])
    b = np.float32([[[1.0, 3.0, 1.0]], [[1.0, 3.0, 1.0]]])
    valid = np.ones((1, 3), dtype=bool)
    assert spectral_angle_deg(a, b, valid) == pytest.approx((45.0 + 0.0) / 2, abs=1e-4)
    assert spectral_angle_deg(a[:1], b[:1], valid) is None
    assert spectral_angle_deg(a, b, np.array([[False, False, True]])) is None
