"""Expected calibration error and its bins, by hand and in a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from domainvl.evaluation.metrics.calibration import ece_score, reliability_bins


def total(score) -> float:
    return float(score.combine(score.terms.sum(axis=0)))


def test_ece_by_hand():
    # Bin 0.8 to 0.9: confidence 0.85, accuracy 1/2, 2 of 3 items. Bin 0.1 to 0.2: 0.15 and 0, 1 of 3.
    confidences, correct = [0.85, 0.85, 0.15], [True, False, False]
    assert total(ece_score(confidences, correct)) == pytest.approx(2 / 3 * 0.35 + 1 / 3 * 0.15)
    # One bin for all: mean confidence 1.85 / 3, accuracy 1/3.
    assert total(ece_score(confidences, correct, bins=1)) == pytest.approx(0.85 / 3)


def test_deviations_within_a_bin_cancel_and_across_bins_do_not():
    assert total(ece_score([0.95, 0.95], [True, True])) == pytest.approx(0.05)
    assert total(ece_score([0.45, 0.45, 0.55, 0.55], [True, True, False, False])) == pytest.approx(0.55)
    assert total(ece_score([0.42, 0.48], [True, False])) == pytest.approx(0.05)


def test_a_resample_counts_items_as_often_as_they_are_drawn():
    score = ece_score([0.85, 0.85, 0.15], [True, False, False])
    times = np.array([2.0, 0.0, 1.0])
    assert float(score.combine(times @ score.terms)) == pytest.approx(2 / 3 * 0.15 + 1 / 3 * 0.15)
    assert math.isnan(float(score.combine(np.zeros(11))))


def test_bins_hold_their_upper_end_and_the_first_one_nought():
    bins = reliability_bins([0.0, 0.1, 0.3, 0.7, 0.70001, 1.0], [True, False, True, True, False, True])
    assert [(part.low, part.high, part.n) for part in bins] == [
        (0.0, 0.1, 2), (0.2, 0.3, 1), (0.6, 0.7, 1), (0.7, 0.8, 1), (0.9, 1.0, 1),
    ]  # fmt: skip
    assert [part.accuracy for part in bins] == [0.5, 1.0, 1.0, 0.0, 1.0]
    assert bins[0].confidence == pytest.approx(0.05)


def test_bins_and_error_agree():
    rng = np.random.default_rng(2)
    sure, right = rng.random(500), rng.random(500) < 0.4
    bins = reliability_bins(sure, right)
    assert sum(part.n for part in bins) == 500
    expected = sum(part.n / 500 * abs(part.accuracy - part.confidence) for part in bins)
    assert total(ece_score(sure, right)) == pytest.approx(expected)


def test_a_calibrated_system_has_nearly_no_error_and_a_sure_one_has_much():
    rng = np.random.default_rng(0)
    sure = rng.random(100_000)
    right = rng.random(100_000) < sure
    # Each of 10 bins has about 10,000 items: a deviation of about 0.005 at most.
    assert total(ece_score(sure, right)) < 0.01
    assert total(ece_score(np.ones(100_000), right)) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("sure", "right", "bins"),
    [([0.5], [True, False], 10), ([1.5], [True], 10), ([math.nan], [True], 10), ([0.5], [True], 0)],
)
def test_bad_input_is_refused(sure, right, bins):
    with pytest.raises(ValueError):
        ece_score(sure, right, bins=bins)
