"""Compares the boxes of an answer, upright or oriented, with those that are true of its sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD, box_iou, match_greedily, pair_greedily
from domainvl.evaluation.metrics.oriented import (
    Quad,
    pairwise_quad_iou,
    read_labelled_quads,
    read_quads,
    upright_quad,
)
from domainvl.evaluation.metrics.reading import read_boxes, read_labelled_boxes
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.schema.boxes import Box, to_box_px
from domainvl.schema.oriented import corners_of
from domainvl.schema.sample import Object, Sample, Task
from domainvl.schema.wording import NOTHING_FOUND, escape_special

LabelledBox = tuple[str | None, Box]
"""A box in thousandths of the image, with its label as labels are compared; None where the label does not count."""

LabelledQuad = tuple[str | None, Quad]
"""The same of four corners."""


@dataclass(frozen=True)
class BoxMatch:
    """How the boxes of an answer fit the true ones.

    Attributes:
        ious: IoU of each pair, falling; one true box with one of the answer's, of equal labels where labels count.
        predicted: Number of boxes of the answer, without those that lie on objects to be ignored.
        true: Number of true boxes.
        is_readable: Whether the answer holds a box, be it on an ignored object, or says that there is none.
    """

    ious: tuple[float, ...]
    predicted: int
    true: int
    is_readable: bool

    @property
    def mean_iou(self) -> float:
        """Mean over all boxes, missed and surplus ones counting 0; 1 where nothing is true and the answer says so."""
        if self.true == 0:
            return float(self.is_right())
        return sum(self.ious) / max(self.predicted, self.true)

    def is_right(self, threshold: float = IOU_THRESHOLD) -> bool:
        """Say whether there are as many boxes as are true and each is matched with at least this IoU."""
        if self.true == 0:
            return self.is_readable and self.predicted == 0
        return self.predicted == self.true == len(self.ious) and min(self.ious) >= threshold


def match_boxes(sample: Sample, text: str) -> BoxMatch:
    """Pair the boxes of an answer with those that the sample's answer names, the best pair first.

    Grounding reads the first list; its expression is given. The other tasks read every list that follows a
    ``<ref>label</ref>`` and pair boxes of equal labels only, so that a pointed-at region is scored by its name. There,
    a box that lies on an object to be ignored of its label and on no true one is neither right nor surplus, as in COCO
    (cocoapi, PythonAPI/pycocotools/cocoeval.py) and in :mod:`domainvl.evaluation.metrics.detection`.

    Args:
        sample: A sample with a boxes answer.
        text: The answer.
    """
    predicted = answered_boxes(sample, text)

    def ious(things: Sequence[Object]) -> list[list[float]]:
        return [[_object_iou(sample, thing, label, box) for label, box in predicted] for thing in things]

    return _match(ious(sample.answer_objects()), ious(_ignored(sample)), len(predicted), text)


def match_oriented_boxes(sample: Sample, text: str) -> BoxMatch:
    """Pair the boxes of an answer with the oriented ones that are true, as :func:`match_boxes` pairs upright ones.

    An answer has four corners a box, or upright boxes, whose IoU with a slanted truth is below 1 however good it is
    (:mod:`domainvl.evaluation.metrics.oriented`). A true object without an oriented box has its upright one.

    Args:
        sample: A sample with a boxes answer.
        text: The answer.
    """
    predicted = _answered_quads(sample, text)

    def ious(things: Sequence[Object]) -> list[list[float]]:
        # In thousandths, like the answer: IoU is the same in any units of the two axes.
        found = pairwise_quad_iou([_quad_1000(sample, thing) for thing in things], [quad for _, quad in predicted])
        return [
            [iou if label in (None, _label(thing)) else 0.0 for (label, _), iou in zip(predicted, row, strict=True)]
            for thing, row in zip(things, found.tolist(), strict=True)
        ]

    return _match(ious(sample.answer_objects()), ious(_ignored(sample)), len(predicted), text)


def answered_boxes(sample: Sample, text: str) -> list[LabelledBox]:
    """Return the boxes of an answer, in its order; without labels where the task gives the expression."""
    if sample.task is Task.GROUNDING:
        return [(None, box) for box in read_boxes(text)]
    return [(normalise_text(label), box) for label, box in read_labelled_boxes(text)]


def _answered_quads(sample: Sample, text: str) -> list[LabelledQuad]:
    if sample.task is Task.GROUNDING:
        return [(None, quad) for quad in read_quads(text, 1000, 1000)]
    return [(normalise_text(label), quad) for label, quad in read_labelled_quads(text)]


def _match(
    ious: Sequence[Sequence[float]], ignored_ious: Sequence[Sequence[float]], predicted: int, text: str
) -> BoxMatch:
    """Pair boxes by their IoU, true ones or ignored ones in rows and those of the answer in columns."""
    right = {column for iou, _, column in pair_greedily(ious) if iou >= IOU_THRESHOLD}
    # Each ignored object takes one box, and none that finds a true one.
    free = [[0.0 if column in right else iou for column, iou in enumerate(row)] for row in ignored_ious]
    passed_over = {column for iou, _, column in pair_greedily(free) if iou >= IOU_THRESHOLD}
    kept = [[iou for column, iou in enumerate(row) if column not in passed_over] for row in ious]
    says_nothing = normalise_text(text) == normalise_text(NOTHING_FOUND)
    return BoxMatch(
        tuple(match_greedily(kept)), predicted - len(passed_over), len(ious), is_readable=predicted > 0 or says_nothing
    )


def _ignored(sample: Sample) -> list[Object]:
    """Return the objects that are neither asked for nor wrong to find; none where an expression says what is asked."""
    if sample.task is Task.GROUNDING:
        return []
    asked = {thing.id for thing in sample.answer_objects()}
    return [thing for thing in sample.objects if thing.ignore and thing.id not in asked]


def _object_iou(sample: Sample, thing: Object, label: str | None, box_1000: Box) -> float:
    if thing.box_px is None or label not in (None, _label(thing)):
        return 0.0
    image = sample.images[thing.image]
    return box_iou(thing.box_px, to_box_px(box_1000, image.width_px, image.height_px))


def _quad_1000(sample: Sample, thing: Object) -> Quad:
    image = sample.images[thing.image]
    if thing.oriented_box_px is not None:
        corners = corners_of(thing.oriented_box_px)
    else:
        corners = upright_quad(thing.box_px or (0.0, 0.0, 0.0, 0.0))
    first, second, third, fourth = ((x / image.width_px * 1000, y / image.height_px * 1000) for x, y in corners)
    return first, second, third, fourth


def _label(thing: Object) -> str:
    return normalise_text(escape_special(thing.label))
