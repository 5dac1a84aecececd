"""Scores one answer against what is true of its sample; never reads the reference conversation.

Every rule is stated at its function. None of them is a published benchmark's own protocol, which differ from
each other in details such as the +1 pixel in IoU; a protocol is named where one is followed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.evaluation.measures import is_right_measure, measure_distance, read_measure, tolerance_name
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
from domainvl.schema.wording import NOTHING_FOUND, escape_special, option_letter

IOU_THRESHOLD = 0.5
"""Least IoU of a right box, inclusive; the usual Acc@0.5 of visual grounding (Yu et al., RefCOCO, 2016)."""

FREE_TEXT_TASKS = frozenset({Task.CAPTION, Task.CONVERSATION})
"""Tasks with many right answers, which no comparison with one of them can score; a report leaves them out."""

_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# A number with all that belongs to it: sign, decimals, thousands, ranges, fractions. Digits inside a word are none.
# The quantifiers are possessive, so that "2.5x" is not given up for its "2".
_NUMBER = re.compile(r"(?<!\w)[-.]?[0-9]++(?:[.,/-][0-9]++)*+(?!\w)")
_COUNT = re.compile(r"[0-9]{1,9}")

_LETTER = re.compile(r"(?:\(([a-z])\)|([a-z])(?:[.):,]|$))(?:[\s.:,].*)?", re.DOTALL)

_COORDINATE = r"\s*-?[0-9]+(?:\.[0-9]*)?\s*"
_BOX = rf"\s*\[{_COORDINATE}(?:,{_COORDINATE}){{3}}\]\s*"
_BOX_LIST = re.compile(rf"\[{_BOX}(?:,{_BOX})*\]")
_LABELLED_LIST = re.compile(rf"<ref>([^<>]*)</ref>\s*(?:<box>)?\s*({_BOX_LIST.pattern})")
_SINGLE_BOX = re.compile(_BOX)
_SINGLE_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")


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


def normalise_text(text: str) -> str:
    """Bring text to the form in which answers are compared.

    Lower case, runs of blanks to one, none at the ends, one full stop at the end taken away. Articles,
    other punctuation and number words stay as they are: "a lung" is not "lung".
    """
    return " ".join(text.lower().split()).removesuffix(".").rstrip()


def read_choice(text: str, options: Sequence[str]) -> int | None:
    """Read which option an answer names.

    By its letter: "B", "b", "B.", "(B)", "B. foo", "B) foo", "B: foo"; the letter decides, whatever text
    follows. A letter that is only the first word, as in "A car", is none. Otherwise by the option's text.

    Args:
        text: The answer.
        options: The options, lettered from A.

    Returns:
        Index of the option, or None.
    """
    answer = text.strip().lower()
    found = _LETTER.fullmatch(answer)
    if found is not None:
        letters = [option_letter(index).lower() for index in range(len(options))]
        letter = found[1] or found[2]
        if letter in letters:
            return letters.index(letter)
    texts = [normalise_text(escape_special(option)) for option in options]
    wanted = normalise_text(escape_special(text))
    return texts.index(wanted) if wanted in texts else None


def read_count(text: str) -> int | None:
    """Read a count: the first number in digits, or a word from zero to ten that is the whole answer.

    "2", "2 cars" and "Two." are 2. If the first number is no plain count ("2.5", "-2", "2-3", "1,000"),
    nothing is read, also where a count follows. Words within a phrase are not read: "no one" is not 1 and
    "twenty one" is neither 20 nor 1.

    Args:
        text: The answer.

    Returns:
        The count, or None.
    """
    whole = normalise_text(text)
    if whole in _NUMBER_WORDS:
        return _NUMBER_WORDS.index(whole)
    found = _NUMBER.search(text)
    if found is None or not _COUNT.fullmatch(found[0]):
        return None
    return int(found[0])


def read_boxes(text: str) -> list[Box]:
    """Read the first list of boxes ``[[x_min, y_min, x_max, y_max], ...]`` in thousandths of the image.

    Whole and decimal numbers are read; coordinates are clamped to 0..1000. Nothing is guessed: neither 0-1 nor
    pixel coordinates are recognised as such, corners are not swapped, and a list with anything but four numbers
    a box is not read.

    Args:
        text: The answer.

    Returns:
        The boxes; empty if there is no such list.
    """
    found = _BOX_LIST.search(text)
    return [] if found is None else _boxes_of(found[0])


def _boxes_of(box_list: str) -> list[Box]:
    boxes = []
    for box in _SINGLE_BOX.findall(box_list):
        x_min, y_min, x_max, y_max = (min(max(float(number), 0.0), 1000.0) for number in _SINGLE_NUMBER.findall(box))
        boxes.append((x_min, y_min, x_max, y_max))
    return boxes


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
        predicted = [
            (normalise_text(label), box) for label, boxes in _LABELLED_LIST.findall(text) for box in _boxes_of(boxes)
        ]
    ious = [[_object_iou(sample, thing, label, box) for label, box in predicted] for thing in truth]
    matched = match_greedily(ious)
    correct = len(predicted) == len(truth) == len(matched) and min(matched) >= IOU_THRESHOLD
    return correct, sum(matched) / max(len(predicted), len(truth))


def _object_iou(sample: Sample, thing: Object, label: str | None, box_1000: Box) -> float:
    if thing.box_px is None or (label is not None and label != normalise_text(escape_special(thing.label))):
        return 0.0
    image = sample.images[thing.image]
    return box_iou(thing.box_px, to_box_px(box_1000, image.width_px, image.height_px))


def match_greedily(ious: Sequence[Sequence[float]]) -> list[float]:
    """Pair rows and columns, the best pair first, each used once; pairs without overlap are none.

    Not the best assignment of all: where true boxes overlap each other, a greedy pair can block a better sum.

    Args:
        ious: IoU of each true box (rows) with each predicted one (columns).

    Returns:
        The IoU of each pair, falling.
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
            matched.append(iou)
    return matched
