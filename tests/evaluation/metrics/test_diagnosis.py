"""Sensitivity, specificity, balanced accuracy, F1, kappa and AUROC, by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from domainvl.evaluation.metrics.diagnosis import (
    auroc_score,
    balanced_accuracy_score,
    f1_score,
    kappa_score,
    macro_auroc_score,
    sensitivity_score,
    specificity_score,
)

TRUTHS = [True] * 4 + [False] * 6
SAID = [True, True, True, False, True, False, False, False, False, False]


def total(score) -> float:
    return float(score.combine(score.terms.sum(axis=0)))


def whole(score) -> float:
    return score.compute(np.ones(score.item_count))


def macro(score, weights) -> float:
    return float(score.combine(np.array([part.compute(weights) for part in score.parts])))


def test_two_classes_by_hand():
    # TP 3, FN 1, FP 1, TN 5.
    assert total(sensitivity_score(TRUTHS, SAID)) == pytest.approx(3 / 4)
    assert total(specificity_score(TRUTHS, SAID)) == pytest.approx(5 / 6)
    assert total(f1_score(TRUTHS, SAID)) == pytest.approx(6 / 8)
    assert total(balanced_accuracy_score(TRUTHS, SAID)) == pytest.approx((3 / 4 + 5 / 6) / 2)
    # Agreement 0.8; by chance 0.4 * 0.4 + 0.6 * 0.6 = 0.52.
    assert total(kappa_score(TRUTHS, SAID)) == pytest.approx((0.8 - 0.52) / 0.48)


def test_what_cannot_be_read_is_wrong():
    truths, said = [True, True, False, False], [True, None, False, None]
    assert total(sensitivity_score(truths, said)) == 0.5
    assert total(specificity_score(truths, said)) == 0.5
    assert total(f1_score(truths, said)) == pytest.approx(2 / 4)
    assert total(balanced_accuracy_score(truths, said)) == 0.5
    # Agreement 1/2; by chance 1/2 * 1/4 + 1/2 * 1/4 + 0 * 1/2 = 1/4.
    assert total(kappa_score(truths, said)) == pytest.approx((1 / 2 - 1 / 4) / (3 / 4))


def test_what_is_not_defined_is_none():
    assert math.isnan(total(sensitivity_score([False], [False])))
    assert math.isnan(total(specificity_score([True], [True])))
    assert math.isnan(total(f1_score([False], [False])))
    assert math.isnan(total(kappa_score(["a", "a"], ["a", "a"])))
    assert math.isnan(whole(auroc_score([True, True], [0.1, 0.2])))
    score = balanced_accuracy_score(["a", "b"], ["a", "a"])
    assert total(score) == 0.5
    assert float(score.combine(score.terms[0])) == 1.0  # A class that a resample lacks is left out.
    assert math.isnan(float(score.combine(np.zeros(4))))


def test_kappa_is_nought_for_chance_and_below_for_opposition():
    assert total(kappa_score(["a", "a", "b", "b"], ["a", "b", "a", "b"])) == pytest.approx(0.0)
    assert total(kappa_score(["a", "b"], ["b", "a"])) == pytest.approx(-1.0)


def test_auroc_by_hand():
    # Pairs of a positive (0.9, 0.5) and a negative (0.5, 0.1): won, won, tied, won.
    assert whole(auroc_score([True, True, False, False], [0.9, 0.5, 0.5, 0.1])) == pytest.approx(3.5 / 4)
    assert whole(auroc_score([True, False], [0.3, 0.3])) == 0.5
    # The second positive twice, the first not at all: tied, won.
    weights = np.array([0.0, 2.0, 1.0, 1.0])
    assert auroc_score([True, True, False, False], [0.9, 0.5, 0.5, 0.1]).compute(weights) == pytest.approx(1.5 / 2)


def test_macro_auroc_leaves_out_classes_that_are_not_there():
    scores = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]
    # Class 0 (item 0 against 0.2, 0.6): 1. Class 1 (items 1, 2 against 0.1): 1. Class 2 is true of none.
    assert macro(macro_auroc_score([0, 1, 1], scores), np.ones(3)) == 1.0
    # Item 2 is of class 0 and scores below nobody of the rest but item 1: classes 0 and 1 both 1; none if one is left.
    assert math.isnan(macro(macro_auroc_score([0, 1, 1], scores), np.array([0.0, 1.0, 1.0])))


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    truths, said = rng.random(300) < 0.3, rng.random(300) < 0.4
    classes, answers = rng.integers(0, 4, 300), rng.integers(0, 5, 300)
    classes[:4] = range(4)
    scores = np.round(rng.random(300) + 0.3 * truths, 1)  # Rounded, so that many are tied.
    options = np.round(rng.random((300, 4)) + 0.1, 1)
    options /= options.sum(axis=1, keepdims=True)
    weights = rng.integers(0, 4, 300).astype(float)

    for score, expected in (
        (sensitivity_score(truths, said), metrics.recall_score(truths, said)),
        (specificity_score(truths, said), metrics.recall_score(truths, said, pos_label=False)),
        (f1_score(truths, said), metrics.f1_score(truths, said)),
        (balanced_accuracy_score(classes, answers), metrics.recall_score(
            classes, answers, average="macro", labels=range(4))),
        (kappa_score(classes, answers), metrics.cohen_kappa_score(classes, answers)),
    ):  # fmt: skip
        assert total(score) == pytest.approx(expected, abs=1e-12)
    expected = metrics.roc_auc_score(truths, scores, sample_weight=weights)
    assert auroc_score(truths, scores).compute(weights) == pytest.approx(expected, abs=1e-12)
    expected = metrics.roc_auc_score(classes, options, multi_class="ovr", average="macro")
    assert macro(macro_auroc_score(classes, options), np.ones(300)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "score", [sensitivity_score, specificity_score, f1_score, balanced_accuracy_score, kappa_score, auroc_score]
)
def test_lengths_must_agree(score):
    with pytest.raises(ValueError, match="equally many"):
        score([True, False], [True])


def test_scores_must_be_numbers_of_known_classes():
    with pytest.raises(ValueError, match="1 are not"):
        auroc_score([True, False], [0.5, math.nan])
    with pytest.raises(ValueError, match="0 to 1, got 0 to 2"):
        macro_auroc_score([0, 2], [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match="items, classes"):
        macro_auroc_score([0], [[0.5], [0.5]])
