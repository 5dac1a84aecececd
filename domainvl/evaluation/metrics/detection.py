"""How well a set of boxes with labels is found: average precision as COCO defines it, precision, recall and F1.

Follows pycocotools (cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py): boxes of one label and image are matched
in the order of their scores, each with the free true box of highest IoU; precision is read at 101 recalls. Unlike
there, boxes of equal score are ranked together, and matched the best one first: without scores the order in which
images and boxes happen to stand would else decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domainvl.errors import DatasetError
from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD, pairwise_iou
from domainvl.evaluation.metrics.reading import read_boxes, read_labelled_boxes
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.statistics.scores import BoolArray, FloatArray, IntArray, WeightedScore
from domainvl.schema.boxes import Box
from domainvl.schema.sample import Object, Sample, Task
from domainvl.schema.wording import escape_special

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""IoU 0.50, 0.55 ... 0.95, over which COCO's main figure is a mean (cocoeval.py, Params.setDetParams)."""

_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST_BOXES = 100
"""Of a label and image, the surest; the others are left out (cocoeval.py, maxDets)."""

_SURE = 1.0
"""Score of every box of a system that gives none."""


@dataclass(frozen=True)
class TrueBox:
    """A box that is there.

    Attributes:
        label: Its class, as :func:`~domainvl.evaluation.metrics.text.normalise_text` writes it.
        box: (x_min, y_min, x_max, y_max), in the unit of the found boxes of its item.
        ignored: Whether it is neither asked for nor wrong to find, as what is hardly visible.
    """

    label: str
    box: Box
    ignored: bool = False


@dataclass(frozen=True)
class FoundBox:
    """A box that a system answers.

    Attributes:
        label: Its class, as :func:`~domainvl.evaluation.metrics.text.normalise_text` writes it.
        box: (x_min, y_min, x_max, y_max), in the unit of the true boxes of its item.
        score: How sure the system is of it; None where it does not say.
    """

    label: str
    box: Box
    score: float | None = None


@dataclass(frozen=True)
class DetectionItem:
    """What is in an image, and what was found in it."""

    true: tuple[TrueBox, ...]
    found: tuple[FoundBox, ...]


def read_detection(sample: Sample, prediction: Prediction) -> DetectionItem:
    """Put true boxes and those of an answer together, in thousandths of the image, in which IoU is as in pixels.

    Grounding reads the first list of the answer, without labels: its expression is given. The other tasks read every
    list that follows a ``<ref>label</ref>``. An empty or unreadable answer finds nothing. Objects that the sample marks
    to be ignored are neither asked for nor wrong to find, where labels are read.

    Args:
        sample: One that asks for boxes.
        prediction: The answer.

    Raises:
        DatasetError: If the prediction has scores of more or fewer boxes than are read.
    """
    labelled = sample.task is not Task.GROUNDING
    if labelled:
        boxes = [(_label(label), box) for label, box in read_labelled_boxes(prediction.text)]
    else:
        boxes = [("", box) for box in read_boxes(prediction.text)]
    scores: Sequence[float | None] = prediction.box_scores or [None] * len(boxes)
    if len(scores) != len(boxes):
        raise DatasetError(
            "Cannot score the boxes of a prediction",
            where=prediction.sample_id,
            rule=f"box_scores must have one score for each box of the text, got {len(scores)} scores and "
            f"{len(boxes)} boxes",
            action="Write each box after the <ref>label</ref> that it belongs to, and scores in the order of the boxes",
        )
    asked = [(thing, False) for thing in sample.answer_objects()]
    if labelled:
        asked += [(thing, True) for thing in sample.objects if thing.ignore]
    return DetectionItem(
        true=tuple(
            TrueBox(_label(thing.label) if labelled else "", _box_1000(sample, thing, thing.box_px), ignored)
            for thing, ignored in asked
            if thing.box_px is not None
        ),
        found=tuple(FoundBox(label, box, score) for (label, box), score in zip(boxes, scores, strict=True)),
    )


def average_precision(items: Sequence[DetectionItem], thresholds: Sequence[float] = (IOU_THRESHOLD,)) -> WeightedScore:
    """Return mean average precision: over the labels that have a true box, and over the thresholds.

    An item's weight says how often its image counts. A label without a true box in a resample takes no part in it.

    Args:
        items: The images.
        thresholds: Least IoU of a right box; :data:`COCO_THRESHOLDS` for COCO's main figure.

    Raises:
        DatasetError: If some boxes have scores and others do not.
    """
    rankings = _rankings(items, thresholds)

    def compute(weights: FloatArray) -> float:
        values = np.array([ranking.average_precision(weights) for ranking in rankings.values()])
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else float("nan")

    return WeightedScore(len(items), compute)


def average_precision_by_label(
    items: Sequence[DetectionItem], thresholds: Sequence[float] = (IOU_THRESHOLD,)
) -> dict[str, WeightedScore]:
    """Return average precision of each label that has a true box, as a mean over the thresholds.

    The arguments and what is raised are those of :func:`average_precision`.
    """
    rankings = _rankings(items, thresholds)
    return {label: WeightedScore(len(items), ranking.average_precision) for label, ranking in rankings.items()}


def average_precision_name(items: Sequence[DetectionItem], thresholds: Sequence[float] = (IOU_THRESHOLD,)) -> str:
    """Return what :func:`average_precision` measures, in words; it says so where no box has a score."""
    ious = f"{thresholds[0]:g}" if len(thresholds) == 1 else f"{thresholds[0]:g} to {thresholds[-1]:g}"
    found = [box for item in items for box in item.found]
    unsure = " (no scores: all boxes ranked as one)" if found and all(box.score is None for box in found) else ""
    return f"mAP, IoU >= {ious}{unsure}"


def detection_counts(items: Sequence[DetectionItem], threshold: float = IOU_THRESHOLD) -> FloatArray:
    """Count right, surplus and missed boxes of each item.

    Boxes of equal labels are matched as for average precision, but all of them. One that lies on an ignored box is not
    counted.
    The sums make ``f1_score``, ``precision_score`` and ``recall_score`` of :mod:`~domainvl.evaluation.metrics.boxes`.

    Args:
        items: The images.
        threshold: Least IoU of a right box.

    Returns:
        True positives, false positives and false negatives, shape (items, 3).
    """
    return np.array([_item_counts(item, threshold) for item in items], dtype=np.float64).reshape(-1, 3)


@dataclass(frozen=True)
class _Ranking:
    """All found boxes of a label, the surest first.

    Attributes:
        item: Place of the item of each box, shape (boxes,).
        right: Whether it has a true box, shape (thresholds, boxes).
        counted: Whether it counts: not if it lies on an ignored one, shape (thresholds, boxes).
        last_of_tie: Places of the last boxes of each run of equal scores.
        true_counts: Number of true boxes of each item, shape (items,).
    """

    item: IntArray
    right: BoolArray
    counted: BoolArray
    last_of_tie: IntArray
    true_counts: FloatArray

    def average_precision(self, weights: FloatArray) -> float:
        """Return the mean over thresholds; NaN where no true box counts."""
        true_count = float(weights @ self.true_counts)
        if true_count == 0:
            return float("nan")
        if not len(self.item):
            return 0.0
        times = weights[self.item]
        right = np.cumsum(times * self.right, axis=1)[:, self.last_of_tie]
        found = np.cumsum(times * self.counted, axis=1)[:, self.last_of_tie]
        recall = right / true_count
        precision = np.divide(right, found, out=np.zeros_like(right), where=found > 0)
        best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # A recall that is never reached has precision 0.
        padded = np.concatenate([best_from_here, np.zeros((len(recall), 1))], axis=1)
        at_recalls = [row[np.searchsorted(reached, _RECALLS)] for reached, row in zip(recall, padded, strict=True)]
        return float(np.mean(at_recalls))


@dataclass(frozen=True)
class _Matches:
    """The found boxes of one label in one item, the surest first; attributes as those of :class:`_Ranking`."""

    scores: FloatArray
    right: BoolArray
    counted: BoolArray


def _rankings(items: Sequence[DetectionItem], thresholds: Sequence[float]) -> Mapping[str, _Ranking]:
    _check_scores(items)
    labels = sorted({true.label for item in items for true in item.true if not true.ignored})
    return {label: _ranking(items, label, thresholds) for label in labels}


def _check_scores(items: Sequence[DetectionItem]) -> None:
    scored = [box.score is not None for item in items for box in item.found]
    if any(scored) and not all(scored):
        raise DatasetError(
            "Cannot rank boxes",
            rule=f"all must have scores or none, got {sum(scored)} with and {len(scored) - sum(scored)} without",
            action="Write box_scores in every prediction, or in none",
        )


def _ranking(items: Sequence[DetectionItem], label: str, thresholds: Sequence[float]) -> _Ranking:
    true = [[box for box in item.true if box.label == label] for item in items]
    matches = [
        _match(boxes, [box for box in item.found if box.label == label], thresholds, _MOST_BOXES)
        for item, boxes in zip(items, true, strict=True)
    ]
    scores = np.concatenate([match.scores for match in matches])
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    is_last = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
    return _Ranking(
        item=np.repeat(np.arange(len(items)), [len(match.scores) for match in matches])[order],
        right=np.concatenate([match.right for match in matches], axis=1)[:, order],
        counted=np.concatenate([match.counted for match in matches], axis=1)[:, order],
        last_of_tie=np.flatnonzero(is_last),
        true_counts=np.array([sum(not box.ignored for box in boxes) for boxes in true], dtype=np.float64),
    )


def _match(
    true: Sequence[TrueBox], found: Sequence[FoundBox], thresholds: Sequence[float], most: int | None = None
) -> _Matches:
    scores = np.array([_SURE if box.score is None else box.score for box in found], dtype=np.float64)
    # Ignored ones last: a box lies on one only where no other is free.
    true = sorted(true, key=lambda box: box.ignored)
    asked_count = sum(not box.ignored for box in true)
    ious = pairwise_iou([box.box for box in found], [box.box for box in true])
    best = ious[:, :asked_count].max(axis=1, initial=0.0)
    # Of equal scores the better box first: the order of an answer's boxes must not decide.
    surest = np.lexsort((-best, -scores))[:most]
    ious = ious[surest]
    right = np.zeros((len(thresholds), len(surest)), dtype=bool)
    counted = np.ones_like(right)
    for place, threshold in enumerate(thresholds):
        free = np.ones(len(true), dtype=bool)
        for row, line in enumerate(ious):
            taken = _best_free(line[:asked_count], free[:asked_count], threshold)
            right[place, row] = taken is not None
            if taken is None:
                on_ignored = _best_free(line[asked_count:], free[asked_count:], threshold)
                counted[place, row] = on_ignored is None
                taken = None if on_ignored is None else asked_count + on_ignored
            if taken is not None:
                free[taken] = False
    return _Matches(scores[surest], right, counted)


def _best_free(ious: FloatArray, free: BoolArray, threshold: float) -> int | None:
    allowed = np.where(free, ious, -1.0)
    if not len(allowed) or allowed.max() < threshold:
        return None
    return int(allowed.argmax())


def _item_counts(item: DetectionItem, threshold: float) -> tuple[int, int, int]:
    right = surplus = 0
    for label in {box.label for box in item.found}:
        true = [box for box in item.true if box.label == label]
        found = [box for box in item.found if box.label == label]
        matches = _match(true, found, (threshold,))
        right += int(matches.right.sum())
        surplus += int((matches.counted & ~matches.right).sum())
    return right, surplus, sum(not box.ignored for box in item.true) - right


def _label(label: str) -> str:
    return normalise_text(escape_special(label))


def _box_1000(sample: Sample, thing: Object, box_px: Box) -> Box:
    image = sample.images[thing.image]
    x_min, y_min, x_max, y_max = box_px
    return (
        x_min / image.width_px * 1000,
        y_min / image.height_px * 1000,
        x_max / image.width_px * 1000,
        y_max / image.height_px * 1000,
    )
