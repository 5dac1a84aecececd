"""A marked thing is asked for by letter, and no other option fits what is marked."""

from __future__ import annotations

from collections import Counter

import pytest

from domainvl.schema import Image, Object, Source, Task
from domainvl.schema.questions import MARK_FORMS, ask_about_marked, ask_about_one_marked
from domainvl.schema.wording import word

IMAGE = Image(path="images/a.png", width_px=100, height_px=100, pixel_sha256="0" * 64, source=Source(uri="a"))
RING = ((10.0, 20.0), (30.0, 20.0), (30.0, 40.0), (10.0, 40.0))


def thing(name, label, box_px=(10, 20, 30, 40), ring=RING, **fields):
    return Object(id=name, label=label, box_px=box_px, polygons_px=None if ring is None else (ring,), **fields)


def test_the_published_words_come_first_and_the_answer_is_a_letter():
    question = ask_about_marked(thing("1", "liver"), ["liver", "spleen", "lung"], key="k", form="contour", kind="organ")
    human, assistant = word(
        domain="medical", task=question.task, question=question.text, answer=question.answer, images=[IMAGE]
    )

    assert (question.key, question.task) == ("marked-contour", Task.MULTIPLE_CHOICE)
    # mini-internvl.md, 2.4: "Which of the following options best matches the marked organ..." and then a letter.
    assert question.text.startswith("Which of the following options best matches the marked organ?")
    assert question.text.endswith("It is marked by a contour.")
    assert set(question.answer.options) == {"liver", "spleen", "lung"}
    assert human.text.count("\n") == 5
    assert assistant.text == "ABC"[question.answer.options.index("liver")]


def test_the_right_letter_and_the_form_are_balanced():
    objects = [thing("1", "liver"), thing("2", "lung", (50, 50, 60, 60), ((50, 50), (60, 50), (60, 60)))]
    letters, forms, things = Counter(), Counter(), Counter()
    for number in range(1200):
        marked = ask_about_one_marked(objects, ["spleen", "heart"], key=str(number))
        letters[marked.question.answer.correct] += 1
        forms[marked.form] += 1
        things[marked.thing.id] += 1
        assert marked.question.answer.options[marked.question.answer.correct] == marked.thing.label

    # 300 letters of each (sd 15), 400 forms (sd 16.3), 600 things (sd 17.3); five of them.
    assert all(abs(letters[place] - 300) < 75 for place in range(4))
    assert all(abs(forms[form] - 400) < 82 for form in MARK_FORMS)
    assert all(abs(things[name] - 600) < 87 for name in "12")


def test_form_and_thing_depend_on_the_key_alone():
    objects = [thing(str(number), label, (20 * number, 0, 20 * number + 9, 9)) for number, label in enumerate("abcd")]
    again = ask_about_one_marked(objects[::-1], ["e"], key="key")

    assert ask_about_one_marked(objects, ["e"], key="key") == again
    others = {ask_about_one_marked(objects, ["e"], key=str(number)).thing.id for number in range(40)}
    assert others == {"0", "1", "2", "3"}


@pytest.mark.parametrize(("label", "is_option"), [
    ("right kidney", True), ("kidney", False), ("left kidney cyst", False), ("Left Kidney", False), ("spleen", True),
])  # fmt: skip
def test_a_class_that_says_the_same_is_no_option(label, is_option):
    question = ask_about_marked(thing("1", "left kidney"), [label, "lung"], key="k", form="box")

    assert (label in question.answer.options) is is_option


def test_nothing_is_asked_without_another_class():
    assert ask_about_marked(thing("1", "liver"), ["liver"], key="k", form="box") is None
    assert ask_about_one_marked([thing("1", "liver")], ["liver"], key="k") is None
    assert ask_about_one_marked([], ["liver", "lung"], key="k") is None


def test_a_thing_without_outline_is_marked_by_a_box_only():
    box_only = thing("1", "liver", ring=None)

    assert ask_about_one_marked([box_only], ["lung"], key="k", forms=["box"]).form == "box"
    for form in ("contour", "mask"):
        assert ask_about_one_marked([box_only], ["lung"], key="k", forms=[form]) is None
        assert ask_about_one_marked([thing("1", "liver")], ["lung"], key="k", forms=[form]).thing.id == "1"


def test_what_covers_the_same_place_is_not_marked_and_neither_is_what_it_covers():
    lung = thing("2", "lung")

    assert ask_about_one_marked([thing("1", "liver"), lung], ["heart"], key="k") is None
    # Even where it cannot be marked itself.
    unmarkable = thing("2", "lung", ring=None)
    assert ask_about_one_marked([thing("1", "liver"), unmarkable], ["heart"], key="k", forms=["mask"]) is None


def test_ignored_things_are_not_marked():
    assert ask_about_one_marked([thing("1", "liver", ignore=True)], ["lung"], key="k") is None
