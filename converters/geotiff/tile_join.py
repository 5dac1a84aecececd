"""Which tile shows what of which label: all tiles of a scene joined with all its labels at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely import GeometryType

from .grid import Tile
from .labels.placed import Geometries
from .labels.placement import polygon_part

SHARE_DECIMALS = 6
"""Shares are kept to a millionth, so that equal halves are equal whatever GEOS made of them."""


@dataclass(frozen=True)
class SeenLabels:
    """What is seen in one tile: rows of labels with what is inside its borders, in pixels of the scene.

    Attributes:
        rows: Rows of the labels, in order.
        areas: What lies inside, Polygon or MultiPolygon.
        shares: Share of the whole area.
        cut: Whether the tile's border cuts it.
    """

    rows: npt.NDArray[np.int64]
    areas: Geometries
    shares: npt.NDArray[np.float64]
    cut: npt.NDArray[np.bool_]


def key_of(tile: Tile) -> tuple[int, int]:
    """Return what tells a tile from the others of its scene."""
    return tile.row, tile.col


def join_labels(areas_px: Geometries, tiles: Sequence[Tile]) -> list[SeenLabels]:
    """Find what each tile shows of each label.

    Args:
        areas_px: The labels' areas, in pixels of the scene.
        tiles: The tiles.

    Returns:
        One for each tile, its rows in the order of the labels.
    """
    frames = np.array(
        [(tile.x_px, tile.y_px, tile.x_px + tile.width_px, tile.y_px + tile.height_px) for tile in tiles],
        dtype=np.float64,
    ).reshape(-1, 4)
    frame, row = shapely.STRtree(areas_px).query(shapely.box(*frames.T))
    order = np.lexsort((row, frame))
    frame, row = frame[order], row[order]
    boxes = shapely.bounds(areas_px)[row]
    inside = (boxes[:, :2] >= frames[frame, :2]).all(axis=1) & (boxes[:, 2:] <= frames[frame, 2:]).all(axis=1)
    visible = areas_px[row]
    cut = np.flatnonzero(~inside)
    visible[cut] = _polygons_only(shapely.intersection(visible[cut], shapely.box(*frames[frame[cut]].T)))
    kept = ~shapely.is_missing(visible)
    frame, row, visible, inside = frame[kept], row[kept], visible[kept], inside[kept]
    shares = np.where(inside, 1.0, np.minimum(shapely.area(visible) / shapely.area(areas_px)[row], 1.0))
    starts = np.searchsorted(frame, np.arange(len(tiles) + 1)).tolist()
    return [
        SeenLabels(row[start:stop], visible[start:stop], shares[start:stop], ~inside[start:stop])
        for start, stop in itertools.pairwise(starts)
    ]


def _polygons_only(clipped: Geometries) -> Geometries:
    """Take the points and lines from what clipping gave; None where there is no area: an edge was touched."""
    kinds = shapely.get_type_id(clipped)
    areas = clipped.copy()
    areas[~np.isin(kinds, (GeometryType.POLYGON, GeometryType.MULTIPOLYGON)) | (shapely.area(clipped) == 0)] = None
    for place in np.flatnonzero(kinds == GeometryType.GEOMETRYCOLLECTION):
        areas[place] = polygon_part(clipped[place])
    return areas


def best_tiles(seen: Sequence[SeenLabels], tiles: Sequence[Tile]) -> dict[int, tuple[int, int]]:
    """Return for each row of the labels the key of the tile that shows most of it, the first of several."""
    owners = np.repeat(np.arange(len(tiles)), [len(each.rows) for each in seen])
    if not len(owners):
        return {}
    rows = np.concatenate([each.rows for each in seen])
    shares = np.concatenate([each.shares for each in seen]).round(SHARE_DECIMALS)
    order = np.lexsort((owners, -shares, rows))
    found, first = np.unique(rows[order], return_index=True)
    return {row: key_of(tiles[owner]) for row, owner in zip(found.tolist(), owners[order][first].tolist(), strict=True)}
