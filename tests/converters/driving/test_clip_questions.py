"""What is asked about a clip, and that nothing unknown is."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from domainvl.converters.driving.behaviour import BEHAVIOURS, Behaviour, Pace, SpeedChange, Steering
from domainvl.converters.driving.clip_questions import (
    ClipThresholds,
    ask_about_clip,
    distance_change,
    objects_to_keep,
)
from domainvl.schema import Image, Object, Provenance, Source, Task, samples_from_questions

AHEAD = Behaviour(Steering.STRAIGHT, Pace.FAST, SpeedChange.STEADY)


def thing(instance, distance_m=None, motion=None, *, label="car", box=(10.0, 20.0, 30.0, 40.0), **options):
    facts = {"distance_m": distance_m, "motion": motion}
    attributes = {key: value for key, value in facts.items() if value is not None}
    return Object(id=f"{instance}/FRONT", label=label, box_px=box, attributes=attributes, **options)


def asked(sightings, key="clip"):
    return ask_about_clip(key=key, behaviour=None, sightings=sightings, per_task=10)


def ever_asked(sightings):
    """What any of many clips that show the same is asked about; which answer is wanted is drawn for each."""
    questions = [question for clip in range(40) for question in asked(sightings, str(clip))]
    return sorted({(question.text, question.answer.text, question.answer.about) for question in questions})


def ever_answered(sightings):
    return [answer for _, answer, _ in ever_asked(sightings)]


def test_the_action_of_the_ego_car_is_asked_in_the_words_of_the_paper():
    question, _ = ask_about_clip(key="clip", behaviour=AHEAD, sightings={})

    assert question.key == "clip-behaviour"
    assert question.text == "What is the action of the ego car?"
    assert question.task is Task.MULTIPLE_CHOICE
    assert question.answer.options[question.answer.correct] == AHEAD.text
    assert len(set(question.answer.options) & set(BEHAVIOURS)) == 4


@pytest.mark.parametrize("change", list(SpeedChange))
def test_drv_31_the_change_of_speed_is_asked_where_the_vehicle_drives(change):
    _, question = ask_about_clip(key="clip", behaviour=Behaviour(Steering.LEFT, Pace.SLOW, change), sightings={})

    assert (question.key, question.task) == ("clip-behaviour-speed", Task.MULTIPLE_CHOICE)
    assert question.text == "How does the speed of the ego car change?"
    assert question.answer.options[question.answer.correct] == change.value
    assert set(question.answer.options) == {item.value for item in SpeedChange}
    still = Behaviour(Steering.STRAIGHT, Pace.STILL, change)
    assert [one.key for one in ask_about_clip(key="clip", behaviour=still, sightings={})] == ["clip-behaviour"]


def test_nothing_known_nothing_asked():
    assert ask_about_clip(key="clip", behaviour=None, sightings={}) == []
    assert asked({3: [thing("a", 10.0, "moving")]}) == []
    assert asked({0: [thing("a")], 3: [thing("a")]}) == []


def test_only_wanted_tasks_are_asked():
    sightings = {0: [thing("a", 10.0, "moving")], 3: [thing("a", 20.0, "moving")]}
    keys = {
        task: {
            question.key
            for clip in range(20)
            for question in ask_about_clip(key=str(clip), behaviour=AHEAD, sightings=sightings, tasks={task})
        }
        for task in ("clip-behaviour", "clip-motion", "motion")
    }

    assert keys == {
        "clip-behaviour": {"clip-behaviour", "clip-behaviour-speed"},
        "clip-motion": {"clip-motion-1"},
        "motion": set(),
    }


def test_questions_name_the_frames_and_point_at_the_thing_in_the_last():
    sightings = {0: [thing("a", 30.0, "moving")], 3: [], 6: [thing("a", 12.5, "moving")]}

    assert ever_asked(sightings) == [
        (
            "Compared with Frame1, is the car in Frame7 nearer to the ego car, farther away or about as far? In Frame7 "
            "it is in this location",
            "nearer",
            ("a/FRONT",),
        ),
        (
            "Is the car moving or not moving from Frame1 to Frame7? In Frame7 it is in this location",
            "moving",
            ("a/FRONT",),
        ),
    ]


@pytest.mark.parametrize(
    ("before_m", "after_m", "words"),
    [
        (20.0, 20.0, "about as far"),
        (20.0, 20.99, "about as far"),
        (20.0, 19.01, "about as far"),
        (20.0, 21.5, None),
        (20.0, 17.5, None),
        (20.0, 23.0, "farther away"),
        (20.0, 16.9, "nearer"),
    ],
)
def test_a_distance_that_could_be_seen_either_way_is_not_asked_about(before_m, after_m, words):
    assert distance_change(before_m, after_m) == words
    found = ever_answered({0: [thing("a", before_m)], 1: [thing("a", after_m)]})
    assert found == ([words] if words else [])


def test_other_thresholds_change_what_is_asked_and_can_stand_in_a_record():
    strict = ClipThresholds(constant_below_m=0.1, changed_from_m=0.2)
    assert distance_change(20.0, 20.5, strict) == "farther away"
    assert ClipThresholds(**strict.to_dict()) == strict


@pytest.mark.parametrize(
    ("motions", "answer"),
    [
        (["moving", "moving", "moving"], "moving"),
        (["not moving", None, "not moving"], "not moving"),
        (["moving", "not moving", "moving"], None),
        (["not moving", "moving"], None),
        ([None, "moving"], None),
        (["moving", None], None),
        (["flying", "flying"], None),
    ],
)
def test_motion_is_asked_about_where_it_is_known_and_the_same_all_the_time(motions, answer):
    found = ever_answered({place: [thing("a", motion=motion)] for place, motion in enumerate(motions)})
    assert found == ([answer] if answer else [])


def test_things_that_are_ignored_or_not_in_both_frames_or_have_no_box_are_not_asked_about():
    good = {"distance_m": 10.0, "motion": "moving"}
    first = [thing("a", **good), thing("b", ignore=True, **good), thing("c", **good), thing("d", **good)]
    last = [thing("b", **good), thing("c", ignore=True, **good), thing("d", box=None, **good), thing("e", **good)]

    assert ever_asked({0: first, 5: last}) == []
    assert len(ever_asked({0: [*first, thing("e", **good)], 5: last})) == 2


def crowd():
    """Ten things parked, three moving; four as far as before, two nearer, one farther: in the first and last image."""
    moving = [("moving" if number < 3 else "not moving") for number in range(10)]
    after_m = [20.0] * 4 + [10.0] * 2 + [30.0] + [22.0] * 3
    first = [thing(str(number), 20.0, word) for number, word in enumerate(moving)]
    last = [thing(str(number), far_m, word) for number, (far_m, word) in enumerate(zip(after_m, moving, strict=True))]
    return {0: first, 4: last}


def test_which_answer_is_wanted_is_drawn_first_so_that_none_is_a_good_guess():
    answers = Counter(
        question.answer.text
        for clip in range(3000)
        for question in ask_about_clip(key=str(clip), behaviour=None, sightings=crowd())
    )

    # One question a clip: half of them about motion, with two answers, and half about distance, with three.
    assert sum(answers.values()) == 3000
    expected = dict.fromkeys(("moving", "not moving"), 750) | dict.fromkeys(
        ("nearer", "farther away", "about as far"), 500
    )
    assert answers.keys() == expected.keys()
    for word, count in expected.items():
        assert abs(answers[word] - count) < 5 * count**0.5, word


def test_several_questions_take_kinds_and_answers_in_turn_until_an_answer_is_lacking():
    for clip in range(30):
        answers = [question.answer.text for question in asked(crowd(), str(clip))]
        motion = [word for word in answers if "moving" in word]
        distance = [word for word in answers if "moving" not in word]
        assert all(first != second for first, second in itertools.pairwise(motion))
        # Three of four have been moving before the first lack, and one is farther away.
        assert 5 <= len(motion) <= 7
        assert 3 <= len(distance) <= 5
        assert all(len(set(three)) == 3 for three in zip(distance, distance[1:], distance[2:], strict=False))
        assert [("moving" in word) for word in answers[:6:2]] == [("moving" in answers[0])] * 3
        assert ("moving" in answers[0]) != ("moving" in answers[1])


def test_of_no_thing_with_the_wanted_answer_nothing_is_asked():
    parked = {0: [thing("a", motion="not moving")], 1: [thing("a", motion="not moving")]}
    counts = Counter(len(asked(parked, str(clip))) for clip in range(400))

    assert counts.keys() == {0, 1}
    assert abs(counts[1] - 200) < 50


def test_a_limit_takes_a_draw_that_depends_on_the_clip_alone():
    sightings = crowd()

    def drawn(key, sightings, per_task=1):
        questions = ask_about_clip(key=key, behaviour=None, sightings=sightings, per_task=per_task)
        return [(question.text, question.answer) for question in questions]

    one = drawn("clip", sightings)
    assert len(one) == 1
    assert drawn("clip", {4: sightings[4][::-1], 0: sightings[0]}) == one
    assert drawn("clip", sightings, per_task=3)[:1] == one
    assert len({str(drawn(f"clip-{number}", sightings)) for number in range(30)}) > 5


def test_the_sample_writes_the_box_in_the_frame_that_the_question_names():
    sightings = {0: [thing("a", 30.0)], 2: [thing("a", 12.0, box=(16.0, 9.0, 80.0, 45.0)), thing("b")]}
    objects = objects_to_keep(sightings)
    images = [
        Image(path=f"images/{number}.jpg", width_px=160, height_px=90, pixel_sha256=str(number), frame=number + 1,
              source=Source(uri=f"{number}.jpg"))
        for number in range(3)
    ]  # fmt: skip
    nearer = next(questions for clip in range(40) if (questions := asked(sightings, str(clip))))
    (sample,) = samples_from_questions(
        nearer,
        id_prefix="scene/clip",
        domain="driving",
        images=images,
        objects=objects,
        group="scene",
        provenance=Provenance(converter="test", version="0", settings_sha256="0", wording="0"),
    )

    assert [item.image for item in objects] == [2, 2]
    assert sample.turns[0].text == (
        "Frame1: <image>\nFrame2: <image>\nFrame3: <image>\n"
        "Compared with Frame1, is the car in Frame3 nearer to the ego car, farther away or about as far? In Frame3 it "
        "is in this location<box>[[100, 100, 500, 500]]</box>\nAnswer the question using a single word or phrase."
    )
    assert sample.turns[1].text == "nearer"
    assert objects_to_keep({}) == []
