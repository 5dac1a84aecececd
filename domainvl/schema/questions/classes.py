"""The question which class a whole image belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.schema.questions.options import MOST_OPTIONS, choose_options
from domainvl.schema.questions.question import Question, make_question, scale_note
from domainvl.schema.sample import ChoiceAnswer, Task, TextAnswer

_FEWEST_OPTIONS = 2
_DRAWS = ("class-choice", "class-order")


@dataclass(frozen=True)
class ClassQuestions:
    """How the class of an image is asked for.

    Attributes:
        options: Ask for a letter among so many options, 2 to 4; for the name among all classes where None.
        gsd_m: Side of a pixel on the ground.
        prompt_gsd: Whether the prompt states it, where it is known.
        several_images: Whether the sample has several images, of all of which it is stated.
    """

    options: int | None = None
    gsd_m: float | None = None
    prompt_gsd: bool = False
    several_images: bool = False

    @property
    def preface(self) -> str | None:
        """What the prompt says before the question."""
        return scale_note(self.gsd_m, several_images=self.several_images) if self.prompt_gsd else None


def ask_for_class(label: str, classes: Sequence[str], *, key: str, settings: ClassQuestions | None = None) -> Question:
    """Ask which class an image belongs to.

    Args:
        label: The true class.
        classes: All classes, in the order in which the question lists them.
        key: Names the image; it decides which other classes are options, and their order.
        settings: How it is asked.

    Raises:
        ValueError: If ``label`` is not among ``classes``, or there are too few or too many options.
    """
    settings = settings or ClassQuestions()
    if label not in classes:
        raise ValueError(f"the label must be among the classes, got {label!r} and {list(classes)}")
    if settings.options is None:
        listed = ", ".join(classes)
        answer = TextAnswer(text=label)
        return make_question("class", Task.CLASSIFICATION, "class", answer, settings.preface, classes=listed)
    choice = _choices(label, classes, key, settings.options)
    return make_question("class-choice", Task.MULTIPLE_CHOICE, "class-choice", choice, settings.preface)


def _choices(label: str, classes: Sequence[str], key: str, count: int) -> ChoiceAnswer:
    if not _FEWEST_OPTIONS <= count <= MOST_OPTIONS:
        raise ValueError(f"there must be {_FEWEST_OPTIONS} to {MOST_OPTIONS} options, got {count}")
    choice = choose_options(label, classes, key, most=count, draws=_DRAWS)
    if choice is None:
        raise ValueError(f"a choice needs at least two classes, got {list(classes)}")
    return choice
