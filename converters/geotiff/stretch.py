"""From stored values to 8 bits: one stretch a scene, whose limits are recorded and give the same pixels again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from domainvl.errors import ItemError

from .raster import Mask, Pixels, read_window
from .settings import NodataRule, StretchMode

SAMPLE_PX = 1 << 22
"""Scenes with more pixels are sampled on a regular lattice of about this many."""

_AUTO = StretchMode("percentile", 2.0, 98.0)
_CHUNK_PX = 1 << 22
_CHUNK_WIDTH_PX = 2048


@dataclass(frozen=True)
class Stretch:
    """A linear stretch, the same for all tiles of a scene.

    Attributes:
        mode: What was asked for.
        limits: For each band the stored values that become 0 and 255.
        statistics: Where the limits come from the pixels: from which.
    """

    mode: StretchMode
    limits: tuple[tuple[float, float], ...]
    statistics: str | None = None

    def apply(self, pixels: Pixels) -> npt.NDArray[np.uint8]:
        """Return ``round((value - low) / (high - low) * 255)``, clipped to 0..255, in double precision.

        Args:
            pixels: Stored values, shape (bands, height, width); those that are not finite become 0.
        """
        if self.mode.kind == "none":
            return pixels.astype(np.uint8, copy=False)
        low, high = np.array(self.limits, dtype=np.float64).T[:, :, np.newaxis, np.newaxis]
        scaled = (np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0) - low) / (high - low)
        stretched: npt.NDArray[np.uint8] = np.rint(np.clip(scaled, 0.0, 1.0) * 255.0).astype(np.uint8)
        return stretched

    def record(self) -> dict[str, Any]:
        """Return what the sample says about it."""
        record: dict[str, Any] = {"mode": str(self.mode), "limits": [list(pair) for pair in self.limits]}
        return record if self.statistics is None else record | {"statistics": self.statistics}


def find_stretch(
    dataset: rasterio.DatasetReader,
    bands: Sequence[int],
    mode: StretchMode | None,
    *,
    nodata: NodataRule | None,
    uri: str,
) -> Stretch:
    """Find the stretch of a scene.

    Args:
        dataset: The open scene.
        bands: Band numbers from 1.
        mode: The method; where None, none for uint8 and percentiles for other types.
        nodata: What marks missing pixels instead of the file's own mask.
        uri: Name of the scene in messages.

    Raises:
        ItemError: If the method does not suit the scene's type or no pixel is valid.
    """
    types = [np.dtype(dataset.dtypes[index - 1]) for index in bands]
    if any(dtype.kind not in "uif" for dtype in types):
        raise _unsuitable(uri, f"bands must be integers or floats, got {_list(types)}", "Write its amplitude first")
    if mode is None:
        mode = StretchMode("none") if all(dtype == np.uint8 for dtype in types) else _AUTO
    match mode.kind:
        case "none":
            if any(dtype != np.uint8 for dtype in types):
                raise _unsuitable(
                    uri, f"--stretch none is for uint8, got {_list(types)}", "Use --stretch percentile:2,98"
                )
            return Stretch(mode, ((0.0, 255.0),) * len(bands))
        case "fixed":
            return Stretch(mode, ((mode.low, mode.high),) * len(bands))
        case "dtype":
            if any(dtype.kind == "f" for dtype in types):
                raise _unsuitable(
                    uri, f"--stretch dtype is for integers, got {_list(types)}", "Use --stretch fixed:LOW,HIGH"
                )
            ranges = [np.iinfo(dtype) for dtype in types]
            return Stretch(mode, tuple((float(info.min), float(info.max)) for info in ranges))
        case "percentile":
            return _percentiles(dataset, bands, mode, nodata, uri)


def _percentiles(
    dataset: rasterio.DatasetReader, bands: Sequence[int], mode: StretchMode, nodata: NodataRule | None, uri: str
) -> Stretch:
    step_px = math.ceil(math.sqrt(dataset.width * dataset.height / SAMPLE_PX))
    values: list[Pixels] = []
    unreadable = 0
    for window in _chunks(dataset):
        for part in _readable_parts(dataset, bands, window, nodata, uri):
            if part is None:
                unreadable += 1
                continue
            pixels, valid, origin = part
            rows, columns = (slice(-offset % step_px, None, step_px) for offset in origin)
            values.append(pixels[:, rows, columns][:, valid[rows, columns]])
    sample = np.concatenate(values, axis=1) if values else np.empty((len(bands), 0))
    if sample.shape[1] == 0:
        rule = "none of its blocks can be read" if unreadable else "none of its pixels is valid"
        raise ItemError(
            "Cannot stretch a scene",
            reason="scene-read" if unreadable else "no-valid-pixels",
            where=uri,
            rule=rule,
            action="Fetch the file again" if unreadable else "Check its nodata value, or name another with --nodata",
        )
    limits = np.percentile(sample.astype(np.float64, copy=False), [mode.low, mode.high], axis=1).T
    # A band of one value has no range; with a range of 1 it becomes 0 instead of dividing by zero.
    pairs = tuple((float(low), float(high) if high > low else float(low) + 1.0) for low, high in limits)
    lattice = "all pixels" if step_px == 1 else f"a lattice of one pixel in {step_px} x {step_px}"
    statistics = f"linear percentiles of {lattice}, {sample.shape[1]} of them valid"
    if unreadable:
        statistics += f"; {unreadable} damaged blocks left out"
    return Stretch(mode, pairs, statistics)


def _readable_parts(
    dataset: rasterio.DatasetReader, bands: Sequence[int], window: Window, nodata: NodataRule | None, uri: str
) -> Iterator[tuple[Pixels, Mask, tuple[int, int]] | None]:
    """Read a window as a whole or, where a block of it is damaged, block by block.

    Yields:
        Pixels, mask and (row, column) of the upper left pixel; None for a damaged block. The tiles that it
        lies in are rejected one by one; here it only lowers the number of pixels.
    """
    try:
        yield *read_window(dataset, bands, window, nodata=nodata, uri=uri), (window.row_off, window.col_off)
    except ItemError:
        block_height_px, block_width_px = dataset.block_shapes[0]
        for block in _cut(window, block_width_px, block_height_px):
            try:
                yield *read_window(dataset, bands, block, nodata=nodata, uri=uri), (block.row_off, block.col_off)
            except ItemError:
                yield None


def _chunks(dataset: rasterio.DatasetReader) -> Iterator[Window]:
    """Cut a scene into windows of whole blocks, for strips and for square blocks alike."""
    block_height_px, block_width_px = dataset.block_shapes[0]
    width_px = min(dataset.width, max(1, _CHUNK_WIDTH_PX // block_width_px) * block_width_px)
    height_px = max(1, _CHUNK_PX // width_px // block_height_px) * block_height_px
    return _cut(Window(0, 0, dataset.width, dataset.height), width_px, height_px)


def _cut(window: Window, width_px: int, height_px: int) -> Iterator[Window]:
    right_px, bottom_px = window.col_off + window.width, window.row_off + window.height
    for y_px in range(window.row_off, bottom_px, height_px):
        for x_px in range(window.col_off, right_px, width_px):
            yield Window(x_px, y_px, min(width_px, right_px - x_px), min(height_px, bottom_px - y_px))


def _unsuitable(uri: str, rule: str, action: str) -> ItemError:
    return ItemError("Cannot stretch a scene", reason="pixel-type", where=uri, rule=rule, action=action)


def _list(types: Sequence[np.dtype[Any]]) -> str:
    return ", ".join(sorted({dtype.name for dtype in types}))
