"""How fast things move, from where they were before and after; and whether that is moving.

Speeds are differences over neighbouring key frames, as ``NuScenes.box_velocity`` of nuscenes-devkit takes them, in the
ground plane (the velocity that the nuScenes detection task asks for, eval/detection/README.md). What cannot be told
is None here, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from .motion import MAX_GAP_S
from .words import MOVING, NOT_MOVING, MotionWord

Place: TypeAlias = tuple[int, Sequence[float]]
"""When a thing was where: microseconds, and x, y and more in metres in a frame that does not move."""

NOT_MOVING_M_S = 0.2
"""Up to this speed a thing does not move: where models of the nuScenes detection task draw the line between
``vehicle.moving`` and ``vehicle.parked`` (mmdetection3d, datasets/nuscenes_dataset.py)."""

MOVING_M_S = 1.0
"""From this speed on a thing moves. Ours: a box that is drawn anew in each key frame jumps by some decimetres in half
a second, so between the two speeds nothing is said."""

_MOTION_WORDS: dict[str, MotionWord] = {
    "moving": MOVING,
    "parked": NOT_MOVING,
    "stopped": NOT_MOVING,
    "standing": NOT_MOVING,
    "sitting": NOT_MOVING,
    "lying_down": NOT_MOVING,
    "sitting_lying_down": NOT_MOVING,
}
"""Last parts of attributes' names, of nuScenes (docs/schema_nuscenes.md) and T4 (t4-devkit, docs/schema/table.md)."""


def speeds_m_s(track: Sequence[Place]) -> list[float | None]:
    """Return the speed of a thing at each of its places, in m/s.

    Args:
        track: Where it was, in time.

    Returns:
        One entry a place; None where there is no neighbour, where the neighbours are too far apart in time
        (:data:`~domainvl.converters.driving.motion.MAX_GAP_S`, and twice that between one before and one after, as
        ``box_velocity`` has it), or where time does not go on.
    """
    last = len(track) - 1
    return [_speed(track[max(here - 1, 0)], track[min(here + 1, last)], 0 < here < last) for here in range(len(track))]


def _speed(before: Place, after: Place, both_sides: bool) -> float | None:
    duration_s = (after[0] - before[0]) / 1e6
    if not 0.0 < duration_s <= MAX_GAP_S * (2 if both_sides else 1):
        return None
    return math.hypot(after[1][0] - before[1][0], after[1][1] - before[1][1]) / duration_s


def motion_of(attributes: Iterable[str], speed_m_s: float | None) -> MotionWord | None:
    """Say whether a thing moves: as its attributes say, else by its speed.

    Args:
        attributes: Names of its attributes, such as ``"vehicle.parked"`` or ``"standing"``.
        speed_m_s: Its speed; None where unknown.

    Returns:
        None where nothing tells, or where two attributes contradict each other.
    """
    told = {_MOTION_WORDS[_last_part(name)] for name in attributes if says_motion(name)}
    if told:
        return told.pop() if len(told) == 1 else None
    if speed_m_s is None:
        return None
    if speed_m_s <= NOT_MOVING_M_S:
        return NOT_MOVING
    return MOVING if speed_m_s >= MOVING_M_S else None


def says_motion(attribute: str) -> bool:
    """Say whether an attribute tells if a thing moves."""
    return _last_part(attribute) in _MOTION_WORDS


def _last_part(name: str) -> str:
    return name.rsplit(".", 1)[-1]
