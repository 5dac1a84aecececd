"""Scenes of bright boxes on dark ground, and a model that finds what is bright in the pixels that it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from fake_model import FakeModel
from PIL import Image as PillowImage
from rasterio.transform import Affine, from_origin
from scipy import ndimage

from domainvl.schema import Sample, to_box_1000

UTM = "EPSG:32633"
ORIGIN = from_origin(400_000, 5_600_000, 10, 10)
CHANNELS = {"red": 0, "green": 1}

PixelBox = tuple[str, int, int, int, int]
"""Label and x_min, y_min, x_max, y_max in stored pixels."""


def write_bright(
    path: Path,
    boxes: Sequence[PixelBox],
    *,
    size_px: tuple[int, int] = (600, 500),
    dtype: str = "uint8",
    crs: str | None = UTM,
    transform: Affine | None = ORIGIN,
    **options: Any,
) -> Path:
    """Write a scene of three bands; a box is bright in the band of its colour alone."""
    width, height = size_px
    dark, bright = (20, 250) if dtype == "uint8" else (800, 9_000)
    pixels = np.full((3, height, width), dark, dtype)
    for label, left, top, right, bottom in boxes:
        pixels[CHANNELS[label], top:bottom, left:right] = bright
    profile = {"driver": "GTiff", "count": 3, "height": height, "width": width, "dtype": dtype}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **options) as dataset:
        dataset.write(pixels)
    return path


def find_bright(sample: Sample, folder: Path) -> str:
    """Answer ``Detect red`` by looking: a box around each bright part of that channel, in thousandths of the image."""
    image = sample.images[0]
    pixels = np.asarray(PillowImage.open(folder / image.path).convert("RGB"))
    parts, _ = ndimage.label(pixels[..., CHANNELS[sample.question]] > 170)
    boxes = [
        to_box_1000((columns.start, rows.start, columns.stop, rows.stop), image.width_px, image.height_px)
        for rows, columns in ndimage.find_objects(parts)
    ]
    if not boxes:
        return "None"
    return f"<ref>{sample.question}</ref><box>{[list(box) for box in boxes]}</box>"


def looking_model(**settings: Any) -> FakeModel:
    """A model that finds what is bright, and says that it was trained with these settings of the converter."""
    source = {"role": "domain", "command": "convert geotiff", "conversion_settings": settings}
    return FakeModel(find_bright, {"sources": {"data": source}})
