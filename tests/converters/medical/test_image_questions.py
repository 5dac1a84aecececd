"""Only what is known is asked, and the answers are those of hand computation."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from domainvl.converters.medical.findings import Finding, SliceTruth
from domainvl.converters.medical.image_questions import ask_about_series, ask_about_slice, with_places
from domainvl.converters.medical.tasks import TASKS
from domainvl.schema import CountAnswer, MeasureAnswer, Object, Task, TextAnswer

CLASSES = ("kidney", "liver", "lung", "spleen")


def square(x, y, width, height):
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def finding(label, ring=None, *, thing=None, **fields):
    ring = ring or square(10, 10, 30, 20)
    fields = {"area_px": 600.0} | fields
    return Finding(thing or f"seg-1/{label}", label, polygons_px=(ring,), **fields)


def thing(name, label, ring=None, **fields):
    ring = ring or square(10, 10, 30, 20)
    (x_min, y_min), _, (x_max, y_max), _ = ring
    return Object(id=name, label=label, box_px=(x_min, y_min, x_max, y_max), polygons_px=(ring,), **fields)


def ask(truth, objects, tasks, *, key="k", **fields):
    fields = {"size_px": (100, 100), "spacing_mm": (2.0, 0.5), "can_measure": True} | fields
    return ask_about_slice(truth, objects, key=key, tasks=tasks, **fields)


LIVER = SliceTruth((finding("liver"),), CLASSES)


# --- things


def test_each_task_is_asked_by_its_name_and_all_keys_differ():
    truth = SliceTruth((finding("liver"),), CLASSES, (("pneumonia", True), ("effusion", False)), (("density", "C"),))
    objects = (thing("1", "liver"),)
    by_task = {
        "presence": [Task.PRESENCE] * 2,
        "counting": [Task.COUNTING],
        "grounding": [Task.GROUNDING],
        "region": [Task.REGION],
        "detection": [Task.DETECTION],
        "caption": [Task.CAPTION] * 2,
        "choice": [Task.MULTIPLE_CHOICE],
        "measurement": [Task.LENGTH, Task.AREA],
        "label": [Task.PRESENCE, Task.PRESENCE, Task.CLASSIFICATION, Task.VQA],
    }
    for task in TASKS:
        assert [question.task for question in ask(truth, objects, {task})] == by_task.get(task, [])
    every = ask(truth, objects, frozenset(TASKS))
    assert len({question.key for question in every}) == len(every) == sum(map(len, by_task.values()))


def test_a_class_nobody_searched_for_is_neither_denied_nor_counted():
    truth = SliceTruth((finding("liver"), finding("tumour")), ("liver", "lung"))
    objects = (thing("1", "liver"), thing("2", "tumour", square(50, 50, 9, 9)))
    texts = Counter()
    for number in range(60):
        questions = ask(truth, objects, {"presence", "counting", "grounding", "detection"}, key=str(number))
        for question in questions:
            assert question.task is not Task.DETECTION
            texts[question.text, getattr(question.answer, "text", "")] += 1
            if "tumour" in question.text:
                assert (question.task, question.answer) == (Task.PRESENCE, TextAnswer(text="yes"))
    assert texts["Is there any tumour in the image?", "yes"] > 0
    assert not any("tumour" in text and answer != "yes" for text, answer in texts)


def test_an_unclear_thing_silences_its_class():
    truth = SliceTruth((finding("lung", clear=False),), ("liver", "lung"))
    objects = (Object(id="1", label="lung", ignore=True),)
    for number in range(20):
        for question in ask(truth, objects, frozenset(TASKS), key=str(number)):
            assert "lung" not in question.text
            assert "lung" not in getattr(question.answer, "options", ())


def test_the_choice_has_one_that_is_there_and_three_that_were_searched_for_in_vain():
    objects = (thing("1", "liver"), thing("2", "tumour"))
    truth = SliceTruth((finding("liver"), finding("tumour")), (*CLASSES, "heart"))
    letters = Counter()
    for number in range(400):
        (question,) = ask(truth, objects, {"choice"}, key=str(number))
        options, correct = question.answer.options, question.answer.correct
        letters[correct] += 1
        assert options[correct] in ("liver", "tumour")
        assert len(options) == 4
        assert set(options) - {options[correct]} <= {"kidney", "lung", "spleen", "heart"}
    # 100 of each letter, sd 8.7.
    assert all(abs(letters[place] - 100) < 44 for place in range(4))
    assert not ask(SliceTruth((), CLASSES), (), {"choice"})
    assert not ask(SliceTruth((finding("liver"),), ("liver",)), objects[:1], {"choice"})


# --- segments, which may be several things

KIDNEYS = (square(10, 10, 15, 20), square(60, 10, 15, 20))


def segment(*rings, thing="seg-1/1", label="kidney", **fields):
    """A finding that may be several things, and its object."""
    shown = Object(id="1", label=label, box_px=(10, 10, 75, 30), polygons_px=rings)
    return Finding(thing, label, (10, 10, 75, 30), rings, 600.0, is_one_thing=False, **fields), shown


def test_med_40_of_a_segment_in_two_pieces_neither_count_nor_place_is_asked():
    found, shown = segment(*KIDNEYS)
    truth = SliceTruth((found,), CLASSES)
    asked = Counter()
    for number in range(60):
        for question in ask(truth, (shown,), frozenset(TASKS), key=str(number)):
            asked[question.task] += 1
            assert question.task not in (Task.GROUNDING, Task.REGION, Task.DETECTION)
            if question.task is Task.COUNTING:
                assert (question.answer, "kidney" in question.text) == (CountAnswer(count=0), False)
            if question.task is Task.CAPTION:
                assert question.answer.text == "There is at least 1 instance of kidney in the image."
    assert asked[Task.PRESENCE] == 2 * 60 and asked[Task.MULTIPLE_CHOICE] == 60 and asked[Task.COUNTING] > 0
    assert [thing.box_px for thing in with_places((shown,), truth)] == [None]
    one_thing = SliceTruth((finding("kidney", thing="sr-1/1"),), CLASSES)
    assert with_places((shown,), one_thing) == (shown,)  # the border of the image may divide it
    # Two things of a table or two regions of a segment are counted.
    things = tuple(thing(str(number), "kidney", ring) for number, ring in enumerate(KIDNEYS))
    counted = SliceTruth(
        tuple(finding("kidney", ring, thing=f"seg-1/1/1.{x}") for x, ring in enumerate(KIDNEYS)), CLASSES
    )
    answers = {q.answer.count for x in range(20) for q in ask(counted, things, {"counting"}, key=str(x))}
    assert answers == {0, 2}


def test_med_40_of_a_segment_in_one_piece_the_place_is_asked_and_not_the_count():
    # The second ring touches the first at a corner.
    found, shown = segment(square(10, 10, 15, 10), square(25, 20, 50, 10))
    truth = SliceTruth((found,), CLASSES)
    tasks = Counter(q.task for x in range(40) for q in ask(truth, (shown,), frozenset(TASKS), key=str(x)))
    assert tasks[Task.GROUNDING] == tasks[Task.REGION] == tasks[Task.DETECTION] == tasks[Task.AREA] == 40
    assert with_places((shown,), truth) == (shown,)
    assert all(q.answer.count == 0 for x in range(40) for q in ask(truth, (shown,), {"counting"}, key=str(x)))


def test_what_two_sources_show_may_be_one_thing():
    """A box of a table and a region of a segmentation, perhaps of one and the same nodule."""
    truth = SliceTruth((finding("lung", thing="labels/2"), finding("lung", thing="seg-1/1/1.1")), CLASSES)
    objects = (thing("1", "lung"), thing("2", "lung", square(11, 11, 30, 20)))
    for number in range(40):
        for question in ask(truth, objects, frozenset(TASKS), key=str(number)):
            assert question.task not in (Task.DETECTION, Task.GROUNDING, Task.LENGTH, Task.AREA)
            assert question.task is not Task.COUNTING or "lung" not in question.text
    assert any(q.answer == TextAnswer(text="yes") for q in ask(truth, objects, {"presence"}))


# --- sizes


def test_diameter_and_area_in_millimetres():
    diameter, area = ask(LIVER, (thing("1", "liver"),), {"measurement"})

    # 30 columns 0.5 mm apart and 20 rows 2 mm apart: 15 x 40 mm.
    assert (diameter.answer.value, diameter.answer.unit) == (pytest.approx((15**2 + 40**2) ** 0.5), "mm")
    assert (area.answer.value, area.answer.unit) == (pytest.approx(600.0), "mm2")
    assert diameter.text == "What is the longest diameter of liver in the image, in millimetres?"
    assert area.text == "How many square millimetres of the image are covered by liver?"


def test_a_hole_is_no_part_of_the_area():
    # A hole of 150 of the 600 px; in the image everything is twice as large and half as far apart.
    truth = SliceTruth((finding("liver", area_px=450.0),), CLASSES)
    shown = thing("1", "liver", square(20, 20, 60, 40))
    _, area = ask(truth, (shown,), {"measurement"}, spacing_mm=(1.0, 0.25))

    assert area.answer.value == pytest.approx(450 * 2 * 0.5)


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, ["measurement-diameter", "measurement-area"]),
        ({"can_measure": False}, []),
        ({"spacing_mm": None}, []),
    ],
)
def test_med_26_sizes_are_asked_only_where_they_can_be_measured(fields, asked):
    questions = ask(LIVER, (thing("1", "liver"),), {"measurement"}, **fields)

    assert [question.key for question in questions] == asked


@pytest.mark.parametrize(
    "objects",
    [
        (thing("1", "liver", truncated=True),),
        (thing("1", "liver", square(10, 10, 30, 9)),),
        (thing("1", "liver"), thing("2", "liver", square(50, 50, 20, 20))),
        (thing("1", "liver", ignore=True),),
        (Object(id="1", label="liver", box_px=(10, 10, 40, 30)),),
        (thing("1", "liver"), Object(id="2", label="liver", ignore=True)),
    ],
    ids=["cut", "small", "two", "ignored", "a box", "perhaps another"],
)
def test_sizes_are_asked_of_one_whole_thing_that_is_large_enough(objects):
    assert ask(LIVER, objects, {"measurement"}) == []


def test_of_several_pieces_the_area_is_asked_only():
    rings = (square(10, 10, 20, 20), square(50, 50, 10, 10))
    shown = Object(id="1", label="liver", box_px=(10, 10, 60, 60), polygons_px=rings)
    truth = SliceTruth((Finding("seg-1/1", "liver", polygons_px=rings, area_px=500.0),), CLASSES)
    (area,) = ask(truth, (shown,), {"measurement"}, spacing_mm=(1.0, 1.0))

    assert (area.key, area.answer) == ("measurement-area", MeasureAnswer(value=500.0, unit="mm2"))


def test_what_of_two_findings_an_object_shows_is_not_known():
    truth = SliceTruth((finding("liver", thing="seg-1/1"), finding("liver", thing="seg-1/2")), CLASSES)

    assert [q.key for q in ask(truth, (thing("1", "liver"),), {"measurement"})] == ["measurement-diameter"]


def test_without_a_known_area_the_diameter_is_asked_only():
    truth = SliceTruth((finding("liver", area_px=None),), CLASSES)

    assert [q.key for q in ask(truth, (thing("1", "liver"),), {"measurement"})] == ["measurement-diameter"]


# --- stated and described


def test_stated_labels_are_asked_with_yes_and_no():
    truth = SliceTruth(stated=(("pneumonia", True), ("effusion", False), ("fracture", False), ("pneumonia", True)))
    seen = Counter()
    for number in range(200):
        yes, no, which = ask(truth, (), {"label"}, key=str(number))
        assert (yes.text, yes.answer) == ("Is there evidence of pneumonia in the image?", TextAnswer(text="yes"))
        assert no.answer == TextAnswer(text="no")
        assert which.text == "Classify the image within one of the given classes: effusion, fracture, pneumonia."
        assert (which.key, which.answer) == ("label-class", TextAnswer(text="pneumonia"))
        seen[no.text] += 1
    # 100 of each, sd 7.1.
    assert all(abs(seen[f"Is there evidence of {name} in the image?"] - 100) < 36 for name in ("effusion", "fracture"))


@pytest.mark.parametrize(
    ("stated", "keys"),
    [
        ((("a", True), ("b", True)), ["label-yes"]),
        ((("a", True), ("b", True), ("c", False)), ["label-yes", "label-no"]),
        ((("a", False), ("b", False)), ["label-no"]),
        ((("a", True),), ["label-yes"]),
        # Said to be there and not to be there: not asked, and no class is then the only one.
        ((("a", True), ("a", False)), []),
        ((("a", True), ("a", False), ("b", True), ("c", False)), ["label-yes", "label-no"]),
    ],
)
def test_what_follows_from_stated_labels(stated, keys):
    assert [question.key for question in ask(SliceTruth(stated=stated), (), {"label"})] == keys


def test_what_a_search_says_goes_before_what_is_stated():
    truth = SliceTruth((finding("tumour"),), ("liver",), (("liver", True), ("tumour", False), ("pneumonia", True)))

    assert [q.text for q in ask(truth, (thing("1", "tumour"),), {"label"})] == [
        "Is there evidence of pneumonia in the image?"
    ]


def test_properties_are_asked_in_words():
    truth = SliceTruth(described=(("breast_density", "C"), ("birads", "2"), ("birads", "4")))
    (question,) = ask(truth, (), {"label"})

    assert (question.text, question.answer) == ("What is the breast density?", TextAnswer(text="C"))
    assert question.task is Task.VQA


# --- several slices


def test_of_several_slices_absence_needs_a_search_on_each():
    truths = [
        SliceTruth((finding("liver"),), ("liver", "lung", "spleen")),
        SliceTruth((finding("tumour"),), ("liver", "lung")),
        SliceTruth((finding("lung", clear=False),), ("liver", "lung", "kidney")),
    ]
    seen = set()
    for number in range(60):
        for question in ask_about_series(
            truths, key=str(number), tasks={"presence", "choice", "counting"}, several_images=True
        ):
            assert question.task is Task.PRESENCE
            seen.add((question.text, question.answer.text))
    # spleen and kidney were not searched for everywhere, lung is unclear.
    assert seen == {
        ("Is there any liver in this set of images?", "yes"),
        ("Is there any tumour in this set of images?", "yes"),
    }


def test_of_several_slices_what_is_on_none_of_them_is_not_there():
    truths = [SliceTruth((finding("liver"),), CLASSES), SliceTruth((), CLASSES)]
    yes, no, choice = ask_about_series(truths, key="k", tasks=frozenset(TASKS), several_images=False)

    assert yes.text == "Is there any liver in the image?"
    assert no.answer == TextAnswer(text="no")
    assert choice.answer.options[choice.answer.correct] == "liver"
    # A slice at which nobody looked may have any of them.
    unseen = ask_about_series([*truths, None], key="k", tasks={"presence", "choice"}, several_images=True)
    assert [question.answer for question in unseen] == [TextAnswer(text="yes")]


def test_med_29_of_several_slices_what_their_images_do_not_show_is_not_affirmed():
    """The liver lies outside of the crop, the lung is shown on one of two slices."""
    truths = [SliceTruth((finding("liver"), finding("lung")), CLASSES), None, SliceTruth((finding("lung"),), CLASSES)]
    cut = [
        (Object(id="1", label="liver", ignore=True), thing("2", "lung")),
        (),
        (Object(id="1", label="lung", ignore=True),),
    ]
    seen = set()
    for number in range(60):
        questions = ask_about_series(truths, cut, key=str(number), tasks=frozenset(TASKS), several_images=True)
        seen |= {(question.text, question.answer.text) for question in questions}
    assert seen == {("Is there any lung in this set of images?", "yes")}
    yes = {
        question.text[13:18]
        for number in range(60)
        for question in ask_about_series(truths, key=str(number), tasks={"presence"}, several_images=True)
    }
    assert yes == {"liver", "lung "}


def test_of_several_slices_a_label_is_there_if_one_has_it():
    truths = [
        SliceTruth(stated=(("a", True), ("b", False), ("c", False)), described=(("density", "C"), ("side", "left"))),
        SliceTruth(stated=(("a", False), ("b", False)), described=(("density", "C"), ("side", "left"))),
    ]
    yes, no, which, *described = ask_about_series(truths, key="k", tasks={"label"}, several_images=True)

    assert (yes.text[21:22], no.text[21:22]) == ("a", "b")
    assert which.answer == TextAnswer(text="a")
    assert [question.answer.text for question in described] == ["C", "left"]
    asked = [ask_about_series(truths, key=str(n), tasks={"label"}, several_images=True)[1] for n in range(20)]
    assert {question.text for question in asked} == {"Is there evidence of b in this set of images?"}
    different = [truths[0], SliceTruth(described=(("density", "D"), ("side", "left")))]
    assert all(
        q.task is not Task.VQA for q in ask_about_series(different, key="k", tasks={"label"}, several_images=True)
    )
    assert ask_about_series([], key="k", tasks=frozenset(TASKS), several_images=True) == []


def test_equal_keys_ask_alike_and_others_differ():
    objects = (thing("1", "liver"), thing("2", "lung", square(60, 60, 20, 20)))
    truth = SliceTruth((finding("liver"), finding("lung", square(60, 60, 20, 20), area_px=400.0)), CLASSES)
    asked = [ask(truth, objects, frozenset(TASKS), key=str(number)) for number in range(20)]

    assert asked == [ask(truth, objects[::-1], frozenset(TASKS), key=str(number)) for number in range(20)]
    assert any(one != other for one, other in itertools.pairwise(asked))
    assert any(question.answer == CountAnswer(count=1) for questions in asked for question in questions)
