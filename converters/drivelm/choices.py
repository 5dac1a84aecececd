"""The multiple-choice questions of DriveLM's challenge: which questions they are, and among what one chooses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from domainvl.errors import ItemError, LeftOutError
from domainvl.schema import ChoiceAnswer, Task
from domainvl.schema.phrases import prompts
from domainvl.schema.questions import choose_options
from domainvl.schema.wording import option_letter

from ..driving.behaviour import BEHAVIOURS
from ..driving.settings import DOMAIN
from .frames import BEHAVIOR, PERCEPTION, Pair

MOVING_STATUSES = (
    "Going ahead.",
    "Turn right.",
    "Turn left.",
    "Stopped.",
    "Back up.",
    "Reverse parking.",
    "Drive backward.",
)
"""What a thing's moving status may be (OpenDriveLab/DriveLM, challenge/convert_data.py, rule_based1). The last was
added in a later version; the first one had six."""

STATUS_WORDS = "what is the moving status of object"
"""What a question about perception says, in lower case, for it to become multiple choice (convert_data.py)."""

_PROMPT = prompts(DOMAIN, Task.MULTIPLE_CHOICE)[0].text
"""A question with its options in one line, as the challenge's files have it (convert_data.py)."""

_INTRODUCTION = _PROMPT.split("{}")[1]
"""What stands between them."""

_LETTER = re.compile(r"\s*([A-Z])\s*\.?\s*")


@dataclass(frozen=True)
class Choice:
    """A multiple-choice question.

    Attributes:
        question: The question without its options.
        answer: The options, and which is right.
        drawn: Whether the options were drawn here; else the file has them.
    """

    question: str
    answer: ChoiceAnswer
    drawn: bool


def read_choice(pair: Pair, *, key: str) -> Choice | None:
    """Return the multiple-choice question that a question is or becomes; None where it is an open one.

    As convert_data.py does, questions about behaviour and about the moving status of an object get three wrong options
    from a list. A question that has its options already keeps them. Where there is no answer, the first option stands
    for it.

    Args:
        pair: Question and answer.
        key: Names the question; equal keys draw alike.

    Raises:
        LeftOutError: If the answer is not in the list: nothing says what else would be wrong then.
        ItemError: If the file's options or their answer cannot be read.
    """
    stem, introduction, listed = pair.question.partition(_INTRODUCTION.strip())
    if introduction:
        return Choice(stem.strip(), _given(pair, _split_options(listed)), drawn=False)
    allowed = _allowed(pair)
    if allowed is None:
        return None
    answer = allowed[0] if pair.answer is None else pair.answer.strip()
    if answer not in allowed:
        raise LeftOutError(
            "Cannot make a multiple-choice question",
            reason="answer-not-listed",
            rule=f"its answer must be one of the {len(allowed)} that DriveLM's challenge knows, got {answer[:80]!r}",
            action="Nothing needs to be done: the challenge has no options for it either",
        )
    # More than one is listed, so there are always options.
    drawn = cast(ChoiceAnswer, choose_options(answer, allowed, key))
    if pair.answer is None:
        drawn = ChoiceAnswer(options=drawn.options, correct=0)
    return Choice(pair.question.strip(), drawn, drawn=True)


def with_options(question: str, options: Sequence[str]) -> str:
    """Write a question with its options as the challenge's files do."""
    lettered = " ".join(f"{option_letter(index)}. {option}" for index, option in enumerate(options))
    return _PROMPT.format(question, lettered)


def _allowed(pair: Pair) -> Sequence[str] | None:
    if pair.category == BEHAVIOR:
        return BEHAVIOURS
    if pair.category == PERCEPTION and STATUS_WORDS in pair.question.lower():
        return MOVING_STATUSES
    return None


def _split_options(text: str) -> list[str]:
    """Divide "A. one B. two" at its letters, which follow each other; a letter out of turn belongs to an option."""
    options: list[str] = []
    rest = f" {text.strip()}"
    if not rest.startswith(" A. "):
        return options
    rest = rest.removeprefix(" A. ")
    while True:
        option, following, rest = rest.partition(f" {option_letter(len(options) + 1)}. ")
        options.append(option.strip())
        if not following:
            return options


def _given(pair: Pair, options: Sequence[str]) -> ChoiceAnswer:
    if len(options) < 2 or not all(options) or len(set(options)) < len(options):
        raise ItemError(
            "Cannot read the options of a question",
            reason="bad-options",
            rule=f"there must be two or more, each another, after their letters A., B., ..., got {list(options)}",
            action="Correct the file",
        )
    if pair.answer is None:
        return ChoiceAnswer(options=tuple(options), correct=0)
    letter = _LETTER.fullmatch(pair.answer)
    correct = ord(letter[1]) - ord("A") if letter else None
    if correct is None and pair.answer.strip() in options:
        correct = options.index(pair.answer.strip())
    if correct is None or correct >= len(options):
        raise ItemError(
            "Cannot read the answer of a multiple-choice question",
            reason="bad-options",
            rule=f"it must be the letter of one of {len(options)} options, got {pair.answer[:80]!r}",
            action="Correct the file",
        )
    return ChoiceAnswer(options=tuple(options), correct=correct)
