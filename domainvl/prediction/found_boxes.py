"""What an answer says is where: boxes with labels, in thousandths of the image, and why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from domainvl.evaluation.metrics.reading import read_boxes, read_labelled_boxes
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.schema import Box, Task
from domainvl.schema.boxes import clip_box
from domainvl.schema.wording import NOTHING_FOUND

BOX_DECIMALS = 3
"""Of pixels; answers are thousandths of an image."""

Unread: TypeAlias = Literal["no-box", "box-without-area"]
"""Why an answer gave no box, or one too few; an answer that nothing was found is no fault."""


def read_found(task: Task, question: str, text: str) -> list[tuple[str, Box]]:
    """Read what an answer says was found.

    Args:
        task: Grounding, whose boxes are all of what was asked for, or detection, whose boxes have labels of their own.
        question: The expression that was to be found.
        text: The answer.

    Returns:
        Labels and boxes in thousandths of the image; empty where there is none that can be read.
    """
    if task is Task.GROUNDING:
        return [(question, box) for box in read_boxes(text)]
    return read_labelled_boxes(text)


def says_nothing_found(text: str) -> bool:
    """Say whether an answer is that there is nothing."""
    return normalise_text(text) == normalise_text(NOTHING_FOUND)


def place_found(
    task: Task, question: str, text: str, to_px: Callable[[Box], Box], size_px: tuple[int, int]
) -> tuple[list[tuple[str, Box]], Unread | None]:
    """Read what an answer says was found, and place it in an image.

    Args:
        task: Grounding or detection.
        question: The expression that was to be found.
        text: The answer.
        to_px: Brings a box from thousandths of what was shown to pixels of the image.
        size_px: Width and height of the image; boxes are cut to it.

    Returns:
        Labels and boxes in pixels, and what could not be read.
    """
    said = read_found(task, question, text)
    if not said:
        return [], None if says_nothing_found(text) else "no-box"
    placed = []
    for label, box in said:
        x_min, y_min, x_max, y_max = (round(value, BOX_DECIMALS) for value in clip_box(to_px(box), *size_px))
        if x_min < x_max and y_min < y_max:
            placed.append((label, (x_min, y_min, x_max, y_max)))
    return placed, None if len(placed) == len(said) else "box-without-area"
