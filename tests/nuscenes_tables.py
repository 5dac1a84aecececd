"""Tables of two scenes that a test can break: two cameras and a lidar, key frames every half second, images between."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from domainvl.converters.nuscenes.generated.rows import links

Row: TypeAlias = dict[str, Any]

START_US = 1_600_000_000_000_000
FRAME_US = 500_000
FRAMES = 3
CHANNELS = {"CAM_BACK": "camera", "CAM_FRONT": "camera", "LIDAR_TOP": "lidar"}
INTRINSIC = [[800.0, 0.0, 400.0], [0.0, 800.0, 300.0], [0.0, 0.0, 1.0]]
NO_TURN = [1.0, 0.0, 0.0, 0.0]


class Tables:
    """Rows of each table by its name; tokens are readable, such as ``"s1/0/CAM_FRONT"``."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {
            "log": [{"token": "log", "logfile": "n015", "location": "onenorth", "vehicle": "n015"}],
            "sensor": [{"token": name, "channel": name, "modality": kind} for name, kind in CHANNELS.items()],
            "calibrated_sensor": [
                {
                    "token": f"mounted {name}",
                    "sensor_token": name,
                    "translation": [1.5, 0.0, 1.8],
                    "rotation": NO_TURN,
                    "camera_intrinsic": INTRINSIC if kind == "camera" else [],
                }
                for name, kind in CHANNELS.items()
            ],
            "category": [
                {"token": "c-car", "name": "vehicle.car", "description": ""},
                {"token": "c-cone", "name": "movable_object.trafficcone", "description": ""},
                {"token": "c-none", "name": "animal", "description": ""},
            ],
            "attribute": [{"token": "a-moving", "name": "vehicle.moving", "description": ""}],
            "visibility": [{"token": "4", "level": "v80-100", "description": ""}],
        }
        for scene in ("s1", "s2"):
            self._add_scene(scene)

    def _add_scene(self, scene: str) -> None:
        samples = [f"{scene}/{frame}" for frame in range(FRAMES)]
        self.add("scene", token=scene, name=f"scene-{scene}", description="Rain", log_token="log", nbr_samples=FRAMES)
        for frame, token in enumerate(samples):
            time_us = START_US + frame * FRAME_US
            self.add("sample", token=token, timestamp=time_us, scene_token=scene, **links(samples, frame))
        for channel, kind in CHANNELS.items():
            # Between two key frames there is one more image.
            images = [
                f"{scene}/{place / 2:g}/{channel}" if place % 2 else f"{scene}/{place // 2}/{channel}"
                for place in range(2 * FRAMES - 1)
            ]
            for place, token in enumerate(images):
                time_us = START_US + place * FRAME_US // 2 + 1000
                self.add(
                    "sample_data",
                    token=token,
                    sample_token=samples[place // 2],
                    ego_pose_token=token,
                    calibrated_sensor_token=f"mounted {channel}",
                    timestamp=time_us,
                    fileformat="jpg" if kind == "camera" else "pcd",
                    is_key_frame=place % 2 == 0,
                    height=600 if kind == "camera" else 0,
                    width=800 if kind == "camera" else 0,
                    filename=f"{'sweeps' if place % 2 else 'samples'}/{token}.{'jpg' if kind == 'camera' else 'bin'}",
                    **links(images, place),
                )
                self.add("ego_pose", token=token, timestamp=time_us, translation=[place, 0.0, 0.0], rotation=NO_TURN)
        for thing, category in (("car", "c-car"), ("cone", "c-cone")):
            tokens = [f"{scene}/{frame}/{thing}" for frame in range(FRAMES)]
            self.add("instance", token=f"{scene} {thing}", category_token=category, nbr_annotations=FRAMES)
            for frame, token in enumerate(tokens):
                self.add(
                    "sample_annotation",
                    token=token,
                    sample_token=samples[frame],
                    instance_token=f"{scene} {thing}",
                    visibility_token="4" if thing == "car" else "",
                    attribute_tokens=["a-moving"] if thing == "car" else [],
                    translation=[10.0 + frame, 2.0, 0.5],
                    size=[1.9, 4.6, 1.7],
                    rotation=NO_TURN,
                    num_lidar_pts=7,
                    num_radar_pts=1,
                    **links(tokens, frame),
                )

    def add(self, table: str, **row: Any) -> None:
        """Append a row."""
        self.rows.setdefault(table, []).append(row)

    def row(self, table: str, token: str) -> Row:
        """Return the row of a token, to be changed."""
        return next(row for row in self.rows[table] if row["token"] == token)

    def repeat(self, table: str, token: str, /, **changes: Any) -> None:
        """Append a copy of a row."""
        self.add(table, **{**copy.deepcopy(self.row(table, token)), **changes})

    def remove(self, table: str, token: str) -> None:
        """Take a row out."""
        self.rows[table].remove(self.row(table, token))

    def shuffle(self, seed: int = 0) -> None:
        """Bring the rows of each table into another order."""
        for name, rows in self.rows.items():
            random.Random(f"{seed}/{name}").shuffle(rows)

    def write(self, dataroot: Path, version: str = "v1.0-mini", indent: int | None = 0) -> Path:
        """Write the tables, and return their folder."""
        folder = dataroot / version
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.rows.items():
            (folder / f"{name}.json").write_text(json.dumps(rows, indent=indent), encoding="utf-8")
        return folder


Change: TypeAlias = Callable[[Tables], object]
