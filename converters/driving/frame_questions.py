"""Asks about the things in one key frame: in all its views together, and in a view that is shown alone.

What is asked follows from the objects alone, as every converter of driving data makes them: id ``<instance>/<view>``,
and attributes with distance, bearing and motion where these are known. A thing that is hidden (``ignore``) is neither
counted nor denied, and its class is not asked about where it would make the answer doubtful. A class is denied only
where it was annotated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from domainvl.schema import (
    BoxesAnswer,
    CountAnswer,
    MeasureAnswer,
    Object,
    ObjectQuestions,
    Question,
    Task,
    TextAnswer,
    ask_about_objects,
)
from domainvl.schema.questions.comparing import pick_to_count
from domainvl.schema.questions.known import Known
from domainvl.schema.questions.pointing import clear_objects
from domainvl.schema.questions.question import NO, YES, make_question

from .canvas import Canvas
from .drawing import drawn_order, take_turns
from .stitching import view_note, views_note
from .words import MOVING, NOT_MOVING, count_words, distance_of, facts_of, motion_word_of

_MOST_NAMED = 6
"""So many of the nearest things are named in words at most; ours. A rig of nuScenes has as many views."""

_MOST_COUNTED = ObjectQuestions().max_count
"""Largest count that is asked for, as of other images."""


@dataclass(frozen=True)
class FrameQuestions:
    """Which questions are asked about a key frame.

    Attributes:
        tasks: Names of tasks (``view``, ``presence``, ``counting``, ``distance``, ``motion``, ``grounding``,
            ``region``, ``caption``); others are passed over.
        per_task: Most questions of each about the views together, and about each view that is shown alone; ``region``
            asks as many for names and as many for descriptions.
    """

    tasks: frozenset[str]
    per_task: int = 1


def ask_about_views(
    objects: Sequence[Object],
    views: Sequence[str],
    classes: Sequence[str],
    *,
    key: str,
    settings: FrameQuestions,
    stitched: bool = False,
) -> list[Question]:
    """Ask about all views of a key frame together.

    - ``view``: which view shows a thing that is the only one of its class, seen clearly in one view and not at all in
      another.
    - ``counting``: how many there are of a class, a thing that several views show counted once; seldom of one that is
      not there (:func:`~domainvl.schema.questions.comparing.pick_to_count`).
    - ``distance``: how far from the vehicle the only thing of its class in a view is, in metres. It is a measure, which
      is right within 10 % of the truth, and no choice among ranges, where half a metre at a border decides.
    - ``motion``: whether the only thing of its class in a view moves, where that is known. Whether "yes" or "no" is
      wanted is drawn first, and nothing is asked where no such thing has that answer.
    - ``caption``: the nearest things in words, where at least one has a known distance. Each is named in the view in
      which it is clear and its box has the largest area in pixels; of equal areas, in the view that comes first.
    - ``grounding`` and ``region``, where ``stitched``: the box of the only thing of its class in a view, and the name
      and the description of a thing whose box is given, on the canvas.

    Args:
        objects: All objects of the frame, the ignored ones too, in pixels of the images that are shown.
        views: Names of the views, as the ids of the objects end; at least one. Before a question about a single one it
            is said which it is, and before one about a stitched image where each is.
        classes: All classes that were annotated, present or not.
        key: Names the frame; equal keys give equal choices, whatever the order of the objects.
        settings: Which questions are asked.
        stitched: Whether the views are shown as one image.
    """
    frame = _Frame.of(objects, views, classes, key, settings.per_task)
    tasks = settings.tasks
    questions: list[Question] = []
    if "view" in tasks and len(views) > 1:
        questions += _ask_which_view(frame)
    if "counting" in tasks:
        questions += _count(frame)
    if "distance" in tasks:
        questions += _ask_how_far(frame)
    if "motion" in tasks:
        questions += _ask_for_motion(frame)
    if "caption" in tasks:
        questions += _name_the_nearest(frame, views)
    if stitched and "grounding" in tasks:
        questions += _ask_where(frame)
    if stitched and "region" in tasks:
        known = Known.of(objects, classes, key, ObjectQuestions())
        questions += _ask_about_regions(known, settings.per_task, None)
    if len(views) > 1 and not stitched:
        return questions
    # One image has no name in the prompt.
    note = views_note(Canvas.stitched(views))
    return [replace(question, preface=note) for question in questions]


def ask_about_one_view(
    objects: Sequence[Object], *, view: str, classes: Sequence[str], key: str, settings: FrameQuestions
) -> list[Question]:
    """Ask about a view that is shown alone.

    - ``presence``: whether a class is there. Whether "yes" or "no" is wanted is drawn first, and nothing is asked
      where no class has that answer.
    - ``grounding``: the box of the only thing of its class.
    - ``region``: the name of a thing whose box is given, and its description, before which it is said which view this
      is: what lies to the left of the vehicle depends on it.

    Args:
        objects: All objects in the view, the ignored ones too, in pixels of the image that is shown.
        view: Name of the view, such as ``"FRONT_LEFT"``.
        classes: All classes that were annotated, present or not.
        key: Names the view of the frame; equal keys give equal choices, whatever the order of the objects.
        settings: Which questions are asked.
    """
    known = Known.of(objects, classes, key, ObjectQuestions())
    questions: list[Question] = []
    if "presence" in settings.tasks:
        questions += _ask_for_presence(known, settings.per_task)
    if "grounding" in settings.tasks:
        wanted = ObjectQuestions(tasks=(Task.GROUNDING,))
        asked = ask_about_objects(objects, classes, key=key, settings=wanted)
        questions += drawn_order(asked, [question.key for question in asked], f"{key}/grounding")[: settings.per_task]
    if "region" in settings.tasks:
        questions += _ask_about_regions(known, settings.per_task, view_note(view))
    return questions


@dataclass(frozen=True)
class _Frame:
    """What is known of a frame.

    Attributes:
        key: Names it.
        most: Most questions of a kind.
        place: How a question names all views.
        clear: The clear objects of annotated classes, in order of their ids.
        lonely: Those of them that are the only object of their class in their view, hidden ones counted too.
        instances: Of each annotated class the things, and whether a view shows each clearly.
        shown_in: Of each of these things the views that show it at all.
    """

    key: str
    most: int
    place: str
    clear: tuple[Object, ...]
    lonely: tuple[Object, ...]
    instances: dict[str, dict[str, bool]]
    shown_in: dict[str, list[str]]

    @classmethod
    def of(cls, objects: Sequence[Object], views: Sequence[str], classes: Sequence[str], key: str, most: int) -> _Frame:
        instances: dict[str, dict[str, bool]] = {label: {} for label in sorted(set(classes))}
        wanted = sorted((thing for thing in objects if thing.label in instances), key=lambda thing: thing.id)
        in_view: dict[tuple[str, str], int] = {}
        shown_in: dict[str, list[str]] = {}
        for thing in wanted:
            instance, view = _parts(thing)
            seen = instances[thing.label]
            seen[instance] = seen.get(instance, False) or not thing.ignore
            shown_in.setdefault(instance, []).append(view)
            in_view[thing.label, view] = in_view.get((thing.label, view), 0) + 1
        clear = tuple(thing for thing in wanted if not thing.ignore)
        lonely = tuple(thing for thing in clear if in_view[thing.label, _parts(thing)[1]] == 1)
        place = f"in the {count_words(len(views))} views" if len(views) > 1 else "in the image"
        return cls(key, most, place, clear, lonely, instances, shown_in)

    def draw(self, things: Sequence[Object], purpose: str) -> list[Object]:
        """Return objects in an order that is drawn."""
        return drawn_order(things, [thing.id for thing in things], f"{self.key}/{purpose}")


def _parts(thing: Object) -> tuple[str, str]:
    """Return instance and view of an object."""
    instance, _, view = thing.id.rpartition("/")
    return instance, view


def _area_px(thing: Object) -> float:
    x_min, y_min, x_max, y_max = thing.box_px or (0.0, 0.0, 0.0, 0.0)
    return (x_max - x_min) * (y_max - y_min)


def _place(thing: Object) -> str:
    return f"in the {_parts(thing)[1]} view"


def _ask_which_view(frame: _Frame) -> Iterator[Question]:
    alone = [
        thing
        for thing in frame.lonely
        if len(frame.instances[thing.label]) == 1 and len(frame.shown_in[_parts(thing)[0]]) == 1
    ]
    for number, thing in enumerate(frame.draw(alone, "view")[: frame.most], start=1):
        answer = TextAnswer(text=_parts(thing)[1])
        yield make_question(f"view-{number}", Task.VQA, "view", answer, label=thing.label)


def _count(frame: _Frame) -> Iterator[Question]:
    counts = {label: len(seen) for label, seen in frame.instances.items() if all(seen.values())}
    some = [label for label, count in counts.items() if 0 < count <= _MOST_COUNTED]
    none = [label for label, count in counts.items() if count == 0]
    for number in range(1, frame.most + 1):
        label = pick_to_count(some, none, f"{frame.key}/counting/{number}")
        if label is None:
            return
        (some if counts[label] else none).remove(label)
        answer = CountAnswer(count=counts[label])
        yield make_question(f"counting-{number}", Task.COUNTING, "counting", answer, label=label, place=frame.place)


def _ask_how_far(frame: _Frame) -> Iterator[Question]:
    known = [thing for thing in frame.lonely if distance_of(thing)]
    for number, thing in enumerate(frame.draw(known, "distance")[: frame.most], start=1):
        answer = MeasureAnswer(value=distance_of(thing) or 0.0, unit="m")
        slots = {"label": thing.label, "place": _place(thing)}
        yield make_question(f"distance-{number}", Task.LENGTH, "distance-m", answer, **slots)


def _ask_for_motion(frame: _Frame) -> Iterator[Question]:
    moving, resting = (
        frame.draw([thing for thing in frame.lonely if motion_word_of(thing) == motion], "motion")
        for motion in (MOVING, NOT_MOVING)
    )
    sides = [(YES, thing) for thing in moving], [(NO, thing) for thing in resting]
    turns = islice(take_turns(sides, f"{frame.key}/motion"), frame.most)
    for number, (answer, thing) in enumerate(turns, start=1):
        slots = {"label": thing.label, "place": _place(thing)}
        yield make_question(f"motion-{number}", Task.VQA, "motion", answer, **slots)


def _name_the_nearest(frame: _Frame, views: Sequence[str]) -> Iterator[Question]:
    """Name each thing once, where it is largest; those of unknown distance have no place in the order."""
    best: dict[str, Object] = {}
    for thing in sorted(frame.clear, key=lambda thing: views.index(_parts(thing)[1])):
        instance = _parts(thing)[0]
        if instance not in best or _area_px(thing) > _area_px(best[instance]):
            best[instance] = thing
    distances_m = ((distance_of(thing), thing.id, thing) for thing in best.values())
    nearest = sorted((distance_m, name, thing) for distance_m, name, thing in distances_m if distance_m is not None)
    if not nearest:
        return
    named = [", ".join([thing.label, *facts_of(thing), _place(thing)]) for _, _, thing in nearest[:_MOST_NAMED]]
    text = f"From near to far: {'; '.join(named)}." if len(named) > 1 else f"{named[0]}."
    answer = TextAnswer(text=text)
    yield make_question("caption", Task.CAPTION, "surroundings", answer, count=count_words(_MOST_NAMED))


def _ask_where(frame: _Frame) -> Iterator[Question]:
    with_box = [thing for thing in frame.lonely if thing.box_px is not None]
    for number, thing in enumerate(frame.draw(with_box, "grounding")[: frame.most], start=1):
        answer = BoxesAnswer(object_ids=(thing.id,))
        yield Question(f"grounding-{number}", Task.GROUNDING, f"{thing.label} {_place(thing)}", answer)


def _ask_for_presence(known: Known, most: int) -> Iterator[Question]:
    key = f"{known.key}/presence"
    present = [label for label, things in known.clear.items() if things]
    absent = [label for label, things in known.certain.items() if not things]
    yes, no = (drawn_order(labels, labels, key) for labels in (present, absent))
    sides = [(YES, label) for label in yes], [(NO, label) for label in no]
    for number, (answer, label) in enumerate(islice(take_turns(sides, key), most), start=1):
        slots = {"label": label, "place": known.settings.place, "whole": known.settings.whole}
        yield make_question(f"presence-{number}", Task.PRESENCE, "presence", answer, **slots)


def _ask_about_regions(known: Known, most: int, preface: str | None) -> Iterator[Question]:
    """Ask for the names of some things, and for descriptions of some of which more than the name is known."""
    for number, thing in enumerate(islice(clear_objects(known, "region"), most), start=1):
        answer = BoxesAnswer(object_ids=(thing.id,))
        yield make_question(f"region-{number}", Task.REGION, "region", answer)
    described = ((thing, facts_of(thing)) for thing in clear_objects(known, "description", among_all=True))
    told = ((thing, facts) for thing, facts in described if facts)
    for number, (thing, facts) in enumerate(islice(told, most), start=1):
        text = TextAnswer(text=f"{', '.join([thing.label, *facts])}.", about=(thing.id,))
        yield make_question(f"description-{number}", Task.CAPTION, "region-caption", text, preface)
