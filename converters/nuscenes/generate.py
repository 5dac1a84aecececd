"""Writes a generated data root in the layout of nuScenes: thirteen tables and rendered camera frames.

The folder of tables is called ``v1.0-generated``, so that nobody takes it for real data. There is no lidar,
radar or sweep; every image belongs to a key frame.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from .render import SceneLook, render
from .world import (
    HORIZON_PX,
    IMAGE_HEIGHT_PX,
    IMAGE_WIDTH_PX,
    KEY_FRAME_INTERVAL_S,
    KINDS,
    RIG,
    Camera,
    Drive,
    Pose,
    Scene,
    Thing,
    make_scene,
)

VERSION = "v1.0-generated"

_FIRST_TIMESTAMP_US = 1_600_000_000_000_000
_SCENE_INTERVAL_US = 60_000_000
_SCENES_PER_LOG = 4
_JPEG_QUALITY = 88
_VISIBILITY_LEVELS = {"1": "v0-40", "2": "v40-60", "3": "v60-80", "4": "v80-100"}
_WELL_VISIBLE = "4"
_ATTRIBUTES = ("pedestrian.standing", "vehicle.parked")


def generate_dataroot(out: Path, *, scene_count: int, frames_per_scene: int, seed: int) -> None:
    """Write a data root of made-up scenes.

    Args:
        out: Folder to write to; made if it is not there.
        scene_count: Number of scenes. The first ones do not depend on it.
        frames_per_scene: Number of key frames of each.
        seed: Equal seeds give equal bytes.
    """
    names = (f"scene-{number:04d}" for number in range(1, scene_count + 1))
    scenes = [make_scene(name, frame_count=frames_per_scene, rng=random.Random(f"{seed}/{name}")) for name in names]
    write_dataroot(out, scenes)


def write_dataroot(out: Path, scenes: Sequence[Scene]) -> None:
    """Write tables and frames of scenes.

    Args:
        out: Folder to write to; made if it is not there.
        scenes: The scenes; each name occurs once.
    """
    tables = _Tables()
    tables.add_constant_rows()
    for camera in RIG:
        (out / "samples" / camera.channel).mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        log = f"log-{number // _SCENES_PER_LOG:04d}"
        start_us = _FIRST_TIMESTAMP_US + number * _SCENE_INTERVAL_US
        tables.add_scene(scene, log=log, start_us=start_us)
        look = SceneLook(scene)
        for frame, things in enumerate(scene.frames):
            for camera in RIG:
                picture = render(camera, scene.drive.camera_at(camera, frame), things, look)
                path = out / _file_name(camera, log, _fired_us(camera, start_us, frame))
                picture.save(path, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    logs = tables.add_logs()
    (out / "maps").mkdir(exist_ok=True)
    for token in logs:
        Image.new("L", (32, 32), 255).save(out / _map_name(token))
    folder = out / VERSION
    folder.mkdir(exist_ok=True)
    for name, rows in sorted(tables.rows.items()):
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


def _token(*parts: object) -> str:
    """Return a token that looks like those of nuScenes: 32 hexadecimal digits."""
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:32]


def _fired_us(camera: Camera, start_us: int, frame: int) -> int:
    return start_us + round((frame * KEY_FRAME_INTERVAL_S + camera.delay_s) * 1e6)


def _file_name(camera: Camera, log: str, fired_us: int) -> str:
    return f"samples/{camera.channel}/{log}__{camera.channel}__{fired_us}.jpg"


def _map_name(token: str) -> str:
    return f"maps/{token}.png"


def _yaw_quaternion(yaw_rad: float) -> list[float]:
    return [math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)]


def _camera_quaternion(yaw_rad: float) -> list[float]:
    """Return the rotation from a level camera (z ahead, x right, y down) to the vehicle, as (w, x, y, z).

    It is the product of the turn by yaw about z and (0.5, -0.5, 0.5, -0.5), which a camera ahead has.
    """
    cos, sin = math.cos(yaw_rad / 2), math.sin(yaw_rad / 2)
    return [(cos + sin) / 2, -(cos + sin) / 2, (cos - sin) / 2, (sin - cos) / 2]


class _Tables:
    """The rows of the thirteen tables (nuscenes-devkit, docs/schema_nuscenes.md)."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._logs: list[str] = []

    def add_constant_rows(self) -> None:
        """Add what is the same in all scenes: sensors, mountings, categories, attributes, visibility."""
        for camera in RIG:
            self.rows["sensor"].append(
                {"token": _token("sensor", camera.channel), "channel": camera.channel, "modality": "camera"}
            )
            self.rows["calibrated_sensor"].append(
                {
                    "token": _token("calibrated_sensor", camera.channel),
                    "sensor_token": _token("sensor", camera.channel),
                    "translation": [camera.x_m, camera.y_m, camera.z_m],
                    "rotation": _camera_quaternion(math.radians(camera.yaw_deg)),
                    "camera_intrinsic": [
                        [camera.focal_px, 0.0, IMAGE_WIDTH_PX / 2],
                        [0.0, camera.focal_px, HORIZON_PX],
                        [0.0, 0.0, 1.0],
                    ],
                }
            )
        for kind in KINDS:
            self.rows["category"].append(
                {"token": _token("category", kind.category), "name": kind.category, "description": "Generated."}
            )
        for attribute in _ATTRIBUTES:
            self.rows["attribute"].append(
                {"token": _token("attribute", attribute), "name": attribute, "description": "Generated."}
            )
        for token, level in _VISIBILITY_LEVELS.items():
            self.rows["visibility"].append({"token": token, "level": level, "description": "Of all six views."})

    def add_scene(self, scene: Scene, *, log: str, start_us: int) -> None:
        """Add the rows of a scene."""
        if log not in self._logs:
            self._logs.append(log)
        samples = [_token("sample", scene.name, frame) for frame in range(len(scene.frames))]
        self.rows["scene"].append(
            {
                "token": _token("scene", scene.name),
                "log_token": _token("log", log),
                "nbr_samples": len(samples),
                "first_sample_token": samples[0],
                "last_sample_token": samples[-1],
                "name": scene.name,
                "description": "Generated.",
            }
        )
        for frame, token in enumerate(samples):
            self.rows["sample"].append(
                {
                    "token": token,
                    "timestamp": start_us + round(frame * KEY_FRAME_INTERVAL_S * 1e6),
                    "scene_token": _token("scene", scene.name),
                    **_neighbours(samples, frame),
                }
            )
        for camera in RIG:
            self._add_images(scene, camera, samples, log=log, start_us=start_us)
        self._add_things(scene, samples)

    def _add_images(self, scene: Scene, camera: Camera, samples: Sequence[str], *, log: str, start_us: int) -> None:
        tokens = [_token("sample_data", scene.name, camera.channel, frame) for frame in range(len(samples))]
        for frame, token in enumerate(tokens):
            fired_us = _fired_us(camera, start_us, frame)
            self._add_ego_pose(token, scene.drive, time_s=(fired_us - start_us) / 1e6, fired_us=fired_us)
            self.rows["sample_data"].append(
                {
                    "token": token,
                    "sample_token": samples[frame],
                    # As in nuScenes, each image has an ego pose of its own under the same token.
                    "ego_pose_token": token,
                    "calibrated_sensor_token": _token("calibrated_sensor", camera.channel),
                    "timestamp": fired_us,
                    "fileformat": "jpg",
                    "is_key_frame": True,
                    "height": IMAGE_HEIGHT_PX,
                    "width": IMAGE_WIDTH_PX,
                    "filename": _file_name(camera, log, fired_us),
                    **_neighbours(tokens, frame),
                }
            )

    def _add_ego_pose(self, token: str, drive: Drive, *, time_s: float, fired_us: int) -> None:
        pose: Pose = drive.at(time_s)
        self.rows["ego_pose"].append(
            {
                "token": token,
                "timestamp": fired_us,
                "rotation": _yaw_quaternion(pose.yaw_rad),
                "translation": [pose.x_m, pose.y_m, 0.0],
            }
        )

    def _add_things(self, scene: Scene, samples: Sequence[str]) -> None:
        seen: dict[str, list[tuple[int, Thing]]] = defaultdict(list)
        for frame, things in enumerate(scene.frames):
            for thing in things:
                seen[thing.name].append((frame, thing))
        for name, places in seen.items():
            kind = places[0][1].kind
            tokens = [_token("sample_annotation", scene.name, name, frame) for frame, _ in places]
            self.rows["instance"].append(
                {
                    "token": _token("instance", scene.name, name),
                    "category_token": _token("category", kind.category),
                    "nbr_annotations": len(tokens),
                    "first_annotation_token": tokens[0],
                    "last_annotation_token": tokens[-1],
                }
            )
            for position, (frame, thing) in enumerate(places):
                self.rows["sample_annotation"].append(
                    {
                        "token": tokens[position],
                        "sample_token": samples[frame],
                        "instance_token": _token("instance", scene.name, name),
                        "visibility_token": _WELL_VISIBLE,
                        "attribute_tokens": [_token("attribute", kind.attribute)] if kind.attribute else [],
                        "translation": [thing.x_m, thing.y_m, thing.z_m],
                        "size": list(thing.size_wlh_m),
                        "rotation": _yaw_quaternion(thing.yaw_rad),
                        "num_lidar_pts": 0,
                        "num_radar_pts": 0,
                        **_neighbours(tokens, position),
                    }
                )

    def add_logs(self) -> list[str]:
        """Add logs and one map for each; return the tokens of the maps."""
        for log in self._logs:
            self.rows["log"].append(
                {
                    "token": _token("log", log),
                    "logfile": log,
                    "vehicle": "generated",
                    "date_captured": "2020-09-13",
                    "location": "generated",
                }
            )
            self.rows["map"].append(
                {
                    "token": _token("map", log),
                    "log_tokens": [_token("log", log)],
                    "category": "semantic_prior",
                    "filename": _map_name(_token("map", log)),
                }
            )
        return [row["token"] for row in self.rows["map"]]


def _neighbours(tokens: Sequence[str], position: int) -> dict[str, str]:
    """Return the links of a row to the one before and the one after."""
    return {
        "prev": tokens[position - 1] if position > 0 else "",
        "next": tokens[position + 1] if position + 1 < len(tokens) else "",
    }
