"""Questions whose answers follow from labelled objects: is there one, how many, where is it.

A class is asked about only where it was annotated: what nobody looked for may well be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from domainvl.schema.sample import (
    Answer,
    BoxesAnswer,
    CountAnswer,
    Domain,
    Image,
    Object,
    Provenance,
    Sample,
    Split,
    Task,
    TextAnswer,
)
from domainvl.schema.splitting import uniform_from_key
from domainvl.schema.wording import word


@dataclass(frozen=True)
class Question:
    """One question about a set of images.

    Attributes:
        key: Short name, unique among the questions about these images; part of the sample's id.
        task: What kind of question it is.
        text: The question, or for grounding the expression to find.
        answer: The true answer.
    """

    key: str
    task: Task
    text: str
    answer: Answer


@dataclass(frozen=True)
class ObjectQuestions:
    """Which questions to ask about labelled objects.

    Attributes:
        tasks: Among presence, counting and grounding.
        place: How the question names where to look.
        max_count: Largest count that is asked for; beyond it a count is not a fair question.
    """

    tasks: tuple[Task, ...] = (Task.PRESENCE, Task.COUNTING, Task.GROUNDING)
    place: str = "in the image"
    max_count: int = 100


def ask_about_objects(
    objects: Sequence[Object], classes: Iterable[str], *, key: str, settings: ObjectQuestions | None = None
) -> list[Question]:
    """Ask what the objects in one set of images allow to be answered.

    Presence asks for one class that is there and for one that is not, so that yes and no are balanced.
    Counting asks for one class, there or not. Grounding asks for each class with exactly one object. Of a
    class with an ignored object neither count nor absence is known; that it is there is, if another object of
    it is clear. The choice of class depends on ``key`` alone.

    Args:
        objects: All labelled objects, the ignored ones too; each thing once.
        classes: All classes that were annotated in these images, present or not.
        key: Names the images; equal keys give equal choices.
        settings: Which questions to ask.
    """
    settings = settings or ObjectQuestions()
    unclear = {thing.label for thing in objects if thing.ignore}
    clear: dict[str, list[Object]] = {label: [] for label in sorted(set(classes))}
    for thing in objects:
        if thing.label in clear and not thing.ignore:
            clear[thing.label].append(thing)
    by_class = {label: things for label, things in clear.items() if label not in unclear}
    questions: list[Question] = []
    for task in settings.tasks:
        match task:
            case Task.PRESENCE:
                present = [label for label, things in clear.items() if things]
                absent = [label for label, things in by_class.items() if not things]
                questions += _presence(present, absent, key, settings)
            case Task.COUNTING:
                questions += _counting(by_class, key, settings)
            case Task.GROUNDING:
                questions += _grounding(by_class)
            case _:
                raise ValueError(f"questions about objects are presence, counting or grounding, got {task}")
    return questions


def _presence(present: Sequence[str], absent: Sequence[str], key: str, settings: ObjectQuestions) -> Iterator[Question]:
    for answer, labels in (("yes", present), ("no", absent)):
        if labels:
            label = _pick(labels, f"{key}/presence/{answer}")
            yield Question(
                f"presence-{answer}",
                Task.PRESENCE,
                f"Is there any {label} {settings.place}?",
                TextAnswer(text=answer),
            )


def _counting(by_class: dict[str, list[Object]], key: str, settings: ObjectQuestions) -> Iterator[Question]:
    labels = [label for label, things in by_class.items() if len(things) <= settings.max_count]
    if labels:
        label = _pick(labels, f"{key}/counting")
        yield Question(
            "counting",
            Task.COUNTING,
            f"How many instances of {label} are {settings.place}?",
            CountAnswer(count=len(by_class[label])),
        )


def _grounding(by_class: dict[str, list[Object]]) -> Iterator[Question]:
    for label, things in by_class.items():
        if len(things) == 1 and things[0].box_px is not None:
            yield Question(f"grounding-{things[0].id}", Task.GROUNDING, label, BoxesAnswer(object_ids=(things[0].id,)))


def _pick(labels: Sequence[str], key: str) -> str:
    return labels[int(uniform_from_key(key) * len(labels))]


def samples_from_questions(
    questions: Iterable[Question],
    *,
    id_prefix: str,
    domain: Domain,
    images: Sequence[Image],
    objects: Sequence[Object] = (),
    group: str,
    provenance: Provenance,
    fixed_split: Split | None = None,
    warnings: Sequence[str] = (),
) -> Iterator[Sample]:
    """Turn questions about one set of images into samples.

    Args:
        questions: What is asked.
        id_prefix: Names the images; the question's key is appended.
        domain: The field.
        images: The images.
        objects: The objects in them.
        group: The group that must not be divided.
        provenance: What makes the samples.
        fixed_split: The split that the makers of the source chose; where None, the frame draws it by group and the
            samples say train until then.
        warnings: What a careful reader should know about the images.
    """
    for question in questions:
        turns = word(
            domain=domain,
            task=question.task,
            question=question.text,
            answer=question.answer,
            images=images,
            objects=objects,
        )
        yield Sample(
            id=f"{id_prefix}/{question.key}",
            domain=domain,
            task=question.task,
            question=question.text,
            answer=question.answer,
            images=tuple(images),
            objects=tuple(objects),
            turns=turns,
            split=fixed_split or Split.TRAIN,
            fixed_split=fixed_split,
            group=group,
            provenance=provenance,
            warnings=tuple(warnings),
        )
