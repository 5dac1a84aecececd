"""Asks for the description of a driven scene that its makers wrote."""

from __future__ import annotations

from domainvl.schema import Question, Task, TextAnswer
from domainvl.schema.questions.question import make_question

_SAYS_NOTHING = frozenset(
    {"", "-", "description", "empty", "generated", "n/a", "na", "nan", "no description", "none", "null", "scene", "tbd",
     "test", "todo", "unknown"}
)  # fmt: skip
"""What stands in tables for a description that nobody wrote; ours, compared without case, blanks and full stops."""


def ask_for_scene(description: str) -> Question | None:
    """Ask for the driving scene in words.

    Args:
        description: What the table of scenes says, such as ``"Parked truck, construction, intersection, turn left"``
            (nuscenes-devkit, docs/schema_nuscenes.md, ``scene.description``).

    Returns:
        The question, whose answer is the description with runs of blanks as one; None where it says nothing.
    """
    text = " ".join(description.split())
    if text.strip(" .").casefold() in _SAYS_NOTHING or not any(character.isalpha() for character in text):
        return None
    return make_question("scene", Task.CAPTION, "driving-scene", TextAnswer(text=text))
