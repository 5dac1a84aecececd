"""Writes a miniature in the exact layout of nuImages: ten tables a version, and drawn street scenes.

As in the release, there are rows of sweeps and of lidar whose files were not downloaded. Masks are null.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

IMAGE_SIZE_PX = (320, 180)
CHANNELS = ("CAM_FRONT", "CAM_FRONT_LEFT", "CAM_BACK")
IMAGES_A_LOG = 4

_HORIZON_PX = 70
_COLUMN_PX = 64
_JPEG_QUALITY = 90
_FIRST_TIMESTAMP_US = 1_600_000_000_000_000

_ATTRIBUTES = ("vehicle.moving", "vehicle.parked", "pedestrian.moving", "pedestrian.standing", "cycle.without_rider")
_KINDS: Mapping[str, tuple[tuple[int, int, int], tuple[int, int], tuple[str, ...]]] = {
    "vehicle.car": ((200, 40, 40), (44, 24), ("vehicle.moving", "vehicle.parked")),
    "vehicle.truck": ((40, 70, 200), (56, 48), ("vehicle.moving", "vehicle.parked")),
    "human.pedestrian.adult": ((60, 200, 90), (14, 40), ("pedestrian.moving", "pedestrian.standing")),
    "movable_object.trafficcone": ((250, 140, 20), (14, 20), ()),
    "vehicle.bicycle": ((230, 220, 60), (30, 22), ("cycle.without_rider",)),
}
"""Colour, width and height, and attributes of each category."""

_SURFACE = "flat.driveable_surface"


def generate_nuimages(
    out: Path, *, image_count: int, seed: int, versions: Sequence[str] = ("v1.0-train", "v1.0-val", "v1.0-test")
) -> None:
    """Write a data root of made-up images.

    Args:
        out: Folder to write to; made if it is not there.
        image_count: Number of images of each version.
        seed: Equal seeds give equal bytes.
        versions: Folders of tables; in one that ends in test nothing is annotated, as in the release.
    """
    for version in versions:
        tables = _Tables(version)
        rng = np.random.default_rng([seed, *version.encode()])
        for number in range(image_count):
            channel = CHANNELS[int(rng.integers(len(CHANNELS)))]
            image = PillowImage.new("RGB", IMAGE_SIZE_PX, (150, 190, 230))
            things = _draw(image, rng)
            filename = tables.add_image(number, channel, [] if version.endswith("test") else things)
            path = out / filename
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
        (out / version).mkdir(parents=True, exist_ok=True)
        for name, rows in sorted(tables.rows.items()):
            (out / version / f"{name}.json").write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


def _draw(image: PillowImage.Image, rng: np.random.Generator) -> list[tuple[str, list[int], str | None]]:
    """Draw a road and at most one thing in each column, and return category, box and attribute of each thing."""
    width_px, height_px = IMAGE_SIZE_PX
    pen = ImageDraw.Draw(image)
    shade = int(rng.integers(70, 110))
    pen.rectangle((0, _HORIZON_PX, width_px, height_px), fill=(shade, shade, shade))
    things: list[tuple[str, list[int], str | None]] = []
    for left in range(0, width_px, _COLUMN_PX):
        if rng.random() < 0.4:
            continue
        category = sorted(_KINDS)[int(rng.integers(len(_KINDS)))]
        colour, (wide, high), attributes = _KINDS[category]
        scale = float(rng.uniform(0.8, 1.1))
        wide, high = round(wide * scale), round(high * scale)
        x = left + int(rng.integers(0, _COLUMN_PX - wide + 1))
        y = int(rng.integers(_HORIZON_PX + 5, height_px - high))
        _draw_thing(pen, category, (x, y, x + wide, y + high), colour)
        attribute = attributes[int(rng.integers(len(attributes)))] if attributes else None
        things.append((category, [x, y, x + wide, y + high], attribute))
    return things


def _draw_thing(
    pen: ImageDraw.ImageDraw, category: str, box: tuple[int, int, int, int], colour: tuple[int, int, int]
) -> None:
    # Pillow fills the last column and row too; a box ends at their far edge.
    x_min, y_min, x_max, y_max = box[0], box[1], box[2] - 1, box[3] - 1
    match category:
        case "human.pedestrian.adult":
            pen.ellipse((x_min, y_min, x_max, y_max), fill=colour)
        case "movable_object.trafficcone":
            pen.polygon([((x_min + x_max) // 2, y_min), (x_min, y_max), (x_max, y_max)], fill=colour)
        case "vehicle.bicycle":
            pen.ellipse((x_min, y_min, x_max, y_max), outline=colour, width=4)
        case _:
            pen.rectangle((x_min, y_min, x_max, y_max), fill=colour)


class _Tables:
    """The rows of the ten tables of a version (nuscenes-devkit, docs/schema_nuimages.md)."""

    def __init__(self, version: str) -> None:
        self._version = version
        # All tables are there, the empty ones too.
        names = ("attribute", "calibrated_sensor", "category", "ego_pose", "log", "object_ann", "sample")
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for name in (*names, "sample_data", "sensor", "surface_ann"):
            self.rows[name] = []
        for channel in (*CHANNELS, "LIDAR_TOP"):
            self._add_sensor(channel)
        for name in (*sorted(_KINDS), _SURFACE):
            self.rows["category"].append(
                {"token": self._token("category", name), "name": name, "description": "Generated."}
            )
        for name in _ATTRIBUTES:
            self.rows["attribute"].append(
                {"token": self._token("attribute", name), "name": name, "description": "Generated."}
            )

    def add_image(self, number: int, channel: str, things: Sequence[tuple[str, list[int], str | None]]) -> str:
        """Add an annotated image with a sweep before it and a lidar scan, and return its file name."""
        log = f"generated-{self._version.removeprefix('v1.0-')}-{number // IMAGES_A_LOG:03d}"
        if number % IMAGES_A_LOG == 0:
            self._add_log(log)
        taken_us = _FIRST_TIMESTAMP_US + number * 10_000_000
        sample = self._token("sample", number)
        camera, lidar = self._token("camera", number), self._token("lidar", number)
        self.rows["sample"].append(
            {
                "token": sample,
                "timestamp": taken_us,
                "log_token": self._token("log", log),
                "key_camera_token": camera,
                "key_lidar_token": lidar,
            }
        )
        sweep = self._token("sweep", number)
        self._add_file(sweep, sample, channel, log, taken_us - 500_000, is_key=False, next_token=camera)
        filename = self._add_file(camera, sample, channel, log, taken_us, is_key=True, prev_token=sweep)
        self._add_file(lidar, sample, "LIDAR_TOP", log, taken_us, is_key=True)
        for place, (category, bbox, attribute) in enumerate(things):
            self.rows["object_ann"].append(
                {
                    "token": self._token("object_ann", number, place),
                    "sample_data_token": camera,
                    "category_token": self._token("category", category),
                    "attribute_tokens": [self._token("attribute", attribute)] if attribute else [],
                    "bbox": bbox,
                    "mask": None,
                }
            )
        if things:
            self.rows["surface_ann"].append(
                {
                    "token": self._token("surface_ann", number),
                    "sample_data_token": camera,
                    "category_token": self._token("category", _SURFACE),
                    "mask": None,
                }
            )
        return filename

    def _token(self, *parts: object) -> str:
        """Return a token that looks like those of nuImages: 32 hexadecimal digits."""
        text = "/".join(str(part) for part in (self._version, *parts))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _add_sensor(self, channel: str) -> None:
        is_camera = channel.startswith("CAM")
        self.rows["sensor"].append(
            {
                "token": self._token("sensor", channel),
                "channel": channel,
                "modality": "camera" if is_camera else "lidar",
            }
        )
        intrinsic = [[250.0, 0.0, 160.0], [0.0, 250.0, 90.0], [0.0, 0.0, 1.0]] if is_camera else []
        self.rows["calibrated_sensor"].append(
            {
                "token": self._token("calibrated_sensor", channel),
                "sensor_token": self._token("sensor", channel),
                "translation": [1.5, 0.0, 1.5],
                "rotation": [0.5, -0.5, 0.5, -0.5],
                "camera_intrinsic": intrinsic,
                "camera_distortion": [0.0] * 5 if is_camera else [],
            }
        )

    def _add_log(self, log: str) -> None:
        self.rows["log"].append(
            {
                "token": self._token("log", log),
                "logfile": log,
                "vehicle": "generated",
                "date_captured": "2020-09-13",
                "location": "generated",
            }
        )

    def _add_file(
        self,
        token: str,
        sample: str,
        channel: str,
        log: str,
        taken_us: int,
        *,
        is_key: bool,
        prev_token: str = "",
        next_token: str = "",
    ) -> str:
        is_camera = channel.startswith("CAM")
        ending = "jpg" if is_camera else "pcd.bin"
        filename = f"{'samples' if is_key else 'sweeps'}/{channel}/{log}__{channel}__{taken_us}.{ending}"
        pose = self._token("ego_pose", token)
        self.rows["ego_pose"].append(
            {
                "token": pose,
                "translation": [600.0, 1600.0, 0.0],
                "rotation": [1.0, 0.0, 0.0, 0.0],
                "timestamp": taken_us,
                "rotation_rate": [0.0, 0.0, 0.0],
                "acceleration": [0.0, 0.0, 9.81],
                "speed": 0.0,
            }
        )
        self.rows["sample_data"].append(
            {
                "token": token,
                "sample_token": sample,
                "ego_pose_token": pose,
                "calibrated_sensor_token": self._token("calibrated_sensor", channel),
                "filename": filename,
                "fileformat": ending.split(".", maxsplit=1)[0],
                "width": IMAGE_SIZE_PX[0] if is_camera else None,
                "height": IMAGE_SIZE_PX[1] if is_camera else None,
                "timestamp": taken_us,
                "is_key_frame": is_key,
                "prev": prev_token,
                "next": next_token,
            }
        )
        return filename
