"""Asks what is known about slices: their things, how large these are, labels without a place, described properties."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import shapely

from domainvl.schema.questions import ObjectQuestions, Question, ask_about_objects, ask_for_class, choose_options
from domainvl.schema.questions.area import covered_px
from domainvl.schema.questions.known import Known
from domainvl.schema.questions.question import NO, YES, make_question, pick
from domainvl.schema.sample import MeasureAnswer, Object, Task, TextAnswer
from domainvl.schema.splitting import uniform_from_key

from .findings import SliceTruth
from .measuring import area_mm2, longest_diameter_mm
from .tasks import OBJECT_TASKS

_LEAST_SIDE_PX = 10.0
"""Both sides of a thing whose size is asked for have as many pixels: outlines are a pixel wide, and answers count as
right within 10 % of the truth."""

_TOUCHING_PX = 0.01
"""Outlines as near as this touch: they were mapped to the image in floating point."""

_COUNTING = frozenset({Task.COUNTING, Task.CAPTION})
"""Tasks whose answers say how many there are."""


def ask_about_slice(
    truth: SliceTruth,
    objects: Sequence[Object],
    *,
    key: str,
    tasks: Collection[str],
    size_px: tuple[int, int],
    spacing_mm: tuple[float, float] | None = None,
    can_measure: bool = False,
    several_images: bool = False,
) -> list[Question]:
    """Ask what is known about one slice.

    A class that nobody searched for is not denied, counted or listed; that it is there is asked where a finding shows
    it. The same holds of a class that several sources show: what they show may be one thing. Of a class whose finding
    may be several things the count is not known, and its place is asked for only where it is in one piece. What is
    drawn follows from ``key`` alone.

    - ``presence``, ``counting``, ``grounding``, ``region``, ``detection``, ``caption``: as
      :func:`~domainvl.schema.questions.ask_about_objects` asks.
    - ``choice``: which of some classes is there, among others that were searched for and are not.
    - ``label``: of stated classes one that is there and one that is not; which one, where exactly one is; and every
      described property that has one value.
    - ``measurement``: longest diameter and area of one thing, see :func:`ask_for_sizes`.

    The other names of :data:`~.tasks.TASKS` are passed over.

    Args:
        truth: What is known.
        objects: The things of ``truth`` as they lie in the image, the ignored ones too.
        key: Names the image; equal keys choose alike.
        tasks: Names of tasks.
        size_px: Width and height of the image.
        spacing_mm: Distance between rows (y) and between columns (x) of the image; None where it is not known.
        can_measure: Whether that distance is one in the patient, so that sizes may be asked for.
        several_images: Whether the slice is shown in several images, such as one a window.
    """
    wanted = tuple(Task(name) for name in OBJECT_TASKS if name in tasks)
    settings = ObjectQuestions(tasks=wanted, place=_place(several_images), size_px=size_px)
    shown, classes = _with_uncertain(objects, truth)
    known = Known.of(shown, classes, key, settings)
    placed = with_places(shown, truth)
    counted = _with_uncounted(placed, truth)
    questions: list[Question] = []
    for task in wanted:
        things = counted if task in _COUNTING else placed
        questions += ask_about_objects(things, classes, key=key, settings=replace(settings, tasks=(task,)))
    if "choice" in tasks:
        questions += _choice(known)
    if "measurement" in tasks and can_measure and spacing_mm is not None:
        questions += ask_for_sizes(known, truth, spacing_mm)
    if "label" in tasks:
        questions += _stated(truth, objects, key, settings)
        questions += _described(truth)
    return questions


def ask_about_series(
    truths: Sequence[SliceTruth | None],
    objects: Sequence[Sequence[Object]] | None = None,
    *,
    key: str,
    tasks: Collection[str],
    several_images: bool,
) -> list[Question]:
    """Ask what is known about several slices together.

    - ``presence``, ``choice``: of classes that are on one of the slices, and of those that were searched for on all of
      them and are on none.
    - ``label``: a stated class is there if it is on one slice, and is not if that is said of all; a described property
      is asked for where all slices have the same value.

    How many there are is not asked: one thing may have another name on each slice. Where things are is not, for one
    thing may be on several slices.

    Args:
        truths: What is known of each slice; None where nobody looked.
        objects: The things of each slice as they lie in the image that shows it, as :func:`.findings.to_objects` makes
            them: what it leaves out of the image is ignored. Where left out, all findings are taken to be shown.
        key: Names the slices; equal keys choose alike.
        tasks: Names of tasks; others than the above are passed over.
        several_images: Whether each slice is an image of its own.
    """
    together = _together(truths)
    things = [(finding.label, not finding.clear) for finding in together.findings]
    if objects is not None:
        things = [(thing.label, thing.ignore) for of_slice in objects for thing in of_slice]
    together_objects = [
        Object(id=f"{number}", label=label, ignore=ignore) for number, (label, ignore) in enumerate(things)
    ]
    wanted = (Task.PRESENCE,) if "presence" in tasks else ()
    settings = ObjectQuestions(tasks=wanted, place=_place(several_images))
    shown, classes = _with_uncertain(together_objects, together)
    questions = ask_about_objects(shown, classes, key=key, settings=settings)
    if "choice" in tasks:
        questions += _choice(Known.of(shown, classes, key, settings))
    if "label" in tasks:
        questions += _stated(together, together_objects, key, settings)
        questions += _described(together)
    return questions


def _together(truths: Sequence[SliceTruth | None]) -> SliceTruth:
    """Return what is known of several slices as of one."""
    known = [truth for truth in truths if truth is not None]
    everywhere = len(known) == len(truths) and bool(known)
    searched = set.intersection(*(set(truth.classes) for truth in known)) if everywhere else set()
    present = {label for truth in known for label, is_there in truth.stated if is_there}
    denied = [{label for label, is_there in truth.stated if not is_there} for truth in known]
    absent = set.intersection(*denied) if everywhere else set()
    same = [set(truth.described) for truth in known]
    return SliceTruth(
        tuple(finding for truth in known for finding in truth.findings),
        tuple(sorted(searched)),
        (*((label, True) for label in sorted(present)), *((label, False) for label in sorted(absent))),
        tuple(sorted(set.union(*same))) if everywhere and all(values == same[0] for values in same) else (),
    )


def _place(several_images: bool) -> str:
    """Say where to look, as one thing: the verbs of questions are singular."""
    return "in this set of images" if several_images else "in the image"


def _with_uncertain(objects: Sequence[Object], truth: SliceTruth) -> tuple[tuple[Object, ...], tuple[str, ...]]:
    """Add an ignored thing of each class of which it is not known how many there are, and where all of them are.

    There may be more of a class that was not searched for, and fewer of one that several sources show.
    """
    sources: dict[str, set[str]] = {}
    for finding in truth.findings:
        sources.setdefault(finding.label, set()).add(finding.source)
    unsearched = {thing.label for thing in objects} - set(truth.classes)
    uncertain = unsearched | {label for label, names in sources.items() if len(names) > 1}
    return _with_ignored(objects, uncertain), (*truth.classes, *sorted(unsearched))


def _with_uncounted(objects: Sequence[Object], truth: SliceTruth) -> tuple[Object, ...]:
    """Add an ignored thing of each class of which a finding may be several things."""
    return _with_ignored(objects, _uncounted(truth))


def _with_ignored(objects: Sequence[Object], labels: Collection[str]) -> tuple[Object, ...]:
    more = (Object(id=f"uncertain-{label}", label=label, ignore=True) for label in sorted(labels))
    return (*objects, *more)


def _uncounted(truth: SliceTruth) -> set[str]:
    return {finding.label for finding in truth.findings if not finding.is_one_thing}


def with_places(objects: Sequence[Object], truth: SliceTruth) -> tuple[Object, ...]:
    """Take the place from objects that may be several things and are not in one piece: both kidneys have no one box.

    Args:
        objects: The things as they lie in the image.
        truth: What is known.
    """
    uncounted = _uncounted(truth)
    return tuple(
        thing.model_copy(update={"box_px": None, "polygons_px": None})
        if thing.label in uncounted and not _is_in_one_piece(thing)
        else thing
        for thing in objects
    )


def _is_in_one_piece(thing: Object) -> bool:
    """Whether all outlines of a thing hang together; those that touch at a corner do."""
    rings = thing.polygons_px or ()
    if len(rings) < 2:
        return True
    areas = [shapely.Polygon(ring) for ring in rings]
    tree = shapely.STRtree(areas)
    reached, waiting = {0}, [0]
    while waiting:
        near = tree.query(areas[waiting.pop()], predicate="dwithin", distance=_TOUCHING_PX).tolist()
        waiting += set(near) - reached
        reached.update(near)
    return len(reached) == len(areas)


def _choice(known: Known) -> Iterator[Question]:
    """Ask which of several classes is there; the others were searched for and are not."""
    settings = known.settings
    present = [label for label, things in known.clear.items() if things]
    absent = [label for label, things in known.certain.items() if not things]
    if not present or not absent:
        return
    answer = choose_options(pick(present, f"{known.key}/choice"), absent, f"{known.key}/choice")
    if answer is not None:
        yield make_question("choice", Task.MULTIPLE_CHOICE, "visible-choice", answer, place=settings.place)


def ask_for_sizes(known: Known, truth: SliceTruth, spacing_mm: tuple[float, float]) -> Iterator[Question]:
    """Ask for longest diameter and area of one thing: the only one of its class, whole, and at least 10 px each way.

    The diameter is asked for of a thing in one piece. Where a finding says its area without holes, the area of the
    object is made smaller by the same share.

    Args:
        known: The objects of the image, in its pixels.
        truth: Their findings, in stored pixels.
        spacing_mm: Distance between rows (y) and between columns (x) of the image.
    """
    alone = [things[0] for things in known.certain.values() if len(things) == 1 and _is_measurable(things[0])]
    if not alone:
        return
    thing = min(alone, key=lambda thing: (uniform_from_key(f"{known.key}/measurement/{thing.id}"), thing.id))
    slots = {"label": thing.label, "place": known.settings.place, "whole": known.settings.whole}
    rings = thing.polygons_px or ()
    if len(rings) == 1:
        diameter = MeasureAnswer(value=longest_diameter_mm(rings[0], spacing_mm), unit="mm")
        yield make_question("measurement-diameter", Task.LENGTH, "length-mm", diameter, **slots)
    area_px, solid = covered_px([thing]), _solid_share(thing.label, truth)
    if area_px is not None and solid is not None:
        area = MeasureAnswer(value=area_mm2(area_px * solid, spacing_mm), unit="mm2")
        yield make_question("measurement-area", Task.AREA, "area-mm2", area, **slots)


def _is_measurable(thing: Object) -> bool:
    if thing.box_px is None or not thing.polygons_px or thing.truncated:
        return False
    x_min, y_min, x_max, y_max = thing.box_px
    return min(x_max - x_min, y_max - y_min) >= _LEAST_SIDE_PX


def _solid_share(label: str, truth: SliceTruth) -> float | None:
    """Return the share of what its outlines enclose that the only finding of a class covers; None where not known."""
    found = [finding for finding in truth.findings if finding.label == label]
    if len(found) != 1 or found[0].area_px is None:
        return None
    enclosed_px = covered_px([Object(id=label, label=label, polygons_px=found[0].polygons_px)])
    return min(found[0].area_px / enclosed_px, 1.0) if enclosed_px else None


def _stated(truth: SliceTruth, objects: Sequence[Object], key: str, settings: ObjectQuestions) -> Iterator[Question]:
    """Ask about classes that are stated of the whole slice, and of which no search or thing says more."""
    told = {*truth.classes, *(thing.label for thing in objects)}
    said: dict[str, set[bool]] = {}
    for label, is_there in truth.stated:
        if label not in told:
            said.setdefault(label, set()).add(is_there)
    stated = {label: values.pop() for label, values in sorted(said.items()) if len(values) == 1}
    present, absent = ([label for label, there in stated.items() if there is wanted] for wanted in (True, False))
    for answer, labels in ((YES, present), (NO, absent)):
        if labels:
            slots = {"label": pick(labels, f"{key}/stated/{answer.text}"), "place": settings.place}
            yield make_question(f"label-{answer.text}", Task.PRESENCE, "stated", answer, **slots)
    if len(present) == 1 and absent and len(stated) == len(said):
        yield replace(ask_for_class(present[0], tuple(stated), key=key), key="label-class")


def _described(truth: SliceTruth) -> Iterator[Question]:
    """Ask for each property; for none that has two values."""
    values: dict[str, set[str]] = {}
    for name, value in truth.described:
        values.setdefault(name, set()).add(value)
    for number, (name, said) in enumerate(values.items(), start=1):
        if len(said) == 1:
            answer = TextAnswer(text=said.pop())
            yield make_question(f"property-{number}", Task.VQA, "property", answer, label=name.replace("_", " "))
