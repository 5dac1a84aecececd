"""Questions with boxes: where is it, what is there, and where is everything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from domainvl.schema.questions.known import Known
from domainvl.schema.questions.question import Question, make_question
from domainvl.schema.sample import BoxesAnswer, Object, Task
from domainvl.schema.splitting import uniform_from_key

_MOST_BOXES = 20
"""Longest list of boxes that is asked for."""

_SAME_PLACE = 0.5
"""From this IoU on, two boxes stand for the same place; the threshold at which a box counts as right."""


def ask_where(known: Known) -> Iterator[Question]:
    """Ask for the box of each class with exactly one object."""
    settings = known.settings
    for label, things in known.certain.items():
        if len(things) == 1 and things[0].box_px is not None:
            # Of several images, the expression itself must say in which to look.
            expression = label if settings.image is None else f"{label} {settings.place}"
            yield Question(
                f"{known.prefix}grounding-{things[0].id}",
                Task.GROUNDING,
                expression,
                BoxesAnswer(object_ids=(things[0].id,)),
                preface=settings.preface,
            )


def ask_for_name(known: Known) -> Iterator[Question]:
    """Ask what one object is, its box given."""
    thing = clear_object(known, "region")
    if thing is not None:
        yield make_question(
            f"{known.prefix}region",
            Task.REGION,
            "region",
            BoxesAnswer(object_ids=(thing.id,)),
            known.settings.preface_of_image,
        )


def ask_for_boxes(known: Known) -> Iterator[Question]:
    """Ask for all objects, where the list is complete: none is ignored, without a box or of a class not annotated."""
    complete = all(
        not thing.ignore and thing.box_px is not None and thing.label in known.clear for thing in known.objects
    )
    if not complete or not 0 < len(known.objects) <= _MOST_BOXES:
        return
    listed = sorted(known.objects, key=_reading_order)
    answer = BoxesAnswer(object_ids=tuple(thing.id for thing in listed))
    yield make_question(
        f"{known.prefix}detection",
        Task.DETECTION,
        "detection",
        answer,
        known.settings.preface_of_image,
        classes=", ".join(known.clear),
    )


def _reading_order(thing: Object) -> tuple[str, float, float, str]:
    """Sort by class, then from top to bottom and left to right."""
    x_min, y_min, _, _ = thing.box_px or (0.0, 0.0, 0.0, 0.0)
    return thing.label, y_min, x_min, thing.id


def clear_object(known: Known, purpose: str) -> Object | None:
    """Choose an object that its box singles out: no object of another class has nearly the same box.

    Args:
        known: The objects.
        purpose: What it is chosen for; equal keys and purposes choose alike.
    """
    return next(clear_objects(known, purpose), None)


def clear_objects(known: Known, purpose: str, *, among_all: bool = False) -> Iterator[Object]:
    """Give the objects that their boxes single out, in an order that is drawn.

    Args:
        known: The objects.
        purpose: What they are chosen for; equal keys and purposes choose alike.
        among_all: Whether no object of the same class may have nearly the same box either: a class can be named then
            as well, what is true of one of the two cannot.
    """
    candidates = [thing for things in known.clear.values() for thing in things if thing.box_px is not None]
    draw = {thing.id: uniform_from_key(f"{known.key}/{purpose}/{thing.id}") for thing in candidates}
    candidates.sort(key=lambda thing: (draw[thing.id], thing.id))
    return (thing for thing in candidates if not _is_ambiguous(thing, known, among_all))


def _is_ambiguous(thing: Object, known: Known, among_all: bool) -> bool:
    others = [
        other.box_px
        for other in known.objects
        if other.box_px is not None
        and other.image == thing.image
        and (other.label != thing.label or (among_all and other.id != thing.id))
    ]
    if not others or thing.box_px is None:
        return False
    boxes, own = np.asarray(others), np.asarray(thing.box_px)
    sides = np.minimum(boxes[:, 2:], own[2:]) - np.maximum(boxes[:, :2], own[:2])
    shared = np.prod(np.maximum(sides, 0.0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return bool((shared / (areas + np.prod(own[2:] - own[:2]) - shared) >= _SAME_PLACE).any())
