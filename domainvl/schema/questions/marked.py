"""The question what a thing is that is marked on the image itself, by its contour, a coloured mask or a box."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from domainvl.schema.questions.known import Known
from domainvl.schema.questions.options import choose_options
from domainvl.schema.questions.pointing import clear_object
from domainvl.schema.questions.question import Question, make_question
from domainvl.schema.questions.settings import ObjectQuestions
from domainvl.schema.sample import Object, Task
from domainvl.schema.splitting import uniform_from_key

MarkForm: TypeAlias = Literal["contour", "mask", "box"]
"""How a region is marked: the three perceptual granularities of GMAI-MMBench that show a region."""

MARK_FORMS: tuple[MarkForm, ...] = get_args(MarkForm)

THING = "organ or finding"
"""What is asked for, where it is not known which of the two it is."""

_MARKS: Mapping[MarkForm, str] = {"contour": "a contour", "mask": "a coloured mask", "box": "a box"}


@dataclass(frozen=True)
class Marked:
    """One thing that is marked, and the question about it.

    Attributes:
        thing: What is marked.
        form: How.
        question: What is asked about the image on which it is marked.
    """

    thing: Object
    form: MarkForm
    question: Question


def ask_about_one_marked(
    objects: Sequence[Object],
    classes: Iterable[str],
    *,
    key: str,
    forms: Sequence[MarkForm] = MARK_FORMS,
    kind: str = THING,
) -> Marked | None:
    """Choose a thing and a form, and ask what the thing is.

    The form follows from ``key`` alone, and the thing from ``key`` among those that the form can mark and that no
    thing of another class has nearly the same box as.

    Args:
        objects: All labelled objects of one image, the ignored ones too.
        classes: Classes that the options are drawn from.
        key: Names the image; equal keys choose alike.
        forms: Forms to choose from.
        kind: What the question calls the thing, such as ``"organ"``.

    Returns:
        The choice and its question; None where there is nothing to mark or no other class.
    """
    form = forms[int(uniform_from_key(f"{key}/mark") * len(forms))]
    classes = set(classes) | {thing.label for thing in objects}
    # What the form cannot mark is no candidate, and still hides what it covers.
    shown = [thing if _can_mark(thing, form) else thing.model_copy(update={"ignore": True}) for thing in objects]
    thing = clear_object(Known.of(shown, classes, key, ObjectQuestions()), "marked")
    question = None if thing is None else ask_about_marked(thing, classes, key=key, form=form, kind=kind)
    return None if thing is None or question is None else Marked(thing, form, question)


def ask_about_marked(
    thing: Object, classes: Iterable[str], *, key: str, form: MarkForm, kind: str = THING
) -> Question | None:
    """Ask which of some classes a marked thing belongs to.

    A class whose name says the same more or less closely ("kidney" beside "left kidney") is no option beside it.

    Args:
        thing: What is marked.
        classes: Classes that the options are drawn from.
        key: Names the image; it decides which options there are, and their order.
        form: How the thing is marked.
        kind: What the question calls the thing.

    Returns:
        The question, or None where there is no other class.
    """
    others = [name for name in classes if not _say_the_same(name, thing.label)]
    answer = choose_options(thing.label, others, f"{key}/marked")
    if answer is None:
        return None
    slots = {"label": kind, "other": _MARKS[form]}
    return make_question(f"marked-{form}", Task.MULTIPLE_CHOICE, "marked", answer, **slots)


def _can_mark(thing: Object, form: MarkForm) -> bool:
    return thing.box_px is not None if form == "box" else any(len(ring) >= 3 for ring in thing.polygons_px or ())


def _say_the_same(one: str, other: str) -> bool:
    words, others = set(one.casefold().split()), set(other.casefold().split())
    return words <= others or others <= words
