"""Writes small detection benchmarks in the exact layout of the published ones, to try the converters on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from domainvl.schema.oriented import corners_of
from domainvl.schema.sample import OrientedBox

_CELL_PX = 64
_COLOURS = {"ship": (220, 220, 230), "harbor": (120, 100, 90), "plane": (240, 180, 60)}
_XVIEW_NUMBERS = {"ship": 40, "harbor": 77, "plane": 13}


def generate_dota(out: Path, *, image_count: int, seed: int, side_px: int = 256) -> None:
    """Write DOTA: ``train`` and ``val`` with ``images/P0000.png`` and ``labelTxt/P0000.txt``.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images; the first third of them is for validation.
        seed: Equal seeds give equal files.
        side_px: Side of an image.
    """
    rng = np.random.default_rng([seed, 53])
    for number in range(image_count):
        folder = out / ("val" if number < image_count // 3 else "train")
        for name in ("images", "labelTxt"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        lines = ["imagesource:GoogleEarth", "gsd:0.3"]
        image = _background(rng, side_px)
        for name, box in _objects(rng, side_px):
            corners = _draw(image, name, box)
            lines.append(" ".join(f"{value:.1f}" for corner in corners for value in corner) + f" {name} 0")
        image.save(folder / "images" / f"P{number:04}.png")
        (folder / "labelTxt" / f"P{number:04}.txt").write_text("\n".join(lines) + "\n")


def generate_xview(out: Path, *, image_count: int, seed: int, side_px: int = 256) -> None:
    """Write xView: ``train_images/N.tif`` and ``xView_train.geojson``, with a class number that means nothing.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images.
        seed: Equal seeds give equal files.
        side_px: Side of an image.
    """
    rng = np.random.default_rng([seed, 54])
    (out / "train_images").mkdir(parents=True, exist_ok=True)
    features = []
    for number in range(image_count):
        image = _background(rng, side_px)
        for name, box in _objects(rng, side_px):
            corners = np.array(_draw(image, name, box))
            bounds = [*np.floor(corners.min(axis=0)), *np.ceil(corners.max(axis=0))]
            features.append(_feature(f"{number}.tif", _XVIEW_NUMBERS[name], bounds))
        image.save(out / "train_images" / f"{number}.tif")
    features.append(_feature("0.tif", 75, [1, 1, 9, 9]))
    collection = {"type": "FeatureCollection", "features": features}
    (out / "xView_train.geojson").write_text(json.dumps(collection))


def _feature(image: str, type_id: int, bounds: list[Any]) -> dict[str, Any]:
    properties = {
        "bounds_imcoords": ",".join(str(int(value)) for value in bounds),
        "type_id": type_id,
        "image_id": image,
    }
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [0, 0]}}


def _background(rng: np.random.Generator, side_px: int) -> PillowImage.Image:
    return PillowImage.fromarray(rng.integers(40, 70, (side_px, side_px, 3), dtype=np.uint8))


def _objects(rng: np.random.Generator, side_px: int) -> Iterator[tuple[str, OrientedBox]]:
    """Draw at most one object for each cell of a lattice, so that none covers another."""
    for x in range(0, side_px - _CELL_PX + 1, _CELL_PX):
        for y in range(0, side_px - _CELL_PX + 1, _CELL_PX):
            if rng.random() < 0.4:
                width, height = float(rng.uniform(24, 40)), float(rng.uniform(8, 16))
                angle = float(rng.uniform(-90, 90))
                box = OrientedBox(
                    center_x_px=x + _CELL_PX / 2,
                    center_y_px=y + _CELL_PX / 2,
                    width_px=width,
                    height_px=height,
                    angle_deg=angle,
                )
                yield str(rng.choice(sorted(_COLOURS))), box


def _draw(image: PillowImage.Image, name: str, box: OrientedBox) -> tuple[tuple[float, float], ...]:
    corners = corners_of(box)
    ImageDraw.Draw(image).polygon([(x - 0.5, y - 0.5) for x, y in corners], fill=_COLOURS[name])
    return corners
