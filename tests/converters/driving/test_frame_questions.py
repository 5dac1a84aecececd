"""What is asked about a key frame follows from its objects, and nothing is claimed that they do not show."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domainvl.converters.driving.frame_questions import FrameQuestions, ask_about_one_view, ask_about_views
from domainvl.converters.driving.rig import VIEW_ORDER
from domainvl.evaluation.items import score
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import Image, Object, Provenance, Source, Task, samples_from_questions

CLASSES = ("bicycle", "bus", "car", "pedestrian", "truck")
ALL = FrameQuestions(
    frozenset({"view", "presence", "counting", "distance", "motion", "grounding", "region", "caption"})
)
NOTED = ("distance_m", "bearing_deg", "motion", "attribute", "speed_m_s")


def thing(instance, label, view="FRONT", box_px=(0, 0, 50, 40), **fields):
    attributes = {name: fields.pop(name) for name in NOTED if name in fields}
    image = VIEW_ORDER.index(view)
    return Object(id=f"{instance}/{view}", label=label, image=image, box_px=box_px, attributes=attributes, **fields)


def ask(objects, *tasks, key="k", views=VIEW_ORDER, classes=CLASSES, per_task=1, stitched=False):
    wanted = FrameQuestions(frozenset(tasks) or ALL.tasks, per_task)
    return ask_about_views(objects, views, classes, key=key, settings=wanted, stitched=stitched)


def ask_alone(objects, *tasks, key="k", classes=CLASSES, per_task=1, view="FRONT"):
    wanted = FrameQuestions(frozenset(tasks) or ALL.tasks, per_task)
    alone = [thing.model_copy(update={"image": 0}) for thing in objects]
    return ask_about_one_view(alone, view=view, classes=classes, key=key, settings=wanted)


def answers(questions):
    return {(question.text, getattr(question.answer, "text", question.answer)) for question in questions}


def samples(questions, objects, view_count=6, size_px=(1600, 900)):
    images = [
        Image(path=f"{view}.jpg", width_px=size_px[0], height_px=size_px[1], pixel_sha256="0", view=view,
              source=Source(uri=view))
        for view in VIEW_ORDER[:view_count]
    ]  # fmt: skip
    provenance = Provenance(converter="c", version="1", settings_sha256="0", wording="w")
    return list(
        samples_from_questions(
            questions, id_prefix="s", domain="driving", images=images, objects=objects, group="g", provenance=provenance
        )
    )


# --- which view


def test_the_view_of_the_only_thing_of_its_class_is_asked_for():
    objects = [thing("a", "bus", "BACK"), thing("b", "car"), thing("c", "car", "BACK_LEFT")]
    (question,) = ask(objects, "view", per_task=9)
    assert (question.task, question.text, question.answer.text) == (Task.VQA, "Which view shows the bus?", "BACK")


@pytest.mark.parametrize(
    "more",
    [
        [thing("a", "bus", "FRONT")],
        [thing("a", "bus", "FRONT", ignore=True)],
        [thing("b", "bus", "BACK")],
        [thing("b", "bus", "FRONT_LEFT", ignore=True)],
    ],
    ids=["in two views", "a sliver in another", "two of them", "another is hidden"],
)
def test_no_view_is_asked_for_where_another_may_be_right(more):
    assert ask([thing("a", "bus", "BACK"), *more], "view") == []


def test_no_view_is_asked_for_of_a_hidden_thing_or_of_a_class_that_was_not_annotated_or_of_one_view():
    assert ask([thing("a", "bus", ignore=True)], "view") == []
    assert ask([thing("a", "bus")], "view", classes=["car"]) == []
    assert ask([thing("a", "bus")], "view", views=["FRONT"]) == []


# --- counting


def test_a_thing_in_two_views_is_counted_once_also_where_one_hides_it():
    objects = [thing("a", "car"), thing("a", "car", "FRONT_LEFT"), thing("b", "car", "BACK"),
               thing("b", "car", "BACK_LEFT", ignore=True)]  # fmt: skip
    seen = set()
    for number in range(40):
        seen |= answers(ask(objects, "counting", key=str(number), classes=["car"]))
    ((text, answer),) = seen
    assert (text, answer.count) == ("How many instances of car are in the six views?", 2)


def test_a_class_with_a_thing_that_is_hidden_everywhere_is_not_counted():
    objects = [thing("a", "car"), thing("b", "car", "BACK", ignore=True), thing("b", "car", "BACK_LEFT", ignore=True)]
    assert all(not ask(objects, "counting", key=str(n), classes=["car"]) for n in range(40))


def test_absent_classes_are_counted_in_one_of_four_frames():
    objects = [thing("a", "car"), thing("b", "bus", ignore=True)]
    asked = Counter()
    for number in range(800):
        (question,) = ask(objects, "counting", key=str(number))
        asked[question.answer.count] += 1
        label = re.search("of (.*) are", question.text)[1]
        # The bus is hidden: neither 0 nor 1 is certain.
        assert question.answer.count == (label == "car") and label != "bus"
    # 200 of 800; five standard deviations are 61.
    assert abs(asked[0] - 200) < 61


def test_several_counts_are_of_different_classes():
    objects = [thing("a", "car"), thing("b", "bus"), thing("c", "truck")]
    for number in range(30):
        questions = ask(objects, "counting", key=str(number), per_task=9)
        assert len({question.text for question in questions}) == len(questions)


def test_views_are_counted_in_words():
    place = {count: ask([thing("a", "car")], "counting", views=VIEW_ORDER[:count], classes=["car"])[0].text[-12:-1]
             for count in (1, 2)}  # fmt: skip
    assert place == {1: "n the image", 2: "e two views"}


def test_of_a_rig_with_one_camera_it_is_said_which_view_it_is():
    objects = [thing("a", "bus", distance_m=5.0, motion="moving")]
    questions = ask(objects, views=["FRONT"], per_task=9, classes=["bus"])
    assert {question.key for question in questions} >= {"counting-1", "distance-1", "caption"}
    assert {question.preface for question in questions} == {"This is the FRONT view of the ego vehicle."}
    assert {question.preface for question in ask(objects)} == {None}


# --- distance and motion


def test_the_distance_of_the_only_thing_of_its_class_in_a_view_is_a_measure_in_metres():
    objects = [thing("a", "bus", "BACK", distance_m=12.34), thing("b", "car", distance_m=5.0),
               thing("c", "car", ignore=True, distance_m=9.0)]  # fmt: skip
    (question,) = ask(objects, "distance", per_task=9)
    assert question.task is Task.LENGTH
    assert question.text == "How far is the centre of the bus in the BACK view from the ego vehicle, in metres?"
    assert (question.answer.value, question.answer.unit) == (12.34, "m")


@pytest.mark.parametrize(
    ("reply", "right"), [("12.3 m", True), ("13.5 metres", True), ("11.2", True), ("13.7 m", False), ("1230 cm", True),
                         ("12 km", False), ("12.3 m2", False)]
)  # fmt: skip
def test_a_distance_is_right_within_a_tenth_of_the_truth(reply, right):
    objects = [thing("a", "bus", distance_m=12.34)]
    (sample,) = samples(ask(objects, "distance"), objects)
    assert sample.turns[-1].text == "12.3 m"
    result = score(sample, Prediction(sample_id=sample.id, text=reply, likelihood=1.0))
    assert (result.correct, result.tolerance) == (right, "within 10%")


@pytest.mark.parametrize("distance_m", [None, "12", -3.0, 0.0, True])
def test_an_unknown_distance_is_not_asked_for(distance_m):
    objects = [thing("a", "bus", distance_m=distance_m)]
    assert ask(objects, "distance") == []
    # Within a tenth of nothing no answer would be right, but in words it can be said.
    assert bool(ask(objects, "caption")) == (distance_m == 0.0 and distance_m is not True)


def test_a_motion_is_asked_for_where_it_is_known_and_yes_is_as_frequent_as_no():
    objects = [thing(str(n), label, motion="not moving") for n, label in enumerate(("bus", "car", "truck"))]
    objects += [thing("p", "pedestrian", "BACK", motion="moving"), thing("q", "bicycle")]
    seen = Counter()
    for number in range(400):
        (question,) = ask(objects, "motion", key=str(number))
        assert question.text == (
            "Is the pedestrian in the BACK view moving?"
            if question.answer.text == "yes"
            else f"Is the {question.text.split()[2]} in the FRONT view moving?"
        )
        assert "bicycle" not in question.text
        seen[question.answer.text] += 1
    # 200 each; five standard deviations are 50.
    assert abs(seen["yes"] - 200) < 50
    assert answers(ask(objects, "motion", per_task=2)) & {("Is the pedestrian in the BACK view moving?", "yes")}


def test_without_a_moving_thing_half_of_the_frames_ask_for_no_motion():
    objects = [thing("a", "bus", motion="not moving")]
    asked = [len(ask(objects, "motion", key=str(number), per_task=3)) for number in range(400)]
    assert set(asked) == {0, 1} and abs(sum(asked) - 200) < 50


# --- what is around


def test_the_nearest_things_are_named_once_in_the_view_in_which_they_are_largest():
    objects = [
        thing("far", "truck", "BACK", distance_m=45.0, bearing_deg=180.0, attribute="vehicle.parked"),
        thing("near", "car", "FRONT", distance_m=4.0, bearing_deg=30.0, motion="moving", box_px=(0, 0, 50, 30)),
        thing("near", "car", "FRONT_LEFT", distance_m=4.0, bearing_deg=30.0, motion="moving", box_px=(0, 0, 40, 40)),
        thing("hidden", "bus", distance_m=2.0, ignore=True),
        thing("lost", "bicycle"),
    ]
    (question,) = ask(objects, "caption")
    assert question.answer.text == (
        "From near to far: car, moving, less than 5 m away, to the front left of the ego vehicle, in the FRONT_LEFT "
        "view; truck, parked, more than 40 m away, to the back of the ego vehicle, in the BACK view."
    )


def caption_of(*objects):
    (question,) = ask(objects, "caption")
    return question.answer.text


def test_the_view_of_a_caption_is_that_of_the_largest_clear_box_whatever_share_of_the_thing_it_is():
    # A truck beside the vehicle: one view is full of it, another shows its whole end, far away and small.
    large = thing("a", "truck", "FRONT_RIGHT", (0, 0, 1600, 900), distance_m=4.0, visible_fraction=0.2)
    whole = thing("a", "truck", "BACK_RIGHT", (0, 0, 90, 60), distance_m=4.0, visible_fraction=0.8)
    assert caption_of(large, whole).endswith("in the FRONT_RIGHT view.")
    hidden = large.model_copy(update={"ignore": True})
    assert caption_of(hidden, whole).endswith("in the BACK_RIGHT view.")


@pytest.mark.parametrize("first", range(len(VIEW_ORDER) - 1))
def test_of_equally_large_boxes_the_view_that_comes_first_is_named(first):
    # By name BACK comes before FRONT; on the rig it does not.
    objects = [thing("a", "bus", view, (5 * place, 0, 5 * place + 50, 40), distance_m=4.0)
               for place, view in enumerate(VIEW_ORDER)][first:]  # fmt: skip
    assert caption_of(*objects).endswith(f"in the {VIEW_ORDER[first]} view.")
    assert caption_of(*reversed(objects)).endswith(f"in the {VIEW_ORDER[first]} view.")


def test_a_single_thing_is_named_alone_and_nothing_is_named_where_no_distance_is_known():
    (question,) = ask([thing("a", "car", distance_m=12.0)], "caption")
    assert question.answer.text == "car, 10 to 20 m away, in the FRONT view."
    assert ask([thing("a", "car", bearing_deg=3.0), thing("b", "bus", ignore=True, distance_m=1.0)], "caption") == []


def test_at_most_six_things_are_named_the_nearest_first():
    objects = [thing(str(n), "car", distance_m=float(60 - n), bearing_deg=float(n)) for n in range(20)]
    (question,) = ask(objects, "caption")
    assert "at most six" in question.text
    assert question.answer.text.count("car") == 6
    near = [thing(str(n), "car", distance_m=float(60 - n), bearing_deg=float(n)) for n in range(14, 20)]
    assert ask(near, "caption")[0].answer == question.answer


# --- the stitched image


def test_on_the_canvas_the_view_is_named_and_the_box_is_that_of_the_canvas():
    canvas = [thing("a", "bus", "BACK", (1000, 500, 1300, 700)), thing("b", "car", "FRONT", (900, 10, 990, 60)),
              thing("b", "car", "FRONT_LEFT", (800, 10, 890, 60))]  # fmt: skip
    canvas = [other.model_copy(update={"image": 0}) for other in canvas]
    questions = ask(canvas, "grounding", "region", stitched=True, per_task=9)
    grounding = {question.text: question.answer.object_ids for question in questions if question.task is Task.GROUNDING}
    assert grounding == {
        "bus in the BACK view": ("a/BACK",),
        "car in the FRONT view": ("b/FRONT",),
        "car in the FRONT_LEFT view": ("b/FRONT_LEFT",),
    }
    assert sum(question.task is Task.REGION for question in questions) == 3
    made = {sample.question: sample for sample in samples(questions, canvas, 1, (2688, 896))}
    # By hand: 1000/2688 and 1300/2688 of the width, 500/896 and 700/896 of the height.
    assert made["bus in the BACK view"].turns[-1].text.endswith("<box>[[372, 558, 484, 781]]</box>")
    assert ask(canvas, "grounding", "region") == []


# --- a view alone


def test_presence_is_yes_as_often_as_no_and_nothing_hidden_is_denied():
    objects = [thing("a", "car"), thing("b", "bus", ignore=True), thing("c", "tram")]
    seen = Counter()
    for number in range(400):
        (question,) = ask_alone(objects, "presence", key=str(number))
        label = re.fullmatch(r"Is there any (.*) in the image\?", question.text)[1]
        assert (question.answer.text == "yes") == (label == "car") and label not in ("bus", "tram")
        seen[question.answer.text] += 1
    # 200 each; five standard deviations are 50.
    assert abs(seen["yes"] - 200) < 50


def test_several_presences_alternate_until_one_side_has_no_more():
    objects = [thing("a", "car"), thing("b", "bus")]
    for number in range(20):
        questions = ask_alone(objects, "presence", key=str(number), per_task=9)
        words = [question.answer.text for question in questions]
        assert all(one != other for one, other in itertools.pairwise(words))
        # Two of five classes are there: what is asked ends with the third "yes" that there is not.
        assert words.count("yes") == 2 and words.count("no") == (2 if words[0] == "yes" else 3)


def test_grounding_is_of_classes_with_one_thing_and_as_many_as_wanted():
    objects = [thing("a", "car"), thing("b", "bus", box_px=(60, 0, 90, 40)), thing("c", "truck"), thing("d", "truck")]
    questions = ask_alone(objects, "grounding", per_task=9)
    assert {question.text: question.answer.object_ids for question in questions} == {
        "car": ("a/FRONT",),
        "bus": ("b/FRONT",),
    }
    drawn = Counter(question.text for n in range(200) for question in ask_alone(objects, "grounding", key=str(n)))
    assert drawn.total() == 200 and min(drawn["car"], drawn["bus"]) > 64  # 100 each less five standard deviations


def test_drv_24_a_region_is_described_by_class_state_distance_and_sector():
    objects = [thing("a", "bus", "BACK", attribute="vehicle.parked", motion="not moving", distance_m=12.0,
                     bearing_deg=-135.0)]  # fmt: skip
    name, description = ask_alone(objects, "region", view="BACK")
    assert (name.task, name.answer.object_ids, name.preface) == (Task.REGION, ("a/BACK",), None)
    assert (description.task, description.answer.about) == (Task.CAPTION, ("a/BACK",))
    assert description.text == "Describe the object in this location"
    assert description.preface == "This is the BACK view of the ego vehicle."
    assert description.answer.text == "bus, parked, 10 to 20 m away, to the back right of the ego vehicle."


def test_a_thing_of_which_only_the_class_is_known_is_named_but_not_described():
    assert [question.task for question in ask_alone([thing("a", "bus")], "region", per_task=9)] == [Task.REGION]


def test_of_two_cars_in_nearly_one_box_the_class_is_known_but_not_the_distance():
    objects = [thing("a", "car", distance_m=5.0), thing("b", "car", box_px=(1, 0, 50, 40), distance_m=15.0),
               thing("c", "bus", box_px=(200, 0, 300, 90), distance_m=30.0)]  # fmt: skip
    questions = ask_alone(objects, "region", per_task=9)
    named = {question.answer.object_ids[0] for question in questions if question.task is Task.REGION}
    described = {question.answer.about[0] for question in questions if question.task is Task.CAPTION}
    assert named == {"a/FRONT", "b/FRONT", "c/FRONT"} and described == {"c/FRONT"}


# --- all together


KNOWN_OR_NOT = st.one_of(
    st.none(),
    st.just(math.nan),
    st.just(math.inf),
    st.floats(-200, 200),
    st.booleans(),
    st.just("nan"),
    st.integers(-9, 9),
)
WORDS = st.sampled_from(
    [
        "moving",
        "not moving",
        "",
        "nan",
        "vehicle.parked",
        "vehicle.moving",
        "none",
        "cycle.with_rider",
        None,
        math.nan,
        3,
    ]
)


@st.composite
def frames(draw):
    objects = {}
    for _ in range(draw(st.integers(0, 12))):
        attributes = {
            name: draw(WORDS if name in ("motion", "attribute") else KNOWN_OR_NOT)
            for name in NOTED
            if draw(st.booleans())
        }
        x_px = draw(st.integers(0, 1500))
        instance, label, view = (draw(st.sampled_from(names)) for names in ("abcdefgh", [*CLASSES, "tram"], VIEW_ORDER))
        made = thing(instance, label, view, (x_px, 0, x_px + 40, 30), ignore=draw(st.booleans()))
        # Not validated, which would refuse NaN.
        made = Object.model_construct(**{**made.__dict__, "attributes": attributes})
        objects[made.id] = made
    return list(objects.values())


def every_question(objects, key, per_task):
    wanted = replace(ALL, per_task=per_task)
    yield ask_about_views(objects, VIEW_ORDER, CLASSES, key=key, settings=wanted)
    canvas = [Object.model_construct(**{**thing.__dict__, "image": 0}) for thing in objects]
    yield ask_about_views(canvas, VIEW_ORDER, CLASSES, key=key, settings=wanted, stitched=True)
    for view in VIEW_ORDER:
        alone = [thing for thing in canvas if thing.id.endswith(f"/{view}")]
        yield ask_about_one_view(alone, view=view, classes=CLASSES, key=f"{key}/{view}", settings=wanted)


@settings(max_examples=150, deadline=None)
@given(frames(), st.integers(0, 99), st.integers(1, 3), st.randoms(use_true_random=False))
def test_drv_24_nothing_unknown_reaches_text_and_the_order_of_objects_does_not_matter(objects, key, per_task, random):
    shuffled = random.sample(objects, len(objects))
    for questions, again in zip(
        every_question(objects, str(key), per_task), every_question(shuffled, str(key), per_task), strict=True
    ):
        assert questions == again
        assert len({question.key for question in questions}) == len(questions)
        kinds = Counter(re.sub(r"-.*", "", question.key) for question in questions)
        assert all(count <= per_task for count in kinds.values())
        for question in questions:
            said = f"{question.text} {question.answer} {question.preface}".lower()
            assert not re.search(r"\b(?:nan|inf)\b|tram|true|false", said)
            assert "{" not in question.text
            assert set(
                getattr(question.answer, "object_ids", None) or getattr(question.answer, "about", None) or ()
            ) <= {thing.id for thing in objects if not thing.ignore}


def test_a_measure_that_is_not_a_number_cannot_be_an_answer():
    """The last guard behind what is checked here: the schema itself refuses it."""
    (question,) = ask([thing("a", "bus", distance_m=5.0)], "distance")
    with pytest.raises(ValidationError):
        type(question.answer)(value=math.nan, unit="m")


def test_only_tasks_that_are_wanted_are_asked_and_others_are_passed_over():
    objects = [thing("a", "bus", distance_m=5.0, motion="moving"), thing("b", "car", "BACK", motion="not moving")]
    by_task = {task: {question.key.split("-")[0] for question in [*ask(objects, task), *ask_alone(objects[:1], task)]}
               for task in (*sorted(ALL.tasks), "behaviour", "scene")}  # fmt: skip
    assert by_task == {
        "caption": {"caption"}, "counting": {"counting"}, "distance": {"distance"}, "grounding": {"grounding"},
        "motion": {"motion"}, "presence": {"presence"}, "region": {"region", "description"}, "view": {"view"},
        "behaviour": set(), "scene": set(),
    }  # fmt: skip


def test_drv_11_before_each_question_about_a_stitched_image_it_is_said_which_view_is_where():
    objects = [thing("a", "bus", distance_m=5.0, motion="moving", bearing_deg=1.0),
               thing("b", "car", "BACK", (90, 0, 150, 40), motion="not moving")]  # fmt: skip
    canvas = [one.model_copy(update={"image": 0}) for one in objects]
    questions = ask(canvas, stitched=True, per_task=2)
    assert {question.key.split("-")[0] for question in questions} >= {
        "view",
        "counting",
        "grounding",
        "region",
        "caption",
    }
    assert {question.preface for question in questions} == {
        "The image shows six views of the ego vehicle. Upper row: FRONT_LEFT, FRONT, FRONT_RIGHT; "
        "lower row: BACK_LEFT, BACK, BACK_RIGHT."
    }
    # Of several images each has its name in the prompt.
    assert {question.preface for question in ask(objects, per_task=2)} == {None}


def test_all_questions_can_be_worded_as_samples():
    objects = [thing("a", "bus", distance_m=5.0, motion="moving", bearing_deg=1.0),
               thing("b", "car", "BACK", motion="not moving")]  # fmt: skip
    made = samples(ask(objects, per_task=3), objects)
    assert len(made) == len(ask(objects, per_task=3)) > 4
    assert made[0].turns[0].text.startswith("FRONT_LEFT: <image>\nFRONT: <image>\n")
    alone = [objects[0].model_copy(update={"image": 0})]
    described = samples([q for q in ask_alone(alone, "region") if q.answer.kind == "text"], alone, 1)[0]
    assert described.turns[0].text == (
        "<image>\nThis is the FRONT view of the ego vehicle.\n"
        "Describe the object in this location<box>[[0, 0, 31, 44]]</box>"
    )
