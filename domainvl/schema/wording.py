"""How a task is asked and answered: the phrasings that InternVL was trained with.

Sources: OpenGVLab/InternVL documentation (chat_data_format), internvl_chat/eval, and the figures of
Mini-InternVL (arXiv 2410.16261). Video frames are written "Frame1: <image>" in training and in evaluation
alike; the official stack writes "Frame-1: " in training only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from domainvl.errors import DatasetError
from domainvl.schema.boxes import Box1000, to_box_1000
from domainvl.schema.sample import (
    IMAGE_PLACEHOLDER,
    Answer,
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    Domain,
    Image,
    Object,
    Task,
    TextAnswer,
    Turn,
)

WORDING_VERSION = "internvl-1"
"""Stored with each sample and each checkpoint, so that a model is asked as it was trained."""

SHORT_ANSWER_SUFFIX = "Answer the question using a single word or phrase."
CHOICE_SUFFIX = "Answer with the option's letter from the given choices directly."
CLASSIFICATION_SUFFIX = "Answer with one word or short phrase."
DETECTION_PROMPT = "Please detect and label all objects in the following image and mark their positions."
GROUNDING_PROMPT = "Please provide the bounding box coordinate of the region this sentence describes: {}"
REMOTE_SENSING_GROUNDING_PROMPT = "Detect {}"
REGION_PROMPT = "What object is in this location{}"
NOTHING_FOUND = "None"

_AnswerT = TypeVar("_AnswerT")

_SPECIAL = re.compile(r"<(/?(?:image|video|img|IMG_CONTEXT|quad|ref|box|s|unk)|\|[^<>|]*\|)>")


def escape_special(text: str) -> str:
    """Make text from outside harmless: a literal ``<image>`` or ``<|im_end|>`` becomes ``&lt;image&gt;``."""
    return _SPECIAL.sub(lambda match: f"&lt;{match[1]}&gt;", text)


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
) -> tuple[Turn, Turn]:
    """Write the conversation of one sample from what is true.

    Args:
        domain: The field; remote sensing has its own phrasing for grounding.
        task: What is asked.
        question: The question, or for grounding the expression to find.
        answer: The true answer.
        images: The sample's images.
        objects: The sample's objects, to which a boxes answer refers by id.

    Returns:
        The human turn and the assistant turn.

    Raises:
        DatasetError: If the task and the kind of answer do not fit.
    """
    human = image_prefix(images) + _ask(domain, task, question, answer, images, objects)
    return Turn(role="human", text=human), Turn(role="assistant", text=_reply(task, question, answer, images, objects))


def image_prefix(images: Sequence[Image]) -> str:
    """Name each image before its placeholder: frame, view or running number; a single image needs no name."""
    if len(images) == 1 and images[0].frame is None:
        return f"{IMAGE_PLACEHOLDER}\n"
    return "".join(f"{_image_name(image, index)}: {IMAGE_PLACEHOLDER}\n" for index, image in enumerate(images))


def _image_name(image: Image, index: int) -> str:
    if image.frame is not None:
        return f"Frame{image.frame}"
    return escape_special(image.view) if image.view else f"Image-{index + 1}"


def _ask(
    domain: Domain,
    task: Task,
    question: str,
    answer: Answer,
    images: Sequence[Image],
    objects: Sequence[Object],
) -> str:
    match task:
        case Task.VQA | Task.PRESENCE | Task.COUNTING:
            return f"{escape_special(question)}\n{SHORT_ANSWER_SUFFIX}"
        case Task.CLASSIFICATION:
            return f"{escape_special(question)}\n{CLASSIFICATION_SUFFIX}"
        case Task.MULTIPLE_CHOICE:
            options = _expect(ChoiceAnswer, answer, task).options
            lines = [f"{option_letter(index)}. {escape_special(option)}" for index, option in enumerate(options)]
            return "\n".join([escape_special(question), *lines, CHOICE_SUFFIX])
        case Task.GROUNDING:
            prompt = REMOTE_SENSING_GROUNDING_PROMPT if domain == "remote-sensing" else GROUNDING_PROMPT
            return prompt.format(reference(question))
        case Task.DETECTION:
            return DETECTION_PROMPT
        case Task.REGION:
            pointed_at = _expect(BoxesAnswer, answer, task).object_ids
            boxes = [_box_1000(thing, images) for thing in objects if thing.id in pointed_at]
            return REGION_PROMPT.format(box_list(boxes))
        case Task.CAPTION:
            return escape_special(question)


def _reply(task: Task, question: str, answer: Answer, images: Sequence[Image], objects: Sequence[Object]) -> str:
    if isinstance(answer, TextAnswer):
        return escape_special(answer.text)
    if isinstance(answer, CountAnswer):
        return str(answer.count)
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
