"""The true answer of a sample in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.schema import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    MeasureAnswer,
    Object,
    Sample,
    TextAnswer,
    to_box_1000,
)
from domainvl.schema.wording import option_letter, written_measure


@dataclass(frozen=True)
class Truth:
    """The true answer in words: the answer, and lines that explain it."""

    text: str
    lines: tuple[str, ...] = ()


def describe_answer(sample: Sample) -> Truth:
    """Say the true answer in words."""
    match sample.answer:
        case TextAnswer() as answer:
            lines = [f"also right: {', '.join(answer.accepted)}"] if answer.accepted else []
            lines += [
                f"about: {object_text(thing, sample)}" for thing in sample.objects if thing.id in (answer.about or ())
            ]
            return Truth(answer.text, tuple(lines))
        case CountAnswer() as answer:
            return Truth(str(answer.count))
        case MeasureAnswer() as answer:
            return Truth(
                written_measure(answer.value, answer.unit), (f"not rounded: {answer.value:.12g} {answer.unit}",)
            )
        case ChoiceAnswer() as answer:
            lines = [f"{option_letter(index)}. {option}" for index, option in enumerate(answer.options)]
            return Truth(lines[answer.correct], tuple(lines))
        case BoxesAnswer():
            boxes = tuple(object_text(thing, sample) for thing in sample.answer_objects())
            if not boxes:
                return Truth("no object")
            return Truth(boxes[0]) if len(boxes) == 1 else Truth(f"{len(boxes)} boxes", boxes)


def object_text(thing: Object, sample: Sample) -> str:
    """Name an object and its box, in pixels and as the conversation writes it."""
    if thing.box_px is None:
        return f"{thing.label} without a box"
    image = sample.images[thing.image]
    box_1000 = to_box_1000(thing.box_px, image.width_px, image.height_px)
    return f"{thing.label} [{written_box(thing.box_px)}] px = [{written_box(box_1000)}] of 1000"


def written_box(values: Sequence[float]) -> str:
    """Write the coordinates of a box, without brackets."""
    return ", ".join(f"{value:g}" for value in values)
