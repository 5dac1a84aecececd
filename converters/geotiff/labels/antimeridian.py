"""Longitudes: 190 and -170 are the same one, and polygons across the antimeridian are written in several ways."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from shapely import Polygon

from ..georeference import Points, SceneGrid
from .placed import Geometries
from .vector_file import full_turn

_TOUCH = 1e-9
"""What meets a scene by a smaller share of a full turn only touches it."""


def joined_at_antimeridian(geometries: Geometries, crs: CRS) -> Geometries:
    """Join polygons in degrees whose corners jump from one side of the antimeridian to the other, from 179 to -179.

    An edge longer than half a turn is taken to go the other, shorter way; one of a full turn goes around the world. A
    ring around a pole stays as it is. (RFC 7946, section 3.1.9, asks for polygons that are cut there; many are not.)

    Args:
        geometries: shapely geometries in their CRS.
        crs: The CRS.
    """
    if not crs.is_geographic:
        return geometries
    turn = full_turn(crs)
    boxes = shapely.bounds(geometries)
    wide = np.flatnonzero(boxes[:, 2] - boxes[:, 0] > turn / 2)
    if not len(wide):
        return geometries
    joined = geometries.copy()
    for row in wide:
        parts = shapely.get_parts(geometries[row])
        unwound = [_unwound(part, turn) if isinstance(part, Polygon) else part for part in parts]
        if any(new is not old for new, old in zip(unwound, parts, strict=True)):
            joined[row] = unwound[0] if len(unwound) == 1 else shapely.union_all(shapely.make_valid(unwound))
    return joined


def _unwound(polygon: Polygon, turn: float) -> Polygon:
    shell = _unwound_ring(shapely.get_coordinates(polygon.exterior), turn)
    if shell is None:
        return polygon
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = []
    for ring in polygon.interiors:
        corners = shapely.get_coordinates(ring)
        unwound = _unwound_ring(corners, turn)
        hole = corners if unwound is None else unwound
        shift = whole_turns(np.array([(middle - hole[:, 0].mean()) / turn]))[0] * turn
        holes.append(hole + np.array([shift, 0.0]))
    return Polygon(shell, holes)


def _unwound_ring(corners: Points, turn: float) -> Points | None:
    """Return a ring without its jumps, or None where it has none or goes around a pole."""
    steps = np.diff(corners[:, 0])
    jumps = np.where(np.abs(steps) < turn * (1 - _TOUCH), whole_turns(steps / turn), 0.0)
    if not jumps.any() or jumps.sum() != 0:
        return None
    unwound: Points = corners.copy()
    unwound[1:, 0] -= np.cumsum(jumps) * turn
    return unwound


def turned_to_scene(placed: Geometries, grid: SceneGrid) -> Geometries:
    """Bring geometries in pixels to the turn of longitude on which a scene in degrees lies, each part by itself.

    Parts that meet the scene on several turns, as one around the world meets a scene across the antimeridian, are cut
    half a turn away from the middle of the scene.

    Args:
        placed: Geometries in pixels of the grid, whatever turn their longitudes were written on.
        grid: The grid.
    """
    if not is_geographic(grid) or not len(placed):
        return placed
    parts, owners = shapely.get_parts(placed, return_index=True)
    first, last = _turns_that_meet(shapely.bounds(parts), grid)
    moved = placed.copy()
    uneven = np.zeros(len(placed), dtype=bool)
    uneven[owners[first != last]] = True
    turns = np.zeros(len(placed))
    turns[owners] = first
    uneven[owners[first != turns[owners]]] = True
    for turn in np.unique(turns[turns != 0]):
        rows = (turns == turn) & ~uneven
        moved[rows] = shapely.transform(placed[rows], (turn * turn_px(grid)).__add__)
    for row in np.flatnonzero(uneven):
        copies = [
            copy
            for part in np.flatnonzero(owners == row)
            for copy in _copies(parts[part], first[part], last[part], grid)
        ]
        moved[row] = shapely.union_all(shapely.make_valid(copies))
    return moved


def _turns_that_meet(
    boxes_px: npt.NDArray[np.float64], grid: SceneGrid
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the first and last turn on which each box meets the scene; the nearest one where it never does."""
    turn = full_turn(grid.crs)
    left, _, right, _ = grid.bounds()
    corners = np.stack([grid.to_map(boxes_px[:, [x, y]])[:, 0] for x in (0, 2) for y in (1, 3)])
    lowest, highest = corners.min(axis=0), corners.max(axis=0)
    with np.errstate(invalid="ignore"):
        first = np.ceil((left - highest) / turn + _TOUCH)
        last = np.floor((right - lowest) / turn - _TOUCH)
        nearest = whole_turns(((left + right) / 2 - (lowest + highest) / 2) / turn)
    never = ~(np.isfinite(first) & np.isfinite(last) & (first <= last))
    return np.where(never, nearest, first), np.where(never, nearest, last)


def _copies(part: shapely.Geometry, first: float, last: float, grid: SceneGrid) -> list[shapely.Geometry]:
    """Return a part on each of some turns; of several what lies within half a turn of the scene's middle."""
    step = turn_px(grid)
    copies = [shapely.transform(part, (turn * step).__add__) for turn in np.arange(first, last + 1)]
    if len(copies) == 1:
        return copies
    turn = full_turn(grid.crs)
    left, _, right, _ = grid.bounds()
    middle = (left + right) / 2
    strip = shapely.box(middle - turn / 2, -turn, middle + turn / 2, turn)
    strip_px = shapely.transform(strip, lambda points: grid.from_map(points, grid.crs))
    return [shapely.intersection(shapely.make_valid(copy), strip_px) for copy in copies]


def is_geographic(grid: SceneGrid) -> bool:
    """Say whether a grid is in degrees."""
    return grid.crs is not None and bool(grid.crs.is_geographic)


def whole_turns(turns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round to whole turns; 0 for what is not finite."""
    return np.rint(np.where(np.isfinite(turns), turns, 0.0)).astype(np.float64)


def turn_px(grid: SceneGrid) -> Points:
    """Return what a full turn of longitude is in pixels, shape (1, 2)."""
    ends = grid.from_map(np.array([[0.0, 0.0], [full_turn(grid.crs), 0.0]]), grid.crs)
    return ends[1:] - ends[:1]
