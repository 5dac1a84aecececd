"""Scores one answer against what is true of its sample; never reads the reference conversation.

Every rule is stated at its function. None of them is a published benchmark's own protocol, which differ from
each other in details such as the +1 pixel in IoU; those stand in :mod:`domainvl.evaluation.protocols`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domainvl.evaluation.box_answers import match_boxes
from domainvl.evaluation.metrics.measures import is_right_measure, measure_distance, read_measure, tolerance_name
from domainvl.evaluation.metrics.reading import read_choice, read_count
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.pairing import pair_predictions
from domainvl.evaluation.predictions import Prediction
from domainvl.schema.sample import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    MeasureAnswer,
    Sample,
    Task,
    TextAnswer,
)
from domainvl.schema.wording import escape_special

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
    match = match_boxes(sample, text)
    return match.is_right(), match.mean_iou
