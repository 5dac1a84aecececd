"""Questions about labelled objects: is there one, how many, of which more, where, which, and what is all there.

A class is asked about only where it was annotated: what nobody looked for may well be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from domainvl.schema.questions.area import ask_for_area
from domainvl.schema.questions.captions import ask_for_captions
from domainvl.schema.questions.comparing import dominant, pick_more, pick_not_more, pick_to_count, worth_comparing
from domainvl.schema.questions.known import Known
from domainvl.schema.questions.pointing import ask_for_boxes, ask_for_name, ask_where
from domainvl.schema.questions.question import NO, YES, Question, make_question, pick
from domainvl.schema.questions.settings import ObjectQuestions
from domainvl.schema.sample import CountAnswer, Object, Task, TextAnswer
from domainvl.schema.splitting import uniform_from_key


def ask_about_objects(
    objects: Sequence[Object], classes: Iterable[str], *, key: str, settings: ObjectQuestions | None = None
) -> list[Question]:
    """Ask what the objects in one set of images allow to be answered.

    Of a class with an ignored object neither count nor absence nor area is known; that it is there is, if another
    object of it is clear. Which class or object is asked about depends on ``key`` alone.

    - Presence: one class that is there and one that is not, so that yes and no are balanced.
    - Counting: one class that is there; in 1 of 4 images one that is not, so that the answer is 0. Of an image with
      nothing in it this means that a count is asked for in 1 of 4 cases only.
    - Comparison: two classes of which the first has more, and two of which it has not (fewer or equally many: "no" is
      the answer to both); neither without the other. All are there, unless of all that are there equally many are.
    - Area: one class that is there and whose objects all have polygons, in percent and on the ground.
    - Grounding: each class with exactly one object.
    - Region: one object, whose box does not fit an object of another class as well.
    - Caption: the image in words, and one object.
    - Detection: all objects, where none is ignored, all have boxes and they are not too many.
    - Classification: the class with most objects, where all is known.

    Args:
        objects: All labelled objects, the ignored ones too; each thing once.
        classes: All classes that were annotated in these images, present or not.
        key: Names the images; equal keys give equal choices.
        settings: Which questions to ask, and what is known of the image.

    Raises:
        ValueError: If the settings name a task that is not about objects.
    """
    settings = settings or ObjectQuestions()
    known = Known.of(objects, classes, key, settings)
    questions: list[Question] = []
    for task in settings.tasks:
        ask = _ASK.get(task)
        if ask is None:
            raise ValueError(f"questions about objects are {', '.join(_ASK)}; got {task}")
        questions += ask(known)
    return questions


def _presence(known: Known) -> Iterator[Question]:
    present = [label for label, things in known.clear.items() if things]
    absent = [label for label, things in known.certain.items() if not things]
    for answer, labels in ((YES, present), (NO, absent)):
        if labels:
            label = pick(labels, f"{known.key}/presence/{answer.text}")
            yield _make(known, f"presence-{answer.text}", Task.PRESENCE, "presence", answer, label=label)


def _counting(known: Known) -> Iterator[Question]:
    counts = known.counts
    some, none = ([label for label, count in counts.items() if bool(count) is there] for there in (True, False))
    label = pick_to_count(some, none, f"{known.key}/counting")
    if label is not None:
        yield _make(known, "counting", Task.COUNTING, "counting", CountAnswer(count=counts[label]), label=label)


def _comparison(known: Known) -> Iterator[Question]:
    key = f"{known.key}/comparison"
    counts = worth_comparing(known.counts, key)
    for answer, pair in ((YES, pick_more(counts, key)), (NO, pick_not_more(counts, key))):
        if pair is not None:
            label, other = pair
            yield _make(
                known, f"comparison-{answer.text}", Task.COMPARISON, "comparison", answer, label=label, other=other
            )


def _area(known: Known) -> Iterator[Question]:
    """Ask about the first class, in an order that is drawn, whose area is known and not too small."""
    labels = [label for label, things in known.certain.items() if things]
    labels.sort(key=lambda label: (uniform_from_key(f"{known.key}/area/{label}"), label))
    yield from next((asked for label in labels if (asked := _area_of(known, label))), [])


def _area_of(known: Known, label: str) -> list[Question]:
    share, settings = known.share(label), known.settings
    if share is None or settings.image_px is None:
        return []
    area_m2 = None if settings.gsd_m is None else share * settings.image_px * settings.gsd_m**2
    place, whole = settings.place, settings.whole
    asked = ask_for_area(known.prefix, label, share, area_m2, place=place, whole=whole, preface=settings.preface)
    return list(asked)


def _classification(known: Known) -> Iterator[Question]:
    """Ask for the class with most objects, where no class has an ignored one that could make it another."""
    if len(known.certain) < len(known.clear):
        return
    label = dominant({label: len(things) for label, things in known.certain.items()})
    if label is not None:
        listed = ", ".join(known.certain)
        yield _make(known, "dominant", Task.CLASSIFICATION, "dominant-count", TextAnswer(text=label), classes=listed)


def _make(known: Known, key: str, task: Task, stem: str, answer: TextAnswer | CountAnswer, **slots: str) -> Question:
    settings = known.settings
    slots = {"place": settings.place, "whole": settings.whole, **slots}
    return make_question(f"{known.prefix}{key}", task, stem, answer, settings.preface, **slots)


_ASK: Mapping[Task, Callable[[Known], Iterable[Question]]] = {
    Task.PRESENCE: _presence,
    Task.COUNTING: _counting,
    Task.COMPARISON: _comparison,
    Task.AREA: _area,
    Task.GROUNDING: ask_where,
    Task.REGION: ask_for_name,
    Task.CAPTION: ask_for_captions,
    Task.DETECTION: ask_for_boxes,
    Task.CLASSIFICATION: _classification,
}
