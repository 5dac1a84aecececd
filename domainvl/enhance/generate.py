"""Makes pairs of views of made-up scenes that differ by a known displacement: something to try the commands on.

Convention: with S(high) the high view shrunk to the low view's size, ``low(p) = S(high)(p + d(p))``, where p and the
displacement d are (row, column) in low pixels. A network aligns the low view to the high one, which is the other
direction: its ``flow_px`` is right where ``S(high)(p) = low(p + flow(p))``; :attr:`ZoomedPair.flow_px` gives that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from domainvl.enhance.rasters import Raster, masked, to_dtype

Floats = npt.NDArray[np.float64]

PEAKS = {"uint8": 255.0, "uint16": 10000.0, "float32": 1.0}
"""The value that white has in each type."""


def write_zoom_pairs(
    folder: Path,
    *,
    pairs: int = 8,
    size_low: tuple[int, int] = (96, 96),
    scale: int = 2,
    shift_px: float = 2.0,
    flow_px: float = 0.5,
    seed: int = 0,
) -> None:
    """Write ``low/NNN.png`` and ``high/NNN.png``, as two lenses would see them.

    Args:
        folder: Where to.
        pairs: How many, each of a scene of its own.
        size_low: Rows and columns of the low views.
        scale: How many times as many the high ones have.
        shift_px: Up to how far a low view is shifted as a whole, a component, in low pixels.
        flow_px: Largest component of the smooth local displacement on top, in low pixels.
        seed: Decides the scenes and displacements.
    """
    shifts_px = np.random.default_rng(seed).uniform(-shift_px, shift_px, size=(pairs, 2))
    for number, (row_px, column_px) in enumerate(shifts_px):
        pair = make_pair(seed + 10 * number, size_low, scale, shift_px=(row_px, column_px), flow_px=flow_px, noise=0.01)
        for name, view in (("low", pair.low), ("high", pair.high)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            colours = np.moveaxis(view.pixels, 0, -1).astype(np.uint8)
            Image.fromarray(colours).save(folder / name / f"{number:03d}.png")


@dataclass(frozen=True)
class ZoomedPair:
    """Two views of a scene.

    Attributes:
        low: The low view.
        high: The high view, of scale times its rows and columns.
        displacement_px: (2, rows, columns) of the low view: where in the shrunk high view a low pixel lies, as a step
            in low pixels, rows first.
    """

    low: Raster
    high: Raster
    displacement_px: Floats

    @property
    def flow_px(self) -> Floats:
        """(2, rows, columns): what a network's flow should be; it solves f(p) = -d(p + f(p))."""
        places = np.mgrid[: self.low.size_px[0], : self.low.size_px[1]].astype(float)
        flow: Floats = np.zeros(self.displacement_px.shape)
        for _ in range(20):  # a fixed point: the displacement changes by far less than a pixel a pixel
            there = places + flow
            flow = -np.stack([ndimage.map_coordinates(d, there, order=1, mode="nearest") for d in self.displacement_px])
        return flow


def make_scene(seed: int, rows: int, columns: int, bands: int = 3) -> Floats:
    """Draw rectangles and ellipses of random colours on noise of several octaves; (bands, rows, columns) of 0 to 1."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((bands, rows, columns))
    for octave in range(2, 6):
        coarse = rng.normal(size=(bands, -(-rows >> octave) + 4, -(-columns >> octave) + 4))
        fine = ndimage.zoom(coarse, (1, 2**octave, 2**octave), order=1)
        scene += fine[:, :rows, :columns] * 0.03 * octave
    for number in range(max(12, rows * columns // 400)):
        centre = rng.uniform((0, 0), (rows, columns))
        half = rng.uniform(2.0, 12.0, size=2)
        angle = rng.uniform(0, np.pi)
        top, left = (max(0, int(part) - 18) for part in centre)  # a corner is at most 17 pixels away
        row, column = np.mgrid[top : min(top + 38, rows), left : min(left + 38, columns)]
        along = (row - centre[0]) * np.cos(angle) + (column - centre[1]) * np.sin(angle)
        across = (column - centre[1]) * np.cos(angle) - (row - centre[0]) * np.sin(angle)
        along, across = np.abs(along) / half[0], np.abs(across) / half[1]
        inside = np.maximum(along, across) < 1 if number % 2 else along**2 + across**2 < 1
        near = scene[:, top : top + 38, left : left + 38]
        near[:, inside] = (0.5 * near[:, inside].T + rng.uniform(-0.5, 0.5, size=bands)).T
    scene = ndimage.gaussian_filter(scene, (0, 0.7, 0.7))
    return np.asarray(np.clip(0.5 + 0.8 * scene, 0.02, 0.98))


def smooth_flow(seed: int, rows: int, columns: int, largest_px: float, period_px: float = 12.0) -> Floats:
    """Return a smooth field (2, rows, columns) of mean 0 whose largest component is ``largest_px``."""
    if largest_px == 0:
        return np.zeros((2, rows, columns))
    noise = np.random.default_rng(seed).normal(size=(2, rows, columns))
    flow = ndimage.gaussian_filter(noise, (0, period_px / 2, period_px / 2), mode="reflect")
    flow -= flow.mean(axis=(1, 2), keepdims=True)
    return np.asarray(flow * (largest_px / np.abs(flow).max()))


def make_pair(
    seed: int,
    size_low: tuple[int, int] = (64, 64),
    scale: int = 2,
    *,
    shift_px: tuple[float, float] = (0.0, 0.0),
    flow_px: float = 0.0,
    noise: float = 0.0,
    bands: int = 3,
    dtype: str = "uint8",
    mosaic: bool = False,
) -> ZoomedPair:
    """Make two views of a scene.

    Args:
        seed: Decides the scene, the flow and the noise.
        size_low: Rows and columns of the low view.
        scale: How many times as many the high one has.
        shift_px: The global part of the displacement (rows, columns), in low pixels.
        flow_px: Largest component of its smooth local part, in low pixels.
        noise: Standard deviation of the low view's noise, as a share of white.
        bands: Bands of the scene.
        dtype: Type of both views; white is :data:`PEAKS`.
        mosaic: Give the low view one band: red, green / green, blue by turns.
    """
    rows, columns = size_low
    flow = smooth_flow(seed + 1, rows, columns, flow_px)
    displacement = flow + np.array(shift_px)[:, None, None]
    margin = scale * (int(np.ceil(np.abs(displacement).max())) + 4)
    scene = make_scene(seed, rows * scale + 2 * margin, columns * scale + 2 * margin, bands)
    fine = np.stack([_enlarged(one, scale) for one in displacement])
    places = np.mgrid[: rows * scale, : columns * scale] + margin + fine * scale
    warped = np.stack([ndimage.map_coordinates(band, places, order=3, mode="nearest") for band in scene])
    low = warped.reshape(bands, rows, scale, columns, scale).mean(axis=(2, 4))
    if mosaic:
        row, column = np.mgrid[:rows, :columns] % 2
        low = np.take_along_axis(low, (row + column)[None] * (bands - 1) // 2, axis=0)
    low = low + np.random.default_rng(seed + 2).normal(size=low.shape) * noise
    high = scene[:, margin : margin + rows * scale, margin : margin + columns * scale]
    return ZoomedPair(_to_raster(low, dtype), _to_raster(high, dtype), displacement)


def _enlarged(values: Floats, scale: int) -> Floats:
    """Sample a smooth field at the centres of smaller pixels."""
    rows, columns = values.shape
    places = (np.mgrid[: rows * scale, : columns * scale] + 0.5) / scale - 0.5
    return np.asarray(ndimage.map_coordinates(values, places, order=1, mode="nearest"))


def _to_raster(values: Floats, dtype: str) -> Raster:
    stored = to_dtype((values * PEAKS[dtype]).astype(np.float32), dtype)
    return masked(stored, np.ones(stored.shape[1:], bool), dtype)
