"""Ground that the user gives to splits: polygons of a vector file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform as transform_coordinates
from shapely import STRtree
from shapely.geometry.base import BaseGeometry

from domainvl.errors import ItemError, UsageError
from domainvl.schema import Split

from .georeference import LONLAT
from .labels.ogr import read_raw
from .splitting import SplitArea

_SPLIT_FIELD = "split"
_OVERLAP = 1e-6
"""Areas that overlap by a smaller share of the smaller one only touch."""


def read_split_areas(path: Path) -> tuple[SplitArea, ...]:
    """Read ``--split-areas``.

    Raises:
        UsageError: If it cannot be read, has no CRS or no field ``split`` with the names of splits, or areas of two
            splits overlap.
    """
    try:
        meta, fids, geometries, fields = read_raw(path, path.name)
    except ItemError as error:
        raise UsageError("Cannot read --split-areas", where=path, rule=error.rule, action=error.action) from error
    if geometries is None:
        raise UsageError("Cannot read --split-areas", where=path, rule="its features have no geometry")
    names = [str(name) for name in meta["fields"]]
    if meta["crs"] is None:
        raise UsageError("Cannot read --split-areas", where=path, rule="it has no coordinate reference system")
    if _SPLIT_FIELD not in names:
        raise UsageError("Cannot read --split-areas", where=path, rule=f"it has no field {_SPLIT_FIELD}")
    areas, outlines = [], []
    for fid, geometry, value in zip(fids, shapely.from_wkb(geometries), fields[names.index(_SPLIT_FIELD)], strict=True):
        if value not in tuple(Split):
            raise UsageError(
                "Cannot read --split-areas",
                where=f"{path}, feature {fid}",
                rule=f"{_SPLIT_FIELD} must be train, val or test, got {value!r}",
            )
        if geometry is None or geometry.is_empty or shapely.get_dimensions(geometry) != 2:
            raise UsageError(
                "Cannot read --split-areas", where=f"{path}, feature {fid}", rule="it must be a polygon, and it is none"
            )
        outlines.append(shapely.make_valid(geometry))
        placed = _to_lonlat(outlines[-1], CRS.from_user_input(meta["crs"]))
        areas.append(SplitArea(f"area/{fid}", Split(value), shapely.to_wkb(placed)))
    _check_apart(path, areas, outlines)
    return tuple(areas)


def _to_lonlat(geometry: BaseGeometry, crs: CRS) -> BaseGeometry:
    if crs == LONLAT:
        return geometry
    left, bottom, right, top = geometry.bounds
    divided = shapely.segmentize(geometry, max(math.hypot(right - left, top - bottom) / 64, 1e-9))

    def bring(points: np.ndarray) -> np.ndarray:
        return np.column_stack(transform_coordinates(crs, LONLAT, points[:, 0], points[:, 1]))

    placed: BaseGeometry = shapely.transform(divided, bring)
    return placed


def _check_apart(path: Path, areas: Sequence[SplitArea], outlines: Sequence[BaseGeometry]) -> None:
    """Refuse areas of two splits that overlap, in the CRS of the file, in which common borders coincide."""
    tree = STRtree(outlines)
    for one, other in sorted(tree.query(outlines, predicate="intersects").T.tolist()):
        if areas[one].split is areas[other].split:
            continue
        smaller = min(outlines[one].area, outlines[other].area)
        if outlines[one].intersection(outlines[other]).area > _OVERLAP * smaller:
            raise UsageError(
                "Cannot split by areas",
                where=path,
                rule=f"{areas[one].name} ({areas[one].split}) and {areas[other].name} ({areas[other].split}) overlap",
                action="Draw them apart",
            )
