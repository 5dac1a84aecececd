"""The class of an image, by name and by letter."""

from __future__ import annotations

from collections import Counter

import pytest

from domainvl.schema import ClassQuestions, Task, TextAnswer, ask_for_class
from domainvl.schema.splitting import uniform_from_key

CLASSES = ["farm", "port", "forest", "beach", "airport"]


def test_by_name_among_all_classes_in_their_order():
    question = ask_for_class("port", CLASSES, key="k")

    assert (question.key, question.task, question.answer) == ("class", Task.CLASSIFICATION, TextAnswer(text="port"))
    # The published phrase, and that of GeoChat-Instruct among the others.
    assert question.text == "Classify the image within one of the given classes: farm, port, forest, beach, airport."
    assert question.variants[0].startswith("Classify the image from the following classes")


def test_by_letter_all_places_and_other_classes_are_equally_likely():
    places, others = Counter(), Counter()
    for number in range(1200):
        question = ask_for_class("port", CLASSES, key=str(number), settings=ClassQuestions(options=3))
        answer = question.answer
        assert (question.key, question.task) == ("class-choice", Task.MULTIPLE_CHOICE)
        assert answer.options[answer.correct] == "port"
        assert len(set(answer.options)) == 3
        places[answer.correct] += 1
        others.update(set(answer.options) - {"port"})

    # 400 of each place, sd sqrt(1200 * 2 / 9) = 16.3; each other class 600 times, sd 17.3; five of them.
    assert set(places) == {0, 1, 2}
    assert set(others) == set(CLASSES) - {"port"}
    assert all(abs(count - 400) < 82 for count in places.values())
    assert all(abs(count - 600) < 87 for count in others.values())


def test_equal_keys_give_equal_choices_whatever_the_order():
    settings = ClassQuestions(options=4)

    assert ask_for_class("port", CLASSES, key="k", settings=settings) == ask_for_class(
        "port", CLASSES[::-1], key="k", settings=settings
    )


def test_the_draws_are_those_of_earlier_data_sets():
    """Other classes by the draw class-choice, their order by class-order; another name would draw other options."""
    answer = ask_for_class("port", CLASSES, key="k", settings=ClassQuestions(options=3)).answer

    others = sorted({*CLASSES} - {"port"}, key=lambda name: uniform_from_key(f"k/class-choice/{name}"))[:2]
    options = sorted(["port", *others], key=lambda name: uniform_from_key(f"k/class-order/{name}"))
    assert list(answer.options) == options


def test_with_fewer_classes_all_are_options():
    question = ask_for_class("port", ["port", "farm"], key="k", settings=ClassQuestions(options=4))

    assert sorted(question.answer.options) == ["farm", "port"]


@pytest.mark.parametrize(
    ("label", "classes", "options", "message"),
    [
        ("lake", CLASSES, None, "must be among the classes"),
        ("port", CLASSES, 5, "2 to 4 options"),
        ("port", CLASSES, 1, "2 to 4 options"),
        ("port", ["port"], 2, "at least two classes"),
    ],
)
def test_what_cannot_be_asked_is_refused(label, classes, options, message):
    with pytest.raises(ValueError, match=message):
        ask_for_class(label, classes, key="k", settings=ClassQuestions(options=options))
