"""What is known of a thing is said, at the borders too; what is not known is not."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.converters.driving.words import (
    DISTANCE_EDGES_M,
    distance_of,
    distance_words,
    facts_of,
    motion_word_of,
    number_of,
    sector,
    speed_words,
)
from domainvl.schema import Object


def thing(**attributes):
    return Object(id="1/FRONT", label="car", attributes=attributes)


# --- sectors


@pytest.mark.parametrize(
    ("bearing_deg", "text"),
    [
        (0, "to the front"), (22.4, "to the front"), (22.5, "to the front left"), (45, "to the front left"),
        (67.4, "to the front left"), (67.5, "to the left"), (90, "to the left"), (112.5, "to the back left"),
        (135, "to the back left"), (157.5, "to the back"), (180, "to the back"), (-180, "to the back"),
        (-157.4, "to the back right"), (-157.6, "to the back"), (-135, "to the back right"), (-90, "to the right"),
        (-45, "to the front right"), (-22.6, "to the front right"), (-22.5, "to the front"), (-0.0, "to the front"),
    ],
)  # fmt: skip
def test_sectors_are_named_from_the_heading_with_left_positive(bearing_deg, text):
    assert sector(bearing_deg) == text


@given(st.floats(-180, 180))
def test_a_sector_agrees_with_the_components_of_its_direction(bearing_deg):
    """More to the front than to the back says no "back", and the other way round; so with left and right."""
    forward, left = math.cos(math.radians(bearing_deg)), math.sin(math.radians(bearing_deg))
    words = sector(bearing_deg).split()
    assert ("front" in words) <= (forward > 0) and ("back" in words) <= (forward < 0)
    assert ("left" in words) <= (left > 0) and ("right" in words) <= (left < 0)
    # Only within 22.5 degrees of an axis one word is enough.
    border = math.cos(math.radians(22.5))
    if max(abs(forward), abs(left)) > border + 1e-9:
        assert len(words) == 3
    elif max(abs(forward), abs(left)) < border - 1e-9:
        assert len(words) == 4


@given(st.floats(-180, 179), st.integers(-3, 3))
def test_whole_turns_do_not_matter(bearing_deg, turns):
    middle_deg = round(bearing_deg / 45) * 45
    assert sector(middle_deg + 360 * turns) == sector(middle_deg)


# --- distances and speeds


@pytest.mark.parametrize(
    ("distance_m", "text"),
    [
        (0, "less than 5 m away"), (4.99, "less than 5 m away"), (5, "5 to 10 m away"), (9.99, "5 to 10 m away"),
        (10, "10 to 20 m away"), (20, "20 to 40 m away"), (39.9, "20 to 40 m away"), (40, "more than 40 m away"),
        (1e6, "more than 40 m away"),
    ],
)  # fmt: skip
def test_distances_are_named_by_their_range(distance_m, text):
    assert distance_words(distance_m) == text


def test_each_border_of_distances_is_twice_the_one_before():
    assert all(far == 2 * near for near, far in itertools.pairwise(DISTANCE_EDGES_M))


@pytest.mark.parametrize(
    ("speed_m_s", "text"), [(0, "slowly"), (2.9, "slowly"), (3, "at medium speed"), (9.9, "at medium speed"),
                            (10, "fast"), (50, "fast")]
)  # fmt: skip
def test_speeds_are_named_by_their_range(speed_m_s, text):
    assert speed_words(speed_m_s) == text


@pytest.mark.parametrize("say", [sector, distance_words, speed_words])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_words_for_what_is_not_finite(say, value):
    with pytest.raises(ValueError, match="must be finite"):
        say(value)


@pytest.mark.parametrize("say", [distance_words, speed_words])
def test_no_words_for_what_is_negative(say):
    with pytest.raises(ValueError, match="not negative, got -1"):
        say(-1)


# --- facts


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3.0), (2.5, 2.5), (-1.0, -1.0), (True, None), ("3", None), (None, None), ([3], None)]
)
def test_only_numbers_are_numbers(value, number):
    assert number_of(thing(distance_m=value), "distance_m") == number
    assert number_of(thing(), "distance_m") is None


def test_a_negative_distance_is_none():
    assert distance_of(thing(distance_m=-1.0)) is None
    assert distance_of(thing(distance_m=0.0)) == 0.0


@pytest.mark.parametrize("motion", ["", "unknown", None, True, "Moving"])
def test_other_values_of_motion_are_not_known(motion):
    assert motion_word_of(thing(motion=motion)) is None


@pytest.mark.parametrize(
    ("attributes", "facts"),
    [
        ({}, []),
        ({"attribute": "vehicle.parked", "motion": "not moving"}, ["parked"]),
        ({"attribute": "vehicle.parked"}, ["parked"]),
        ({"attribute": "vehicle.moving"}, ["moving"]),
        ({"attribute": "moving", "speed_m_s": 4.0}, ["moving at medium speed"]),
        ({"motion": "moving", "speed_m_s": 1.5}, ["moving slowly"]),
        ({"motion": "not moving", "speed_m_s": 0.1}, ["not moving"]),
        ({"speed_m_s": 12.0}, []),
        ({"motion": "moving", "speed_m_s": -3.0}, ["moving"]),
        ({"attribute": "cycle.with_rider", "motion": "moving"}, ["with a rider", "moving"]),
        ({"attribute": "cycle.without_rider", "motion": "not moving"}, ["without a rider", "not moving"]),
        ({"attribute": "pedestrian.sitting_lying_down", "motion": "not moving"}, ["sitting or lying down"]),
        ({"attribute": "pedestrian.standing", "speed_m_s": 0.2}, ["standing"]),
        ({"attribute": "vehicle.stopped", "motion": "moving"}, []),
        ({"attribute": "vehicle.moving", "motion": "not moving"}, []),
        ({"attribute": "occlusion_state.none", "motion": "moving"}, ["moving"]),
        ({"distance_m": 12.0}, ["10 to 20 m away"]),
        ({"bearing_deg": 40.0}, ["to the front left of the ego vehicle"]),
    ],
)
def test_drv_24_only_what_is_known_is_said(attributes, facts):
    assert facts_of(thing(**attributes)) == facts


def test_drv_24_all_facts_in_their_order():
    known = {"bearing_deg": -100, "distance_m": 7.5, "speed_m_s": 11.0, "motion": "moving", "category": "vehicle.car"}
    assert facts_of(thing(**known)) == ["moving fast", "5 to 10 m away", "to the right of the ego vehicle"]
