"""How good answers are at telling classes apart: sensitivity, specificity, balanced accuracy, F1, kappa and AUROC.

An answer that could not be read is None. It is wrong, whatever is true: a positive is missed, a negative is taken for
a positive.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from domainvl.evaluation.statistics.scores import (
    BoolArray,
    CompositeScore,
    FloatArray,
    IntArray,
    SumScore,
    WeightedScore,
    ratio,
)


def sensitivity_score(truths: Sequence[bool], said: Sequence[bool | None]) -> SumScore:
    """Return the share of positives that are found; also called recall.

    Args:
        truths: Whether each item is positive.
        said: What the answers say.

    Raises:
        ValueError: If the lengths differ.
    """
    positive, right = _right(truths, said)
    return SumScore(_columns(positive & right, positive), ratio)


def specificity_score(truths: Sequence[bool], said: Sequence[bool | None]) -> SumScore:
    """Return the share of negatives that are taken for negatives; as :func:`sensitivity_score`."""
    positive, right = _right(truths, said)
    return SumScore(_columns(~positive & right, ~positive), ratio)


def f1_score(truths: Sequence[bool], said: Sequence[bool | None]) -> SumScore:
    """Return F1 of the positives: 2 TP / (2 TP + FP + FN); as :func:`sensitivity_score`."""
    positive, right = _right(truths, said)
    return SumScore(_columns(positive & right, ~right), _f1)


def balanced_accuracy_score(truths: Sequence[Hashable], said: Sequence[Hashable | None]) -> SumScore:
    """Return the mean over classes of the share of their items that are recognised; also called macro recall.

    Classes are those that are true of some item; in a resample, those that are true of some item there.

    Args:
        truths: Class of each item.
        said: What the answers say.

    Raises:
        ValueError: If the lengths differ.
    """
    _check(truths, said)
    classes = {name: index for index, name in enumerate(dict.fromkeys(truths))}
    of = np.array([classes[truth] for truth in truths], dtype=np.int64)
    right = np.array([answer == truth for truth, answer in zip(truths, said, strict=True)], dtype=bool)
    member = _one_hot(of, len(classes))
    return SumScore(np.concatenate([member * right[:, None], member], axis=1), _mean_recall)


def kappa_score(truths: Sequence[Hashable], said: Sequence[Hashable | None]) -> SumScore:
    """Return Cohen's kappa, the agreement beyond chance (Cohen, 1960), between answers and truth; not weighted.

    What could not be read is a class of its own. Where truth and answers are all of one class there is no kappa.

    Args:
        truths: Class of each item.
        said: What the answers say.

    Raises:
        ValueError: If the lengths differ.
    """
    _check(truths, said)
    classes = {name: index for index, name in enumerate(dict.fromkeys([*truths, *said]))}
    rows = np.array([classes[truth] for truth in truths], dtype=np.int64)
    columns = np.array([classes[answer] for answer in said], dtype=np.int64)
    parts = [(rows == columns)[:, None], _one_hot(rows, len(classes)), _one_hot(columns, len(classes))]
    return SumScore(np.concatenate(parts, axis=1, dtype=np.float64), _kappa, (-1.0, 1.0))


def auroc_score(
    truths: Sequence[bool] | BoolArray, scores: Sequence[float] | npt.NDArray[np.floating]
) -> WeightedScore:
    """Return the area under the ROC curve: how often a positive scores above a negative, ties counting half.

    (Hanley and McNeil, Radiology 143, 1982.) There is none where all items are of one class.

    Args:
        truths: Whether each item is positive, shape (items,).
        scores: How sure a system is that it is, shape (items,); any scale.

    Raises:
        ValueError: If the lengths differ or a score is not a number.
    """
    positive, values = np.asarray(truths, dtype=bool), np.asarray(scores, dtype=np.float64)
    if positive.shape != values.shape or positive.ndim != 1:
        raise ValueError(f"truths and scores must be equally many, got {positive.shape} and {values.shape}")
    if np.isnan(values).any():
        raise ValueError(f"scores must be numbers, {int(np.isnan(values).sum())} are not")
    levels, level_of = np.unique(values, return_inverse=True)

    def compute(weights: FloatArray) -> float:
        positives = np.bincount(level_of, weights * positive, len(levels))
        negatives = np.bincount(level_of, weights * ~positive, len(levels))
        pairs = positives.sum() * negatives.sum()
        won = positives @ (np.cumsum(negatives) - negatives / 2)
        return float(won / pairs) if pairs else float("nan")

    return WeightedScore(len(values), compute)


def macro_auroc_score(
    truths: Sequence[int] | IntArray, scores: Sequence[Sequence[float]] | npt.NDArray[np.floating]
) -> CompositeScore:
    """Return the mean over classes of the AUROC of each class against the rest.

    Classes that are true of no item, or of all, have none and are left out, also in a resample.

    Args:
        truths: Class of each item, shape (items,), counted from 0.
        scores: How sure a system is of each class, shape (items, classes).

    Raises:
        ValueError: If the shapes disagree, a class is out of range or a score is not a number.
    """
    classes, values = np.asarray(truths, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or classes.shape != values.shape[:1]:
        raise ValueError(f"scores must be (items, classes) for {classes.shape} truths, got {values.shape}")
    if classes.size and not 0 <= classes.min() <= classes.max() < values.shape[1]:
        raise ValueError(f"classes must be 0 to {values.shape[1] - 1}, got {classes.min()} to {classes.max()}")
    parts = tuple(auroc_score(classes == index, values[:, index]) for index in range(values.shape[1]))
    return CompositeScore(parts, _mean_of_defined)


def _check(truths: Sequence[object], said: Sequence[object]) -> None:
    if len(truths) != len(said):
        raise ValueError(f"truths and answers must be equally many, got {len(truths)} and {len(said)}")


def _right(truths: Sequence[bool], said: Sequence[bool | None]) -> tuple[BoolArray, BoolArray]:
    _check(truths, said)
    pairs = zip(truths, said, strict=True)
    return np.array(truths, dtype=bool), np.array(
        [answer is not None and answer == truth for truth, answer in pairs], bool
    )


def _columns(*columns: BoolArray) -> FloatArray:
    return np.stack(columns, axis=1).astype(np.float64)


def _one_hot(index: IntArray, size: int) -> FloatArray:
    hot = np.zeros((len(index), size))
    hot[np.arange(len(index)), index] = 1.0
    return hot


def _f1(sums: FloatArray) -> FloatArray:
    found, wrong = sums[..., 0], sums[..., 1]
    return ratio(np.stack([2 * found, 2 * found + wrong], axis=-1))


def _mean_recall(sums: FloatArray) -> FloatArray:
    size = sums.shape[-1] // 2
    recalls = ratio(np.stack([sums[..., :size], sums[..., size:]], axis=-1))
    return _mean_of_defined(np.moveaxis(recalls, -1, 0))


def _kappa(sums: FloatArray) -> FloatArray:
    size = sums.shape[-1] // 2
    truths, said = sums[..., 1 : 1 + size], sums[..., 1 + size :]
    total = truths.sum(axis=-1)
    by_chance = (truths * said).sum(axis=-1)
    # Both sides times the square of the total, so that whole numbers are compared.
    return ratio(np.stack([total * sums[..., 0] - by_chance, total**2 - by_chance], axis=-1))


def _mean_of_defined(values: FloatArray) -> FloatArray:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return ratio(np.stack([np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0)], axis=-1))
