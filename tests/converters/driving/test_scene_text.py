"""The description of a scene is asked for as it is, and where there is none nothing is asked."""

from __future__ import annotations

import pytest

from domainvl.converters.driving.scene_text import ask_for_scene
from domainvl.schema import Task


@pytest.mark.parametrize(
    ("description", "answer"),
    [
        (
            "Parked truck, construction, intersection, turn left, following a van",
            "Parked truck, construction, intersection, turn left, following a van",
        ),
        ("  turn  left,\n NIGHT\t", "turn left, NIGHT"),
        ("Nothing moves.", "Nothing moves."),
        ("夜", "夜"),
    ],
)
def test_a_description_is_the_answer_with_its_blanks_cleaned(description, answer):
    question = ask_for_scene(description)
    assert (question.key, question.task, question.text) == ("scene", Task.CAPTION, "Describe the driving scene.")
    assert question.answer.text == answer


@pytest.mark.parametrize(
    "description",
    ["", " \n\t", "Generated.", "generated", "GENERATED ..", "None", "n/a", "NaN", "-", "...", "1234", "?"],
)
def test_what_says_nothing_is_not_asked_for(description):
    assert ask_for_scene(description) is None
