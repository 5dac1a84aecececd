"""The words for what the ego vehicle does, and when each is said."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.converters.driving.behaviour import (
    BEHAVIOURS,
    Behaviour,
    BehaviourThresholds,
    Pace,
    SpeedChange,
    Steering,
    ask_behaviour,
    behaviour_after,
    behaviour_of,
    behaviour_options,
    speed_change_options,
)
from domainvl.converters.driving.motion import Motion, Track
from domainvl.converters.driving.stitching import view_note
from domainvl.schema import ChoiceAnswer, Task

LIMITS = BehaviourThresholds()


def named(speed_m_s, yaw_rate_deg_s=0.0, *, duration_s=1.0, acceleration_m_s2=0.0, backwards=False):
    turn_deg = yaw_rate_deg_s * duration_s
    return behaviour_of(Motion(duration_s, speed_m_s, turn_deg, acceleration_m_s2, backwards))


def said(*args, **options):
    behaviour = named(*args, **options)
    assert behaviour is not None
    return behaviour.text


def test_there_are_the_21_behaviours_of_drivelm():
    steering, pace = Counter(), Counter()
    for text in BEHAVIOURS:
        first, second, rest = text.split(".")
        assert rest == ""
        steering[first] += 1
        pace[second] += 1

    assert len(set(BEHAVIOURS)) == 21
    # As counted in rule_based2: each way to steer with four ways to drive, and standing.
    assert steering == {
        "The ego vehicle is going straight": 5,
        "The ego vehicle is steering to the left": 4,
        "The ego vehicle is steering to the right": 4,
        "The ego vehicle is slightly steering to the left": 4,
        "The ego vehicle is slightly steering to the right": 4,
    }
    assert pace == {
        " The ego vehicle is driving slowly": 5,
        " The ego vehicle is driving with normal speed": 5,
        " The ego vehicle is driving fast": 5,
        " The ego vehicle is driving very fast": 5,
        " The ego vehicle is not moving": 1,
    }
    assert "The ego vehicle is going straight. The ego vehicle is not moving." in BEHAVIOURS


@pytest.mark.parametrize(
    ("speed_m_s", "words"),
    [
        (0.0, "not moving"),
        (0.49, "not moving"),
        (0.5, "driving slowly"),
        (3.99, "driving slowly"),
        (4.0, "driving with normal speed"),
        (6.5, "driving fast"),
        (9.99, "driving fast"),
        (10.0, "driving very fast"),
        (40.0, "driving very fast"),
    ],
)
def test_speeds_and_their_words(speed_m_s, words):
    assert said(speed_m_s) == f"The ego vehicle is going straight. The ego vehicle is {words}."


@pytest.mark.parametrize(
    ("yaw_rate_deg_s", "words"),
    [
        (2.9, "going straight"),
        (-2.9, "going straight"),
        (3.0, "slightly steering to the left"),
        (-3.0, "slightly steering to the right"),
        (11.9, "slightly steering to the left"),
        (12.0, "steering to the left"),
        (-30.0, "steering to the right"),
    ],
)
@pytest.mark.parametrize("duration_s", [0.5, 1.0, 4.0])
def test_yaw_rates_and_their_words_whatever_the_time_they_last(yaw_rate_deg_s, words, duration_s):
    expected = f"The ego vehicle is {words}. The ego vehicle is driving with normal speed."
    assert said(5.0, yaw_rate_deg_s, duration_s=duration_s) == expected


def test_a_vehicle_that_stands_goes_straight_even_if_its_poses_turn():
    assert said(0.1, 40.0) == "The ego vehicle is going straight. The ego vehicle is not moving."


def test_there_are_no_words_for_driving_backwards_but_for_standing():
    assert named(2.0, backwards=True) is None
    assert said(0.1, backwards=True).endswith("not moving.")


def test_drv_31_speed_changes_are_named():
    assert [
        named(5.0, acceleration_m_s2=value).speed_change for value in (0.71, 0.69, 0.31, 0.29, -0.29, -0.5, -0.71)
    ] == [
        SpeedChange.FASTER,
        None,
        None,
        SpeedChange.STEADY,
        SpeedChange.STEADY,
        None,
        SpeedChange.SLOWER,
    ]


def test_every_name_is_one_of_the_21():
    speeds, rates = (0, 1, 5, 8, 20), (-20, -5, 0, 5, 20)
    assert {said(speed, rate) for speed in speeds for rate in rates} == set(BEHAVIOURS)


def test_other_thresholds_name_otherwise():
    brisk = BehaviourThresholds(slow_below_m_s=6.0)
    assert behaviour_of(Motion(1.0, 5.0, 0.0, 0.0), brisk).pace is Pace.SLOW
    with pytest.raises(ValueError, match="must rise"):
        BehaviourThresholds(slow_below_m_s=7.0)
    with pytest.raises(ValueError, match="must rise"):
        BehaviourThresholds(straight_below_deg_s=12.0)
    # From 6.5 to 10 m/s are 3.5, from 4 to 6.5 2.5; from -3 to 3 degrees/s are 6, from 3 to 12 are 9.
    BehaviourThresholds(tolerance_m_s=1.25, tolerance_deg_s=3.0)
    for wrong in ({"tolerance_m_s": 1.26}, {"tolerance_deg_s": 3.01}, {"tolerance_m_s": -0.1}):
        with pytest.raises(ValueError, match="tolerance"):
            BehaviourThresholds(**wrong)


def test_drv_31_thresholds_can_stand_in_a_record():
    values = json.loads(json.dumps(LIMITS.to_dict()))
    assert BehaviourThresholds(**values) == LIMITS


def test_behaviour_is_that_of_the_seconds_after_a_frame_and_unknown_at_the_end():
    # Stands for 2 s, then drives at 5 m/s; poses every half second until 4 s.
    positions = [(max(0.0, place / 2 - 2) * 5.0, 0.0, 0.0) for place in range(9)]
    track = Track.of([place * 500_000 for place in range(9)], positions, [(1.0, 0, 0, 0)] * 9)

    assert behaviour_after(track, 0, 1.0).pace is Pace.STILL
    assert behaviour_after(track, 2_000_000, 1.0).pace is Pace.NORMAL
    assert behaviour_after(track, 3_000_000, 1.0).pace is Pace.NORMAL
    assert behaviour_after(track, 3_000_001, 1.0) is None


def test_the_question_is_the_published_one_with_four_of_the_21_options():
    behaviour = Behaviour(Steering.SLIGHTLY_RIGHT, Pace.SLOW, SpeedChange.STEADY)
    question = ask_behaviour(behaviour, "scene-0001/0003")

    assert question.text == "Predict the behavior of the ego vehicle."
    assert question.task is Task.MULTIPLE_CHOICE
    assert isinstance(question.answer, ChoiceAnswer)
    assert question.answer.options[question.answer.correct] == behaviour.text
    assert len(set(question.answer.options)) == 4
    assert set(question.answer.options) <= set(BEHAVIOURS)
    assert ask_behaviour(behaviour, "scene-0001/0003") == question


@pytest.mark.parametrize(
    ("acceleration_m_s2", "words"), [(2.0, "speeding up"), (0.0, "keeping its speed"), (-2.0, "slowing down")]
)
def test_drv_31_the_change_of_speed_has_all_three_options(acceleration_m_s2, words):
    behaviour = named(5.0, acceleration_m_s2=acceleration_m_s2)
    answers = [speed_change_options(behaviour, str(key)) for key in range(60)]

    for answer in answers:
        assert answer.options[answer.correct] == words
        assert sorted(answer.options) == ["keeping its speed", "slowing down", "speeding up"]
    assert {answer.correct for answer in answers} == {0, 1, 2}
    assert speed_change_options(behaviour, "7") == answers[7]


@pytest.mark.parametrize(("speed_m_s", "acceleration_m_s2"), [(0.2, 0.0), (0.2, 0.9), (5.0, 0.5), (5.0, -0.6)])
def test_drv_31_of_a_vehicle_that_stands_or_at_a_border_no_change_is_asked(speed_m_s, acceleration_m_s2):
    assert speed_change_options(named(speed_m_s, acceleration_m_s2=acceleration_m_s2), "k") is None


def test_what_an_image_shows_can_be_said_before_the_question():
    behaviour = named(5.0)
    assert ask_behaviour(behaviour, "k").preface is None
    question = ask_behaviour(behaviour, "k", view_note("FRONT"))
    assert question.preface == "This is the FRONT view of the ego vehicle."


def offered(*motion):
    """All wrong options that any of many frames with this motion offers, as (steering, pace)."""
    behaviour = named(*motion)
    answers = [behaviour_options(behaviour, str(key)) for key in range(300)]
    return {option for answer in answers for option in answer.options} - {behaviour.text}


def as_words(steering, pace):
    return f"The ego vehicle is {steering}. The ego vehicle is {pace}."


@pytest.mark.parametrize(
    ("motion", "never"),
    [
        # In the middle of all ranges every other behaviour is wrong.
        ((5.0, 0.0), []),
        # At a border nearer than 0.25 m/s or 0.5 degrees/s what lies beyond is not wrong; farther away it is.
        ((4.2, 0.0), [("going straight", "driving slowly")]),
        ((3.8, 0.0), [("going straight", "driving with normal speed")]),
        ((4.3, 0.0), []),
        ((3.7, 0.0), []),
        ((5.0, 2.6), [("slightly steering to the left", "driving with normal speed")]),
        ((5.0, 3.4), [("going straight", "driving with normal speed")]),
        ((5.0, -2.6), [("slightly steering to the right", "driving with normal speed")]),
        ((5.0, -3.4), [("going straight", "driving with normal speed")]),
        ((5.0, -12.4), [("slightly steering to the right", "driving with normal speed")]),
        ((5.0, -3.6), []),
        (
            (10.1, 11.8),
            [
                ("steering to the left", "driving very fast"),
                ("steering to the left", "driving fast"),
                ("slightly steering to the left", "driving fast"),
            ],
        ),
        # Whether it stands or creeps; what stands goes straight.
        ((0.6, 8.0), [("going straight", "not moving")]),
        ((0.4, 0.0), [("going straight", "driving slowly")]),
        ((0.2, 0.0), []),
        # The yaw rate of what hardly moves is noise.
        ((0.4, 8.0), [("going straight", "driving slowly"), ("slightly steering to the left", "driving slowly")]),
    ],
)
def test_drv_31_what_nearly_the_same_motion_is_called_is_no_wrong_option(motion, never):
    behaviour = named(*motion)
    assert offered(*motion) == set(BEHAVIOURS) - {behaviour.text} - {as_words(*words) for words in never}


@given(st.floats(0.0, 20.0), st.floats(-30.0, 30.0), st.floats(-0.25, 0.25), st.floats(-0.5, 0.5), st.integers(0, 99))
def test_drv_31_no_motion_within_the_tolerances_is_called_what_a_wrong_option_says(speed, rate, faster, further, key):
    answer = behaviour_options(named(speed, rate), str(key))
    assert len(set(answer.options)) == 4
    wrong = {option for place, option in enumerate(answer.options) if place != answer.correct}
    assert said(max(speed + faster, 0.0), rate + further) not in wrong


def test_neither_place_nor_company_give_the_right_option_away():
    behaviour = Behaviour(Steering.STRAIGHT, Pace.FAST, SpeedChange.STEADY)
    answers = [ask_behaviour(behaviour, str(key)).answer for key in range(2000)]
    places = Counter(answer.correct for answer in answers)
    company = Counter(option for answer in answers for option in answer.options if option != behaviour.text)

    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) > 400  # 500 expected, five standard deviations are 97
    assert set(company) == set(BEHAVIOURS) - {behaviour.text}
    assert min(company.values()) > 300 - 5 * 16  # 300 expected of each
