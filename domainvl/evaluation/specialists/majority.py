"""What one gets without looking: the most frequent answer of the training split.

A model that does not beat it has learnt the distribution of answers and nothing about images.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD, box_iou
from domainvl.evaluation.metrics.measures import is_right_measure
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.predictions import Prediction
from domainvl.schema.boxes import Box1000, to_box_1000
from domainvl.schema.sample import BoxesAnswer, MeasureAnswer, Object, Sample, Task
from domainvl.schema.wording import NOTHING_FOUND, box_list, reference, word_sample, written_measure


def majority_predictions(train: Iterable[Sample], test: Iterable[Sample]) -> list[Prediction]:
    """Answer each test sample with what training samples answer most often.

    The training samples that count are those of the same domain, task and question (compared normalised); where
    there is none, all of the same domain and task; where there is none either, the answer is empty.

    Words, letters and counts: the most frequent answer, the first in alphabetical order among equals; the
    likelihood is its share. Measures: the median; the likelihood is the share of answers that it is right for.
    Boxes: one box, each coordinate the median over all boxes of the answers, in thousandths, or "None" if more than
    half of the answers name no box; the likelihood is the share of boxes that lie within IoU 0.5 of it. Where a label
    must be named too, it is the most frequent one.

    Args:
        train: The training samples.
        test: The samples to answer.

    Returns:
        One prediction a test sample, in their order.
    """
    by_question: dict[tuple[str, ...], list[Sample]] = defaultdict(list)
    by_task: dict[tuple[str, ...], list[Sample]] = defaultdict(list)
    for sample in train:
        by_question[_question_key(sample)].append(sample)
        by_task[_task_key(sample)].append(sample)
    majorities: dict[tuple[str, ...], tuple[str, float]] = {}
    predictions = []
    for sample in test:
        pool, key = by_question.get(_question_key(sample)), _question_key(sample)
        if pool is None:
            pool, key = by_task.get(_task_key(sample), []), _task_key(sample)
        if isinstance(sample.answer, BoxesAnswer):
            text, share = _majority_boxes(pool, sample)
        else:
            if key not in majorities:
                majorities[key] = _majority_reply(pool)
            text, share = majorities[key]
        predictions.append(Prediction(sample_id=sample.id, text=text, likelihood=share))
    return predictions


def _task_key(sample: Sample) -> tuple[str, ...]:
    # The kind of answer belongs to the task: a box must not be the majority among words, nor a share among areas.
    unit = (sample.answer.unit,) if isinstance(sample.answer, MeasureAnswer) else ()
    return sample.domain, sample.task.value, sample.answer.kind, *unit


def _question_key(sample: Sample) -> tuple[str, ...]:
    return (*_task_key(sample), normalise_text(sample.question))


def _majority_reply(pool: Sequence[Sample]) -> tuple[str, float]:
    if not pool:
        return "", 0.0
    measures = [sample.answer for sample in pool if isinstance(sample.answer, MeasureAnswer)]
    if measures:
        return _median_measure([answer.value for answer in measures], measures[0].unit)
    counts = Counter(normalise_text(word_sample(sample)[-1].text) for sample in pool)
    answer, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return answer, count / len(pool)


def _median_measure(values: Sequence[float], unit: str) -> tuple[str, float]:
    median = float(np.median(values))
    right = sum(is_right_measure(median, value, unit) for value in values)
    return written_measure(median, unit), right / len(values)


def _majority_boxes(pool: Sequence[Sample], sample: Sample) -> tuple[str, float]:
    if not pool:
        return "", 0.0
    nothing = sum(not other.answer_objects() for other in pool)
    if 2 * nothing > len(pool):
        return NOTHING_FOUND, nothing / len(pool)
    objects = [(other, thing) for other in pool for thing in other.answer_objects()]
    boxes = [_box_1000(other, thing) for other, thing in objects]
    median = _median_box(boxes)
    share = sum(box_iou(box, median) >= IOU_THRESHOLD for box in boxes) / len(boxes)
    if sample.task is Task.GROUNDING:
        return reference(sample.question) + box_list([median]), share
    labels = Counter(thing.label for _, thing in objects)
    label = min(labels, key=lambda name: (-labels[name], name))
    if sample.task is Task.REGION:  # the box stands in the question; only the name is asked for
        asked = [_box_1000(sample, thing) for thing in sample.answer_objects()]
        return reference(label) + box_list(asked), labels[label] / len(objects)
    return reference(label) + box_list([median]), share


def _box_1000(sample: Sample, thing: Object) -> Box1000:
    if thing.box_px is None:
        raise ValueError(f"object {thing.id} of sample {sample.id} has no box to take a median of")
    image = sample.images[thing.image]
    return to_box_1000(thing.box_px, image.width_px, image.height_px)


def _median_box(boxes: Sequence[Box1000]) -> Box1000:
    x_min, y_min, x_max, y_max = np.median(np.asarray(boxes), axis=0)
    return round(float(x_min)), round(float(y_min)), round(float(x_max)), round(float(y_max))
