"""Captions say what the labels say, word for word."""

from __future__ import annotations

import pytest

from domainvl.schema import Object, ObjectQuestions, Task, ask_about_objects
from domainvl.schema.questions.captions import describe_object

CLASSES = ["bridge", "building", "ship"]


def thing(name, label, box_px=(0, 0, 10, 10), **fields):
    return Object(id=name, label=label, box_px=box_px, **fields)


def captions(objects, **fields):
    settings = ObjectQuestions(**{"tasks": (Task.CAPTION,), "size_px": (100, 200), **fields})
    return {question.key: question for question in ask_about_objects(objects, CLASSES, key="k", settings=settings)}


def test_counts_by_class_largest_first():
    labels = ["ship"] * 3 + ["building"] * 12 + ["bridge"]
    objects = [thing(str(n), label) for n, label in enumerate(labels)]

    question = captions(objects)["caption"]

    assert (question.task, question.text) == (Task.CAPTION, "Describe what is in the image.")
    assert question.answer.text == (
        "There are 12 instances of building, 3 instances of ship and 1 instance of bridge in the image."
    )


@pytest.mark.parametrize(
    ("objects", "text"),
    [
        ([thing("1", "ship"), thing("2", "ship", ignore=True)], "There is at least 1 instance of ship in the image."),
        ([thing(str(n), "ship") for n in range(5)], "There are more than 4 instances of ship in the image."),
        (
            [thing("1", "bridge"), thing("2", "ship")],
            "There is 1 instance of bridge and 1 instance of ship in the image.",
        ),
    ],
    ids=["ignored", "too many to count", "equally many by name"],
)
def test_what_is_not_certain_is_not_said(objects, text):
    # Without the size of the image nothing is said of where things are.
    assert captions(objects, max_count=4, size_px=None)["caption"].answer.text == text


@pytest.mark.parametrize(
    "objects",
    [[], [thing("1", "ship", ignore=True)], [thing("1", "dog")]],
    ids=["none", "ignored", "not annotated"],
)
def test_nothing_clear_has_no_caption(objects):
    assert captions(objects) == {}


def test_few_objects_are_placed_and_measured_from_top_to_bottom():
    objects = [thing("1", "ship", (80, 150, 100, 200)), thing("2", "bridge", (0, 10, 20, 20))]

    caption = captions(objects, gsd_m=0.5)["caption"].answer.text

    assert caption == (
        "There is 1 instance of bridge and 1 instance of ship in the image. "
        "An instance of bridge is in the upper left of the image; its box measures 10 m by 5 m. "
        "An instance of ship is in the lower right of the image; its box measures 10 m by 25 m."
    )


@pytest.mark.parametrize(("count", "placed"), [(1, 1), (3, 3), (4, 0)])
def test_at_most_three_are_few(count, placed):
    objects = [thing(str(n), "ship", (10 * n, 0, 10 * n + 5, 5)) for n in range(count)]

    caption = captions(objects)["caption"].answer.text

    assert caption.count("An instance of ship is in the upper left of the image.") == placed


def test_geo_38_the_image_is_called_as_in_the_question():
    objects = [thing("1", "ship", (0, 0, 20, 20), truncated=True)]

    caption = captions(objects, image=0, place="in the image of 2018")["image1-caption"].answer.text

    assert caption == (
        "There is 1 instance of ship in the image of 2018. An instance of ship is in the upper left of the image of "
        "2018; its box covers 2% of the image of 2018; the border of the image of 2018 cuts it."
    )


@pytest.mark.parametrize(
    ("box_px", "place"),
    [
        ((0, 0, 10, 10), "in the upper left"), ((45, 0, 55, 10), "at the top"),
        ((90, 0, 100, 10), "in the upper right"),
        ((0, 95, 10, 105), "on the left"), ((45, 95, 55, 105), "in the centre"), ((90, 95, 100, 105), "on the right"),
        ((0, 190, 10, 200), "in the lower left"), ((45, 190, 55, 200), "at the bottom"),
        ((99, 199, 100, 200), "in the lower right"), ((0, 0, 66, 133), "in the upper left"),
        ((0, 0, 68, 135), "in the centre"),
    ],
)  # fmt: skip
def test_the_middle_of_the_box_decides_the_ninth(box_px, place):
    text = describe_object(thing("1", "ship", box_px), ObjectQuestions(size_px=(100, 200)))

    assert text.startswith(f"An instance of ship is {place} of the image")


@pytest.mark.parametrize(
    ("fields", "gsd_m", "rest"),
    [
        ({"box_px": (0, 0, 20, 20)}, None, "; its box covers 2% of the image."),
        ({"box_px": (0, 0, 9, 9)}, None, "."),
        ({"box_px": (0, 0, 9, 9), "truncated": True}, None, "; the border of the image cuts it."),
        ({"box_px": (0, 0, 3, 21)}, 0.52, "; its box measures 1.6 m by 11 m."),
    ],
    ids=["share", "too small for a share", "cut", "metres"],
)
def test_sizes(fields, gsd_m, rest):
    text = describe_object(thing("1", "ship", **fields), ObjectQuestions(size_px=(100, 200), gsd_m=gsd_m))

    assert text == "An instance of ship is in the upper left of the image" + rest


def test_one_object_is_described_with_its_box_in_the_question():
    objects = [thing("1", "ship", (80, 150, 100, 200), ignore=True), thing("2", "ship", (0, 0, 20, 20))]

    question = captions(objects)["region-caption"]

    assert (question.task, question.text) == (Task.CAPTION, "Describe the object in this location")
    assert question.answer.about == ("2",)
    assert (
        question.answer.text == "An instance of ship is in the upper left of the image; its box covers 2% of the image."
    )
    assert set(captions(objects, size_px=None)) == {"caption"}
    with pytest.raises(ValueError, match="needs a box"):
        describe_object(Object(id="1", label="ship"), ObjectQuestions(size_px=(9, 9)))
