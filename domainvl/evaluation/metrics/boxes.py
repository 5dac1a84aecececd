"""How well upright boxes agree, one pair or many; and how well they and their number are found in a whole set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl.evaluation.statistics.scores import BoolArray, FloatArray, SumScore, mean_score, ratio
from domainvl.schema.boxes import Box

IOU_THRESHOLD = 0.5
"""Least IoU of a right box, inclusive; the usual Acc@0.5 of visual grounding (Yu et al., RefCOCO, 2016)."""

_Parts: TypeAlias = Callable[[FloatArray, FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
"""Makes numerator and denominator of the sums of true positives, false positives and false negatives."""


def box_iou(a: Box, b: Box) -> float:
    """Return the area that two boxes share over the area that they cover together.

    Coordinates are continuous, without the +1 of pixel indices. A box without area, or with its corners
    swapped, has IoU 0 with every box.
    """
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def box_iou_plus_one(a: Box, b: Box) -> float:
    """Return the IoU of two boxes whose corners are taken for indices of pixels, the last ones included.

    The convention of Pascal VOC, in which DIOR-RSVG is scored (OpenGVLab/InternVL,
    internvl_chat/eval/domain_specific/rs_det/caculate.py), there on fractions of a pixel too: every side is one pixel
    longer than it is, boxes less than one pixel apart overlap, and corners swapped by less than one pixel have an area.
    Flaw for flaw, for figures as published; where both areas cancel out, which stops that code, 0.
    """
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    shared = width * height
    covered = (a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - shared
    return shared / covered if covered else 0.0


def paired_iou(a_boxes: npt.ArrayLike, b_boxes: npt.ArrayLike) -> FloatArray:
    """Return the IoU of each box of a with the box of b at the same place, as :func:`box_iou` defines it.

    Args:
        a_boxes: Shape (..., 4).
        b_boxes: Shape (..., 4), broadcast with the other; in the same unit.

    Returns:
        Shape (...).
    """
    a, b = np.asarray(a_boxes, dtype=np.float64), np.asarray(b_boxes, dtype=np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.where((sides > 0).all(axis=-1), sides[..., 0] * sides[..., 1], 0.0)
    covered = _area(a) + _area(b) - shared
    return np.divide(shared, covered, out=np.zeros_like(shared), where=shared > 0)


def pairwise_iou(a_boxes: npt.ArrayLike, b_boxes: npt.ArrayLike) -> FloatArray:
    """Return the IoU of each box of a with each box of b, as :func:`box_iou` defines it.

    Args:
        a_boxes: Shape (n, 4); n may be 0.
        b_boxes: Shape (m, 4), in the same unit; m may be 0.

    Returns:
        Shape (n, m).
    """
    a = np.asarray(a_boxes, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(b_boxes, dtype=np.float64).reshape(1, -1, 4)
    return paired_iou(a, b)


def match_greedily(ious: Sequence[Sequence[float]]) -> list[float]:
    """Pair rows and columns, the best pair first, each used once; pairs without overlap are none.

    Not the best assignment of all: where true boxes overlap each other, a greedy pair can block a better sum.

    Args:
        ious: IoU of each true box (rows) with each predicted one (columns).

    Returns:
        The IoU of each pair, falling.
    """
    return [iou for iou, _, _ in pair_greedily(ious)]


def pair_greedily(ious: Sequence[Sequence[float]]) -> list[tuple[float, int, int]]:
    """Pair rows and columns as :func:`match_greedily` does.

    Args:
        ious: As there.

    Returns:
        IoU, row and column of each pair, by falling IoU.
    """
    pairs = sorted(
        ((iou, row, column) for row, line in enumerate(ious) for column, iou in enumerate(line) if iou > 0),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    rows: set[int] = set()
    columns: set[int] = set()
    matched = []
    for iou, row, column in pairs:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            matched.append((iou, row, column))
    return matched


def hits(ious: npt.ArrayLike, threshold: float = IOU_THRESHOLD, *, inclusive: bool = True) -> BoolArray:
    """Say of each IoU whether it makes a box right.

    Args:
        ious: Of each item, shape (items,); 0 where no box could be read.
        threshold: Least IoU of a right box.
        inclusive: Whether an IoU of exactly the threshold is enough.
    """
    values = np.asarray(ious, dtype=np.float64)
    return values >= threshold if inclusive else values > threshold


def iou_accuracy(ious: npt.ArrayLike, threshold: float = IOU_THRESHOLD, *, inclusive: bool = True) -> SumScore:
    """Return the share of items whose box is right; the arguments are those of :func:`hits`."""
    return mean_score(hits(ious, threshold, inclusive=inclusive))


def mean_iou(ious: npt.ArrayLike) -> SumScore:
    """Return the mean IoU of items, shape (items,), of which those without a readable box count 0."""
    return mean_score(np.asarray(ious, dtype=np.float64))


def f1_score(counts: npt.ArrayLike) -> SumScore:
    """Return F1 over all boxes of a set, 2 tp / (2 tp + fp + fn).

    Args:
        counts: True positives, false positives and false negatives of each item, shape (items, 3).
    """
    return _of_counts(counts, lambda tp, fp, fn: (2 * tp, 2 * tp + fp + fn))


def precision_score(counts: npt.ArrayLike) -> SumScore:
    """Return the share of predicted boxes that are right; the argument is that of :func:`f1_score`."""
    return _of_counts(counts, lambda tp, fp, fn: (tp, tp + fp))


def recall_score(counts: npt.ArrayLike) -> SumScore:
    """Return the share of true boxes that are found; the argument is that of :func:`f1_score`."""
    return _of_counts(counts, lambda tp, fp, fn: (tp, tp + fn))


def _area(boxes: FloatArray) -> FloatArray:
    sides = boxes[..., 2:] - boxes[..., :2]
    return sides[..., 0] * sides[..., 1]


def _of_counts(counts: npt.ArrayLike, parts: _Parts) -> SumScore:
    def combine(sums: FloatArray) -> FloatArray:
        return ratio(np.stack(parts(sums[..., 0], sums[..., 1], sums[..., 2]), axis=-1))

    return SumScore(np.asarray(counts, dtype=np.float64).reshape(-1, 3), combine)
