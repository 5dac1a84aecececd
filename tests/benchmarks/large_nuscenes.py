"""Writes made-up tables of any size in the layout in which nuScenes' own are printed: a value a line, not indented.

A quarter of ``v1.0-trainval`` is 214 scenes of 40 key frames. Things stand around the vehicle as labels of nuScenes do:
34 a key frame, up to 60 m away in all directions, each for about 18 key frames. No image is written.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from PIL import Image

from domainvl.converters.nuscenes.generated.rows import (
    VISIBILITY_LEVELS,
    camera_rotation,
    links,
    token_of,
    yaw_rotation,
)

VERSION = "v1.0-generated"
FRAMES_PER_SCENE = 40
"""Key frames of a scene, 2 a second; nuScenes has 34,149 in 850 scenes."""

_FRAME_US = 500_000
_INSTANCES_PER_SCENE = 76
_FRAMES_PER_INSTANCE = 18
_WIDTH_PX, _HEIGHT_PX = 1600, 900
_CAMERAS = {
    "CAM_FRONT": (0.0, 1266.0),
    "CAM_FRONT_RIGHT": (-56.0, 1260.0),
    "CAM_FRONT_LEFT": (55.0, 1272.0),
    "CAM_BACK": (180.0, 809.0),
    "CAM_BACK_LEFT": (108.0, 1256.0),
    "CAM_BACK_RIGHT": (-110.0, 1259.0),
}
"""Bearing in degrees and focal length in pixels, about those of nuScenes' vehicles."""
_RADARS = ("RADAR_FRONT", "RADAR_FRONT_LEFT", "RADAR_FRONT_RIGHT", "RADAR_BACK_LEFT", "RADAR_BACK_RIGHT")
_RATES_HZ = {"lidar": 20.0, "camera": 12.0, "radar": 13.0}
"""Of nuScenes' sensors (nuscenes.org, data collection)."""
_CATEGORIES = {
    "vehicle.car": (1.9, 4.6, 1.7),
    "human.pedestrian.adult": (0.7, 0.7, 1.8),
    "vehicle.truck": (2.5, 6.9, 2.8),
    "movable_object.trafficcone": (0.4, 0.4, 1.1),
    "movable_object.barrier": (2.5, 0.5, 1.0),
    "vehicle.bus.rigid": (2.9, 11.2, 3.5),
    "vehicle.bicycle": (0.6, 1.7, 1.3),
}
_ATTRIBUTES = ("vehicle.moving", "vehicle.parked", "pedestrian.moving")


class _Table:
    """A table that is written row by row."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._between = "[\n"
        self.count = 0

    def add(self, row: str) -> None:
        self._file.write(self._between + row)
        self._between = ",\n"
        self.count += 1

    def close(self) -> None:
        self._file.write("[\n]" if self.count == 0 else "\n]")
        self._file.close()


def write_tables(dataroot: Path, scene_count: int) -> dict[str, int]:
    """Write the thirteen tables of a data root, and the maps that the devkit asks for.

    Args:
        dataroot: Folder to write to; made if it is not there.
        scene_count: Number of scenes.

    Returns:
        The number of rows of each table.
    """
    folder = dataroot / VERSION
    folder.mkdir(parents=True)
    (dataroot / "maps").mkdir()
    names = ("scene", "log", "sample", "sample_data", "ego_pose", "instance", "sample_annotation", "calibrated_sensor")
    tables = {name: _Table(folder / f"{name}.json") for name in names}
    counts = _write_constant_tables(folder)
    sensors = {"LIDAR_TOP": "lidar", **dict.fromkeys(_CAMERAS, "camera"), **dict.fromkeys(_RADARS, "radar")}
    (folder / "sensor.json").write_text(
        _pretty({"token": token_of(channel), "channel": channel, "modality": kind} for channel, kind in sensors.items())
    )
    logs = [token_of("log", number) for number in range(-(-scene_count // 12))]
    for number, log in enumerate(logs):
        tables["log"].add(
            _object(token=log, logfile=f"log-{number:04d}", vehicle="n0", date_captured="2018", location="here")
        )
    image = "maps/map.png"
    Image.new("L", (64, 64), 255).save(dataroot / image)
    (folder / "map.json").write_text(
        _pretty([{"token": token_of("map"), "category": "semantic_prior", "filename": image, "log_tokens": logs}])
    )
    for number in range(scene_count):
        _write_scene(tables, number, logs[number // 12], sensors)
    for table in tables.values():
        table.close()
    return counts | {name: table.count for name, table in tables.items()} | {"sensor": len(sensors), "map": 1}


def _pretty(rows: Iterable[dict[str, object]]) -> str:
    return json.dumps(list(rows), indent=0)


def _write_constant_tables(folder: Path) -> dict[str, int]:
    rows: dict[str, list[dict[str, object]]] = {
        "category": [{"token": token_of(name), "name": name, "description": "", "index": 0} for name in _CATEGORIES],
        "attribute": [{"token": token_of(name), "name": name, "description": ""} for name in _ATTRIBUTES],
        "visibility": [{"token": key, "level": level, "description": ""} for key, level in VISIBILITY_LEVELS.items()],
    }
    for name, those in rows.items():
        (folder / f"{name}.json").write_text(_pretty(those))
    return {name: len(those) for name, those in rows.items()}


def _object(**fields: object) -> str:
    return json.dumps(fields, indent=0)


def _links(tokens: Sequence[str], place: int) -> str:
    return ",\n".join(f'"{name}": "{other}"' for name, other in links(tokens, place).items())


def _write_scene(tables: dict[str, _Table], number: int, log: str, sensors: dict[str, str]) -> None:
    name = f"scene-{number + 1:04d}"
    rng = random.Random(name)
    start_us = 1_530_000_000_000_000 + number * 30_000_000
    samples = [token_of(name, "sample", frame) for frame in range(FRAMES_PER_SCENE)]
    tables["scene"].add(
        _object(
            token=token_of(name),
            log_token=log,
            nbr_samples=FRAMES_PER_SCENE,
            first_sample_token=samples[0],
            last_sample_token=samples[-1],
            name=name,
            description="Made up",
        )
    )
    for frame, sample in enumerate(samples):
        tables["sample"].add(
            f'{{\n"token": "{sample}",\n"timestamp": {start_us + frame * _FRAME_US},\n{_links(samples, frame)},\n'
            f'"scene_token": "{token_of(name)}"\n}}'
        )
    for channel, kind in sensors.items():
        _write_sensor(tables, name, channel, kind, samples, start_us)
    _write_things(tables, name, samples, rng)


def _place_at(time_us: int) -> tuple[float, float, float]:
    """Return where the vehicle is (x, y in metres) and its heading in radians, some time after the start."""
    time_s = time_us / 1e6
    return 400.123456 + 8.0 * time_s, 1100.654321 + 0.35 * time_s, 0.0437


def _write_sensor(
    tables: dict[str, _Table], scene: str, channel: str, kind: str, samples: Sequence[str], start_us: int
) -> None:
    mounting = token_of(scene, "calibrated", channel)
    bearing_deg, focal_px = _CAMERAS.get(channel, (0.0, 0.0))
    bearing = math.radians(bearing_deg)
    intrinsic = [[focal_px, 0.0, 816.2670197447984], [0.0, focal_px, 491.50706579294757], [0.0, 0.0, 1.0]]
    tables["calibrated_sensor"].add(
        _object(
            token=mounting,
            sensor_token=token_of(channel),
            translation=[math.cos(bearing), 0.5 * math.sin(bearing), 1.51095763913],
            rotation=camera_rotation(bearing) if kind == "camera" else yaw_rotation(0.0),
            camera_intrinsic=intrinsic if kind == "camera" else [],
        )
    )
    step_us = round(1e6 / _RATES_HZ[kind])
    length_us = (FRAMES_PER_SCENE - 1) * _FRAME_US
    ending, form, size = {
        "lidar": ("pcd.bin", "pcd", (0, 0)),
        "camera": ("jpg", "jpg", (_WIDTH_PX, _HEIGHT_PX)),
        "radar": ("pcd", "pcd", (0, 0)),
    }[kind]
    times_us = range(0, length_us + step_us, step_us)
    tokens = [token_of(scene, channel, time_us) for time_us in times_us]
    last = -1
    for place, (this, time_us) in enumerate(zip(tokens, times_us, strict=True)):
        frame = min(round(time_us / _FRAME_US), FRAMES_PER_SCENE - 1)
        is_key = frame != last and time_us >= frame * _FRAME_US
        last = frame if is_key else last
        folder = "samples" if is_key else "sweeps"
        x_m, y_m, heading = _place_at(time_us)
        tables["sample_data"].add(
            f'{{\n"token": "{this}",\n"sample_token": "{samples[frame]}",\n"ego_pose_token": "{this}",\n'
            f'"calibrated_sensor_token": "{mounting}",\n"timestamp": {start_us + time_us},\n'
            f'"fileformat": "{form}",\n"is_key_frame": {"true" if is_key else "false"},\n"height": {size[1]},\n'
            f'"width": {size[0]},\n"filename": "{folder}/{channel}/n015-2018-07-24-11-22-45+0800__{channel}__'
            f'{start_us + time_us}.{ending}",\n{_links(tokens, place)}\n}}'
        )
        tables["ego_pose"].add(
            f'{{\n"token": "{this}",\n"timestamp": {start_us + time_us},\n"rotation": [\n{math.cos(heading / 2)!r},\n'
            f"-0.0016977771610471074,\n0.011798065147134306,\n{math.sin(heading / 2)!r}\n],\n"
            f'"translation": [\n{x_m!r},\n{y_m!r},\n0.0\n]\n}}'
        )


def _write_things(tables: dict[str, _Table], scene: str, samples: Sequence[str], rng: random.Random) -> None:
    categories = list(_CATEGORIES)
    for number in range(_INSTANCES_PER_SCENE):
        instance = token_of(scene, "thing", number)
        category = categories[min(int(rng.expovariate(0.6)), len(categories) - 1)]
        size = [round(side * rng.uniform(0.9, 1.1), 3) for side in _CATEGORIES[category]]
        first = rng.randrange(len(samples) - _FRAMES_PER_INSTANCE + 1)
        frames = range(first, first + _FRAMES_PER_INSTANCE)
        tokens = [token_of(instance, frame) for frame in frames]
        distance_m, bearing = rng.uniform(4, 60), rng.uniform(-math.pi, math.pi)
        tables["instance"].add(
            _object(
                token=instance,
                category_token=token_of(category),
                nbr_annotations=len(tokens),
                first_annotation_token=tokens[0],
                last_annotation_token=tokens[-1],
            )
        )
        for place, (this, frame) in enumerate(zip(tokens, frames, strict=True)):
            x_m, y_m, heading = _place_at(frame * _FRAME_US)
            x_m += distance_m * math.cos(bearing)
            y_m += distance_m * math.sin(bearing)
            tables["sample_annotation"].add(
                f'{{\n"token": "{this}",\n"sample_token": "{samples[frame]}",\n"instance_token": "{instance}",\n'
                f'"visibility_token": "{rng.randrange(1, 5)}",\n'
                f'"attribute_tokens": [\n"{token_of(_ATTRIBUTES[0])}"\n],\n'
                f'"translation": [\n{x_m:.3f},\n{y_m:.3f},\n{size[2] / 2:.3f}\n],\n'
                f'"size": [\n{size[0]},\n{size[1]},\n{size[2]}\n],\n"rotation": [\n{math.cos(heading + bearing)!r},\n'
                f"0.0,\n0.0,\n{math.sin(heading + bearing)!r}\n],\n{_links(tokens, place)},\n"
                f'"num_lidar_pts": {rng.randrange(60)},\n"num_radar_pts": 0\n}}'
            )
