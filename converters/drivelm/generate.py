"""Writes a made-up DriveLM: a generated nuScenes data root, and questions about what is in it.

The layout is that of the published files (OpenDriveLab/DriveLM, docs/data_prep_nus.md); sentences, places and answers
are made up. Boxes are projected with the plane trigonometry of the generated world.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..driving.behaviour import BEHAVIOURS
from ..driving.rig import DRIVELM_ORDER, channel_of
from ..nuscenes.generate import VERSION, write_dataroot
from ..nuscenes.generated.world import (
    HORIZON_PX,
    IMAGE_HEIGHT_PX,
    IMAGE_WIDTH_PX,
    RIG,
    Camera,
    Scene,
    Thing,
    make_scene,
)
from .choices import MOVING_STATUSES, with_options

TRAIN_NAME, VAL_NAME = "generated_train_nus.json", "generated_val_nus_q_only.json"

_NEAR_M = 0.5
_MOST_OBJECTS = 3
_UNKNOWN = {"C": None, "con_up": None, "con_down": None, "cluster": None, "layer": None}


def generate_drivelm(out: Path, *, scene_count: int, frames_per_scene: int, seed: int, questions_only: int = 0) -> None:
    """Write ``generated_train_nus.json`` and the images that it names, in ``nuscenes/``.

    Args:
        out: Folder to write to; made if it is not there.
        scene_count: Number of scenes.
        frames_per_scene: Number of key frames of each.
        seed: Equal seeds give equal files.
        questions_only: How many of the scenes, the last, are put into ``generated_val_nus_q_only.json`` instead, with
            options but without answers and key objects.
    """
    names = [f"scene-{number + 1:04d}" for number in range(scene_count)]
    scenes = [make_scene(name, frame_count=frames_per_scene, rng=random.Random(f"{seed}/{name}")) for name in names]
    write_dataroot(out / "nuscenes", scenes)
    tables = _Tables(out / "nuscenes" / VERSION)
    content = {tables.scene_token(scene): _scene(scene, tables, seed) for scene in scenes}
    tokens = list(content)
    kept, held_back = tokens[: scene_count - questions_only], tokens[scene_count - questions_only :]
    _write(out / TRAIN_NAME, {token: content[token] for token in kept})
    if held_back:
        _write(out / VAL_NAME, {token: _without_answers(content[token], seed) for token in held_back})


class _Tables:
    """What DriveLM takes from nuScenes' tables: tokens, and the files of each key frame."""

    def __init__(self, folder: Path) -> None:
        self._scenes = {row["name"]: row["token"] for row in _rows(folder, "scene")}
        self._samples: dict[str, list[str]] = {}
        for row in sorted(_rows(folder, "sample"), key=lambda row: row["timestamp"]):
            self._samples.setdefault(row["scene_token"], []).append(row["token"])
        self._files: dict[str, dict[str, str]] = {}
        for row in _rows(folder, "sample_data"):
            name = row["filename"]
            self._files.setdefault(row["sample_token"], {})[name.split("/")[1]] = name

    def scene_token(self, scene: Scene) -> str:
        """Return the token of a scene."""
        return str(self._scenes[scene.name])

    def frames(self, scene: Scene) -> list[str]:
        """Return the tokens of a scene's key frames in time."""
        return self._samples[self.scene_token(scene)]

    def image_paths(self, frame: str) -> dict[str, str]:
        """Return the files of a key frame, by channel, as DriveLM names them."""
        files = self._files[frame]
        channels = [channel_of(view) for view in DRIVELM_ORDER]
        return {channel: f"../nuscenes/{files[channel]}" for channel in channels}


def _rows(folder: Path, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / f"{table}.json").read_text(encoding="utf-8"))
    return rows


def _scene(scene: Scene, tables: _Tables, seed: int) -> dict[str, Any]:
    frames = {}
    for index, token in enumerate(tables.frames(scene)):
        rng = random.Random(f"{seed}/drivelm/{token}")
        objects = _key_objects(scene, index)
        frames[token] = {
            "key_object_infos": objects,
            "QA": {
                category: [_UNKNOWN | pair for pair in pairs] for category, pairs in _questions(objects, rng).items()
            },
            "image_paths": tables.image_paths(token),
        }
    return {"scene_description": "The made-up vehicle drives along a made-up road.", "key_frames": frames}


def _key_objects(scene: Scene, frame: int) -> dict[str, dict[str, Any]]:
    """Return the first things that one camera sees whole, by tag."""
    found: dict[str, dict[str, Any]] = {}
    for thing in scene.frames[frame]:
        for camera in RIG:
            box_px = _box(scene, camera, frame, thing)
            if box_px is None or len(found) == _MOST_OBJECTS:
                continue
            x_min, y_min, x_max, y_max = box_px
            x_px, y_px = (x_min + x_max) / 2, (y_min + y_max) / 2
            kind = thing.kind.category.rsplit(".", 1)[-1]
            found[f"<c{len(found) + 1},{camera.channel},{x_px:.1f},{y_px:.1f}>"] = {
                "Category": "Vehicle" if thing.kind.category.startswith("vehicle") else "Other",
                "Status": "Stationary" if thing.kind.attribute else None,
                "Visual_description": f"Plain {kind}.",
                "2d_bbox": [round(value, 1) for value in box_px],
            }
            break
    return found


def _box(scene: Scene, camera: Camera, frame: int, thing: Thing) -> tuple[float, float, float, float] | None:
    """Return the box of a thing in a camera's image; None where it does not lie in it as a whole."""
    pose = scene.drive.camera_at(camera, frame)
    points_px = []
    for x_m, y_m, z_m in thing.corners_m().tolist():
        ahead_m = math.cos(pose.yaw_rad) * (x_m - pose.x_m) + math.sin(pose.yaw_rad) * (y_m - pose.y_m)
        left_m = math.cos(pose.yaw_rad) * (y_m - pose.y_m) - math.sin(pose.yaw_rad) * (x_m - pose.x_m)
        if ahead_m < _NEAR_M:
            return None
        across = IMAGE_WIDTH_PX / 2 - camera.focal_px * left_m / ahead_m
        down = HORIZON_PX + camera.focal_px * (camera.z_m - z_m) / ahead_m
        points_px.append((across, down))
    columns, rows = [point[0] for point in points_px], [point[1] for point in points_px]
    box_px = (min(columns), min(rows), max(columns), max(rows))
    inside = box_px[0] >= 0 and box_px[1] >= 0 and box_px[2] <= IMAGE_WIDTH_PX and box_px[3] <= IMAGE_HEIGHT_PX
    return box_px if inside else None


def _questions(objects: Mapping[str, Mapping[str, Any]], rng: random.Random) -> dict[str, list[dict[str, str]]]:
    tags = list(objects)
    described = ", ".join(f"{info['Visual_description'].rstrip('.').lower()} {tag}" for tag, info in objects.items())
    perception = [_pair("Which objects matter here?", f"These matter: {described}." if tags else "There is nothing.")]
    prediction = [_pair("In which order should they be noticed?", " then ".join(tags) + "." if tags else "None.")]
    planning = [_pair("Which safe actions are there?", "Slow down gently.")]
    for tag in tags:
        perception.append(_pair(f"What is the moving status of object {tag}?", rng.choice(MOVING_STATUSES)))
        prediction.append(_pair(f"Will {tag} cross the road?", rng.choice(("Yes.", "No."))))
        planning.append(_pair(f"What actions could the ego vehicle take because of {tag}?", "Keep its speed."))
        planning.append(_pair(f"What can lead to a collision with {tag}?", rng.choice(("Swerving.", "Speeding up."))))
    behavior = [_pair("Predict the behavior of the ego vehicle.", rng.choice(BEHAVIOURS))]
    return {"perception": perception, "prediction": prediction, "planning": planning, "behavior": behavior}


def _pair(question: str, answer: str) -> dict[str, str]:
    return {"Q": question, "A": answer}


def _without_answers(scene: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return a scene as the challenge publishes it: questions and images."""
    frames = {}
    for token, frame in scene["key_frames"].items():
        rng = random.Random(f"{seed}/options/{token}")
        questions = {
            category: [{"Q": _with_options(category, pair["Q"], rng)} for pair in pairs]
            for category, pairs in frame["QA"].items()
        }
        frames[token] = {"QA": questions, "image_paths": frame["image_paths"]}
    return {"key_frames": frames}


def _with_options(category: str, question: str, rng: random.Random) -> str:
    options: Sequence[str] = ()
    if category == "behavior":
        options = BEHAVIOURS
    elif "moving status" in question:
        options = MOVING_STATUSES
    return with_options(question, rng.sample(options, 4)) if options else question


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
