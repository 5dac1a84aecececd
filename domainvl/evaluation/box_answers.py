"""Compares the boxes of an answer with those that are true of its sample."""

from __future__ import annotations

from dataclasses import dataclass

from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD, box_iou, match_greedily
from domainvl.evaluation.metrics.reading import read_boxes, read_labelled_boxes
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.schema.boxes import Box, to_box_px
from domainvl.schema.sample import Object, Sample, Task
from domainvl.schema.wording import NOTHING_FOUND, escape_special

LabelledBox = tuple[str | None, Box]
"""A box in thousandths of the image, with its label as labels are compared; None where the label does not count."""


@dataclass(frozen=True)
class BoxMatch:
    """How the boxes of an answer fit the true ones.

    Attributes:
        ious: IoU of each pair, falling; one true box with one of the answer's, of equal labels where labels count.
        predicted: Number of boxes of the answer.
        true: Number of true boxes.
        says_nothing: Whether the answer says that there is nothing.
    """

    ious: tuple[float, ...]
    predicted: int
    true: int
    says_nothing: bool

    @property
    def is_readable(self) -> bool:
        """Whether the answer holds a box or says that there is none."""
        return self.predicted > 0 or self.says_nothing

    @property
    def mean_iou(self) -> float:
        """Mean over all boxes, missed and surplus ones counting 0; 1 where nothing is true and the answer says so."""
        if self.true == 0:
            return float(self.says_nothing)
        return sum(self.ious) / max(self.predicted, self.true)

    def is_right(self, threshold: float = IOU_THRESHOLD) -> bool:
        """Say whether there are as many boxes as are true and each is matched with at least this IoU."""
        if self.true == 0:
            return self.says_nothing
        return self.predicted == self.true == len(self.ious) and min(self.ious) >= threshold


def match_boxes(sample: Sample, text: str) -> BoxMatch:
    """Pair the boxes of an answer with those that the sample's answer names, the best pair first.

    Grounding reads the first list; its expression is given. The other tasks read every list that follows a
    ``<ref>label</ref>`` and pair boxes of equal labels only, so that a pointed-at region is scored by its name.

    Args:
        sample: A sample with a boxes answer.
        text: The answer.
    """
    truth = sample.answer_objects()
    predicted = answered_boxes(sample, text)
    ious = [[_object_iou(sample, thing, label, box) for label, box in predicted] for thing in truth]
    says_nothing = normalise_text(text) == normalise_text(NOTHING_FOUND)
    return BoxMatch(tuple(match_greedily(ious)), len(predicted), len(truth), says_nothing)


def answered_boxes(sample: Sample, text: str) -> list[LabelledBox]:
    """Return the boxes of an answer, in its order; without labels where the task gives the expression."""
    if sample.task is Task.GROUNDING:
        return [(None, box) for box in read_boxes(text)]
    return [(normalise_text(label), box) for label, box in read_labelled_boxes(text)]


def _object_iou(sample: Sample, thing: Object, label: str | None, box_1000: Box) -> float:
    if thing.box_px is None or (label is not None and label != normalise_text(escape_special(thing.label))):
        return 0.0
    image = sample.images[thing.image]
    return box_iou(thing.box_px, to_box_px(box_1000, image.width_px, image.height_px))
