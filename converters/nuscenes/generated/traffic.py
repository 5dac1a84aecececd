"""A road with traffic for the generated world: some park beside it, some drive ahead, behind or towards the vehicle.

Things pass close by, so that some cross the plane of a camera, where boxes are easily wrong. How many things of a kind
there are, and where, differs from scene to scene, so that no answer is right everywhere.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .world import KEY_FRAME_INTERVAL_S, KINDS, Drive, Kind, Pose, Scene, Thing

_CAR, _TRUCK, _PEDESTRIAN, _CONE = KINDS
_FARTHEST_M = 45.0
_PARKING_SPACING_M = 7.5
_PARKED_SHARE = 0.7
_TRUCK_SHARE = 0.35
_LEADERS = (None, _CAR, _TRUCK)
_LEADER_M = 14.0
"""At the start; whoever waits for a truck stands so far behind its middle."""

_FOLLOWER_SHARE = 0.5
_COUNTS = range(4)
"""How many pedestrians there may be, and how many cones."""

_WALKING_SHARE = 0.5
_ONCOMING_COUNTS = range(3)
_ONCOMING_SPACING_M = 14.0
_PARKED_LEFT_M = -3.2
_CONES_LEFT_M = -1.5
_ONCOMING_LEFT_M = 3.0
_PAVEMENT_LEFT_M = 6.4
_HOUSES_LEFT_M = 7.4
_MOST_LIDAR_POINTS = 2000


@dataclass(frozen=True)
class Manoeuvre:
    """What the vehicle does in a scene, in numbers and in the words of the scene's description.

    The numbers are clear of those at which a behaviour gets another name
    (:class:`domainvl.converters.driving.behaviour.BehaviourThresholds`).
    """

    words: str
    speed_m_s: float
    turn_rad_s: float


MANOEUVRES = (
    Manoeuvre("drive straight ahead", 8.0, 0.0),
    Manoeuvre("turn left", 5.0, 0.25),
    Manoeuvre("wait behind a truck", 0.0, 0.0),
    Manoeuvre("turn right", 5.0, -0.25),
)


@dataclass(frozen=True)
class _Way:
    """How a thing moves along the road: a constant speed, and a constant distance to the left of its middle."""

    kind: Kind
    start_m: float
    left_m: float
    speed_m_s: float = 0.0
    turned_rad: float = 0.0
    state: str | None = None


def make_traffic_scene(name: str, *, frame_count: int, manoeuvre: Manoeuvre, rng: random.Random) -> Scene:
    """Make up a scene on a road with traffic.

    Args:
        name: Name of the scene.
        frame_count: Number of key frames.
        manoeuvre: What the vehicle does.
        rng: Where chance comes from.
    """
    start = Pose(rng.uniform(200, 1800), rng.uniform(200, 1800), rng.uniform(-math.pi, math.pi))
    drive = Drive(start, manoeuvre.speed_m_s, manoeuvre.turn_rad_s)
    seconds = (frame_count - 1) * KEY_FRAME_INTERVAL_S
    ways = [(f"{name}/{number}", way) for number, way in enumerate(_ways(drive.speed_m_s, seconds, rng))]
    sizes = {way_name: _size(way.kind, rng) for way_name, way in ways}
    frames: list[tuple[Thing, ...]] = []
    for frame in range(frame_count):
        time_s = frame * KEY_FRAME_INTERVAL_S
        vehicle = drive.at(time_s)
        things: list[Thing] = []
        for way_name, way in ways:
            place = _on_road(drive, way.start_m + way.speed_m_s * time_s, way.left_m)
            distance_m = math.dist((vehicle.x_m, vehicle.y_m), (place.x_m, place.y_m))
            if distance_m < _FARTHEST_M:
                things.append(_thing(way_name, way, place, sizes[way_name], distance_m))
        frames.append(tuple(things))
    return Scene(name, drive, tuple(frames), rng.getrandbits(32), _describe(manoeuvre, [way for _, way in ways]))


def _describe(manoeuvre: Manoeuvre, ways: Sequence[_Way]) -> str:
    """Say what is on the road and what the vehicle does, in the style of nuScenes."""
    parts = ["Parked cars"]
    if any(way.speed_m_s < 0 for way in ways):
        parts.append("oncoming traffic")
    if any(way.kind is _PEDESTRIAN for way in ways):
        parts.append("pedestrians")
    return ", ".join([*parts, manoeuvre.words])


def _ways(speed_m_s: float, seconds: float, rng: random.Random) -> Iterator[_Way]:
    """Yield what is on the road; zero is where the vehicle starts, and it goes in the direction of the road."""
    first_m = -_PARKING_SPACING_M
    for place in range(math.ceil((speed_m_s * seconds + 30.0 - first_m) / _PARKING_SPACING_M)):
        # The second is always there: at the start the vehicle stands beside it.
        if place == 1 or rng.random() < _PARKED_SHARE:
            kind = _TRUCK if place != 1 and rng.random() < _TRUCK_SHARE else _CAR
            yield _Way(kind, first_m + place * _PARKING_SPACING_M + rng.uniform(0.0, 0.5), _PARKED_LEFT_M)
    yield from _in_lane(speed_m_s, rng)
    for place in range(rng.choice(_ONCOMING_COUNTS)):
        start_m = 12.0 + _ONCOMING_SPACING_M * place + rng.uniform(0.0, 6.0)
        yield _Way(rng.choice((_CAR, _TRUCK)), start_m, _ONCOMING_LEFT_M, -7.0, math.pi, "vehicle.moving")
    for place in range(rng.choice(_COUNTS)):
        side, start_m = rng.choice((-1, 1)), -8.0 + 8.0 * place + rng.uniform(0.0, 6.0)
        if rng.random() < _WALKING_SHARE:
            yield _Way(_PEDESTRIAN, start_m, side * _PAVEMENT_LEFT_M, 1.4, 0.0, "pedestrian.moving")
        else:
            yield _Way(_PEDESTRIAN, start_m, side * _HOUSES_LEFT_M)
    for place in range(rng.choice(_COUNTS)):
        yield _Way(_CONE, 3.0 + 2.5 * place, _CONES_LEFT_M)


def _in_lane(speed_m_s: float, rng: random.Random) -> Iterator[_Way]:
    """Yield what is ahead of the vehicle and behind it in its own lane, as fast as itself."""
    state = "vehicle.moving" if speed_m_s else "vehicle.stopped"
    # What waits, waits behind a truck.
    leader = rng.choice(_LEADERS) if speed_m_s else _TRUCK
    if leader is not None:
        yield _Way(leader, _LEADER_M + (rng.uniform(0.0, 6.0) if speed_m_s else 0.0), 0.0, speed_m_s, 0.0, state)
    if rng.random() < _FOLLOWER_SHARE:
        yield _Way(_CAR, -rng.uniform(9.0, 13.0), 0.0, speed_m_s, 0.0, state)


def _on_road(drive: Drive, along_m: float, left_m: float) -> Pose:
    """Return a place on the road, which is the way that the vehicle takes, before and after the scene too."""
    middle = drive.at(along_m / drive.speed_m_s) if drive.speed_m_s else drive.start.moved(along_m, 0.0)
    return middle.moved(0.0, left_m)


def _size(kind: Kind, rng: random.Random) -> tuple[float, float, float]:
    growth = rng.uniform(0.93, 1.07)
    width_m, length_m, height_m = (round(side * growth, 3) for side in kind.size_wlh_m)
    return width_m, length_m, height_m


def _thing(name: str, way: _Way, place: Pose, size_wlh_m: tuple[float, float, float], distance_m: float) -> Thing:
    # Beams spread: the points on a thing grow with its side and fall with the square of the distance.
    side_m2 = max(size_wlh_m[:2]) * size_wlh_m[2]
    lidar_points = min(round(3000 * side_m2 / distance_m**2), _MOST_LIDAR_POINTS)
    return Thing(
        name,
        way.kind,
        round(place.x_m, 3),
        round(place.y_m, 3),
        size_wlh_m,
        place.yaw_rad + way.turned_rad,
        way.state,
        lidar_points,
    )
