"""Reads the CAN bus expansion of nuScenes: speed and yaw rate of the vehicle over time.

Messages, keys and units are those of nuscenes-devkit, python-sdk/nuscenes/can_bus/README.md. A signal is taken from
the first message that has it:

- speed: ``pose`` (``vel``, m/s along the vehicle, 50 a second), ``vehicle_monitor`` (``vehicle_speed``, km/h, 2 a
  second), ``zoe_veh_info`` (``odom_speed``, km/h, up to 60). Only the first tells driving backwards.
- yaw rate: ``pose`` (``rotation_rate``, rad/s, the vehicle's z points up, so that positive is left).

How the vehicle steers follows from its yaw rate, so that it has one meaning whatever the speed; the angle of the
steering wheel is not read. Nor is the yaw rate of ``vehicle_monitor``, for no document says which side is positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from pydantic import JsonValue

from domainvl.errors import InputNotFoundError, ItemError

from ..driving.motion import KM_H_PER_M_S, Motion, Signal, measured_motion

_WITHOUT_CAN = frozenset({*range(161, 169), *range(170, 177), *range(309, 315)})
"""Numbers of the 21 scenes without CAN bus data (nuscenes-devkit 1.2.0, can_bus/can_bus_api.py, can_blacklist)."""

_MISALIGNED = frozenset(
    {
        71, *range(73, 77), 85, 100, 101, *range(106, 111), *range(112, 120), *range(261, 265), 276, *range(302, 307),
        334, *range(388, 391), 436, *range(499, 503), *range(504, 516), 517, 518, *range(547, 552), *range(556, 566),
        730, 731, *range(733, 739), 778, *range(780, 785), 904, 905, 1073, 1074,
    }
)  # fmt: skip
"""Numbers of the 87 scenes that leave their planned route by more than 5 m (same file, route_blacklist)."""

SCENES_WITHOUT_CAN = frozenset(f"scene-{number:04d}" for number in _WITHOUT_CAN)
SCENES_OFF_ROUTE = frozenset(f"scene-{number:04d}" for number in _MISALIGNED)

_Vector3 = tuple[float, float, float]


class _Message(msgspec.Struct):
    utime: int


class _Pose(_Message):
    vel: _Vector3
    rotation_rate: _Vector3


class _VehicleMonitor(_Message):
    vehicle_speed: float


class _ZoeVehInfo(_Message):
    odom_speed: float


@dataclass(frozen=True)
class _Way:
    """One way to get at a signal: which message, and its value (of a row of that kind) in our unit."""

    message: str
    kind: type[_Message]
    value: Callable[[Any], float]


_SPEED_WAYS = (
    _Way("pose", _Pose, lambda row: row.vel[0]),
    _Way("vehicle_monitor", _VehicleMonitor, lambda row: row.vehicle_speed / KM_H_PER_M_S),
    _Way("zoe_veh_info", _ZoeVehInfo, lambda row: row.odom_speed / KM_H_PER_M_S),
)
_YAW_RATE_WAYS = (_Way("pose", _Pose, lambda row: math.degrees(row.rotation_rate[2])),)


@dataclass(frozen=True)
class CanScene:
    """What the CAN bus said during a scene. A signal is None where no message has it.

    Attributes:
        name: Name of the scene.
        speed: In m/s, negative backwards.
        yaw_rate: In degrees a second, left positive.
        sources: Message from which each was taken.
        off_route: Whether the vehicle left its planned route (:data:`SCENES_OFF_ROUTE`). The signals are right all the
            same; routes are not used.
    """

    name: str
    speed: Signal | None
    yaw_rate: Signal | None
    sources: dict[str, str]
    off_route: bool

    def facts(self) -> dict[str, JsonValue]:
        """Say where the signals come from and whether the vehicle left its route, for a record of the scene."""
        return {"can_messages": {**self.sources}, "off_route": self.off_route}

    def motion(self, start_us: float, end_us: float) -> Motion | None:
        """Return how the vehicle moved between two times; None where speed or yaw rate are not known.

        Raises:
            ValueError: If the end is not after the start.
        """
        if self.speed is None or self.yaw_rate is None:
            return None
        return measured_motion(self.speed, self.yaw_rate, start_us, end_us)


class CanBus:
    """The folder of the CAN bus expansion, ``can_bus`` in a data root.

    Args:
        folder: The folder.

    Raises:
        InputNotFoundError: If it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputNotFoundError(
                "Cannot read the CAN bus",
                where=folder,
                rule="there is no such folder",
                action="Fetch nuScenes' CAN bus expansion and name its folder with --can-bus, or take --motion pose",
            )
        self._folder = folder

    def of(self, scene: str) -> CanScene:
        """Read the messages of a scene.

        Args:
            scene: Its name, such as ``"scene-0061"``.

        Raises:
            ItemError: By ``no-can`` if the scene has no CAN bus data, by ``bad-can`` if a file is malformed.
        """
        if scene in SCENES_WITHOUT_CAN:
            raise _no_can(scene, "it is one of the 21 scenes of nuScenes that were recorded without")
        sources: dict[str, str] = {}
        speed = self._signal(scene, "speed", _SPEED_WAYS, sources)
        yaw_rate = self._signal(scene, "yaw_rate", _YAW_RATE_WAYS, sources)
        if not sources:
            raise _no_can(scene, f"there is no {scene}_pose.json, nor another file of it with a signal")
        return CanScene(scene, speed, yaw_rate, sources, off_route=scene in SCENES_OFF_ROUTE)

    def files_of(self, scene: str) -> list[Path]:
        """Return the files of a scene that :meth:`of` may read and that exist."""
        messages = dict.fromkeys(way.message for way in (*_SPEED_WAYS, *_YAW_RATE_WAYS))
        return [path for message in messages if (path := self._path(scene, message)).is_file()]

    def _path(self, scene: str, message: str) -> Path:
        return self._folder / f"{scene}_{message}.json"

    def _signal(self, scene: str, name: str, ways: Sequence[_Way], sources: dict[str, str]) -> Signal | None:
        """Read a signal the first way that has messages, and note which."""
        for way in ways:
            path = self._path(scene, way.message)
            if path.is_file() and (rows := _read(path, way.kind)):
                sources[name] = way.message
                return Signal.of([row.utime for row in rows], [way.value(row) for row in rows])
        return None


def _read(path: Path, kind: type[_Message]) -> list[_Message]:
    try:
        # mypy takes no variable as a type, msgspec does.
        return cast("list[_Message]", msgspec.json.decode(path.read_bytes(), type=list[kind]))  # type: ignore[valid-type]
    except msgspec.DecodeError as error:
        raise ItemError(
            "Cannot read the CAN bus",
            reason="bad-can",
            where=path.name,
            rule=str(error),
            action="Fetch the file again, or take --motion pose",
        ) from error


def _no_can(scene: str, why: str) -> ItemError:
    return ItemError(
        f"No CAN bus data of {scene}", reason="no-can", rule=why, action="Take --motion pose, or leave the scene out"
    )
