"""What is asked about new imagery: questions given on the command line, or those that a data set asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl import __version__
from domainvl.errors import UsageError
from domainvl.schema import (
    WORDING_VERSION,
    Answer,
    BoxesAnswer,
    ChoiceAnswer,
    Image,
    Object,
    Provenance,
    Question,
    Sample,
    Split,
    Task,
    TextAnswer,
    Turn,
    read_samples,
    samples_from_questions,
)

MOST_KINDS = 100
"""So many different questions of a data set are asked of each image at most; more are hardly kinds of question."""

BOX_TASKS = frozenset({Task.GROUNDING, Task.DETECTION})
"""Tasks whose answers are boxes."""

_NEED_BOX = frozenset({Task.REGION})
"""Tasks whose questions point at a box, which new imagery does not have."""

_UNKNOWN = TextAnswer(text="?")
"""Stands where a sample has its true answer; nothing that a model is asked shows it."""


@dataclass(frozen=True)
class Asked:
    """One question, to be asked of any image.

    Attributes:
        task: What kind of question it is; it decides the wording.
        text: The question, or for grounding the expression to find.
        options: Of multiple choice.
    """

    task: Task
    text: str
    options: tuple[str, ...] = ()

    def question(self, key: str, *, earlier: Sequence[Turn] = (), preface: str | None = None) -> Question:
        """Make it a question about some images; its answer is none.

        Args:
            key: Unique among the questions about these images.
            earlier: What was said before it.
            preface: What the prompt says before it, such as the size of a pixel.
        """
        return Question(key, self.task, self.text, self._answer(), earlier=tuple(earlier), preface=preface)

    def _answer(self) -> Answer:
        if self.task in BOX_TASKS:
            return BoxesAnswer(object_ids=())
        return ChoiceAnswer(options=self.options, correct=0) if self.options else _UNKNOWN


def choose_questions(
    *,
    detect: Sequence[str] = (),
    ask: str | None = None,
    task: str | None = None,
    options: Sequence[str] = (),
    like: Path | None = None,
) -> tuple[Asked, ...]:
    """Read the options with which questions are given; at least one way must be, and several add up.

    Args:
        detect: Classes or expressions; the box of each is asked for.
        ask: A question.
        task: Of that question, or which questions of ``like`` are taken; for a question ``vqa`` where None.
        options: The options of a multiple choice question.
        like: Folder of a data set: the kinds of question of its training split are asked.

    Raises:
        UsageError: If nothing is asked, or the options do not fit.
    """
    chosen = None if task is None else _task(task)
    if ask is None and like is None and chosen is not None:
        raise UsageError("Cannot ask", rule="--task is for --ask and --like, of which none is given")
    found = [Asked(Task.GROUNDING, name) for name in detect]
    if ask is not None:
        found.append(_asked(ask, chosen or (Task.MULTIPLE_CHOICE if options else Task.VQA), tuple(options)))
    elif options:
        raise UsageError("Cannot ask", rule="--option is for --ask, which is not given")
    if like is not None:
        found += questions_like(like, chosen if ask is None else None)
    if not found:
        action = "Use --detect NAME, --ask QUESTION, or --like DATASET for the questions of a data set"
        raise UsageError("Cannot ask", rule="no question is given", action=action)
    if any(not asked.text.strip() for asked in found):
        raise UsageError("Cannot ask", rule="a question is empty")
    return tuple(dict.fromkeys(found))


def _task(name: str) -> Task:
    known = [task for task in Task if task not in _NEED_BOX]
    if name not in known:
        rule = f"--task must be one of {', '.join(known)}, got {name!r}"
        raise UsageError("Cannot ask", rule=rule, action="A question about a given box needs an image that has one")
    return Task(name)


def _asked(text: str, task: Task, options: tuple[str, ...]) -> Asked:
    if task is Task.MULTIPLE_CHOICE and not 2 <= len(options) <= 26:
        raise UsageError("Cannot ask", rule=f"multiple choice takes 2 to 26 of --option, got {len(options)}")
    if task is not Task.MULTIPLE_CHOICE and options:
        raise UsageError("Cannot ask", rule=f"--option is for --task {Task.MULTIPLE_CHOICE}, got --task {task}")
    return Asked(task, text, options)


def questions_like(dataset: Path, task: Task | None = None) -> list[Asked]:
    """List the different questions that the training split of a data set asks, in their order.

    Questions that point at a box or go on from an earlier one cannot be asked of another image and are left out.

    Args:
        dataset: Folder of the data set.
        task: Only those of this task.

    Raises:
        UsageError: If there is none, or more than can be asked of each image.
        InputNotFoundError: If there is no data set.
        DatasetError: If a line is wrong.
    """
    kinds: dict[Asked, None] = {}
    for sample in read_samples(dataset, Split.TRAIN):
        if (task is None or sample.task is task) and _can_be_asked_again(sample):
            options = sample.answer.options if isinstance(sample.answer, ChoiceAnswer) else ()
            kinds[Asked(sample.task, sample.question, options)] = None
            if len(kinds) > MOST_KINDS:
                raise UsageError(
                    "Cannot ask the questions of a data set",
                    where=dataset,
                    rule=f"its training split asks more than {MOST_KINDS} different ones"
                    f"{'' if task is None else f' of the task {task}'}",
                    action="Choose one of its tasks with --task, or name the questions with --ask or --detect",
                )
    if not kinds:
        raise UsageError(
            "Cannot ask the questions of a data set",
            where=dataset,
            rule=f"its training split has none{'' if task is None else f' of the task {task}'} that fits another image",
            action="Name the questions with --ask or --detect",
        )
    return list(kinds)


def _can_be_asked_again(sample: Sample) -> bool:
    points_at = isinstance(sample.answer, TextAnswer) and sample.answer.about
    return sample.task not in _NEED_BOX and not points_at and not sample.earlier


def samples_to_ask(
    questions: Iterable[Asked],
    *,
    name: str,
    domain: str,
    images: Sequence[Image],
    objects: Sequence[Object] = (),
    earlier: Sequence[Turn] = (),
    preface: str | None = None,
) -> list[Sample]:
    """Make a sample of each question about some images, which a model can answer; the ids are ``NAME/0`` and so on.

    Args:
        questions: What is asked.
        name: Names the images.
        domain: The field; it decides the wording of some tasks.
        images: The images.
        objects: Objects that earlier turns refer to.
        earlier: What was said before.
        preface: What the prompt says before the question.
    """
    asked = [one.question(str(number), earlier=earlier, preface=preface) for number, one in enumerate(questions)]
    return list(
        samples_from_questions(
            asked,
            id_prefix=name,
            domain=domain,
            images=images,
            objects=objects,
            group=name,
            provenance=PROVENANCE,
            fixed_split=Split.TEST,
        )
    )


PROVENANCE = Provenance(converter="predict", version=__version__, settings_sha256="0" * 64, wording=WORDING_VERSION)
