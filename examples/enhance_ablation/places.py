"""Generated places of which two sensors took pictures: small objects of one colour that only their shape tells apart.

What the coarse sensor takes is what the fine one would have taken, blurred by its optics, averaged over its larger
pixels, and noisy. Pairs of one place for the training of an enhancer are taken at two dates: shifted, slightly bent, in
other light.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import from_origin
from scipy import ndimage

SCALE = 4
"""Pixels of the fine sensor on a side of one of the coarse."""

QUADRANT_PX = 64
"""Side of what a model is shown at once, in fine pixels: what `tiny` sees of an image."""

SCENE_PX = 2 * QUADRANT_PX
PAIR_PX = 3 * QUADRANT_PX
FINE_GSD_M = 2.5
CLASSES = ("kiln", "silo", "cross")
LABELS_NAME = "labels-{}.csv"
SENSORS = ("coarse", "fine")

_OVERSAMPLING = 2
_SIDE_PX = (15.0, 21.0)
"""Sides of objects in fine pixels: about four or five coarse ones."""
_MARGIN_PX = 3.0
_PSF_PX = 0.45
"""Standard deviation of the coarse sensor's blur, in its own pixels."""
_COARSE_NOISE, _FINE_NOISE = 2.5, 1.5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Thing:
    """One object, in fine pixels of its scene."""

    name: str
    x_px: float
    y_px: float
    side_px: float

    @property
    def box_px(self) -> tuple[float, float, float, float]:
        """The box around it."""
        half = self.side_px / 2
        return self.x_px - half, self.y_px - half, self.x_px + half, self.y_px + half


def write_places(out: Path, *, count: int, seed: int) -> None:
    """Write scenes of both sensors, pixel by pixel of the same place, and a table of boxes for each.

    Args:
        out: Folder to make, with ``coarse/``, ``fine/``, ``labels-coarse.csv`` and ``labels-fine.csv``.
        count: Scenes.
        seed: Equal seeds give equal files.
    """
    rows: dict[str, list[tuple[object, ...]]] = {sensor: [] for sensor in SENSORS}
    for number in range(count):
        random = np.random.default_rng([seed, number])
        things = _things(random, SCENE_PX)
        sharp = _draw(random, things, SCENE_PX)
        name = f"place-{number:04d}.tif"
        _write(out / "fine" / name, _fine(random, sharp), FINE_GSD_M)
        _write(out / "coarse" / name, _coarse(random, sharp), FINE_GSD_M * SCALE)
        for thing in things:
            rows["fine"].append((name, *thing.box_px, thing.name))
            rows["coarse"].append((name, *(value / SCALE for value in thing.box_px), thing.name))
    for sensor, lines in rows.items():
        with (out / LABELS_NAME.format(sensor)).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("image_path", "xmin", "ymin", "xmax", "ymax", "label"))
            writer.writerows(lines)


def write_zoom_pairs(out: Path, *, count: int, seed: int) -> None:
    """Write pictures of places by both sensors, from two dates: they do not line up, and the light is another.

    Args:
        out: Folder to make, with ``coarse/`` and ``fine/``, whose files go by the same names.
        count: Pairs.
        seed: Equal seeds give equal files; the places are not those of another seed.
    """
    for number in range(count):
        random = np.random.default_rng([seed, number])
        sharp = _draw(random, _things(random, PAIR_PX), PAIR_PX)
        moved = _moved(random, sharp)
        gain, lift = random.uniform(0.92, 1.08), random.uniform(-6.0, 6.0)
        name = f"place-{number:04d}.tif"
        _write(out / "coarse" / name, _coarse(random, sharp), None)
        _write(out / "fine" / name, _fine(random, moved * gain + lift), None)


def _things(random: np.random.Generator, side_px: int) -> list[Thing]:
    """Put one to three objects into each square of what a model is shown, none across its border."""
    things = []
    for left, top in itertools.product(range(side_px // QUADRANT_PX), repeat=2):
        placed: list[Thing] = []
        wanted = int(random.integers(1, 4))
        for _ in range(40):
            if len(placed) == wanted:
                break
            side = random.uniform(*_SIDE_PX)
            x, y = random.uniform(side / 2 + _MARGIN_PX, QUADRANT_PX - side / 2 - _MARGIN_PX, 2)
            thing = Thing(str(random.choice(CLASSES)), x, y, side)
            if all(max(abs(x - other.x_px), abs(y - other.y_px)) > (side + other.side_px) / 2 + 2 for other in placed):
                placed.append(thing)
        things += [
            Thing(one.name, one.x_px + left * QUADRANT_PX, one.y_px + top * QUADRANT_PX, one.side_px) for one in placed
        ]
    return things


def _draw(random: np.random.Generator, things: list[Thing], side_px: int) -> Floats:
    """Draw a place without blur or noise, (3, rows, columns), with several pixels on a side of a fine one."""
    side = side_px * _OVERSAMPLING
    texture = ndimage.gaussian_filter(random.standard_normal((side // 4, side // 4)), 2.0, mode="wrap")
    texture = ndimage.zoom(texture / texture.std(), 4, order=1)
    ground = np.array([92.0, 104.0, 70.0]) + random.uniform(-14.0, 14.0, 3)
    angle, period = random.uniform(0, np.pi), random.uniform(20, 45)
    rows, columns = np.mgrid[:side, :side]
    stripes = np.sin(2 * np.pi * (columns * np.cos(angle) + rows * np.sin(angle)) / period)
    picture = ground[:, np.newaxis, np.newaxis] + 7.0 * texture + 4.0 * stripes
    for thing in things:
        colour = np.array([196.0, 172.0, 150.0]) + random.uniform(-16.0, 16.0, 3)
        left, top, right, bottom = (round(value * _OVERSAMPLING) for value in thing.box_px)
        around = (slice(max(top - 2, 0), bottom + 2), slice(max(left - 2, 0), right + 2))
        inside = _shape(thing, (rows[around] + 0.5) / _OVERSAMPLING, (columns[around] + 0.5) / _OVERSAMPLING)
        picture[:, *around][:, inside] = colour[:, np.newaxis]
    return picture


def _shape(thing: Thing, rows: Floats, columns: Floats) -> npt.NDArray[np.bool_]:
    """Return where an object is: a square with a hole, a disc, or a cross, all in the same box."""
    half = thing.side_px / 2
    x, y = np.abs(columns - thing.x_px) / half, np.abs(rows - thing.y_px) / half
    around = np.maximum(x, y)
    if thing.name == "kiln":
        return np.asarray((around < 1) & (around > 0.4))
    if thing.name == "silo":
        return np.asarray(np.hypot(x, y) < 1)
    return np.asarray((around < 1) & (np.minimum(x, y) < 0.28))


def _moved(random: np.random.Generator, sharp: Floats) -> Floats:
    """Shift a place by up to one and a half coarse pixels, and bend it by a quarter of one."""
    coarse_px = SCALE * _OVERSAMPLING
    shift = random.uniform(-1.5, 1.5, 2) * coarse_px
    bend = ndimage.zoom(random.standard_normal((2, 4, 4)), (1, sharp.shape[1] / 4, sharp.shape[2] / 4), order=3)
    places = np.indices(sharp.shape[1:]) + shift[:, np.newaxis, np.newaxis] + 0.25 * coarse_px * bend
    return np.stack([ndimage.map_coordinates(band, places, order=1, mode="reflect") for band in sharp])


def _fine(random: np.random.Generator, sharp: Floats) -> npt.NDArray[np.uint8]:
    return _take(random, sharp, _OVERSAMPLING, 0.35, _FINE_NOISE)


def _coarse(random: np.random.Generator, sharp: Floats) -> npt.NDArray[np.uint8]:
    return _take(random, sharp, SCALE * _OVERSAMPLING, _PSF_PX, _COARSE_NOISE)


def _take(random: np.random.Generator, sharp: Floats, step: int, psf_px: float, noise: float) -> npt.NDArray[np.uint8]:
    """Take a picture: blur, average over the sensor's pixels, add noise."""
    blurred = ndimage.gaussian_filter(sharp, (0, psf_px * step, psf_px * step), mode="reflect")
    bands, rows, columns = sharp.shape
    taken = blurred.reshape(bands, rows // step, step, columns // step, step).mean((2, 4))
    taken = taken + random.normal(0.0, noise, taken.shape)
    return np.asarray(np.clip(np.rint(taken), 0, 255), np.uint8)


def _write(path: Path, pixels: npt.NDArray[np.uint8], gsd_m: float | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, rows, columns = pixels.shape
    place = {} if gsd_m is None else {"crs": "EPSG:32633", "transform": from_origin(*_origin(path), gsd_m, gsd_m)}
    profile = {"driver": "GTiff", "count": bands, "height": rows, "width": columns, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, **place, photometric="RGB", compress="deflate") as file:
        file.write(pixels)


def _origin(path: Path) -> Iterator[float]:
    """Return where a scene lies: a kilometre from the next, so that none shows ground of another."""
    number = int(path.stem.rpartition("-")[2])
    return iter((300_000.0 + 1_000.0 * (number % 40), 5_700_000.0 - 1_000.0 * (number // 40)))
