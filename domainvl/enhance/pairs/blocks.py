"""Spatial blocks of rasters: the groups of windows, joined where rasters of one place share ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from domainvl.enhance.pairs.settings import PairSource
from domainvl.errors import UsageError

Floats = npt.NDArray[np.float64]
Boxes = npt.NDArray[np.float64]
"""(n, 4): lowest x, lowest y, highest x, highest y."""

_BLOCK_WINDOWS = 4
"""Windows along the side of a block, the group that is not divided between splits."""
_LEAST_BLOCKS = 6
"""Blocks are made smaller where a raster would give fewer."""
_INSET_PX = 0.5
"""Ground that is shared by no more than a pixel is that of neighbours, not the same."""
_WGS84 = "EPSG:4326"


@dataclass(frozen=True)
class Cut:
    """A raster cut into windows.

    Attributes:
        windows: The windows, each with its block as its group.
        crs: The raster's coordinate system.
        transform: Its geotransform.
    """

    windows: tuple[PairSource, ...]
    crs: Any
    transform: Any


def block_side(places: Sequence[tuple[int, int]]) -> int:
    """Return how many windows a block has along its side.

    Args:
        places: Row and column of each window, counted in windows.
    """
    side = _BLOCK_WINDOWS
    while side > 1 and len({(row // side, column // side) for row, column in places}) < _LEAST_BLOCKS:
        side //= 2
    return side


def join_blocks(cuts: Sequence[Cut]) -> dict[str, str]:
    """Say which group each block is in: blocks of different rasters that share ground are one group.

    Two dates on one grid give as many groups as one date. On grids that are shifted or turned against each other,
    blocks overlap in chains, and all that the rasters share becomes one group.

    Args:
        cuts: Rasters; a block's name is in one of them only.

    Returns:
        For each block's name that of the first one of its group.

    Raises:
        UsageError: If the rasters are in different coordinate systems of which one has no place on the Earth.
    """
    crs = cuts[0].crs if all(cut.crs == cuts[0].crs for cut in cuts) else _WGS84
    named = [_boxes(cut, crs) for cut in cuts]
    names = [name for blocks, _ in named for name in blocks]
    starts = np.cumsum([0, *(len(blocks) for blocks, _ in named)])
    links = np.array(list(_links([boxes for _, boxes in named], starts)), dtype=int).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(len(names), len(names)))
    _, labels = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    return {name: first.setdefault(int(label), name) for name, label in zip(names, labels, strict=True)}


def project(x: Floats, y: Floats, crs: Any, target: Any) -> tuple[Floats, Floats]:
    """Bring places from one coordinate system to another.

    Args:
        x: (n,), in the first system.
        y: (n,).
        crs: The first system.
        target: The other.

    Raises:
        UsageError: If nothing leads from one to the other.
    """
    from rasterio._err import CPLE_BaseError  # what rasterio lets through from PROJ has no public name
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    if crs == target:
        return x, y
    try:
        across, up = transform(crs, target, list(x), list(y))
    except (RasterioError, CPLE_BaseError) as error:
        action = "Give rasters of one coordinate system, or register them apart"
        rule = f"nothing leads from {_name(crs)} to {_name(target)}"
        raise UsageError("Cannot compare places", rule=rule, action=action) from error
    return np.array(across), np.array(up)


def _name(crs: Any) -> str:
    return str(crs)[:60]


def _links(boxes: Sequence[Boxes], starts: npt.NDArray[np.int_]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of blocks of different rasters that share ground."""
    around = [np.array([*part[:, :2].min(axis=0), *part[:, 2:].max(axis=0)]) for part in boxes]
    for one, other in combinations(range(len(boxes)), 2):
        if not _overlap(around[one], around[other][None]).any():
            continue
        for number, box in enumerate(boxes[one]):
            for met in np.flatnonzero(_overlap(box, boxes[other])):
                yield int(starts[one]) + number, int(starts[other]) + int(met)


def _overlap(box: npt.NDArray[np.float64], boxes: Boxes) -> npt.NDArray[np.bool_]:
    return np.asarray((box[:2] < boxes[:, 2:]).all(axis=1) & (boxes[:, :2] < box[2:]).all(axis=1))


def _boxes(cut: Cut, crs: Any) -> tuple[list[str], Boxes]:
    """Return the blocks of a raster and the ground of each, but for half a pixel at its sides."""
    sides_px: dict[str, list[float]] = {}  # first row and column, last row and column
    for source in cut.windows:
        row, column, rows, columns = source.window or (0, 0, 0, 0)
        sides = sides_px.setdefault(source.group, [np.inf, np.inf, 0, 0])
        sides[:2] = min(sides[0], row), min(sides[1], column)
        sides[2:] = max(sides[2], row + rows), max(sides[3], column + columns)
    top, left, bottom, right = (np.array(list(sides_px.values())) + np.array([1, 1, -1, -1]) * _INSET_PX).T
    rows_px, columns_px = np.array([top, top, bottom, bottom]), np.array([left, right, left, right])
    grid = cut.transform
    x = grid.a * columns_px + grid.b * rows_px + grid.c
    y = grid.d * columns_px + grid.e * rows_px + grid.f
    x, y = (part.reshape(4, -1) for part in project(x.ravel(), y.ravel(), cut.crs, crs))
    return list(sides_px), np.column_stack([x.min(axis=0), y.min(axis=0), x.max(axis=0), y.max(axis=0)])
