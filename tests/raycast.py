"""A world of coloured blocks seen by casting one ray a pixel, as an oracle for boxes that are projected.

It shares no formula with the projection: nothing is projected, no corner is known, no polygon is cut. Each pixel's ray
is tested against the faces' planes of each block in turn. What it gives is exact to the pixel.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NEAR_M = 0.1
"""Where rays begin, as depth from the camera."""


@dataclass(frozen=True)
class Block:
    """A cuboid in the global frame: pitched about its width, then turned about the vertical.

    ``pitch_rad`` brings its length from level to below; ``velocity_m_s`` moves it along global x and y.
    """

    name: str
    center_m: tuple[float, float, float]
    size_wlh_m: tuple[float, float, float]
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    category: str = "vehicle.car"
    attribute: str | None = None
    velocity_m_s: tuple[float, float] = (0.0, 0.0)

    def axes(self) -> np.ndarray:
        """Where its length, width and height point, one a row."""
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        level, fall = math.cos(self.pitch_rad), math.sin(self.pitch_rad)
        return np.array([[cos * level, sin * level, -fall], [-sin, cos, 0.0], [cos * fall, sin * fall, level]])

    def quaternion_wxyz(self) -> tuple[float, float, float, float]:
        """The product of the turn and the pitch."""
        cos, sin = math.cos(self.yaw_rad / 2), math.sin(self.yaw_rad / 2)
        level, fall = math.cos(self.pitch_rad / 2), math.sin(self.pitch_rad / 2)
        return (cos * level, -sin * fall, cos * fall, sin * level)

    def contains(self, point_m: tuple[float, float, float]) -> bool:
        """Whether a point lies in it."""
        width_m, length_m, height_m = self.size_wlh_m
        along_m = self.axes() @ np.subtract(point_m, self.center_m)
        return bool(np.all(np.abs(along_m) <= np.array([length_m, width_m, height_m]) / 2))

    def at(self, time_s: float) -> Block:
        """The block some time later."""
        x_m, y_m = (place + time_s * speed for place, speed in zip(self.center_m[:2], self.velocity_m_s, strict=True))
        return replace(self, center_m=(x_m, y_m, self.center_m[2]))


@dataclass(frozen=True)
class Eye:
    """A level pin-hole camera in the global frame; its principal point is the middle of the image."""

    position_m: tuple[float, float, float]
    yaw_rad: float
    focal_px: float = 200.0
    width_px: int = 400
    height_px: int = 225

    def rays(self) -> np.ndarray:
        """Directions with depth 1 through the middle of each pixel, shape (height, width, 3)."""
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        right = (np.arange(self.width_px) + 0.5 - self.width_px / 2) / self.focal_px
        down = (np.arange(self.height_px) + 0.5 - self.height_px / 2) / self.focal_px
        rays = np.empty((self.height_px, self.width_px, 3))
        rays[..., 0] = cos + sin * right
        rays[..., 1] = sin - cos * right
        rays[..., 2] = -down[:, None]
        return rays


@dataclass(frozen=True)
class Shown:
    """How a block is to be seen: the extents of its pixels, whether others hide it or not, and the share they hide.

    A block in which the eye is hides nothing.
    """

    box_px: tuple[int, int, int, int]
    pixels: int
    hidden_fraction: float


def cast(blocks: Sequence[Block], eye: Eye) -> np.ndarray:
    """The depth at which each pixel's ray enters each block, infinite where it misses; by block, row and column."""
    rays = eye.rays()
    depths_m = np.full((len(blocks), *rays.shape[:2]), np.inf)
    for index, block in enumerate(blocks):
        enter_m = np.full(rays.shape[:2], NEAR_M)
        leave_m = np.full(rays.shape[:2], np.inf)
        width_m, length_m, height_m = block.size_wlh_m
        for axis, side_m in zip(block.axes(), (length_m, width_m, height_m), strict=True):
            off_m = float(np.dot(np.subtract(block.center_m, eye.position_m), axis))
            along = rays @ axis
            along[along == 0.0] = 1e-12
            faces_m = np.sort(np.stack([(off_m - side_m / 2) / along, (off_m + side_m / 2) / along]), axis=0)
            enter_m, leave_m = np.maximum(enter_m, faces_m[0]), np.minimum(leave_m, faces_m[1])
        depths_m[index] = np.where(leave_m > enter_m, enter_m, np.inf)
    return depths_m


def look(blocks: Sequence[Block], eye: Eye) -> dict[str, Shown]:
    """What is to be seen of each block by its name; a block of which no pixel is seen is not there."""
    depths_m = cast(blocks, eye)
    nearest_m = depths_m[[not block.contains(eye.position_m) for block in blocks]].min(axis=0, initial=np.inf)
    seen: dict[str, Shown] = {}
    for block, depth_m in zip(blocks, depths_m, strict=True):
        mask = np.isfinite(depth_m)
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box_px = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
            hidden = np.count_nonzero(nearest_m[mask] < depth_m[mask]) / np.count_nonzero(mask)
            seen[block.name] = Shown(box_px, int(np.count_nonzero(mask)), hidden)
    return seen


def picture(blocks: Sequence[Block], eye: Eye) -> np.ndarray:
    """The pixels: each block in a colour of its own, before grey."""
    depths_m = cast(blocks, eye)
    colours = np.array([[90, 90, 90], *(_colour(block.name) for block in blocks)], np.uint8)
    first = np.where(np.isfinite(depths_m.min(axis=0, initial=np.inf)), depths_m.argmin(axis=0) + 1, 0)
    return colours[first]


def _colour(name: str) -> list[int]:
    return [64 + value * 3 // 4 for value in hashlib.sha256(name.encode()).digest()[:3]]


@dataclass(frozen=True)
class Mount:
    """A camera on the vehicle; ``delay_s`` is when it fires after the key frame."""

    channel: str
    position_m: tuple[float, float, float]
    yaw_rad: float
    delay_s: float
    focal_px: float = 200.0

    def quaternion_wxyz(self) -> tuple[float, float, float, float]:
        """The turn by its yaw times (0.5, -0.5, 0.5, -0.5), which a camera that looks ahead has."""
        cos, sin = math.cos(self.yaw_rad / 2), math.sin(self.yaw_rad / 2)
        return ((cos + sin) / 2, -(cos + sin) / 2, (cos - sin) / 2, (sin - cos) / 2)


MOUNTS = (
    Mount("CAM_FRONT", (1.7, 0.0, 1.5), 0.0, 0.000),
    Mount("CAM_FRONT_RIGHT", (1.5, -0.5, 1.5), math.radians(-60), 0.010),
    Mount("CAM_BACK_RIGHT", (1.0, -0.5, 1.5), math.radians(-120), 0.018),
    Mount("CAM_BACK", (0.0, 0.0, 1.5), math.radians(180), 0.026),
    Mount("CAM_BACK_LEFT", (1.0, 0.5, 1.5), math.radians(120), 0.034),
    Mount("CAM_FRONT_LEFT", (1.5, 0.5, 1.5), math.radians(60), 0.043),
)


@dataclass(frozen=True)
class Ride:
    """A vehicle that drives straight on at constant speed."""

    start_m: tuple[float, float]
    yaw_rad: float
    speed_m_s: float

    def at(self, time_s: float) -> tuple[float, float, float]:
        """Where it is, on the ground."""
        way_m = self.speed_m_s * time_s
        return (self.start_m[0] + way_m * math.cos(self.yaw_rad), self.start_m[1] + way_m * math.sin(self.yaw_rad), 0.0)

    def quaternion_wxyz(self) -> tuple[float, float, float, float]:
        """How it is turned."""
        return (math.cos(self.yaw_rad / 2), 0.0, 0.0, math.sin(self.yaw_rad / 2))

    def place(self, forward_m: float, left_m: float, up_m: float, time_s: float = 0.0) -> tuple[float, float, float]:
        """A place in the global frame that is given relative to the vehicle."""
        x_m, y_m, z_m = self.at(time_s)
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return (x_m + cos * forward_m - sin * left_m, y_m + sin * forward_m + cos * left_m, z_m + up_m)

    def eye(self, mount: Mount, time_s: float, **size: Any) -> Eye:
        """A camera of it as it is at a time."""
        return Eye(self.place(*mount.position_m, time_s), self.yaw_rad + mount.yaw_rad, mount.focal_px, **size)


RIDE = Ride((312.0, 1480.0), math.radians(35.0), 12.0)


def known_blocks(ride: Ride = RIDE) -> list[Block]:
    """Blocks in all positions that are hard; in each key frame they lie as their names say."""

    def block(
        name: str,
        mount: Mount,
        place: tuple[float, float, float],
        size_wlh_m: tuple[float, float, float],
        yaw_deg: float = 0.0,
        pitch_deg: float = 0.0,
        **facts: Any,
    ) -> Block:
        """A block with its centre so far ahead of a camera as it fires, left of it and above it."""
        eye = ride.eye(mount, mount.delay_s)
        cos, sin = math.cos(eye.yaw_rad), math.sin(eye.yaw_rad)
        x_m, y_m, z_m = eye.position_m
        center_m = (x_m + cos * place[0] - sin * place[1], y_m + sin * place[0] + cos * place[1], z_m + place[2])
        yaw_rad = eye.yaw_rad + math.radians(yaw_deg)
        return Block(name, center_m, size_wlh_m, yaw_rad, math.radians(pitch_deg), **facts)

    front, _, _, back, _, front_left = MOUNTS
    along = {"velocity_m_s": (ride.speed_m_s * math.cos(ride.yaw_rad), ride.speed_m_s * math.sin(ride.yaw_rad))}
    truck = {"category": "vehicle.truck", **along}
    return [
        block("car-ahead", front, (12.3, 1.5, -0.7), (1.9, 4.4, 1.6), 20.0, attribute="vehicle.parked"),
        block("bus-half-hidden", front, (20.3, 1.0, 0.1), (2.5, 7.0, 3.2), -10.0, category="vehicle.bus.rigid"),
        block("walker", front, (7.3, -1.5, -0.6), (0.7, 0.7, 1.8), category="human.pedestrian.adult"),
        block("car-at-border", front, (3.8, 4.0, -0.7), (1.9, 4.4, 1.6), 70.0),
        # From 3 m behind the front camera to 6 m before it.
        block("truck-beside", front, (1.5, -4.0, 0.1), (2.5, 9.0, 3.2), **truck),
        # Long plates askew, of which an upright edge or the end of one reaches before the plane of the rear camera.
        block("two-corners", back, (-0.62, 4.86, 0.0), (9.0, 1.5, 2.0), 10.0, **truck),
        block("one-corner", back, (-1.1, -4.8, 0.4), (9.0, 1.5, 3.0), -10.0, -25.0, **truck),
        block("around-front-left", front_left, (0.05, -0.05, 0.0), (0.5, 0.5, 0.5), 8.0, **along),
        block("car-behind", back, (12.0, 0.4, -0.7), (1.9, 4.4, 1.6), 5.0),
    ]


VERSION = "v1.0-raycast"
_START_US = 1_600_000_000_000_000
_INTERVAL_S = 0.5


def write_world(
    folder: Path, blocks: Sequence[Block], *, ride: Ride = RIDE, frames: int = 2, size_px: tuple[int, int] = (400, 225)
) -> list[dict[str, dict[str, Shown]]]:
    """Write a data root of one scene in the layout of nuScenes: thirteen tables and six JPEG images a key frame.

    Things stand where they are at the key frame's time, as cuboids are given for that time; the cameras fire later,
    each from where the vehicle is by then.

    Returns:
        Of each key frame and view what is to be seen of each block by its name, which is its instance token.
    """
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in _TABLES}
    _add_constant_rows(rows, blocks, frames)
    truth: list[dict[str, dict[str, Shown]]] = []
    for frame in range(frames):
        time_s = frame * _INTERVAL_S
        here = [block.at(time_s) for block in blocks]
        stamp = {"token": f"sample-{frame}", "timestamp": _START_US + round(time_s * 1e6), "scene_token": "scene"}
        rows["sample"].append(stamp | _links("sample-", frame, frames))
        truth.append({})
        for mount in MOUNTS:
            fired_s = time_s + mount.delay_s
            eye = ride.eye(mount, fired_s, width_px=size_px[0], height_px=size_px[1])
            name = f"samples/{mount.channel}/raycast__{mount.channel}__{_START_US + round(fired_s * 1e6)}.jpg"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(here, eye)).save(folder / name, quality=95, subsampling=0)
            truth[-1][mount.channel.removeprefix("CAM_")] = look(here, eye)
            _add_shot(rows, ride, mount, frame, frames, fired_s, name, size_px)
        for block, original in zip(here, blocks, strict=True):
            rows["sample_annotation"].append(_annotation(block, original, frame, frames))
    # The devkit asks for a map, which nothing else reads.
    (folder / "maps").mkdir(exist_ok=True)
    Image.new("L", (8, 8), 255).save(folder / "maps" / "0.png")
    (folder / VERSION).mkdir(parents=True, exist_ok=True)
    for table, content in rows.items():
        (folder / VERSION / f"{table}.json").write_text(json.dumps(content, indent=0), encoding="utf-8")
    return truth


_TABLES = (
    "attribute",
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "log",
    "map",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
)


def _links(prefix: str, frame: int, frames: int) -> dict[str, str]:
    return {
        "prev": f"{prefix}{frame - 1}" if frame else "",
        "next": f"{prefix}{frame + 1}" if frame + 1 < frames else "",
    }


def _named(name: str) -> dict[str, str]:
    return {"token": name, "name": name, "description": ""}


def _add_constant_rows(rows: dict[str, list[dict[str, Any]]], blocks: Sequence[Block], frames: int) -> None:
    rows["category"] += [_named(name) for name in sorted({block.category for block in blocks})]
    rows["attribute"] += [_named(name) for name in sorted({block.attribute for block in blocks if block.attribute})]
    rows["visibility"].append({"token": "4", "level": "v80-100", "description": ""})
    rows["log"].append({"token": "log", "logfile": "log-0", "vehicle": "", "date_captured": "", "location": "raycast"})
    rows["map"].append({"token": "map", "log_tokens": ["log"], "category": "semantic_prior", "filename": "maps/0.png"})
    rows["scene"].append(
        {
            "token": "scene",
            "log_token": "log",
            "nbr_samples": frames,
            "first_sample_token": "sample-0",
            "last_sample_token": f"sample-{frames - 1}",
            "name": "scene-0001",
            "description": "",
        }
    )
    for block in blocks:
        rows["instance"].append(
            {
                "token": block.name,
                "category_token": block.category,
                "nbr_annotations": frames,
                "first_annotation_token": f"{block.name}-0",
                "last_annotation_token": f"{block.name}-{frames - 1}",
            }
        )


def _add_shot(
    rows: dict[str, list[dict[str, Any]]],
    ride: Ride,
    mount: Mount,
    frame: int,
    frames: int,
    fired_s: float,
    name: str,
    size_px: tuple[int, int],
) -> None:
    token, timestamp = f"{mount.channel}-{frame}", _START_US + round(fired_s * 1e6)
    if frame == 0:
        rows["sensor"].append({"token": mount.channel, "channel": mount.channel, "modality": "camera"})
        rows["calibrated_sensor"].append(
            {
                "token": mount.channel,
                "sensor_token": mount.channel,
                "translation": list(mount.position_m),
                "rotation": list(mount.quaternion_wxyz()),
                "camera_intrinsic": [
                    [mount.focal_px, 0.0, size_px[0] / 2],
                    [0.0, mount.focal_px, size_px[1] / 2],
                    [0.0, 0.0, 1.0],
                ],
            }
        )
    rows["ego_pose"].append(
        {
            "token": token,
            "timestamp": timestamp,
            "rotation": list(ride.quaternion_wxyz()),
            "translation": list(ride.at(fired_s)),
        }
    )
    rows["sample_data"].append(
        {
            "token": token,
            "sample_token": f"sample-{frame}",
            "ego_pose_token": token,
            "calibrated_sensor_token": mount.channel,
            "timestamp": timestamp,
            "fileformat": "jpg",
            "is_key_frame": True,
            "height": size_px[1],
            "width": size_px[0],
            "filename": name,
            **_links(f"{mount.channel}-", frame, frames),
        }
    )


def _annotation(block: Block, original: Block, frame: int, frames: int) -> dict[str, Any]:
    return {
        "token": f"{block.name}-{frame}",
        "sample_token": f"sample-{frame}",
        "instance_token": block.name,
        "visibility_token": "4",
        "attribute_tokens": [original.attribute] if original.attribute else [],
        "translation": list(block.center_m),
        "size": list(block.size_wlh_m),
        "rotation": list(block.quaternion_wxyz()),
        "num_lidar_pts": 20,
        "num_radar_pts": 0,
        **_links(f"{block.name}-", frame, frames),
    }
