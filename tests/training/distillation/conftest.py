"""Photographs without labels, generated: boxes of any colour on any grey, of several sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(60):
        width, height = (int(side) for side in generator.integers(48, 110, 2))
        pixels = np.full((height, width, 3), generator.integers(60, 200), np.uint8)
        for _ in range(3):
            x, y = int(generator.integers(0, width - 16)), int(generator.integers(0, height - 16))
            side = int(generator.integers(10, 32))
            pixels[y : y + side, x : x + side] = generator.integers(0, 256, 3)
        inner = folder / f"part-{number % 2}"
        inner.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(inner / f"{number:02d}.png")
    return folder
