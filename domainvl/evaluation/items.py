"""Scores one answer against what is true of its sample; never reads the reference conversation.

Every rule is stated at its function. None of them is a published benchmark's own protocol, which differ from
each other in details such as the +1 pixel in IoU; those stand in :mod:`domainvl.evaluation.protocols`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD, box_iou, match_greedily
from domainvl.evaluation.metrics.measures import is_right_measure, measure_distance, read_measure, tolerance_name
from domainvl.evaluation.metrics.reading import read_boxes, read_choice, read_count, read_labelled_boxes
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.pairing import pair_predictions
from domainvl.evaluation.predictions import Prediction
from domainvl.schema.boxes import Box, to_box_px
from domainvl.schema.sample import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    MeasureAnswer,
    Object,
    Sample,
    Task,
    TextAnswer,
)
from domainvl.schema.wording import NOTHING_FOUND, escape_special

FREE_TEXT_TASKS = frozenset({Task.CAPTION, Task.CONVERSATION})
"""Tasks with many right answers, which no comparison with one of them can score; a report leaves them out."""


@dataclass(frozen=True)
class ItemScore:
    """How one answer did.

    Attributes:
        sample_id: Id of the sample.
        group: Its group, by which intervals are clustered.
        domain: Its field.
        task: Its task.
        correct: Whether the answer is right; of ``FREE_TEXT_TASKS`` whether it is the true text word for word.
        iou: Mean IoU of the matched boxes, missed and surplus boxes counting 0; None where no box was asked for.
        count_error: Distance of the count from the truth; None where none was asked for or none could be read.
        empty: Whether there was no answer at all.
        measure_error: How far a measure lies from the truth, shares in percentage points, areas relative to it; None
            where none was asked for or none could be read.
        tolerance: What makes a measure right, in words; None where none was asked for.
    """

    sample_id: str
    group: str
    domain: str
    task: Task
    correct: bool
    iou: float | None
    count_error: int | None
    empty: bool
    measure_error: float | None = None
    tolerance: str | None = None


def score(sample: Sample, prediction: Prediction) -> ItemScore:
    """Score one answer.

    An empty answer is wrong, whatever the truth.

    Args:
        sample: The sample.
        prediction: What a system answered to it.
    """
    text = prediction.text.strip()
    iou: float | None = None
    count_error: int | None = None
    measure_error: float | None = None
    tolerance: str | None = None
    match sample.answer:
        case TextAnswer() as answer:
            accepted = {normalise_text(escape_special(right)) for right in (answer.text, *answer.accepted)}
            correct = normalise_text(escape_special(text)) in accepted
        case ChoiceAnswer() as answer:
            correct = read_choice(text, answer.options) == answer.correct
        case CountAnswer() as answer:
            count = read_count(text)
            count_error = None if count is None else abs(count - answer.count)
            correct = count_error == 0
        case MeasureAnswer() as answer:
            measured = read_measure(text, answer.unit)
            measure_error = None if measured is None else measure_distance(measured, answer.value, answer.unit)
            correct = measured is not None and is_right_measure(measured, answer.value, answer.unit)
            tolerance = tolerance_name(answer.unit)
        case BoxesAnswer():
            correct, iou = _score_boxes(sample, text)
    return ItemScore(
        sample_id=sample.id,
        group=sample.group,
        domain=sample.domain,
        task=sample.task,
        correct=correct and bool(text),
        iou=iou,
        count_error=count_error,
        empty=not text,
        measure_error=measure_error,
        tolerance=tolerance,
    )


def score_system(samples: Iterable[Sample], predictions: Iterable[Prediction]) -> list[ItemScore]:
    """Score a system's answers to all of the samples.

    Args:
        samples: The samples, ids unique.
        predictions: Exactly one for each, in any order.

    Returns:
        One score a sample, in their order.

    Raises:
        DatasetError: If a prediction is missing, repeated or about no such sample; with counts and examples.
    """
    samples = list(samples)
    answers = pair_predictions(samples, predictions)
    return [score(sample, answer) for sample, answer in zip(samples, answers, strict=True)]


def _score_boxes(sample: Sample, text: str) -> tuple[bool, float]:
    """Score boxes: right if as many as are true and each matched at ``IOU_THRESHOLD``.

    Grounding reads the first list; its expression is given. The other tasks read every list that follows a
    ``<ref>label</ref>`` and match boxes of equal labels only, so that a pointed-at region is scored by its
    name. Where nothing is true, the answer must say so.
    """
    truth = sample.answer_objects()
    if not truth:
        correct = normalise_text(text) == normalise_text(NOTHING_FOUND)
        return correct, float(correct)
    if sample.task is Task.GROUNDING:
        predicted: list[tuple[str | None, Box]] = [(None, box) for box in read_boxes(text)]
    else:
        predicted = [(normalise_text(label), box) for label, box in read_labelled_boxes(text)]
    ious = [[_object_iou(sample, thing, label, box) for label, box in predicted] for thing in truth]
    matched = match_greedily(ious)
    correct = len(predicted) == len(truth) == len(matched) and min(matched) >= IOU_THRESHOLD
    return correct, sum(matched) / max(len(predicted), len(truth))


def _object_iou(sample: Sample, thing: Object, label: str | None, box_1000: Box) -> float:
    if thing.box_px is None or (label is not None and label != normalise_text(escape_special(thing.label))):
        return 0.0
    image = sample.images[thing.image]
    return box_iou(thing.box_px, to_box_px(box_1000, image.width_px, image.height_px))
