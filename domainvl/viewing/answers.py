"""The answers of a data set, and how well one could do with always the same."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Any

from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD, box_iou
from domainvl.evaluation.metrics.measures import is_right_measure, read_measure
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.schema import (
    Box1000,
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    MeasureAnswer,
    Sample,
    Split,
    Task,
    TextAnswer,
    to_box_1000,
)
from domainvl.schema.wording import NOTHING_FOUND, box_list, option_letter, written_measure
from domainvl.viewing.tally import BoundedCounter, DistinctSample

_TOP = 10
_BOX_ANSWERS = 2_000
_MEASURE_CANDIDATES = 100

AnswerKey = tuple[str, str, str]
"""Domain, task and kind of answer, of a measure with its unit: what one constant answer can be given to."""


def answer_kind(sample: Sample) -> str:
    """Return the kind of a sample's answer; measures in different units are of different kinds."""
    answer = sample.answer
    return f"{answer.kind} in {answer.unit}" if isinstance(answer, MeasureAnswer) else answer.kind


@dataclass
class BoxFacts:
    """The box of one answer that names one box, in thousandths."""

    box_1000: Box1000 = (0, 0, 0, 0)


class AnswerTally:
    """The answers of one domain, task, kind and unit, by split."""

    def __init__(self) -> None:
        self.replies: dict[Split, BoundedCounter] = {}
        self.samples: Counter[Split] = Counter()
        self.option_counts: Counter[int] = Counter()
        self.counts: Counter[int] = Counter()
        self.box_counts: Counter[int] = Counter()
        self.unit: str | None = None
        self.boxes: dict[Split, DistinctSample[BoxFacts]] = {}

    def add(self, sample: Sample) -> None:
        """Count a sample's answer."""
        self.samples[sample.split] += 1
        replies = self.replies.setdefault(sample.split, BoundedCounter())
        match sample.answer:
            case TextAnswer() as answer:
                replies.add(normalise_text(answer.text))
            case CountAnswer() as answer:
                replies.add(str(answer.count))
                self.counts[answer.count] += 1
            case MeasureAnswer() as answer:
                replies.add(written_measure(answer.value, answer.unit))
                self.unit = answer.unit
            case ChoiceAnswer() as answer:
                replies.add(option_letter(answer.correct))
                self.option_counts[len(answer.options)] += 1
            case BoxesAnswer():
                self._add_boxes(sample, replies)

    def _add_boxes(self, sample: Sample, replies: BoundedCounter) -> None:
        objects = sample.answer_objects()
        self.box_counts[len(objects)] += 1
        if not objects:
            replies.add(NOTHING_FOUND)
        elif sample.task is Task.REGION:  # the box stands in the question; only the name is asked for
            replies.add(normalise_text(objects[0].label))
        elif len(objects) == 1 and objects[0].box_px is not None and sample.task is Task.GROUNDING:
            facts = self.boxes.setdefault(sample.split, DistinctSample(BoxFacts, _BOX_ANSWERS)).record(sample.id)
            if facts is not None:
                image = sample.images[objects[0].image]
                facts.box_1000 = to_box_1000(objects[0].box_px, image.width_px, image.height_px)

    def merged(self) -> BoundedCounter:
        """Return the answers of all splits together."""
        merged = BoundedCounter()
        for replies in self.replies.values():
            merged.add_all(replies)
        return merged

    def constant(self, split: Split) -> str | None:
        """Return the constant answer that is right most often in a split, as it would be written.

        Words, letters and counts: the most frequent, the first in alphabetical order among equals. Grounding: "None"
        if more than half of the answers name no box; else the box of which each coordinate is the median. Regions:
        the most frequent name. Measures: of the most frequent ones that which most others lie within the tolerance of.
        Detection: "None" if it is ever right, for which boxes would be is not searched.
        """
        replies, boxes = self.replies.get(split), self.boxes.get(split)
        top = replies.top(1) if replies else []
        if replies and self.unit is not None:
            candidates = [text for text, _ in replies.top(_MEASURE_CANDIDATES)]
            return min(candidates, key=lambda text: (-_hits(text, replies, self.unit), text))
        if boxes is None:
            return top[0][0] if top else None
        if top and 2 * top[0][1] > self.samples[split]:
            return top[0][0]
        return box_list([_median_box(boxes)])

    def share(self, answer: str | None, split: Split, source: Split) -> float | None:
        """Return the share of a split's samples that the constant answer of another split is right for."""
        if answer is None or not self.samples[split]:
            return None
        boxes = self.boxes.get(source)
        if boxes is None or answer == NOTHING_FOUND:
            hits = _hits(answer, self.replies[split], self.unit)
            return hits / self.samples[split]
        own = self.boxes.get(split)
        if own is None:
            return 0.0
        median = _median_box(boxes)
        hits = sum(box_iou(facts.box_1000, median) >= IOU_THRESHOLD for facts in own.records)
        return own.scale(hits) / self.samples[split]


def _hits(answer: str, replies: BoundedCounter, unit: str | None) -> int:
    """Return how many replies an answer is right for: equal ones, of measures those within the tolerance."""
    if unit is None:
        return replies.counts[answer]
    value, truths = (
        read_measure(answer, unit),
        ((read_measure(text, unit), count) for text, count in replies.counts.items()),
    )
    return sum(
        count
        for truth, count in truths
        if value is not None and truth is not None and is_right_measure(value, truth, unit)
    )


def _median_box(boxes: DistinctSample[BoxFacts]) -> Box1000:
    columns = zip(*(facts.box_1000 for facts in boxes.records), strict=True)
    x_min, y_min, x_max, y_max = (round(statistics.median(column)) for column in columns)
    return x_min, y_min, x_max, y_max


def answer_dict(key: AnswerKey, tally: AnswerTally) -> dict[str, Any]:
    """Return what is answered to one task of one domain as plain values."""
    domain, task, kind = key
    merged = tally.merged()
    yes, no = merged.counts["yes"], merged.counts["no"]
    is_choice = kind == "choice"
    return {
        "domain": domain,
        "task": task,
        "kind": kind,
        "samples": tally.samples.total(),
        "distinct": len(merged.counts),
        "top": [{"answer": answer, "count": count} for answer, count in merged.top(_TOP)],
        "other": merged.other,
        "yes_no": {"yes": yes, "no": no} if yes or no else None,
        "counts": {str(count): times for count, times in sorted(tally.counts.items())} if tally.counts else None,
        "correct_option": dict(sorted(merged.counts.items())) if is_choice else None,
        "option_counts": {str(count): times for count, times in sorted(tally.option_counts.items())}
        if is_choice
        else None,
        "boxes_per_answer": {str(count): times for count, times in sorted(tally.box_counts.items())}
        if tally.box_counts
        else None,
    }


def constant_rows(key: AnswerKey, tally: AnswerTally) -> list[dict[str, Any]]:
    """Return how well the best constant answer of each split does there, and that of the training split."""
    domain, task, kind = key
    trained = tally.constant(Split.TRAIN)
    rows = []
    for split in Split:
        if tally.samples[split]:
            own = tally.constant(split)
            rows.append(
                {
                    "domain": domain,
                    "task": task,
                    "kind": kind,
                    "split": split.value,
                    "samples": tally.samples[split],
                    "answer": own,
                    "share": tally.share(own, split, split),
                    "train_answer": trained,
                    "train_answer_share": tally.share(trained, split, Split.TRAIN),
                }
            )
    return rows
