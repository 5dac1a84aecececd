"""What is known of a thing beside the road, in words: class, state, distance, sector and motion.

A fact that is unknown, or no finite number, is not said. Nothing depends on whether a class name is singular or plural.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Literal, TypeAlias

from domainvl.schema import Object

SECTORS = (
    "to the front",
    "to the front left",
    "to the left",
    "to the back left",
    "to the back",
    "to the back right",
    "to the right",
    "to the front right",
)
"""Eight sectors of 45 degrees about the vehicle, from its heading counter-clockwise, each with its direction in its
middle. All but left and right are DriveLM's names ("objects to the back left of the ego car"; OpenDriveLab/DriveLM,
questions of DriveLM-nuScenes v1.1); those two are ours, for DriveLM asks about six sectors."""

DISTANCE_EDGES_M = (5.0, 10.0, 20.0, 40.0)
"""Borders between distances in words. Ours: each is twice the one before, for what can be told from an image is how
many times farther one thing is than another."""

SPEED_EDGES_M_S = (3.0, 10.0)
"""Borders between speeds in words, about 10 and 36 km/h: a person, traffic in a town, and faster. Ours."""

_SPEEDS = ("slowly", "at medium speed", "fast")

_STATES: Mapping[str, str] = {
    "parked": "parked",
    "stopped": "stopped",
    "standing": "standing",
    "sitting_lying_down": "sitting or lying down",
    "with_rider": "with a rider",
    "without_rider": "without a rider",
    "moving": "moving",
}
"""Last parts of the names of attributes in nuScenes (nuscenes-devkit, eval/detection/utils.py) and T4, in words.
What other names mean is not known, so that they are not said."""

_AT_REST = frozenset({"parked", "stopped", "standing", "sitting or lying down"})
"""States after which it need not be said that a thing does not move."""

MotionWord: TypeAlias = Literal["moving", "not moving"]
"""Values of an object's attribute ``motion``."""

MOVING: MotionWord = "moving"
NOT_MOVING: MotionWord = "not moving"

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


def sector(bearing_deg: float) -> str:
    """Return the sector of a bearing, such as ``"to the front left"``; "of the ego vehicle" may follow.

    A sector begins with its right border: 22.5 degrees is to the front left, -22.5 to the front.

    Args:
        bearing_deg: Angle from the vehicle's heading, left positive; whole turns do not matter.

    Raises:
        ValueError: If it is not finite.
    """
    if not math.isfinite(bearing_deg):
        raise ValueError(f"a bearing must be finite, got {bearing_deg}")
    width_deg = 360 / len(SECTORS)
    return SECTORS[math.floor((bearing_deg + width_deg / 2) / width_deg) % len(SECTORS)]


def distance_words(distance_m: float) -> str:
    """Return a distance in words, such as ``"10 to 20 m away"``; a border belongs to the farther words.

    Args:
        distance_m: The distance.

    Raises:
        ValueError: If it is negative or not finite.
    """
    if not (math.isfinite(distance_m) and distance_m >= 0):
        raise ValueError(f"a distance must be finite and not negative, got {distance_m}")
    place = bisect_right(DISTANCE_EDGES_M, distance_m)
    if place == 0:
        return f"less than {DISTANCE_EDGES_M[0]:g} m away"
    if place == len(DISTANCE_EDGES_M):
        return f"more than {DISTANCE_EDGES_M[-1]:g} m away"
    return f"{DISTANCE_EDGES_M[place - 1]:g} to {DISTANCE_EDGES_M[place]:g} m away"


def speed_words(speed_m_s: float) -> str:
    """Return how fast a moving thing moves, such as ``"slowly"``; a border belongs to the faster words.

    Args:
        speed_m_s: The speed.

    Raises:
        ValueError: If it is negative or not finite.
    """
    if not (math.isfinite(speed_m_s) and speed_m_s >= 0):
        raise ValueError(f"a speed must be finite and not negative, got {speed_m_s}")
    return _SPEEDS[bisect_right(SPEED_EDGES_M_S, speed_m_s)]


def count_words(count: int) -> str:
    """Return a count in words, such as ``"six"``, and a larger one than eight in digits."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def number_of(thing: Object, name: str) -> float | None:
    """Return an attribute of an object that is a finite number; None where it has none."""
    value = thing.attributes.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def distance_of(thing: Object) -> float | None:
    """Return how far an object is from the vehicle, in metres; None where that is not known."""
    distance_m = number_of(thing, "distance_m")
    return None if distance_m is None or distance_m < 0 else distance_m


def motion_word_of(thing: Object) -> str | None:
    """Return ``"moving"`` or ``"not moving"``; None where it is not known."""
    motion = thing.attributes.get("motion")
    return motion if isinstance(motion, str) and motion in (MOVING, NOT_MOVING) else None


def facts_of(thing: Object) -> list[str]:
    """Return what is known of an object beyond its class: state, motion and speed, distance, sector.

    ``["parked", "10 to 20 m away", "to the front left of the ego vehicle"]``. A thing at rest is not also said not to
    move, and a speed is said only of one that moves. Where state and motion disagree, neither is said.
    """
    facts = _motion_facts(thing)
    distance_m, bearing_deg = distance_of(thing), number_of(thing, "bearing_deg")
    if distance_m is not None:
        facts.append(distance_words(distance_m))
    if bearing_deg is not None:
        facts.append(f"{sector(bearing_deg)} of the ego vehicle")
    return facts


def _motion_facts(thing: Object) -> list[str]:
    state, motion = _state_of(thing), motion_word_of(thing)
    implied = MOVING if state == MOVING else NOT_MOVING if state in _AT_REST else None
    if implied and motion and implied != motion:
        return []
    facts = [state] if state is not None and state != MOVING else []
    if MOVING in (motion, implied):
        speed_m_s = number_of(thing, "speed_m_s")
        facts.append(MOVING if speed_m_s is None or speed_m_s < 0 else f"{MOVING} {speed_words(speed_m_s)}")
    elif motion == NOT_MOVING and implied is None:
        facts.append(NOT_MOVING)
    return facts


def _state_of(thing: Object) -> str | None:
    attribute = thing.attributes.get("attribute")
    return _STATES.get(attribute.rpartition(".")[2]) if isinstance(attribute, str) else None
