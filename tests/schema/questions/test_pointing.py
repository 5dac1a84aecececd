"""A box is given or asked for only where it is the only right one."""

from __future__ import annotations

from collections import Counter

import pytest

from domainvl.schema import Object, ObjectQuestions, Task, ask_about_objects


def thing(name, label, box_px, **fields):
    return Object(id=name, label=label, box_px=box_px, **fields)


CAR = thing("1", "car", (10, 20, 30, 40))
BUS = thing("2", "bus", (50, 60, 90, 80))


def ask(task, objects, *, key="k", classes=("bus", "car"), **fields):
    return ask_about_objects(objects, classes, key=key, settings=ObjectQuestions(tasks=(task,), **fields))


# --- regions


def test_a_region_is_one_clear_object_drawn_evenly():
    objects = [CAR, BUS, thing("3", "car", (0, 0, 5, 5)), thing("4", "car", (7, 7, 9, 9), ignore=True)]
    drawn = Counter()
    for number in range(900):
        (question,) = ask(Task.REGION, objects, key=str(number))
        assert (question.key, question.task, question.text) == (
            "region",
            Task.REGION,
            "What object is in this location?",
        )
        drawn[question.answer.object_ids] += 1

    # Three objects at 300 each; five standard deviations are 71.
    assert set(drawn) == {("1",), ("2",), ("3",)}
    assert all(abs(count - 300) < 71 for count in drawn.values())


@pytest.mark.parametrize(
    ("other", "ambiguous"),
    [
        # 20 x 20 and 20 x 10 of it: IoU is exactly 0.5.
        (thing("2", "bus", (10, 20, 30, 30)), True),
        (thing("2", "bus", (10, 20, 30, 29)), False),
        (thing("2", "car", (10, 20, 30, 40)), False),
        (thing("2", "bus", (10, 20, 30, 40), ignore=True), True),
        (thing("2", "bus", (10, 20, 30, 40), image=1), False),
        (Object(id="2", label="bus", point_px=(20, 30)), False),
    ],
    ids=["half", "less", "same class", "ignored", "another image", "a point"],
)
def test_a_box_that_fits_another_class_too_is_not_asked_about(other, ambiguous):
    questions = [ask(Task.REGION, [CAR, other], key=str(n), classes=["car"]) for n in range(3)]

    assert all(bool(asked) is not ambiguous for asked in questions)


@pytest.mark.parametrize(
    "objects",
    [[], [Object(id="1", label="car", point_px=(1, 1))], [CAR.model_copy(update={"ignore": True})],
     [CAR.model_copy(update={"label": "dog"})]],
    ids=["none", "a point", "ignored", "not annotated"],
)  # fmt: skip
def test_where_no_region_is_asked_about(objects):
    assert ask(Task.REGION, objects) == []


# --- detection


def test_detection_lists_all_by_class_and_place():
    objects = [
        thing("a", "car", (50, 20, 60, 30)), thing("b", "car", (10, 20, 30, 40)),
        thing("c", "car", (70, 5, 80, 40)), BUS
    ]  # fmt: skip

    (question,) = ask(Task.DETECTION, objects)

    assert (question.key, question.task) == ("detection", Task.DETECTION)
    assert question.text == "Detect all objects of the following classes: bus, car."
    assert question.answer.object_ids == ("2", "c", "b", "a")


@pytest.mark.parametrize(
    ("objects", "asked"),
    [
        ([CAR, BUS], True),
        ([CAR.model_copy(update={"id": str(n)}) for n in range(20)], True),
        ([CAR.model_copy(update={"id": str(n)}) for n in range(21)], False),
        ([CAR, BUS.model_copy(update={"ignore": True})], False),
        ([CAR, Object(id="2", label="bus", point_px=(1, 1))], False),
        ([CAR, BUS.model_copy(update={"label": "dog"})], False),
        ([], False),
    ],
    ids=["all", "as many as may be", "too many", "ignored", "without box", "not annotated", "none"],
)
def test_detection_is_asked_only_where_the_list_is_complete(objects, asked):
    assert bool(ask(Task.DETECTION, objects)) is asked


def test_of_one_image_the_objects_of_another_do_not_matter():
    elsewhere = BUS.model_copy(update={"image": 1, "ignore": True})

    (question,) = ask(Task.DETECTION, [CAR, elsewhere], image=0)

    assert question.answer.object_ids == ("1",)
