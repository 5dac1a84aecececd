"""The generated world: a vehicle with six cameras that drives past things which stand about.

Geometry here is planar trigonometry on purpose: it shares nothing with the projection that the converter
uses, so that rendered pixels can be held against projected boxes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]

IMAGE_WIDTH_PX = 320
IMAGE_HEIGHT_PX = 180
HORIZON_PX = 98.0
"""Row of the horizon, the vertical principal point; cameras look level."""

KEY_FRAME_INTERVAL_S = 0.5
"""nuScenes annotates key frames at 2 Hz (arXiv 1903.11027, section 3)."""


@dataclass(frozen=True)
class Camera:
    """A pin-hole camera on the vehicle, looking level; ``delay_s`` is when it fires after the key frame."""

    channel: str
    x_m: float
    y_m: float
    z_m: float
    yaw_deg: float
    focal_px: float
    delay_s: float


# About where the cameras of nuScenes are and look, with 70 and 110 degree lenses at a fifth of its resolution.
RIG = (
    Camera("CAM_FRONT_LEFT", 1.5, 0.5, 1.5, 55.0, 253.0, 0.000),
    Camera("CAM_FRONT", 1.7, 0.0, 1.5, 0.0, 253.0, 0.008),
    Camera("CAM_FRONT_RIGHT", 1.5, -0.5, 1.5, -55.0, 253.0, 0.016),
    Camera("CAM_BACK_RIGHT", 1.0, -0.5, 1.55, -110.0, 253.0, 0.024),
    Camera("CAM_BACK", 0.0, 0.0, 1.55, 180.0, 162.0, 0.033),
    Camera("CAM_BACK_LEFT", 1.0, 0.5, 1.55, 110.0, 253.0, 0.043),
)


@dataclass(frozen=True)
class Kind:
    """A kind of thing.

    Attributes:
        category: Its nuScenes category.
        attribute: Its nuScenes attribute.
        size_wlh_m: Width, length and height.
        nearest_m: Smallest distance from a camera of the longer focal length.
        farthest_m: Largest distance from it.
    """

    category: str
    attribute: str | None
    size_wlh_m: tuple[float, float, float]
    nearest_m: float
    farthest_m: float


KINDS = (
    Kind("vehicle.car", "vehicle.parked", (1.9, 4.4, 1.6), 6.0, 13.0),
    Kind("vehicle.truck", "vehicle.parked", (2.5, 6.5, 3.2), 8.0, 14.0),
    Kind("human.pedestrian.adult", "pedestrian.standing", (0.75, 0.75, 1.8), 4.0, 9.0),
    Kind("movable_object.trafficcone", None, (0.7, 0.7, 1.05), 4.0, 7.0),
)

_COUNT_WEIGHTS = (0.30, 0.30, 0.20, 0.20)
"""How often a kind is meant to occur 0, 1, 2 and 3 times in a frame."""

_THINGS_PER_FRAME = range(2, 6)
_TRIES_PER_VIEW = 20
_MIN_SHOWN = 0.45
_MIN_SIDE_PX = 12.0
_MIN_HEIGHT_PX = 0.12 * IMAGE_HEIGHT_PX
_MAX_OVERLAP = 0.08
_NEAREST_DEPTH_M = 0.5


@dataclass(frozen=True)
class Thing:
    """A cuboid on the ground.

    Attributes:
        name: Names it in all frames.
        kind: What it is.
        x_m: Its centre in the global frame.
        y_m: Its centre in the global frame.
        size_wlh_m: Width, length and height.
        yaw_rad: Turns its length from global x towards y.
        state: Its nuScenes attribute where that is not the one of its kind, such as ``"vehicle.moving"``.
        lidar_points: How many lidar points the tables say are in it.
    """

    name: str
    kind: Kind
    x_m: float
    y_m: float
    size_wlh_m: tuple[float, float, float]
    yaw_rad: float
    state: str | None = None
    lidar_points: int = 0

    @property
    def attribute(self) -> str | None:
        """Its nuScenes attribute; None for kinds that have none."""
        return self.state or self.kind.attribute

    @property
    def z_m(self) -> float:
        """Height of the centre."""
        return self.size_wlh_m[2] / 2

    def corners_m(self) -> FloatArray:
        """Return the eight corners in the global frame, shape (8, 3)."""
        width_m, length_m, height_m = self.size_wlh_m
        along = np.array([-1.0, 1.0, 1.0, -1.0] * 2) * length_m / 2
        across = np.array([-1.0, -1.0, 1.0, 1.0] * 2) * width_m / 2
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        up = np.repeat([0.0, height_m], 4)
        return np.stack([self.x_m + cos * along - sin * across, self.y_m + sin * along + cos * across, up], axis=1)


@dataclass(frozen=True)
class Pose:
    """A place on the ground and a heading, counter-clockwise from global x."""

    x_m: float
    y_m: float
    yaw_rad: float

    def moved(self, forward_m: float, left_m: float, turned_rad: float = 0.0) -> Pose:
        """Return a pose relative to this one."""
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return Pose(
            self.x_m + cos * forward_m - sin * left_m,
            self.y_m + sin * forward_m + cos * left_m,
            self.yaw_rad + turned_rad,
        )


@dataclass(frozen=True)
class Drive:
    """How the vehicle moves: from a pose at constant speed and rate of turn."""

    start: Pose
    speed_m_s: float
    turn_rad_s: float

    def at(self, time_s: float) -> Pose:
        """Return where the vehicle is."""
        half_turn_rad = self.turn_rad_s * time_s / 2
        way_m = self.speed_m_s * time_s * float(np.sinc(half_turn_rad / math.pi))
        pose = self.start.moved(way_m * math.cos(half_turn_rad), way_m * math.sin(half_turn_rad))
        return Pose(pose.x_m, pose.y_m, self.start.yaw_rad + self.turn_rad_s * time_s)

    def camera_at(self, camera: Camera, frame: float) -> Pose:
        """Return where a camera is when it fires for a key frame; 0.5 is halfway between the first two."""
        vehicle = self.at(frame * KEY_FRAME_INTERVAL_S + camera.delay_s)
        return vehicle.moved(camera.x_m, camera.y_m, math.radians(camera.yaw_deg))


@dataclass(frozen=True)
class Scene:
    """A scene: a drive, what stands about in each key frame, and a number that decides light and texture.

    A thing that moves stands elsewhere in each frame, and is drawn where it stands: in an image of a key frame it is
    where its cuboid is, although the camera fires some milliseconds later.
    """

    name: str
    drive: Drive
    frames: tuple[tuple[Thing, ...], ...]
    look: int
    description: str = "Generated."


def make_scene(name: str, *, frame_count: int, rng: random.Random) -> Scene:
    """Make up a scene; a thing stays where it is for as long as it is well visible.

    Args:
        name: Name of the scene.
        frame_count: Number of key frames.
        rng: Where chance comes from.
    """
    start = Pose(rng.uniform(200, 1800), rng.uniform(200, 1800), rng.uniform(-math.pi, math.pi))
    drive = Drive(start, rng.uniform(2.0, 6.0), rng.uniform(-0.05, 0.05))
    frames: list[tuple[Thing, ...]] = []
    before: tuple[Thing, ...] = ()
    made = 0
    for index in range(frame_count):
        place = _Place(drive, index)
        wanted = _draw_counts(rng)
        for thing in before:
            if wanted[thing.kind] and place.accepts(thing):
                place.add(thing)
                wanted[thing.kind] -= 1
        for kind in (kind for kind, count in wanted.items() for _ in range(count)):
            found = _find_place(place, kind, f"{name}/{made}", rng)
            if found is not None:
                place.add(found)
                made += 1
        before = tuple(place.things)
        frames.append(before)
    return Scene(name, drive, tuple(frames), rng.getrandbits(32))


def _draw_counts(rng: random.Random) -> dict[Kind, int]:
    while True:
        counts = {kind: rng.choices(range(len(_COUNT_WEIGHTS)), _COUNT_WEIGHTS)[0] for kind in KINDS}
        if sum(counts.values()) in _THINGS_PER_FRAME:
            return counts


def _find_place(place: _Place, kind: Kind, name: str, rng: random.Random) -> Thing | None:
    # One camera is tried to the end before the next: views in which little fits would else get fewer things.
    for camera in rng.sample(RIG, len(RIG)):
        # A shorter focal length shows things smaller; they come nearer by as much.
        scale = camera.focal_px / RIG[0].focal_px
        half_view_rad = math.atan(IMAGE_WIDTH_PX / 2 / camera.focal_px)
        eye = place.drive.camera_at(camera, place.frame)
        for _ in range(_TRIES_PER_VIEW):
            distance_m = rng.uniform(max(kind.nearest_m * scale, 4.0), max(kind.farthest_m * scale, 4.5))
            aim = eye.moved(0.0, 0.0, rng.uniform(-half_view_rad, half_view_rad)).moved(distance_m, 0.0)
            growth = rng.uniform(0.93, 1.07)
            width_m, length_m, height_m = (round(side * growth, 3) for side in kind.size_wlh_m)
            yaw_rad = rng.uniform(-math.pi, math.pi)
            thing = Thing(name, kind, round(aim.x_m, 3), round(aim.y_m, 3), (width_m, length_m, height_m), yaw_rad)
            if place.accepts(thing):
                return thing
    return None


class _Place:
    """What stands about in one key frame, and whether one more thing would be well visible there."""

    def __init__(self, drive: Drive, frame: int) -> None:
        self.drive = drive
        self.frame = frame
        self.things: list[Thing] = []
        self._boxes_px: list[FloatArray] = []
        eyes = [drive.camera_at(camera, frame) for camera in RIG]
        self._x_m, self._y_m = (np.array([[getattr(eye, axis)] for eye in eyes]) for axis in ("x_m", "y_m"))
        self._z_m = np.array([[camera.z_m] for camera in RIG])
        self._cos = np.array([[math.cos(eye.yaw_rad)] for eye in eyes])
        self._sin = np.array([[math.sin(eye.yaw_rad)] for eye in eyes])
        self._focal_px = np.array([[camera.focal_px] for camera in RIG])

    def add(self, thing: Thing) -> None:
        boxes_px = self._boxes(thing)
        if boxes_px is not None:
            self.things.append(thing)
            self._boxes_px.append(boxes_px)

    def accepts(self, thing: Thing) -> bool:
        boxes_px = self._boxes(thing)
        if boxes_px is None or not np.isfinite(boxes_px).any():
            return False
        return not any(_overlap(boxes_px, other) > _MAX_OVERLAP for other in self._boxes_px)

    def _boxes(self, thing: Thing) -> FloatArray | None:
        """Return a thing's box in each view, shape (6, 4), NaN where it is not seen; None where it is badly seen."""
        corners_m = thing.corners_m()
        x_m, y_m = corners_m[:, 0] - self._x_m, corners_m[:, 1] - self._y_m
        depth_m = x_m * self._cos + y_m * self._sin
        right_m = x_m * self._sin - y_m * self._cos
        edge_m = depth_m * (IMAGE_WIDTH_PX / 2 / self._focal_px)
        outside = (depth_m < 0).all(axis=1) | (right_m > edge_m).all(axis=1) | (right_m < -edge_m).all(axis=1)
        if (depth_m[~outside] < _NEAREST_DEPTH_M).any():
            return None
        scale_px = self._focal_px / np.where(outside[:, None], 1.0, depth_m)
        columns_px = IMAGE_WIDTH_PX / 2 + scale_px * right_m
        rows_px = HORIZON_PX + scale_px * (self._z_m - corners_m[:, 2])
        whole = np.stack([columns_px.min(1), rows_px.min(1), columns_px.max(1), rows_px.max(1)], axis=1)
        boxes_px: FloatArray = np.clip(whole, 0, [IMAGE_WIDTH_PX, IMAGE_HEIGHT_PX, IMAGE_WIDTH_PX, IMAGE_HEIGHT_PX])
        width_px, height_px = boxes_px[:, 2] - boxes_px[:, 0], boxes_px[:, 3] - boxes_px[:, 1]
        shown = width_px * height_px / ((whole[:, 2] - whole[:, 0]) * (whole[:, 3] - whole[:, 1]))
        well = (shown >= _MIN_SHOWN) & (width_px >= _MIN_SIDE_PX) & (height_px >= _MIN_HEIGHT_PX)
        if not (well | outside).all():
            return None
        return np.where(outside[:, None], np.nan, boxes_px)


def _overlap(boxes_px: FloatArray, others_px: FloatArray) -> float:
    """Return the largest share, over views, of the smaller of two boxes that the other covers."""
    shared = np.minimum(boxes_px[:, 2:], others_px[:, 2:]) - np.maximum(boxes_px[:, :2], others_px[:, :2])
    sides = (boxes_px[:, 2:] - boxes_px[:, :2], others_px[:, 2:] - others_px[:, :2])
    smaller = np.minimum(sides[0].prod(axis=1), sides[1].prod(axis=1))
    share = np.nan_to_num(np.clip(shared, 0, None).prod(axis=1) / smaller)
    return float(share.max())
