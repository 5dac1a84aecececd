"""Brings geometries from map coordinates to pixels of a scene, all at once, and says what cannot be placed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from rasterio._err import CPLE_BaseError  # what rasterio lets through from PROJ has no public name
from rasterio.crs import CRS
from shapely import GeometryType, MultiPolygon, Polygon

from ..georeference import Points, SceneGrid
from .antimeridian import is_geographic, joined_at_antimeridian, turn_px, turned_to_scene, whole_turns
from .placed import Geometries
from .vector_file import full_turn

_SEGMENTS = 8
"""Edges longer than the scene's diagonal divided by this are divided before they are brought to another CRS."""

_TORN_DIAGONALS = 4.0
"""An edge that is an eighth of a diagonal on the map and longer than so many in pixels was torn by the projection."""

_FAULTS = {
    "empty-geometry": "the feature has no usable coordinates",
    "not-finite": "some of its coordinates are no numbers",
    "no-polygon": "only polygons are read",
    "crs": "a part of it has no place in the scene's CRS",
    "no-area": "the polygon has no area",
}
"""What can be wrong with a geometry, the first that applies."""


@dataclass(frozen=True)
class PlacedGeometries:
    """Geometries in pixels of a scene, one row each.

    Attributes:
        areas_px: Valid Polygon or MultiPolygon; None where there is a fault.
        bounds_px: Boxes around them, shape (n, 4); not finite where a corner has no place in the scene's CRS.
        repaired: Whether the rings were invalid.
        faults: Key into :data:`_FAULTS` where there is one, else None.
    """

    areas_px: Geometries
    bounds_px: npt.NDArray[np.float64]
    repaired: npt.NDArray[np.bool_]
    faults: Geometries


def fault_message(fault: str, geometry: Any) -> str:
    """Say what is wrong with a geometry."""
    kind = f", it is a {geometry.geom_type}" if fault == "no-polygon" else ""
    return _FAULTS[fault] + kind


def place_geometries(geometries: Geometries, crs: CRS, grid: SceneGrid) -> PlacedGeometries:
    """Bring geometries to pixels of a scene's grid.

    Args:
        geometries: shapely geometries; None where there is none.
        crs: Their CRS.
        grid: The grid; it must have a georeference.
    """
    sound, repaired, finite = _repair(joined_at_antimeridian(geometries, crs))
    placed = _to_pixels(sound, crs, grid)
    faults = np.full(len(geometries), None, dtype=object)
    areas = _polygonal(placed)
    faults[shapely.is_missing(areas)] = "no-area"
    faults[_unplaced(placed, grid, same_crs=crs == grid.crs)] = "crs"
    faults[~_are_polygons(geometries)] = "no-polygon"
    faults[~finite] = "not-finite"
    faults[shapely.is_missing(sound) | shapely.is_empty(sound)] = "empty-geometry"
    areas[faults != None] = None  # noqa: E711 - row by row
    return PlacedGeometries(areas, shapely.bounds(placed), repaired, faults)


def _are_finite(geometries: Geometries) -> npt.NDArray[np.bool_]:
    """Say which geometries have numbers for all coordinates; those without any do."""
    coordinates, owners = shapely.get_coordinates(geometries, return_index=True)
    finite = np.ones(len(geometries), dtype=bool)
    finite[owners[~np.isfinite(coordinates).all(axis=1)]] = False
    return finite


def _are_polygons(geometries: Geometries) -> npt.NDArray[np.bool_]:
    return np.isin(shapely.get_type_id(geometries), (GeometryType.POLYGON, GeometryType.MULTIPOLYGON))


def _repair(geometries: Geometries) -> tuple[Geometries, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Make polygons valid, before anything else: to divide the edges of an invalid one, GEOS drops parts of it.

    Returns:
        The geometries, of those with coordinates that are not finite the other corners, or None; which were invalid;
        which are finite.
    """
    finite = _are_finite(geometries)
    invalid = _are_polygons(geometries) & finite & ~shapely.is_valid(geometries)
    sound = geometries.copy()
    for row in np.flatnonzero(~finite):
        corners = shapely.get_coordinates(geometries[row])
        corners = corners[np.isfinite(corners).all(axis=1)]
        sound[row] = shapely.multipoints(corners) if len(corners) else None
    sound[invalid] = shapely.make_valid(geometries[invalid])
    return sound, invalid, finite


def _to_pixels(geometries: Geometries, crs: CRS, grid: SceneGrid) -> Geometries:
    """Bring geometries to pixels; a coordinate that cannot be brought becomes infinite."""
    if crs != grid.crs:
        geometries = _divide_long_edges(geometries, crs, grid)

    def place(points: Points) -> Points:
        placed = _from_map(points, crs, grid)
        placed[~np.isfinite(placed).all(axis=1)] = math.inf  # a ring with ends of NaN would not be closed
        return placed if crs == grid.crs else _unwrapped(placed, points, crs, grid)

    return turned_to_scene(shapely.transform(geometries, place), grid)


def _from_map(points: Points, crs: CRS, grid: SceneGrid) -> Points:
    """Bring corners to pixels, where rasterio gives none at all if PROJ has no place for one of them.

    They are halved until those without place stand alone; after 20 of them GDAL says no more and gives them infinity.
    """
    try:
        return grid.from_map(points, crs)
    except CPLE_BaseError:
        if len(points) == 1:
            return np.full_like(points, math.inf)
        middle = len(points) // 2
        return np.vstack([_from_map(part, crs, grid) for part in (points[:middle], points[middle:])])


def _divide_long_edges(geometries: Geometries, crs: CRS, grid: SceneGrid) -> Geometries:
    """Divide long edges: a line that is straight in one CRS is bent in another."""
    left, bottom, right, top = grid.bounds(crs=crs)
    if left > right:
        right += full_turn(crs)
    longest = math.hypot(right - left, top - bottom) / _SEGMENTS
    boxes = shapely.bounds(geometries)
    wide = np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) > longest
    if not wide.any() or not math.isfinite(longest):
        return geometries
    divided = geometries.copy()
    divided[wide] = shapely.segmentize(geometries[wide], longest)
    return divided


def _unwrapped(placed: Points, points: Points, crs: CRS, grid: SceneGrid) -> Points:
    """Undo that PROJ brings all longitudes to half a turn around 0, which tears what crosses the antimeridian."""
    if not is_geographic(grid):
        return placed
    turn = full_turn(grid.crs)
    longitudes = grid.to_map(placed)[:, 0]
    if crs.is_geographic:
        wanted = points[:, 0] * (turn / full_turn(crs))
    else:
        left, _, right, _ = grid.bounds()
        if left >= -turn / 2 and right <= turn / 2:
            return placed
        wanted = np.full(len(points), (left + right) / 2)
    return placed + whole_turns((wanted - longitudes) / turn)[:, None] * turn_px(grid)


def _unplaced(placed: Geometries, grid: SceneGrid, *, same_crs: bool) -> npt.NDArray[np.bool_]:
    """Find geometries with a corner that has no pixel, or that the border of the projection tears apart."""
    unplaced = ~_are_finite(placed)
    if same_crs:
        return unplaced
    longest_px = _TORN_DIAGONALS * math.hypot(grid.width_px, grid.height_px)
    boxes = shapely.bounds(placed)
    wide = np.flatnonzero(~unplaced & (np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) > longest_px))
    rings, owners = shapely.get_rings(placed[wide], return_index=True)
    if len(rings):
        corners, ring = shapely.get_coordinates(rings, return_index=True)
        edges_px = np.hypot(*np.diff(corners, axis=0).T)
        torn = (edges_px > longest_px) & (ring[1:] == ring[:-1])
        unplaced[wide[owners[ring[1:][torn]]]] = True
    return unplaced


def _polygonal(geometries: Geometries) -> Geometries:
    """Return valid polygons without points and lines; None where there is no area."""
    areas = geometries.copy()
    single = (shapely.get_type_id(areas) == GeometryType.MULTIPOLYGON) & (shapely.get_num_geometries(areas) == 1)
    areas[single] = shapely.get_geometry(areas[single], 0)
    finite = _are_finite(areas) & ~shapely.is_missing(areas)
    ready = finite & _are_polygons(areas) & shapely.is_valid(areas)
    areas[~ready | (shapely.area(areas) == 0)] = None
    for row in np.flatnonzero(finite & ~ready):
        areas[row] = polygon_part(shapely.make_valid(geometries[row]))
    return areas


def polygon_part(geometry: Any) -> Polygon | MultiPolygon | None:
    """Return the polygons in a geometry without the points and lines, or None where it has no area."""
    polygons = [
        part for part in shapely.get_parts(shapely.get_parts(geometry)) if isinstance(part, Polygon) and part.area > 0
    ]
    if not polygons:
        return None
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
