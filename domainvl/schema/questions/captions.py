"""Captions written from labels: counts by class, and where few things are and how large. Nothing is made up."""

from __future__ import annotations

from collections.abc import Iterator

from domainvl.schema.boxes import Box
from domainvl.schema.questions.known import Known
from domainvl.schema.questions.pointing import clear_object
from domainvl.schema.questions.question import Question, make_question
from domainvl.schema.questions.settings import ObjectQuestions
from domainvl.schema.sample import Object, Task, TextAnswer

_FEW = 3
"""With at most so many objects the caption of an image says of each where it is."""

_PLACES = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the centre", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)


def ask_for_captions(known: Known) -> Iterator[Question]:
    """Ask for the image in words, and for one object whose box is given."""
    settings = known.settings
    slots = {"place": settings.place, "whole": settings.whole}
    caption = describe_image(known)
    if caption:
        answer = TextAnswer(text=caption)
        yield make_question(f"{known.prefix}caption", Task.CAPTION, "caption", answer, settings.preface, **slots)
    thing = clear_object(known, "caption")
    if thing is not None and settings.size_px is not None:
        answer = TextAnswer(text=describe_object(thing, settings), about=(thing.id,))
        yield make_question(
            f"{known.prefix}region-caption", Task.CAPTION, "region-caption", answer, settings.preface_of_image
        )


def describe_image(known: Known) -> str:
    """Say how many of each class there are, the largest count first, and of few objects where each is.

    Returns:
        The caption; empty where nothing is clear.
    """
    settings = known.settings
    counted = sorted(
        ((label, things) for label, things in known.clear.items() if things), key=lambda item: (-len(item[1]), item[0])
    )
    if not counted:
        return ""
    phrases = [_count_phrase(known, label, len(things)) for label, things in counted]
    listed = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    verb = "is" if len(counted[0][1]) == 1 else "are"
    sentences = [f"There {verb} {listed} {settings.place}."]
    things = [thing for _, things in counted for thing in things]
    if len(things) <= _FEW and settings.size_px is not None:
        placed = sorted((thing for thing in things if thing.box_px is not None), key=_reading_order)
        sentences += [describe_object(thing, settings) for thing in placed]
    return " ".join(sentences)


def _count_phrase(known: Known, label: str, count: int) -> str:
    limit = known.settings.max_count
    if count > limit:
        return f"more than {limit} instances of {label}"
    number = str(count) if label in known.certain else f"at least {count}"
    return f"{number} {'instance' if count == 1 else 'instances'} of {label}"


def _reading_order(thing: Object) -> tuple[float, float, str]:
    x_min, y_min, _, _ = thing.box_px or (0.0, 0.0, 0.0, 0.0)
    return y_min, x_min, thing.id


def describe_object(thing: Object, settings: ObjectQuestions) -> str:
    """Say what an object is, in which ninth of the image its box has its middle, how large it is and whether it is cut.

    Args:
        thing: An object with a box.
        settings: With the size of the image.

    Raises:
        ValueError: If the object has no box or the size of the image is not known.
    """
    if thing.box_px is None or settings.size_px is None:
        raise ValueError(f"object {thing.id} needs a box and an image of known size to be described")
    where = _place(thing.box_px, settings.size_px)
    facts = [f"An instance of {thing.label} is {where} of {settings.whole}"]
    size = _size(thing.box_px, settings)
    facts += [size] if size else []
    facts += [f"the border of {settings.whole} cuts it"] if thing.truncated else []
    return "; ".join(facts) + "."


def _place(box_px: Box, size_px: tuple[int, int]) -> str:
    column = min(int((box_px[0] + box_px[2]) / 2 / size_px[0] * 3), 2)
    row = min(int((box_px[1] + box_px[3]) / 2 / size_px[1] * 3), 2)
    return _PLACES[row][column]


def _size(box_px: Box, settings: ObjectQuestions) -> str | None:
    """Say the size of a box in metres, or as a share of the image; None where that rounds to 0 %."""
    width_px, height_px = box_px[2] - box_px[0], box_px[3] - box_px[1]
    if settings.gsd_m is not None:
        width, height = (_metres(side_px * settings.gsd_m) for side_px in (width_px, height_px))
        return f"its box measures {width} m by {height} m"
    if settings.size_px is None:
        return None
    share = width_px * height_px / (settings.size_px[0] * settings.size_px[1])
    return f"its box covers {round(100 * share)}% of {settings.whole}" if round(100 * share) >= 1 else None


def _metres(length_m: float) -> str:
    """Write a length to two significant digits, or to whole metres from 10 m on."""
    return f"{length_m:.0f}" if length_m >= 10 else f"{length_m:.2g}"
