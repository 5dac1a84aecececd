"""Only what the labels allow to be known is asked, and equal keys give equal questions."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from builders import PROVENANCE, make_image
from hypothesis import given
from hypothesis import strategies as st

from domainvl.schema import Object, ObjectQuestions, Split, Task, ask_about_objects, samples_from_questions

CLASSES = ["bus", "car", "plane", "ship", "tree"]


def thing(name, label, *, ignore=False, box_px=(1, 1, 5, 5), image=0):
    return Object(id=name, label=label, ignore=ignore, box_px=box_px, image=image)


@st.composite
def scenes(draw):
    labels = draw(st.lists(st.sampled_from([*CLASSES, "unannotated"]), max_size=8))
    ignored = draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels)))
    return [thing(str(n), label, ignore=ignore) for n, (label, ignore) in enumerate(zip(labels, ignored, strict=True))]


@given(scenes(), st.text(max_size=5))
def test_every_question_has_the_true_answer(objects, key):
    questions = ask_about_objects(objects, CLASSES, key=key)

    unclear = {each.label for each in objects if each.ignore}
    count = Counter(each.label for each in objects)
    known = [label for label in CLASSES if label not in unclear]
    by_task = {task: [question for question in questions if question.task is task] for task in Task}
    # Presence: one that is there, one that is not, where there is such a class.
    present = [label for label in CLASSES if any(each.label == label and not each.ignore for each in objects)]
    absent = [label for label in known if not count[label]]
    assert [question.answer.text for question in by_task[Task.PRESENCE]] == ["yes"] * bool(present) + ["no"] * bool(
        absent
    )
    for question in by_task[Task.PRESENCE]:
        expected = present if question.answer.text == "yes" else absent
        assert question.text in [f"Is there any {label} in the image?" for label in expected]
    # Counting: one class, with its number.
    assert len(by_task[Task.COUNTING]) == bool(known)
    for question in by_task[Task.COUNTING]:
        assert (question.text, question.answer.count) in [
            (f"How many instances of {label} are in the image?", count[label]) for label in known
        ]
    # Grounding: every class with exactly one object.
    assert {(question.text, question.answer.object_ids) for question in by_task[Task.GROUNDING]} == {
        (each.label, (each.id,)) for each in objects if each.label in known and count[each.label] == 1
    }
    assert len({question.key for question in questions}) == len(questions)


def test_yes_and_no_are_balanced():
    answers = Counter()
    generator = random.Random(0)
    for scene in range(400):
        objects = [thing(str(n), generator.choice(CLASSES[:4])) for n in range(generator.randint(1, 4))]
        for question in ask_about_objects(objects, CLASSES, key=f"scene-{scene}"):
            if question.task is Task.PRESENCE:
                answers[question.answer.text] += 1

    assert answers == {"yes": 400, "no": 400}


def test_the_choice_of_class_is_even():
    objects = [thing(name, label) for name, label in zip("abc", CLASSES[:3], strict=True)]
    chosen = Counter(
        question.text
        for scene in range(900)
        for question in ask_about_objects(objects, CLASSES, key=f"scene-{scene}")
        if question.key == "presence-yes"
    )

    # Three classes at 300 each; five standard deviations are 5 * sqrt(900 * 2 / 9) = 71.
    assert len(chosen) == 3
    assert all(abs(count - 300) < 71 for count in chosen.values())


def test_of_a_class_with_an_ignored_object_only_clear_presence_is_asked():
    objects = [thing("1", "car"), thing("2", "car", ignore=True), thing("3", "bus", ignore=True)]

    (question,) = ask_about_objects(objects, ["car", "bus"], key="k")

    assert (question.text, question.answer.text) == ("Is there any car in the image?", "yes")


def test_a_class_that_was_not_annotated_is_not_asked_about():
    questions = ask_about_objects([thing("1", "car"), thing("2", "dog")], ["car"], key="k")

    assert [question.key for question in questions] == ["presence-yes", "counting", "grounding-1"]
    assert not any("dog" in question.text for question in questions)


def test_too_many_to_count_are_not_counted():
    objects = [thing(str(n), "car") for n in range(4)]
    limits = {limit: ObjectQuestions(tasks=(Task.COUNTING,), max_count=limit) for limit in (3, 4)}

    assert ask_about_objects(objects, ["car"], key="k", settings=limits[3]) == []
    assert [question.answer.count for question in ask_about_objects(objects, ["car"], key="k", settings=limits[4])] == [
        4
    ]


def test_what_has_no_box_is_not_grounded():
    objects = [Object(id="1", label="car", point_px=(1, 1))]

    questions = ask_about_objects(objects, ["car"], key="k")

    assert Task.GROUNDING not in {question.task for question in questions}


def test_equal_keys_give_equal_questions_whatever_the_order():
    objects = [thing(str(n), label) for n, label in enumerate(["car", "bus", "bus", "ship"])]

    first = ask_about_objects(objects, CLASSES, key="k")
    shuffled = ask_about_objects(objects[::-1], reversed(CLASSES), key="k")
    other_keys = {tuple(q.text for q in ask_about_objects(objects, CLASSES, key=str(n))) for n in range(20)}

    assert shuffled == first
    assert len(other_keys) > 1


def test_the_place_is_named_in_presence_and_counting():
    settings = ObjectQuestions(place="in the six views")

    questions = ask_about_objects([thing("1", "car")], ["car", "bus"], key="k", settings=settings)

    assert [question.text for question in questions][:2] == [
        "Is there any car in the six views?",
        "Is there any bus in the six views?",
    ]
    assert questions[2].text.endswith(" are in the six views?")


def test_a_task_that_is_not_about_objects_is_refused():
    with pytest.raises(ValueError, match="caption"):
        ask_about_objects([], [], key="k", settings=ObjectQuestions(tasks=(Task.CAPTION,)))


def test_samples_carry_questions_images_and_origin():
    objects = [thing("1", "car", box_px=(10, 20, 30, 40))]
    questions = ask_about_objects(objects, ["car", "bus"], key="k")

    samples = list(
        samples_from_questions(
            questions,
            id_prefix="scene/1",
            domain="remote-sensing",
            images=[make_image()],
            objects=objects,
            fixed_split=Split.VAL,
            group="scene",
            provenance=PROVENANCE,
            warnings=["no CRS"],
        )
    )

    assert [sample.id for sample in samples] == [
        "scene/1/presence-yes",
        "scene/1/presence-no",
        "scene/1/counting",
        "scene/1/grounding-1",
    ]
    assert [sample.answer for sample in samples] == [question.answer for question in questions]
    assert samples[3].turns[0].text == "<image>\nDetect <ref>car</ref>"
    assert samples[3].answer_objects() == tuple(objects)
    assert {(sample.split, sample.group, sample.warnings) for sample in samples} == {(Split.VAL, "scene", ("no CRS",))}
