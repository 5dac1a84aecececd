"""Labels of a vector file, placed in the pixels of a scene."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import shapely
from pydantic import JsonValue
from rasterio._err import CPLE_BaseError  # what rasterio lets through from PROJ has no public name
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds

from domainvl.errors import ItemError
from domainvl.schema import Box, Reject, Severity

from ..georeference import DENSIFY_POINTS, LONLAT, Bounds, SceneGrid
from .placed import UNKNOWN_CLASS, Geometries, PlacedLabels, around
from .placement import PlacedGeometries, fault_message, place_geometries
from .vector_file import Features, LabelReader, VectorFile, class_names, full_turn, look_at_vector_file

__all__ = [
    "LabelReader",
    "VectorFile",
    "bounds_in_labels",
    "describe_bounds",
    "look_at_vector_file",
    "place_vector_labels",
    "where_both_lie",
]

_MARGIN = 0.02
"""The box that is searched for labels is larger by this share of its sides: it bulges between its densified points."""

_ERROR_LENGTH = 200
"""Of what PROJ says no more is told: it may write out both CRSs."""

_ATTRIBUTE_COUNT = 8
"""So many attributes of a feature are kept, the first ones with a value."""


def place_vector_labels(
    file: VectorFile,
    grid: SceneGrid,
    *,
    uri: str,
    rows_px: tuple[int, int] | None = None,
    reader: LabelReader | None = None,
) -> tuple[PlacedLabels, list[Reject]]:
    """Read the labels of a scene, or of some rows of it, and place them in its pixels.

    Args:
        file: The label file.
        grid: The scene's grid.
        uri: Name of the scene in messages.
        rows_px: First row and row after the last; all rows where None. A label is placed the same in any case.
        reader: Reads the features.

    Returns:
        What meets the rows, in the order of the file, and the features among it that cannot be used.

    Raises:
        ItemError: If the scene has no georeference, the CRSs cannot be brought together or the file cannot be read.
    """
    _check_georeference(grid, uri)
    if not file.feature_count:
        return _empty(), []
    top_px, bottom_px = rows_px or (0, grid.height_px)
    part_px = (0.0, float(top_px), float(grid.width_px), float(bottom_px))
    try:
        boxes = [_widened(bounds) for bounds in _search_boxes(file, grid, part_px)]
        if not boxes:
            return _empty(), []
        found = (reader or LabelReader()).read(file, boxes)
        placed = place_geometries(found.geometries, CRS.from_user_input(file.crs), grid)
    except (CRSError, CPLE_BaseError) as error:
        raise ItemError(
            "Cannot bring labels to a scene",
            reason="crs",
            where=uri,
            rule=f"there is no way from the CRS of {file.uri} to that of the scene ({str(error)[:_ERROR_LENGTH]})",
            action="Give labels in the scene's CRS",
        ) from error
    return _to_labels(file, found, placed, part_px)


def bounds_in_labels(file: VectorFile, grid: SceneGrid, box_px: Box) -> Bounds:
    """Bring a box of a scene's pixels to the CRS of a label file, where it becomes a box around it.

    Longitudes are those with which the file may have labels there: 190 rather than -170 where it goes from 0 to 360.
    """
    around = _search_boxes(file, grid, box_px) or _all_turns(file, grid, box_px)
    return around[0]


def where_both_lie(file: VectorFile, grid: SceneGrid) -> str:
    """Say in longitude and latitude where the labels and the scene are, for a message that they do not meet."""
    if not file.feature_count:
        return f"{file.uri} has no features"
    try:
        labels = transform_bounds(CRS.from_user_input(file.crs), LONLAT, *file.bounds, densify_pts=DENSIFY_POINTS)
        return (
            f"in longitude and latitude the labels of {file.uri} lie in {describe_bounds(labels)}, "
            f"the scene in {describe_bounds(grid.bounds(crs=LONLAT))}"
        )
    except (CRSError, CPLE_BaseError, ValueError):
        return f"the labels of {file.uri} lie in {describe_bounds(file.bounds)} of {file.crs}"


def describe_bounds(bounds: Sequence[float]) -> str:
    """Write a box in degrees for a message."""
    left, bottom, right, top = bounds
    return f"{left:.4f} to {right:.4f}, {bottom:.4f} to {top:.4f}"


def _check_georeference(grid: SceneGrid, uri: str) -> None:
    if grid.is_georeferenced:
        return
    stored = grid.stored
    lacking = "coordinate reference system" if grid.crs is None else "geotransform"
    rule, action = f"the scene has no {lacking}", "Write it into the scene, with gdal_edit -a_srs"
    if stored.gcps:
        rule, action = f"{rule}, only ground control points", "Warp it with gdalwarp first"
    elif stored.has_rpcs:
        rule, action = f"{rule}, only rational polynomials (RPCs)", "Warp it with gdalwarp -rpc first"
    reason = "no-crs" if grid.crs is None else "no-geotransform"
    raise ItemError("Cannot place labels", reason=reason, where=uri, rule=rule, action=action)


def _search_boxes(file: VectorFile, grid: SceneGrid, box_px: Box) -> list[Bounds]:
    """Return the boxes in which a label file may have labels that meet a box of pixels; none where it has none."""
    labels_left, _, labels_right, _ = file.bounds
    boxes = _all_turns(file, grid, box_px)
    if len(boxes) == 1:
        return boxes
    widened = [_widened(bounds) for bounds in boxes]
    return [
        bounds
        for bounds, wide in zip(boxes, widened, strict=True)
        if wide[0] <= labels_right and wide[2] >= labels_left
    ]


def _all_turns(file: VectorFile, grid: SceneGrid, box_px: Box) -> list[Bounds]:
    """Return the box around some pixels in the labels' CRS, on the turns of longitude on which it may be written."""
    crs = CRS.from_user_input(file.crs)
    left, bottom, right, top = grid.bounds(box_px, crs)
    if not crs.is_geographic:
        return [(left, bottom, right, top)]
    turn = full_turn(crs)
    if left > right:
        right += turn
    return [(left + turns * turn, bottom, right + turns * turn, top) for turns in (0, -1, 1)]


def _widened(bounds: Bounds) -> Bounds:
    left, bottom, right, top = bounds
    x, y = _MARGIN * (right - left), _MARGIN * (top - bottom)
    return left - x, bottom - y, right + x, top + y


def _to_labels(
    file: VectorFile, found: Features, placed: PlacedGeometries, part_px: Box
) -> tuple[PlacedLabels, list[Reject]]:
    names = [file.one_class] * len(found.fids) if file.field is None else class_names(found.columns[file.field])
    unnamed = np.array([name is None for name in names], dtype=bool)
    faulty = placed.faults != None  # noqa: E711 - row by row
    areas_px = _areas_or_places(placed, part_px)
    kept = np.flatnonzero(_meets(placed, areas_px, part_px))
    unusable = unnamed | faulty
    labels = PlacedLabels(
        ids=[str(fid) for fid in found.fids[kept].tolist()],
        names=[names[row] or UNKNOWN_CLASS for row in kept],
        areas_px=areas_px[kept],
        repaired=placed.repaired[kept],
        ignored=np.zeros(len(kept), dtype=bool),
        boxes=np.zeros(len(kept), dtype=bool),
        unusable=unusable[kept],
        attributes=_Attributes(found, kept, file.field),
    )
    return labels, [
        _reject(file, found, placed, row, unnamed=bool(unnamed[row])) for row in kept[unusable[kept]].tolist()
    ]


def _areas_or_places(placed: PlacedGeometries, part_px: Box) -> Geometries:
    """Return areas, and of what has none a box around its corners; around all of the scene where one has no place."""
    areas_px = placed.areas_px.copy()
    lost = np.flatnonzero(placed.faults != None)  # noqa: E711 - row by row
    if not len(lost):
        return areas_px
    boxes_px = around(placed.bounds_px[lost])
    boxes_px[~np.isfinite(boxes_px).all(axis=1)] = part_px
    areas_px[lost] = shapely.box(*boxes_px.T)
    return areas_px


def _meets(placed: PlacedGeometries, areas_px: Geometries, part_px: Box) -> npt.NDArray[np.bool_]:
    """Find what meets the pixels; what has no coordinates is listed when the file is looked at."""
    boxes = shapely.bounds(areas_px)
    apart = (boxes[:, 0] > part_px[2]) | (boxes[:, 2] < part_px[0])
    apart |= (boxes[:, 1] > part_px[3]) | (boxes[:, 3] < part_px[1])
    frame = shapely.box(*part_px)
    shapely.prepare(frame)
    meets: npt.NDArray[np.bool_] = ~apart
    near = np.flatnonzero(meets)
    meets[near] = shapely.intersects(frame, areas_px[near])
    meets &= placed.faults.astype(str) != "empty-geometry"
    return meets


def _reject(file: VectorFile, found: Features, placed: PlacedGeometries, row: int, *, unnamed: bool) -> Reject:
    fault = "no-class" if unnamed else placed.faults[row]
    message = f"the field {file.field} is empty" if unnamed else fault_message(fault, found.geometries[row])
    return Reject(f"{file.uri}#{found.fids[row]}", "label", fault, message, severity=Severity.SKIPPED)


def _empty() -> PlacedLabels:
    nothing = np.zeros(0, dtype=bool)
    return PlacedLabels([], [], np.zeros(0, dtype=object), nothing, nothing, nothing, nothing, [])


class _Attributes(Sequence[Mapping[str, JsonValue]]):
    """Attributes of features, made when they are asked for: most features lie in no tile that is kept."""

    def __init__(self, features: Features, rows: npt.NDArray[Any], field: str | None) -> None:
        self._columns = {name: _plain(column[rows]) for name, column in features.columns.items() if name != field}
        self._count = len(rows)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Mapping[str, JsonValue]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, JsonValue]]: ...

    def __getitem__(self, index: int | slice) -> Mapping[str, JsonValue] | Sequence[Mapping[str, JsonValue]]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        attributes: dict[str, JsonValue] = {}
        for name, values in self._columns.items():
            value = values[index]
            if isinstance(value, str | int | float | bool):
                attributes[name] = value
                if len(attributes) == _ATTRIBUTE_COUNT:
                    break
        return attributes


def _plain(column: npt.NDArray[Any]) -> list[Any]:
    """Return attributes as JSON has them; None where one is empty or not finite. Dates are written out."""
    if column.dtype.kind == "M":
        return [None if text == "NaT" else text for text in column.astype(str).tolist()]
    values: list[Any] = column.tolist()
    if column.dtype.kind == "f":
        return [value if math.isfinite(value) else None for value in values]
    return values
