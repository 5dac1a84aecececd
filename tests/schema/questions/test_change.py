"""What changed between two images, recounted."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.schema import Object, ObjectQuestions, Task, ask_about_change

IMAGES = [(0, "2018"), (1, "2020")]


def scene(*counts):
    """Return so many objects by class in each image."""
    return [
        Object(id=f"{image}-{label}-{n}", label=label, image=image)
        for image, by_class in enumerate(counts)
        for label, count in by_class.items()
        for n in range(count)
    ]


@pytest.mark.parametrize(("before", "after", "more", "less"), [(1, 4, 2020, 2018), (4, 1, 2018, 2020)])
def test_a_class_that_changed_is_asked_about_in_both_orders_of_the_dates(before, after, more, less):
    objects = scene({"car": before, "bus": 2}, {"car": after, "bus": 2})

    questions = ask_about_change(objects, ["bus", "car", "ship"], key="k", images=IMAGES)

    assert [(question.key, question.task) for question in questions] == [
        ("change-yes", Task.COMPARISON), ("change-no", Task.COMPARISON), ("change-count", Task.COUNTING)
    ]  # fmt: skip
    assert [(question.text, question.answer.text) for question in questions[:2]] == [
        (f"Are there more instances of car in the image of {more} than in the image of {less}?", "yes"),
        (f"Are there more instances of car in the image of {less} than in the image of {more}?", "no"),
    ]


def test_without_a_change_there_is_no_comparison():
    objects = scene({"car": 1, "bus": 2}, {"car": 1, "bus": 2})

    keys = {q.key for n in range(20) for q in ask_about_change(objects, ["bus", "car"], key=str(n), images=IMAGES)}

    assert keys == {"change-count"}


def test_which_class_changed_is_drawn():
    objects = scene({"car": 1, "bus": 2}, {"car": 4, "bus": 1})
    asked = Counter()
    for n in range(400):
        yes, no, _ = ask_about_change(objects, ["bus", "car"], key=str(n), images=IMAGES)
        assert (" car " in yes.text) == (" car " in no.text)
        asked[" car " in yes.text] += 1

    # 200 each; five standard deviations are 50.
    assert abs(asked[True] - 200) < 50


@pytest.mark.parametrize("unchanged", [1, 18])
def test_a_quarter_of_the_changes_that_are_counted_are_none(unchanged):
    """Two classes changed, whatever the number of those that did not."""
    counts = {f"c{n}": 1 for n in range(unchanged)}
    objects = scene(counts | {"car": 1, "bus": 5}, counts | {"car": 3, "bus": 2})
    settings = ObjectQuestions(tasks=(Task.COUNTING,))
    asked, firsts = Counter(), Counter()
    for n in range(400):
        (question,) = ask_about_change(objects, [*counts, "car", "bus"], key=str(n), images=IMAGES, settings=settings)
        asked[question.answer.count] += 1
        if question.answer.count == 0:
            firsts[re.search("image of ([0-9]+)", question.text)[1]] += 1

    # Three standard deviations of 400 draws at 1/4 are 26, at 3/8 30.
    assert set(asked) == {0, 2, 3}
    assert abs(asked[0] - 100) <= 26
    assert abs(asked[2] - 150) <= 30
    # Nor does the order of the dates tell that it is none.
    assert min(firsts["2018"], firsts["2020"]) > 25


def test_where_nothing_changed_none_is_counted_in_a_quarter_of_the_samples():
    objects = scene({"car": 2}, {"car": 2})
    asked = [q.answer.count for n in range(400) for q in ask_about_change(objects, ["car"], key=str(n), images=IMAGES)]

    assert set(asked) == {0}
    assert abs(len(asked) - 100) <= 26


@pytest.mark.parametrize(
    ("before", "after", "text", "count"),
    [
        (1, 4, "How many more instances of car are in the image of 2020 than in the image of 2018?", 3),
        (4, 1, "How many more instances of car are in the image of 2018 than in the image of 2020?", 3),
    ],
)
def test_how_many_more_names_the_image_with_more_first(before, after, text, count):
    questions = ask_about_change(scene({"car": before}, {"car": after}), ["car"], key="k", images=IMAGES)

    assert (questions[-1].text, questions[-1].answer.count) == (text, count)


def test_geo_35_a_class_with_an_ignored_object_in_either_image_is_not_asked_about():
    objects = scene({"car": 1, "bus": 1}, {"car": 2, "bus": 2})
    for image in (0, 1):
        unclear = Object(id="x", label="car", image=image, ignore=True)
        questions = ask_about_change([*objects, unclear], ["bus", "car"], key="k", images=IMAGES)
        assert [question.key for question in questions] == ["change-yes", "change-no", "change-count"]
        assert all(" bus " in question.text for question in questions)
    elsewhere = Object(id="x", label="car", image=2, ignore=True)
    asked = {
        question.text
        for n in range(20)
        for question in ask_about_change([*objects, elsewhere], ["bus", "car"], key=str(n), images=IMAGES)
    }
    assert any(" car " in text for text in asked)


@given(
    st.lists(st.dictionaries(st.sampled_from(["bus", "car", "ship"]), st.integers(0, 3)), min_size=3, max_size=3),
    st.text(max_size=3),
)
def test_answers_agree_with_a_recount(counts, key):
    names = ["2018", "2019", "2020"]
    objects = scene(*counts)
    questions = ask_about_change(objects, ["bus", "car", "ship"], key=key, images=list(enumerate(names)))

    for question in questions:
        label = question.text.split(" of ")[1].split()[0]
        second, first = (
            counts[names.index(part[:4])].get(label, 0) for part in question.text.split("the image of ")[1:]
        )
        assert first + second > 0
        if question.key == "change-count":
            assert question.answer.count == second - first
        else:
            assert question.answer.text == ("yes" if second > first else "no")
            assert second != first
    keys = [question.key for question in questions]
    assert ("change-yes" in keys) == ("change-no" in keys)


def test_only_what_is_asked_for_and_what_can_be_counted():
    objects = scene({"car": 1}, {"car": 4})
    counting = ObjectQuestions(tasks=(Task.COUNTING,))

    assert [q.key for q in ask_about_change(objects, ["car"], key="k", images=IMAGES, settings=counting)] == [
        "change-count"
    ]
    few = ObjectQuestions(tasks=(Task.COMPARISON, Task.COUNTING), max_count=3)
    assert ask_about_change(objects, ["car"], key="k", images=IMAGES, settings=few) == []
    assert ask_about_change([], ["car"], key="k", images=IMAGES) == []


@pytest.mark.parametrize("images", [[(0, "2018")], [(0, "2018"), (1, "2018")]], ids=["one", "same name"])
def test_images_must_be_told_apart(images):
    with pytest.raises(ValueError, match="at least two images"):
        ask_about_change([], ["car"], key="k", images=images)
