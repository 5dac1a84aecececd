"""How a task is asked and answered: by default in the phrases that InternVL was trained with.

The phrases and their sources stand in :mod:`domainvl.schema.phrases`. Video frames are written "Frame1: <image>"
in training and in evaluation alike; the official stack writes "Frame-1: " in training only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TypeVar

from domainvl.errors import DatasetError
from domainvl.schema.boxes import Box1000, to_box_1000
from domainvl.schema.phrases import prompts
from domainvl.schema.sample import (
    IMAGE_PLACEHOLDER,
    Answer,
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    Domain,
    Image,
    MeasureAnswer,
    Object,
    Sample,
    Task,
    TextAnswer,
    Turn,
    placed_count,
)

WORDING_VERSION = "internvl-1"
"""Stored with each sample and each checkpoint, so that a model is asked as it was trained."""

NOTHING_FOUND = "None"

_AnswerT = TypeVar("_AnswerT")

_SPECIAL = re.compile(r"<(/?(?:image|video|img|IMG_CONTEXT|quad|ref|box|s|unk)|\|[^<>|]*\|)>")

_BOX_1000 = r"\[\d{1,4}, \d{1,4}, \d{1,4}, \d{1,4}\]"
_MARK = re.compile(rf"<ref>[^<>]*</ref>|<box>\[{_BOX_1000}(?:, {_BOX_1000})*\]</box>")


def escape_special(text: str) -> str:
    """Make text from outside harmless: a literal ``<image>`` or ``<|im_end|>`` becomes ``&lt;image&gt;``."""
    return _SPECIAL.sub(lambda match: f"&lt;{match[1]}&gt;", text)


def escape_but_marks(text: str) -> str:
    """Make text harmless in which names and boxes are marked on purpose.

    ``<ref>name</ref>`` and ``<box>[[x1, y1, x2, y2], ...]</box>`` stay where they are well formed.
    """
    rest, marks = _MARK.split(text), _MARK.findall(text)
    return "".join(escape_special(part) + mark for part, mark in zip(rest, [*marks, ""], strict=True))


def escape_earlier(turn: Turn) -> Turn:
    """Make a turn of an earlier round harmless, in which names, boxes and, if it is human, images are marked."""
    if turn.role != "human":
        return Turn(role=turn.role, text=escape_but_marks(turn.text))
    around_images = turn.text.split(IMAGE_PLACEHOLDER)
    return Turn(role=turn.role, text=IMAGE_PLACEHOLDER.join(map(escape_but_marks, around_images)))


def reference(text: str) -> str:
    """Mark an expression as the name of something in the image."""
    return f"<ref>{escape_special(text)}</ref>"


def box_list(boxes_1000: Sequence[Box1000]) -> str:
    """Write boxes as the model reads and writes them, several in one list."""
    inner = ", ".join("[" + ", ".join(str(value) for value in box) + "]" for box in boxes_1000)
    return f"<box>[{inner}]</box>"


def option_letter(index: int) -> str:
    """Return the letter of the option with this index, from A."""
    return chr(ord("A") + index)


def word(
    *,
    domain: Domain,
    task: Task,
    question: str,
    answer: Answer,
    images: Sequence[Image],
    objects: Sequence[Object] = (),
    earlier: Sequence[Turn] = (),
    preface: str | None = None,
    phrasing: int | None = None,
) -> tuple[Turn, ...]:
    """Write the conversation of one sample from what is true.

    Args:
        domain: The field; remote sensing has its own phrasing for grounding.
        task: What is asked.
        question: The question, or for grounding the expression to find.
        answer: The true answer.
        images: The sample's images.
        objects: The sample's objects, to which a boxes answer refers by id.
        earlier: Earlier rounds, in which names and boxes may be marked. The images are named before the first, or where
            these rounds hold placeholders of the first images themselves, the others are named before the question.
        preface: What is said after naming the images, or those that are left.
        phrasing: Which of the task's prompts; the first where None.

    Returns:
        The earlier rounds, the human turn and the assistant turn.

    Raises:
        DatasetError: If the task and the kind of answer do not fit, or there is no such prompt.
    """
    prompt = _prompt(domain, task, phrasing or 0)
    slots: tuple[str, ...]
    if task is Task.MULTIPLE_CHOICE:
        slots = _choice_slots(question, _expect(ChoiceAnswer, answer, task).options, in_line=prompt.count("{}") > 1)
    else:
        slots = (_asked(task, question, answer, images, objects),)
    human = Turn(role="human", text=prompt.format(*slots))
    assistant = Turn(role="assistant", text=_reply(task, question, answer, images, objects))
    turns = [*map(escape_earlier, earlier), human, assistant]
    said_first = f"{escape_special(preface)}\n" if preface else ""
    placed = placed_count(earlier)
    first = len(earlier) if placed else 0
    turns[first] = Turn(role="human", text=image_prefix(images[placed:]) + said_first + turns[first].text)
    return tuple(turns)


def word_sample(sample: Sample) -> tuple[Turn, ...]:
    """Write the conversation of a sample again from what it holds.

    Raises:
        DatasetError: As :func:`word` does.
    """
    return word(
        domain=sample.domain,
        task=sample.task,
        question=sample.question,
        answer=sample.answer,
        images=sample.images,
        objects=sample.objects,
        earlier=sample.earlier,
        preface=sample.preface,
        phrasing=sample.phrasing,
    )


def written_measure(value: float, unit: str) -> str:
    """Write a measure as an answer: whole percent, areas and lengths to three significant digits."""
    if unit == "%":
        return f"{round(value)}%"
    if value >= 100:
        return f"{float(f'{value:.3g}'):.0f} {unit}"
    decimals = max(0, 2 - math.floor(math.log10(value))) if value else 0
    digits = f"{value:.{decimals}f}"
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits} {unit}"


def image_prefix(images: Sequence[Image]) -> str:
    """Name each image before its placeholder: frame, view or running number; a single image needs no name."""
    if len(images) == 1 and images[0].frame is None:
        return f"{IMAGE_PLACEHOLDER}\n"
    return "".join(f"{_image_name(image, index)}: {IMAGE_PLACEHOLDER}\n" for index, image in enumerate(images))


def _image_name(image: Image, index: int) -> str:
    if image.frame is not None:
        return f"Frame{image.frame}"
    return escape_special(image.view) if image.view else f"Image-{index + 1}"


def _prompt(domain: Domain, task: Task, phrasing: int) -> str:
    table = prompts(domain, task)
    if phrasing >= len(table):
        rule = f"phrasing must be below {len(table)}, the number of its prompts; got {phrasing}"
        raise DatasetError(f"Cannot word a {task} sample", rule=rule)
    return table[phrasing].text


def _asked(task: Task, question: str, answer: Answer, images: Sequence[Image], objects: Sequence[Object]) -> str:
    """Return what is put into the prompt."""
    match task:
        case Task.GROUNDING:
            return reference(question)
        case Task.REGION:
            return _boxes_of(_expect(BoxesAnswer, answer, task).object_ids, images, objects)
        case Task.CONVERSATION:
            return escape_but_marks(question)
    if isinstance(answer, TextAnswer) and answer.about:
        return escape_special(question) + _boxes_of(answer.about, images, objects)
    return escape_special(question)


def _choice_slots(question: str, options: Sequence[str], *, in_line: bool) -> tuple[str, ...]:
    """Return a question with an option a line, or the question and the options in one line."""
    listed = [f"{option_letter(index)}. {escape_special(option)}" for index, option in enumerate(options)]
    if in_line:
        return escape_special(question), " ".join(listed)
    return ("\n".join([escape_special(question), *listed]),)


def _boxes_of(ids: Sequence[str], images: Sequence[Image], objects: Sequence[Object]) -> str:
    return box_list([_box_1000(thing, images) for thing in objects if thing.id in ids])


def _reply(task: Task, question: str, answer: Answer, images: Sequence[Image], objects: Sequence[Object]) -> str:
    if isinstance(answer, TextAnswer):
        return escape_but_marks(answer.text) if task is Task.CONVERSATION else escape_special(answer.text)
    if isinstance(answer, CountAnswer):
        return str(answer.count)
    if isinstance(answer, MeasureAnswer):
        return written_measure(answer.value, answer.unit)
    if isinstance(answer, ChoiceAnswer):
        return option_letter(answer.correct)
    by_id = {thing.id: thing for thing in objects}
    found = [by_id[object_id] for object_id in answer.object_ids]
    if not found:
        return NOTHING_FOUND
    if task is Task.GROUNDING:
        return reference(question) + box_list([_box_1000(thing, images) for thing in found])
    by_label: dict[str, list[Box1000]] = {}
    for thing in found:
        by_label.setdefault(thing.label, []).append(_box_1000(thing, images))
    return "\n".join(reference(label) + box_list(boxes) for label, boxes in by_label.items())


def _box_1000(thing: Object, images: Sequence[Image]) -> Box1000:
    if thing.box_px is None:
        raise DatasetError(f"Cannot word object {thing.id}", rule="it must have box_px to be pointed at")
    image = images[thing.image]
    return to_box_1000(thing.box_px, image.width_px, image.height_px)


def _expect(kind: type[_AnswerT], answer: Answer, task: Task) -> _AnswerT:
    if not isinstance(answer, kind):
        raise DatasetError(f"Cannot word a {task} sample", rule=f"its answer must be a {kind.__name__}")
    return answer
