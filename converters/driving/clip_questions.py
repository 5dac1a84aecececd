"""Asks about a clip of one camera: what the vehicle does in it, and how the things around it move.

A thing is named by its class and its box in one image of the clip. Only what is known of it in the frames is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from domainvl.schema import Object, Question, Task, TextAnswer
from domainvl.schema.questions.question import make_question

from .behaviour import Behaviour, behaviour_options, speed_change_options
from .drawing import drawn_order, take_turns
from .words import MOVING, NOT_MOVING, distance_of, motion_word_of

CLIP_TASKS = ("clip-behaviour", "clip-motion")
"""What can be asked about a clip."""

NEARER, FARTHER, AS_FAR = "nearer", "farther away", "about as far"
"""How the distance of a thing changes."""

_ANSWERS = {"clip-motion": (MOVING, NOT_MOVING), "clip-distance": (NEARER, FARTHER, AS_FAR)}
"""What may be the answer to each kind of question about a thing."""


@dataclass(frozen=True)
class ClipThresholds:
    """When a distance has changed; ours. What lies between is not asked about, because it could be seen either way.

    Attributes:
        constant_below_m: With a smaller change a thing is about as far as before.
        changed_from_m: With a change of so much or more it is nearer or farther away.
    """

    constant_below_m: float = 1.0
    changed_from_m: float = 3.0

    def to_dict(self) -> dict[str, float]:
        """Return all by name, for a record of what they were."""
        return asdict(self)


_DEFAULT_THRESHOLDS = ClipThresholds()


@dataclass(frozen=True)
class _Candidate:
    """A question that could be asked about a thing."""

    kind: str
    thing: Object
    answer: str


def ask_about_clip(
    *,
    key: str,
    behaviour: Behaviour | None,
    sightings: Mapping[int, Sequence[Object]],
    tasks: Collection[str] = CLIP_TASKS,
    per_task: int = 1,
    thresholds: ClipThresholds = _DEFAULT_THRESHOLDS,
) -> list[Question]:
    """Ask about a clip.

    - ``clip-behaviour``: what the vehicle does, and how its speed changes where it drives.
    - ``clip-motion``: whether a thing moves, and whether it is nearer to the vehicle in the end. The kind of question
      and the answer that is wanted are drawn first and then taken in turn. Where no thing has that answer the other
      kind is tried; what lies along the road is mostly parked and mostly passed, which must not be a good guess.

    Args:
        key: Names the clip; equal keys choose alike.
        behaviour: What the vehicle does from the first image to the last; None where it is not known.
        sightings: The objects of those images of which they are known, by the image's place in the clip; the id of an
            object begins with its instance, ``<instance>/``. The sample is to hold those of the last place, with that
            place as their image: see :func:`objects_to_keep`.
        tasks: Which of :data:`CLIP_TASKS` are asked.
        per_task: Most questions about things.
        thresholds: When a distance has changed.

    Returns:
        The questions, with keys that begin with the task.
    """
    questions: list[Question] = []
    if "clip-behaviour" in tasks and behaviour is not None:
        options = behaviour_options(behaviour, f"{key}/clip-behaviour")
        questions.append(make_question("clip-behaviour", Task.MULTIPLE_CHOICE, "clip-behaviour", options))
        changes = speed_change_options(behaviour, f"{key}/clip-speed")
        if changes is not None:
            questions.append(make_question("clip-behaviour-speed", Task.MULTIPLE_CHOICE, "clip-speed-change", changes))
    if "clip-motion" in tasks:
        questions += _ask_about_motion(key, sightings, per_task, thresholds)
    return questions


def objects_to_keep(sightings: Mapping[int, Sequence[Object]]) -> list[Object]:
    """Return the objects to which the questions point: those of the last place, with it as their image."""
    if not sightings:
        return []
    last = max(sightings)
    return [thing.model_copy(update={"image": last}) for thing in sightings[last]]


def distance_change(before_m: float, after_m: float, thresholds: ClipThresholds = _DEFAULT_THRESHOLDS) -> str | None:
    """Say how a distance changed; None where it is neither clearly the same nor clearly another."""
    change_m = after_m - before_m
    if abs(change_m) < thresholds.constant_below_m:
        return AS_FAR
    if abs(change_m) < thresholds.changed_from_m:
        return None
    return NEARER if change_m < 0 else FARTHER


def _ask_about_motion(
    key: str, sightings: Mapping[int, Sequence[Object]], per_task: int, thresholds: ClipThresholds
) -> list[Question]:
    """Ask about things that the first and the last known image show well."""
    places = sorted(sightings)
    if len(places) < 2:
        return []
    by_place = [{_instance(thing): thing for thing in sightings[place]} for place in places]
    seen = [
        [things[instance] for things in by_place if instance in things]
        for instance in sorted(by_place[0].keys() & by_place[-1].keys())
        if not by_place[0][instance].ignore and not by_place[-1][instance].ignore
    ]
    rules: dict[str, Callable[[Sequence[Object]], str | None]] = {
        "clip-motion": _motion_in,
        "clip-distance": lambda things: _distance_change_in(things, thresholds),
    }
    candidates = [
        _Candidate(kind, things[-1], answer)
        for things in seen
        if things[-1].box_px is not None
        for kind, rule in rules.items()
        if (answer := rule(things)) is not None
    ]
    names = {"first": f"Frame{places[0] + 1}", "last": f"Frame{places[-1] + 1}"}
    return [
        make_question(
            f"clip-motion-{number}",
            Task.VQA,
            one.kind,
            TextAnswer(text=one.answer, about=(one.thing.id,)),
            label=one.thing.label,
            **names,
        )
        for number, one in enumerate(itertools.islice(_balanced(candidates, f"{key}/clip-motion"), per_task), 1)
    ]


def _balanced(candidates: Sequence[_Candidate], key: str) -> Iterator[_Candidate]:
    """Give candidates of each kind in turn, and of each kind those with each answer in turn."""
    kinds = drawn_order([*_ANSWERS], [*_ANSWERS], f"{key}/kind")
    turns = [
        take_turns([_with_answer(candidates, kind, answer, key) for answer in _ANSWERS[kind]], f"{key}/{kind}")
        for kind in kinds
    ]
    for both in itertools.zip_longest(*turns):
        yield from (one for one in both if one is not None)


def _with_answer(candidates: Sequence[_Candidate], kind: str, answer: str, key: str) -> list[_Candidate]:
    """Return the candidates of a kind that have an answer, in an order that is drawn."""
    found = [one for one in candidates if (one.kind, one.answer) == (kind, answer)]
    return drawn_order(found, [one.thing.id for one in found], f"{key}/{kind}")


def _instance(thing: Object) -> str:
    return thing.id.rsplit("/", 1)[0]


def _motion_in(things: Sequence[Object]) -> str | None:
    """Return whether a thing moves, where that is known in the first and the last image and the same in all."""
    motions = [motion_word_of(thing) for thing in things]
    if motions[0] is None or motions[-1] is None or len({motion for motion in motions if motion}) > 1:
        return None
    return motions[0]


def _distance_change_in(things: Sequence[Object], thresholds: ClipThresholds) -> str | None:
    before_m, after_m = distance_of(things[0]), distance_of(things[-1])
    return None if before_m is None or after_m is None else distance_change(before_m, after_m, thresholds)
