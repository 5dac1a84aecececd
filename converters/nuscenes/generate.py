"""Writes a generated data root in the layout of nuScenes: thirteen tables and rendered camera frames.

The folder of tables is called ``v1.0-generated``, so that nobody takes it for real data. There is no lidar and no
radar. Things stand about, and each image belongs to a key frame, unless more is asked for.
"""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from .generated.can_bus import write_can_bus
from .generated.render import SceneLook, render
from .generated.rows import VISIBILITY_LEVELS, camera_rotation, links, token_of, yaw_rotation
from .generated.traffic import MANOEUVRES, make_traffic_scene
from .generated.world import (
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
_LOCATIONS = ("generated",)
_IMAGES_PER_KEY_FRAME = 6
"""Where a camera has sweeps: at 12 Hz, of which nuScenes annotates 2 Hz (arXiv 1903.11027, section 3)."""

_JPEG_QUALITY = 88
_WELL_VISIBLE = "4"
_ATTRIBUTES = ("pedestrian.standing", "vehicle.parked")


def generate_dataroot(
    out: Path,
    *,
    scene_count: int,
    frames_per_scene: int,
    seed: int,
    traffic: bool = False,
    sweeps: Collection[str] = (),
    can_bus: bool = False,
    locations: Sequence[str] = _LOCATIONS,
    scenes_per_log: int = _SCENES_PER_LOG,
) -> None:
    """Write a data root of made-up scenes.

    Args:
        out: Folder to write to; made if it is not there.
        scene_count: Number of scenes. The first ones do not depend on it.
        frames_per_scene: Number of key frames of each.
        seed: Equal seeds give equal bytes.
        traffic: Roads with traffic instead of things that stand about: some drive, some cross a camera's plane, they
            have lidar points, and scenes have descriptions.
        sweeps: Channels of cameras that also have images between key frames, at 12 Hz.
        can_bus: Also write what the CAN bus says.
        locations: Of the logs, one after the other, from the start again where there are more logs.
        scenes_per_log: How many scenes are cut from one log.
    """
    scenes: list[Scene] = []
    for number in range(scene_count):
        name = f"scene-{number + 1:04d}"
        rng = random.Random(f"{seed}/{name}")
        if traffic:
            manoeuvre = MANOEUVRES[number % len(MANOEUVRES)]
            scenes.append(make_traffic_scene(name, frame_count=frames_per_scene, manoeuvre=manoeuvre, rng=rng))
        else:
            scenes.append(make_scene(name, frame_count=frames_per_scene, rng=rng))
    write_dataroot(out, scenes, sweeps=sweeps, can_bus=can_bus, locations=locations, scenes_per_log=scenes_per_log)


def write_dataroot(
    out: Path,
    scenes: Sequence[Scene],
    *,
    sweeps: Collection[str] = (),
    can_bus: bool = False,
    locations: Sequence[str] = _LOCATIONS,
    scenes_per_log: int = _SCENES_PER_LOG,
) -> None:
    """Write tables and frames of scenes.

    Args:
        out: Folder to write to; made if it is not there.
        scenes: The scenes; each name occurs once.
        sweeps: Channels of cameras that also have images between key frames, at 12 Hz.
        can_bus: Also write what the CAN bus says.
        locations: Of the logs, one after the other, from the start again where there are more logs.
        scenes_per_log: How many scenes are cut from one log.
    """
    tables = _Tables()
    tables.add_constant_rows(scenes)
    for camera in RIG:
        for kind in ("samples", "sweeps") if camera.channel in sweeps else ("samples",):
            (out / kind / camera.channel).mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        log = f"log-{number // scenes_per_log:04d}"
        start_us = _FIRST_TIMESTAMP_US + number * _SCENE_INTERVAL_US
        tables.add_scene(scene, log=log, start_us=start_us, sweeps=sweeps)
        look = SceneLook(scene)
        for camera in RIG:
            for moment in _moments(scene, with_sweeps=camera.channel in sweeps):
                picture = render(camera, scene.drive.camera_at(camera, moment.frames), _things_at(scene, moment), look)
                path = out / _file_name(camera, log, start_us, moment)
                picture.save(path, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
        if can_bus:
            duration_s = (len(scene.frames) - 1) * KEY_FRAME_INTERVAL_S
            write_can_bus(out, scene.name, scene.drive, start_us=start_us, duration_s=duration_s)
    logs = tables.add_logs(locations)
    (out / "maps").mkdir(exist_ok=True)
    for token in logs:
        Image.new("L", (32, 32), 255).save(out / _map_name(token))
    folder = out / VERSION
    folder.mkdir(exist_ok=True)
    for name, rows in sorted(tables.rows.items()):
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class _Moment:
    """When a camera fires: for a key frame, or some steps after it."""

    frame: int
    step: int = 0

    @property
    def frames(self) -> float:
        """Time in key frames."""
        return self.frame + self.step / _IMAGES_PER_KEY_FRAME

    @property
    def name(self) -> str:
        return f"{self.frame}+{self.step}" if self.step else str(self.frame)


def _moments(scene: Scene, *, with_sweeps: bool) -> Iterator[_Moment]:
    """Yield when a camera fires, in time; after the last key frame it does not."""
    for frame in range(len(scene.frames)):
        yield _Moment(frame)
        if with_sweeps and frame + 1 < len(scene.frames):
            yield from (_Moment(frame, step) for step in range(1, _IMAGES_PER_KEY_FRAME))


def _things_at(scene: Scene, moment: _Moment) -> tuple[Thing, ...]:
    """Return the things of a key frame; some steps later, on their way to where they are in the next."""
    things = scene.frames[moment.frame]
    if not moment.step:
        return things
    share = moment.step / _IMAGES_PER_KEY_FRAME
    later = {thing.name: thing for thing in scene.frames[moment.frame + 1]}
    return tuple(_between(thing, later.get(thing.name, thing), share) for thing in things)


def _between(thing: Thing, later: Thing, share: float) -> Thing:
    return replace(
        thing,
        x_m=thing.x_m + share * (later.x_m - thing.x_m),
        y_m=thing.y_m + share * (later.y_m - thing.y_m),
        yaw_rad=thing.yaw_rad + share * (later.yaw_rad - thing.yaw_rad),
    )


def _fired_us(camera: Camera, start_us: int, moment: _Moment) -> int:
    return start_us + round((moment.frames * KEY_FRAME_INTERVAL_S + camera.delay_s) * 1e6)


def _file_name(camera: Camera, log: str, start_us: int, moment: _Moment) -> str:
    folder = "sweeps" if moment.step else "samples"
    return f"{folder}/{camera.channel}/{log}__{camera.channel}__{_fired_us(camera, start_us, moment)}.jpg"


def _map_name(token: str) -> str:
    return f"maps/{token}.png"


class _Tables:
    """The rows of the thirteen tables (nuscenes-devkit, docs/schema_nuscenes.md)."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._logs: list[str] = []

    def add_constant_rows(self, scenes: Sequence[Scene]) -> None:
        """Add what is the same in all scenes: sensors, mountings, categories, attributes, visibility."""
        for camera in RIG:
            self.rows["sensor"].append(
                {"token": token_of("sensor", camera.channel), "channel": camera.channel, "modality": "camera"}
            )
            self.rows["calibrated_sensor"].append(
                {
                    "token": token_of("calibrated_sensor", camera.channel),
                    "sensor_token": token_of("sensor", camera.channel),
                    "translation": [camera.x_m, camera.y_m, camera.z_m],
                    "rotation": camera_rotation(math.radians(camera.yaw_deg)),
                    "camera_intrinsic": [
                        [camera.focal_px, 0.0, IMAGE_WIDTH_PX / 2],
                        [0.0, camera.focal_px, HORIZON_PX],
                        [0.0, 0.0, 1.0],
                    ],
                }
            )
        for kind in KINDS:
            self.rows["category"].append(
                {"token": token_of("category", kind.category), "name": kind.category, "description": "Generated."}
            )
        states = {thing.state for scene in scenes for things in scene.frames for thing in things if thing.state}
        for attribute in (*_ATTRIBUTES, *sorted(states - set(_ATTRIBUTES))):
            self.rows["attribute"].append(
                {"token": token_of("attribute", attribute), "name": attribute, "description": "Generated."}
            )
        for token, level in VISIBILITY_LEVELS.items():
            self.rows["visibility"].append({"token": token, "level": level, "description": "Of all six views."})

    def add_scene(self, scene: Scene, *, log: str, start_us: int, sweeps: Collection[str]) -> None:
        """Add the rows of a scene."""
        if log not in self._logs:
            self._logs.append(log)
        samples = [token_of("sample", scene.name, frame) for frame in range(len(scene.frames))]
        self.rows["scene"].append(
            {
                "token": token_of("scene", scene.name),
                "log_token": token_of("log", log),
                "nbr_samples": len(samples),
                "first_sample_token": samples[0],
                "last_sample_token": samples[-1],
                "name": scene.name,
                "description": scene.description,
            }
        )
        for frame, token in enumerate(samples):
            self.rows["sample"].append(
                {
                    "token": token,
                    "timestamp": start_us + round(frame * KEY_FRAME_INTERVAL_S * 1e6),
                    "scene_token": token_of("scene", scene.name),
                    **links(samples, frame),
                }
            )
        for camera in RIG:
            moments = list(_moments(scene, with_sweeps=camera.channel in sweeps))
            self._add_images(scene, camera, samples, moments, log=log, start_us=start_us)
        self._add_things(scene, samples)

    def _add_images(
        self,
        scene: Scene,
        camera: Camera,
        samples: Sequence[str],
        moments: Sequence[_Moment],
        *,
        log: str,
        start_us: int,
    ) -> None:
        tokens = [token_of("sample_data", scene.name, camera.channel, moment.name) for moment in moments]
        for position, (moment, token) in enumerate(zip(moments, tokens, strict=True)):
            fired_us = _fired_us(camera, start_us, moment)
            self._add_ego_pose(token, scene.drive, time_s=(fired_us - start_us) / 1e6, fired_us=fired_us)
            self.rows["sample_data"].append(
                {
                    "token": token,
                    # A sweep belongs to the key frame that follows it.
                    "sample_token": samples[moment.frame + bool(moment.step)],
                    # As in nuScenes, each image has an ego pose of its own under the same token.
                    "ego_pose_token": token,
                    "calibrated_sensor_token": token_of("calibrated_sensor", camera.channel),
                    "timestamp": fired_us,
                    "fileformat": "jpg",
                    "is_key_frame": not moment.step,
                    "height": IMAGE_HEIGHT_PX,
                    "width": IMAGE_WIDTH_PX,
                    "filename": _file_name(camera, log, start_us, moment),
                    **links(tokens, position),
                }
            )

    def _add_ego_pose(self, token: str, drive: Drive, *, time_s: float, fired_us: int) -> None:
        pose: Pose = drive.at(time_s)
        self.rows["ego_pose"].append(
            {
                "token": token,
                "timestamp": fired_us,
                "rotation": yaw_rotation(pose.yaw_rad),
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
            tokens = [token_of("sample_annotation", scene.name, name, frame) for frame, _ in places]
            self.rows["instance"].append(
                {
                    "token": token_of("instance", scene.name, name),
                    "category_token": token_of("category", kind.category),
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
                        "instance_token": token_of("instance", scene.name, name),
                        "visibility_token": _WELL_VISIBLE,
                        "attribute_tokens": [token_of("attribute", thing.attribute)] if thing.attribute else [],
                        "translation": [thing.x_m, thing.y_m, thing.z_m],
                        "size": list(thing.size_wlh_m),
                        "rotation": yaw_rotation(thing.yaw_rad),
                        "num_lidar_pts": thing.lidar_points,
                        "num_radar_pts": 0,
                        **links(tokens, position),
                    }
                )

    def add_logs(self, locations: Sequence[str]) -> list[str]:
        """Add logs and one map for each; return the tokens of the maps."""
        for number, log in enumerate(self._logs):
            self.rows["log"].append(
                {
                    "token": token_of("log", log),
                    "logfile": log,
                    "vehicle": "generated",
                    "date_captured": "2020-09-13",
                    "location": locations[number % len(locations)],
                }
            )
            self.rows["map"].append(
                {
                    "token": token_of("map", log),
                    "log_tokens": [token_of("log", log)],
                    "category": "semantic_prior",
                    "filename": _map_name(token_of("map", log)),
                }
            )
        return [row["token"] for row in self.rows["map"]]
