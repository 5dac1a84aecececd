"""Reads how a vehicle moved while a video of BDD was taken, from the file of the phone that took it.

``info`` of BDD100K has a JSON file a video: ``startTime`` and ``endTime`` of the video and ``locations``, about one a
second, each with ``timestamp`` (all in milliseconds), ``speed`` in m/s and ``course`` in degrees clockwise from north;
-1 stands for an unknown one (gy20073/BDD_Driving_Model, data_prepare/json_to_speed.py).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domainvl.errors import DatasetError, ItemError

from ..driving.motion import Signal
from .reading import read_json

_US = 1_000_000


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a phone recorded from the start of its video on, about once a second.

    Between records farther apart than :data:`domainvl.converters.driving.motion.MAX_GAP_S` nothing is known, so that a
    single unknown one leaves a hole. The official loader discards videos with holes of 1.1 s.

    Attributes:
        speed_m_s: The speed.
        course_deg: The course, clockwise from north and without jumps: full turns count.
    """

    speed_m_s: Signal
    course_deg: Signal

    def speed_at(self, time_s: float) -> float | None:
        """Return the speed at a time in m/s; None where unknown."""
        speed_m_s = self.speed_m_s.at(time_s * _US)
        return None if speed_m_s is None else float(speed_m_s)

    def turn_deg(self, start_s: float, end_s: float) -> float | None:
        """Return by how much the course changed between two times, positive to the left; None where unknown."""
        courses = self.course_deg.window(start_s * _US, end_s * _US)
        return None if courses is None else float(courses[1][0] - courses[1][-1])


def read_motion(path: Path, name: str) -> Recorded:
    """Read the file of a video.

    From record to record the course is taken to have turned the shorter way round.

    Args:
        path: The file.
        name: Names it in messages.

    Raises:
        ItemError: If it is not in the published layout, or its times do not increase.
    """
    try:
        content = read_json(path)
    except DatasetError as error:
        raise _unusable(name, error.rule or "it must be JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("locations"), list):
        raise _unusable(name, "it must be an object with a list under locations")
    start_ms = _number(content, "startTime", name)
    records = [_record(record, start_ms, name) for record in content["locations"]]
    if any(after[0] <= before[0] for before, after in itertools.pairwise(records)):
        raise _unusable(name, "timestamps of locations must increase")
    times_us = [round(time_us) for time_us, _, _ in records]
    courses = Signal.of(times_us, [course for _, _, course in records])
    return Recorded(
        Signal.of(times_us, [speed for _, speed, _ in records]),
        Signal(courses.times_us, np.unwrap(courses.values, period=360.0), courses.max_gap_s),
    )


def _record(record: Any, start_ms: float, name: str) -> tuple[float, float, float]:
    """Return microseconds from the start of the video, speed and course; NaN for what the phone did not know, -1."""
    if not isinstance(record, dict):
        raise _unusable(name, f"a location must be an object, got {type(record).__name__}")
    time_ms, speed, course = (_number(record, key, name) for key in ("timestamp", "speed", "course"))
    return (time_ms - start_ms) * 1000, speed if speed >= 0 else math.nan, course if course >= 0 else math.nan


def _number(fields: dict[str, Any], key: str, name: str) -> float:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _unusable(name, f"{key} must be a number, got {value!r:.40}")
    return float(value)


def _unusable(name: str, rule: str) -> ItemError:
    return ItemError(
        "Cannot read speed and course",
        reason="motion-unreadable",
        where=name,
        rule=rule,
        action="Take the published file, or leave it out: speed and turning angle are then not asked",
    )
