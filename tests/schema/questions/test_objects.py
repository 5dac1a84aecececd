"""Only what the labels allow to be known is asked, and equal keys give equal questions."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from domainvl.schema import MeasureAnswer, Object, ObjectQuestions, Task, ask_about_objects

CLASSES = ["bus", "car", "plane", "ship", "tree"]


ALL = (Task.PRESENCE, Task.COUNTING, Task.COMPARISON, Task.AREA, Task.GROUNDING, Task.REGION, Task.CAPTION,
       Task.DETECTION, Task.CLASSIFICATION)  # fmt: skip


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
    # Counting: one class, with its number; of nothing but absent classes only in some images.
    assert len(by_task[Task.COUNTING]) <= bool(known)
    assert by_task[Task.COUNTING] or not any(count[label] for label in known)
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


def counted(objects, classes, images=400):
    """Return the counts that are asked for in so many images with the same objects, and the labels."""
    settings = ObjectQuestions(tasks=(Task.COUNTING,))
    questions = [
        question
        for image in range(images)
        for question in ask_about_objects(objects, classes, key=f"image-{image}", settings=settings)
    ]
    return Counter(question.answer.count for question in questions), Counter(question.text for question in questions)


def test_of_sixty_classes_a_quarter_of_the_counts_are_zero():
    # Three standard deviations of 400 draws at 1/4 are 26.
    counts, texts = counted([thing("1", "c7"), thing("2", "c8"), thing("3", "c8")], [f"c{n}" for n in range(60)])

    assert counts.total() == 400
    assert abs(counts[0] - 100) <= 26
    assert abs(counts[1] - 150) <= 30
    assert counts[1] + counts[2] + counts[0] == 400
    assert len(texts) > 40  # the absent ones are drawn among all


def test_where_nothing_is_there_a_count_is_asked_for_in_a_quarter_of_the_images():
    counts, _ = counted([], ["bus", "car"])

    assert set(counts) == {0}
    assert abs(counts[0] - 100) <= 26


def test_where_no_class_is_absent_no_count_is_zero():
    counts, _ = counted([thing("1", "bus"), thing("2", "car"), thing("3", "car")], ["bus", "car"])

    assert counts.total() == 400
    assert set(counts) == {1, 2}


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
    with pytest.raises(ValueError, match=r"presence, counting, .*; got vqa"):
        ask_about_objects([], [], key="k", settings=ObjectQuestions(tasks=(Task.VQA,)))


# --- comparison


def compare(counts, *, key="k", **fields):
    """Compare classes of which there are so many; return label, other and answer of each question."""
    objects = [thing(f"{label}{n}", label) for label, count in counts.items() for n in range(count)]
    settings = ObjectQuestions(tasks=(Task.COMPARISON,), **fields)
    pairs = []
    for question in ask_about_objects(objects, counts, key=key, settings=settings):
        label, other = question.text.removeprefix("Are there more instances of ").split(" in ")[0].split(" than of ")
        assert (question.task, question.key) == (Task.COMPARISON, f"comparison-{question.answer.text}")
        pairs.append((label, other, question.answer.text))
    return pairs


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"car": 2, "bus": 1}, [("car", "bus", "yes"), ("bus", "car", "no")]),
        ({"car": 2, "bus": 0}, [("car", "bus", "yes"), ("bus", "car", "no")]),
        ({"car": 1}, []),
        ({"car": 0, "bus": 0}, []),
        ({"car": 101, "bus": 1}, []),
        ({}, []),
    ],
    ids=["both", "one is absent", "one class", "nothing", "too many", "no class"],
)
def test_comparisons_of_two_classes(counts, expected):
    assert compare(counts) == expected


def test_of_equally_many_neither_has_more():
    pairs = {pair for n in range(60) for pair in compare({"car": 2, "bus": 2, "ship": 1}, key=str(n))}

    # Two have more than the ship; everything else is answered no.
    assert {pair[:2] for pair in pairs if pair[2] == "yes"} == {("car", "ship"), ("bus", "ship")}
    assert {pair[:2] for pair in pairs if pair[2] == "no"} == {
        ("car", "bus"), ("bus", "car"), ("ship", "car"), ("ship", "bus")
    }  # fmt: skip


def test_where_all_are_equally_many_an_absent_class_makes_a_yes_possible():
    for n in range(20):
        yes, no = compare({"car": 1, "bus": 1, "ship": 0}, key=str(n))
        assert (yes[1:], no[2]) == (("ship", "yes"), "no")
    assert compare({"car": 1, "bus": 1}) == []


def test_what_is_absent_is_compared_only_where_it_is_needed():
    assert all("ship" not in pair for n in range(20) for pair in compare({"car": 2, "bus": 1, "ship": 0}, key=str(n)))
    pairs = [pair for n in range(20) for pair in compare({"car": 2, "bus": 0, "ship": 0}, key=str(n))]
    assert {frozenset(pair[:2]) for pair in pairs} == {frozenset({"car", "bus"}), frozenset({"car", "ship"})}


@given(st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 4)), st.text(max_size=3))
def test_comparisons_agree_with_a_recount(counts, key):
    pairs = compare(counts, key=key)

    assert [answer for _, _, answer in pairs] == [answer for answer in ("yes", "no") if answer in [p[2] for p in pairs]]
    for label, other, answer in pairs:
        assert label != other
        assert answer == ("yes" if counts[label] > counts[other] else "no")
    present = [count for count in counts.values() if count]
    assert [p[2] for p in pairs] == (["yes", "no"] if present and len(set(counts.values())) > 1 else [])


# --- area


def square(name, label, x, y, side, **fields):
    ring = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
    return Object(id=name, label=label, box_px=(x, y, x + side, y + side), polygons_px=(ring,), **fields)


def area(objects, classes=("pond",), **fields):
    fields = {"size_px": (100, 100), "tasks": (Task.AREA,)} | fields
    return ask_about_objects(objects, classes, key="k", settings=ObjectQuestions(**fields))


def test_overlaps_are_counted_once():
    # 20 x 20 and 20 x 20 that share 10 x 20: 600 of 10,000 pixels, at 4 m a pixel 9,600 square metres.
    objects = [square("1", "pond", 0, 0, 20), square("2", "pond", 10, 0, 20)]

    share, ground = area(objects, gsd_m=4.0)

    assert (share.text, share.answer) == (
        "What share of the image is covered by pond, in percent?",
        MeasureAnswer(value=6.0, unit="%"),
    )
    assert (ground.text, ground.answer) == (
        "How many square metres of the image are covered by pond?",
        MeasureAnswer(value=9600.0, unit="m2"),
    )
    assert {share.task, ground.task} == {Task.AREA}
    assert (share.key, ground.key) == ("area-share", "area-ground")


def test_large_areas_are_asked_for_in_hectares():
    (_, ground) = area([square("1", "pond", 0, 0, 20)], gsd_m=10.0)

    # 400 pixels of 100 square metres.
    assert (ground.text, ground.answer.unit) == ("How many hectares of the image are covered by pond?", "ha")
    assert ground.answer.value == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("objects", "fields"),
    [
        ([thing("1", "pond")], {}),
        ([square("1", "pond", 0, 0, 20), thing("2", "pond")], {}),
        ([square("1", "pond", 0, 0, 7)], {"gsd_m": None}),
        ([Object(id="1", label="pond", polygons_px=(((50, 50), (60, 60)),))], {}),
        ([square("1", "pond", 0, 0, 20)], {"size_px": None}),
        ([square("1", "pond", 0, 0, 20)], {"size_px": (15, 20)}),
        ([square("1", "pond", 0, 0, 20), square("2", "pond", 50, 50, 5, ignore=True)], {}),
        ([square("1", "lake", 0, 0, 20)], {}),
        ([], {}),
    ],
    ids=[
        "boxes",
        "some boxes",
        "rounds to 0",
        "no area",
        "size",
        "more than the image",
        "ignored",
        "not annotated",
        "absent",
    ],
)
def test_where_no_area_is_asked_for(objects, fields):
    assert area(objects, **{"gsd_m": 1.0} | fields) == []


def test_where_a_share_rounds_to_zero_the_area_on_the_ground_is_asked_for():
    # 49 of 10,000 pixels; at 3 m a pixel 441 square metres.
    (ground,) = area([square("1", "pond", 0, 0, 7)], gsd_m=3.0)

    assert (ground.key, ground.answer) == ("area-ground", MeasureAnswer(value=441.0, unit="m2"))


def test_a_class_of_which_no_area_can_be_asked_for_does_not_take_the_place_of_another():
    """Ships have boxes only, trees cover 0.3 %, and lakes more than there is; ponds and fields can be asked for."""
    objects = [
        square("1", "pond", 0, 0, 20), thing("2", "ship"), square("3", "tree", 0, 50, 5),
        square("4", "field", 0, 60, 20),
        *(square(f"l{n}", "lake", 90 * n, 0, 90) for n in range(2)),
    ]  # fmt: skip
    classes = {each.label for each in objects}
    settings = ObjectQuestions(tasks=(Task.AREA,), size_px=(100, 100))
    asked = Counter(
        question.text
        for n in range(400)
        for question in ask_about_objects(objects, classes, key=str(n), settings=settings)
    )

    # Both 200 times; five standard deviations are 50.
    assert asked.total() == 400
    assert set(asked) == {f"What share of the image is covered by {label}, in percent?" for label in ("pond", "field")}
    assert all(abs(count - 200) < 50 for count in asked.values())


@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(2, 10)), min_size=1, max_size=8),
    st.integers(0, 2),
)
def test_areas_agree_with_counting_cells(corners, gsd_m):
    objects = [square(str(n), "pond", x, y, min(side, 20 - x, 20 - y)) for n, (x, y, side) in enumerate(corners)]
    cells = {
        (x, y)
        for each in objects
        for x in range(int(each.box_px[0]), int(each.box_px[2]))
        for y in range(int(each.box_px[1]), int(each.box_px[3]))
    }

    share, *ground = area(objects, size_px=(20, 20), gsd_m=gsd_m or None)

    assert share.answer.value == pytest.approx(len(cells) / 4)
    assert [question.answer.value for question in ground] == ([pytest.approx(len(cells) * gsd_m**2)] if gsd_m else [])


def test_rings_of_any_kind_have_the_area_that_shapely_finds():
    # A bow tie crosses itself: its two triangles have 25 each. Two points are no area.
    bow = Object(id="1", label="pond", polygons_px=(((0, 0), (10, 10), (10, 0), (0, 10)), ((50, 50), (60, 60))))
    circle = tuple((50 + 20 * math.cos(n / 8), 50 + 20 * math.sin(n / 8)) for n in range(50))
    disc = Object(id="2", label="pond", polygons_px=(circle, ((0, 50), (9, 50), (9, 59))))
    expected = 50 + shapely.Polygon(circle).buffer(0).area + 40.5

    (share,) = area([bow, disc])

    assert share.answer.value == pytest.approx(expected / 100)


# --- classification


@pytest.mark.parametrize(
    ("objects", "classes", "answer"),
    [
        ([thing("1", "car"), thing("2", "car"), thing("3", "bus")], ["car", "bus"], "car"),
        ([thing("1", "car"), thing("3", "bus")], ["car", "bus"], None),
        ([thing("1", "car")], ["car", "bus"], "car"),
        ([thing("1", "car")], ["car"], None),
        ([thing("1", "car"), thing("2", "bus", ignore=True)], ["car", "bus"], None),
        ([thing("1", "car", ignore=True), thing("2", "bus")], ["car", "bus", "ship"], None),
        ([], ["car", "bus"], None),
    ],
    ids=["more", "equal", "absent", "one class", "ignored", "ignored of three", "none"],
)
def test_the_dominant_class(objects, classes, answer):
    settings = ObjectQuestions(tasks=(Task.CLASSIFICATION,))

    questions = ask_about_objects(objects, classes, key="k", settings=settings)

    assert [question.answer.text for question in questions] == ([answer] if answer else [])
    assert all(question.text.endswith(" in the image: bus, car?") for question in questions)


# --- what holds for all of them


@given(scenes(), st.text(max_size=3))
def test_geo_35_of_a_class_with_an_ignored_object_only_what_is_certain_is_said(objects, key):
    unclear = {each.label for each in objects if each.ignore}
    ignored = {each.id for each in objects if each.ignore}
    settings = ObjectQuestions(tasks=ALL, size_px=(10, 10))
    questions = ask_about_objects(objects, CLASSES, key=key, settings=settings)

    for question in questions:
        named = unclear & set(re.findall(r"\w+", question.text))
        if question.task in (Task.COUNTING, Task.COMPARISON, Task.AREA):
            assert not named
        named_ids = {*getattr(question.answer, "object_ids", ()), *(getattr(question.answer, "about", None) or ())}
        assert not named_ids & ignored
    by_task = Counter(question.task for question in questions)
    assert not (unclear and by_task[Task.DETECTION])
    assert not (unclear & set(CLASSES) and by_task[Task.CLASSIFICATION])


@given(scenes(), st.text(max_size=3), st.randoms())
def test_keys_are_unique_and_the_order_of_objects_does_not_matter(objects, key, generator):
    settings = ObjectQuestions(tasks=ALL, size_px=(10, 10))
    first = ask_about_objects(objects, CLASSES, key=key, settings=settings)
    generator.shuffle(objects)

    assert ask_about_objects(objects, reversed(CLASSES), key=key, settings=settings) == first
    assert len({question.key for question in first}) == len(first)


def test_one_of_several_images_is_asked_about_by_name():
    objects = [thing("1", "car", image=0), thing("2", "car", image=1), thing("3", "bus", image=1, box_px=(6, 6, 9, 9))]
    asked = {
        image: ask_about_objects(
            objects, ["bus", "car"], key="k",
            settings=ObjectQuestions(tasks=ALL, image=image, place=f"in the image of {year}", size_px=(10, 10)),
        )
        for image, year in enumerate((2018, 2020))
    }  # fmt: skip

    by_key = {question.key: question for questions in asked.values() for question in questions}
    assert len(by_key) == len(asked[0]) + len(asked[1])
    assert by_key["image1-presence-no"].text == "Is there any bus in the image of 2018?"
    assert {question.text for question in asked[0] if question.task is Task.GROUNDING} == {"car in the image of 2018"}
    assert by_key["image2-grounding-2"].text == "car in the image of 2020"
    # What has no room for the place in its words says it before.
    assert (
        by_key["image2-region"].preface
        == by_key["image2-detection"].preface
        == "This is asked about the image of 2020."
    )
    assert "2020" not in by_key["image2-detection"].text  # the date is said once
    assert by_key["image2-detection"].answer.object_ids == ("3", "2")
    assert by_key["image1-detection"].answer.object_ids == ("1",)
    assert by_key["image2-counting"].preface is None
