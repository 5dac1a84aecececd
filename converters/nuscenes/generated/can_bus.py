"""Writes what the CAN bus of the generated vehicle says, in the layout of nuScenes' CAN bus expansion.

Messages, units and rates are those of nuscenes-devkit, python-sdk/nuscenes/can_bus/README.md. Of the messages only
three are written: ``pose``, ``steeranglefeedback`` and ``vehicle_monitor``. Steering and rates of turn are positive to
the left.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .world import Drive

FOLDER = "can_bus"

_MARGIN_S = 0.5
"""Messages begin before the first key frame and end after the last one."""

_WHEELBASE_M = 2.588
_STEERING_RATIO = 15.0
"""A small car; how far the wheels turn follows from its wheelbase (single-track model without slip)."""

_WHEEL_RADIUS_M = 0.305
"""Of the wheels of nuScenes' cars (nuscenes-devkit, python-sdk/tutorials/can_bus_tutorial.ipynb)."""

_DRIVING_GEAR = 7
_PEDAL_UP, _PEDAL_DOWN = 1, 2


def write_can_bus(dataroot: Path, scene: str, drive: Drive, *, start_us: int, duration_s: float) -> None:
    """Write the messages of a scene.

    Args:
        dataroot: The data root; its folder ``can_bus`` is made if it is not there.
        scene: Name of the scene.
        drive: How the vehicle moves.
        start_us: Timestamp of the first key frame.
        duration_s: Time from the first key frame to the last.
    """
    folder = dataroot / FOLDER
    folder.mkdir(exist_ok=True)
    steering_deg = _steering_wheel_deg(drive)
    messages: dict[str, list[dict[str, Any]]] = {
        "pose": [_pose(drive, time_s, start_us) for time_s in _times_s(duration_s, rate_hz=50)],
        "steeranglefeedback": [
            {"utime": _utime(time_s, start_us), "value": round(math.radians(steering_deg), 6)}
            for time_s in _times_s(duration_s, rate_hz=100)
        ],
        "vehicle_monitor": [
            _vehicle_monitor(drive, steering_deg, _utime(time_s, start_us))
            for time_s in _times_s(duration_s, rate_hz=2)
        ],
    }
    for name, rows in messages.items():
        (folder / f"{scene}_{name}.json").write_text(json.dumps(rows) + "\n", encoding="utf-8")


def _times_s(duration_s: float, *, rate_hz: int) -> Iterator[float]:
    for number in range(round((duration_s + 2 * _MARGIN_S) * rate_hz) + 1):
        yield number / rate_hz - _MARGIN_S


def _utime(time_s: float, start_us: int) -> int:
    return start_us + round(time_s * 1e6)


def _steering_wheel_deg(drive: Drive) -> float:
    """Return how far the steering wheel is turned."""
    if drive.speed_m_s == 0:
        return 0.0
    return math.degrees(math.atan(_WHEELBASE_M * drive.turn_rad_s / drive.speed_m_s)) * _STEERING_RATIO


def _pose(drive: Drive, time_s: float, start_us: int) -> dict[str, Any]:
    pose = drive.at(time_s)
    return {
        "accel": [0.0, drive.speed_m_s * drive.turn_rad_s, 9.81],
        "orientation": [math.cos(pose.yaw_rad / 2), 0.0, 0.0, math.sin(pose.yaw_rad / 2)],
        "pos": [pose.x_m, pose.y_m, 0.0],
        "rotation_rate": [0.0, 0.0, drive.turn_rad_s],
        "utime": _utime(time_s, start_us),
        "vel": [drive.speed_m_s, 0.0, 0.0],
    }


def _vehicle_monitor(drive: Drive, steering_deg: float, utime: int) -> dict[str, Any]:
    rpm = drive.speed_m_s / (2 * math.pi * _WHEEL_RADIUS_M) * 60
    return {
        "available_distance": 150,
        "battery_level": 80,
        "brake": 0 if drive.speed_m_s else 10,
        "brake_switch": _PEDAL_UP if drive.speed_m_s else _PEDAL_DOWN,
        "gear_position": _DRIVING_GEAR,
        "left_signal": int(drive.turn_rad_s > 0),
        "rear_left_rpm": round(rpm, 1),
        "rear_right_rpm": round(rpm, 1),
        "right_signal": int(drive.turn_rad_s < 0),
        "steering": round(steering_deg, 1),
        "steering_speed": 0.0,
        "throttle": 100 if drive.speed_m_s else 0,
        "utime": utime,
        "vehicle_speed": round(drive.speed_m_s * 3.6, 2),
        "yaw_rate": round(math.degrees(drive.turn_rad_s), 1),
    }
