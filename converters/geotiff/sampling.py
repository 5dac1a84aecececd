"""Values of a scene for its stretch: whole blocks on a regular lattice, so that few blocks are decoded twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from domainvl.errors import ItemError

from .products import Band
from .reading import GridReader, Mask

MAX_CELLS = 64
"""Cells that are read of a scene. 32 blocks gave the percentiles of a whole scene to one digital number."""

_CELL_SIDE_PX = 512
"""A cell has about the pixels of a square of this side: one common block, or some strips."""

MAX_VALUES = 1 << 22
"""Values that are kept of each band; of more, every nth row and column of each cell."""


@dataclass(frozen=True)
class BandSample:
    """Valid values of some bands at the same pixels.

    Attributes:
        stored: Stored values, one array of shape (n,) a band.
        method: Which pixels these are.
    """

    stored: tuple[npt.NDArray[Any], ...]
    method: str


def sample_bands(
    reader: GridReader, bands: Sequence[Band], block_px: tuple[int, int], *, uri: str, max_values: int = MAX_VALUES
) -> BandSample:
    """Read values for the statistics of a scene; the same pixels each time.

    Args:
        reader: Reads the scene.
        bands: The bands.
        block_px: Height and width of a block of the file.
        uri: Name of the scene in messages.
        max_values: Values that are kept of each band, about.

    Raises:
        ItemError: If no block can be read or no pixel is valid.
    """
    chosen, cell_count = _choose_cells(reader.grid.width_px, reader.grid.height_px, block_px)
    pixel_count = sum(window.width * window.height for window in chosen)
    step_px = math.ceil(math.sqrt(pixel_count / max_values))
    parts: list[list[npt.NDArray[Any]]] = []
    damaged = 0
    for window in chosen:
        read, damaged_here = _read(reader, bands, window, block_px)
        damaged += damaged_here
        for part, planes, valid in read:
            rows, columns = slice(-part.row_off % step_px, None, step_px), slice(-part.col_off % step_px, None, step_px)
            keep = valid[rows, columns]
            parts.append([plane[rows, columns][keep] for plane in planes])
    stored = tuple(np.concatenate(planes) for planes in zip(*parts, strict=True))
    if not stored or not len(stored[0]):
        raise _no_values(uri, is_damaged=not parts)
    which = "all pixels" if len(chosen) == cell_count else f"{len(chosen)} of {cell_count} blocks on a lattice"
    which += f", one pixel in {step_px} x {step_px}" if step_px > 1 else ""
    method = f"{which}, {len(stored[0])} of them valid"
    return BandSample(stored, method + (f"; {damaged} damaged blocks left out" if damaged else ""))


def _read(
    reader: GridReader, bands: Sequence[Band], cell: Window, block_px: tuple[int, int]
) -> tuple[list[tuple[Window, list[npt.NDArray[Any]], Mask]], int]:
    """Read a cell, or what is left of it block by block.

    The tiles in which damaged blocks lie are rejected one by one; here they only lower the number of pixels.

    Returns:
        Windows with their planes and valid pixels, and the number of damaged blocks.

    Raises:
        ItemError: If it cannot be read for another reason than damage.
    """
    try:
        return [(cell, *reader.read(bands, cell))], 0
    except ItemError as error:
        if error.reason != "scene-read":
            raise
        blocks = _blocks(cell, block_px)
        if len(blocks) == 1:
            return [], 1
    parts = [_read(reader, bands, block, block_px) for block in blocks]
    return [part for read, _ in parts for part in read], sum(damaged for _, damaged in parts)


def _blocks(cell: Window, block_px: tuple[int, int]) -> list[Window]:
    height_px, width_px = block_px
    right, bottom = cell.col_off + cell.width, cell.row_off + cell.height
    return [
        Window(x_px, y_px, min(width_px, right - x_px), min(height_px, bottom - y_px))
        for y_px in range(cell.row_off, bottom, height_px)
        for x_px in range(cell.col_off, right, width_px)
    ]


def _no_values(uri: str, *, is_damaged: bool) -> ItemError:
    if is_damaged:
        return ItemError(
            "Cannot stretch a scene",
            reason="scene-read",
            where=uri,
            rule="none of its blocks can be read",
            action="Fetch the file again",
        )
    return ItemError(
        "Cannot stretch a scene",
        reason="no-valid-pixels",
        where=uri,
        rule="none of its pixels is valid",
        action="Check its nodata value, or name another with --nodata",
    )


def _choose_cells(width_px: int, height_px: int, block_px: tuple[int, int]) -> tuple[list[Window], int]:
    """Cut a scene into cells of whole blocks, and choose some on a lattice.

    Returns:
        The chosen cells, row by row, and how many there are in all.
    """
    block_height_px, block_width_px = block_px
    cell_width_px = min(width_px, max(1, _CELL_SIDE_PX // block_width_px) * block_width_px)
    cell_height_px = max(1, _CELL_SIDE_PX**2 // cell_width_px // block_height_px) * block_height_px
    columns, rows = range(0, width_px, cell_width_px), range(0, height_px, cell_height_px)
    total = len(columns) * len(rows)
    step_x = step_y = 1
    while len(columns[::step_x]) * len(rows[::step_y]) > MAX_CELLS:
        if len(columns[::step_x]) > len(rows[::step_y]):
            step_x += 1
        else:
            step_y += 1
    chosen = [
        Window(x_px, y_px, min(cell_width_px, width_px - x_px), min(cell_height_px, height_px - y_px))
        for y_px in rows[(step_y - 1) // 2 :: step_y]
        for x_px in columns[(step_x - 1) // 2 :: step_x]
    ]
    return chosen, total
