"""Turns a mask into rings, a box and an area, exactly along the edges of its pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.features import shapes

from domainvl.schema.boxes import Box, Point

Mask = npt.NDArray[np.bool_]


class Region(NamedTuple):
    """A region of an image, in stored pixels.

    Attributes:
        polygons_px: Exterior rings of its parts, without the point that closes them. Corners are whole numbers.
        area_px: Number of its pixels; holes are no part of it.
        box_px: The box around it; None where the mask is empty.
    """

    polygons_px: tuple[tuple[Point, ...], ...]
    area_px: float
    box_px: Box | None


def polygons_of(mask: Mask, *, offset_px: tuple[int, int] = (0, 0)) -> Region:
    """Outline all that a mask holds as one region.

    Args:
        mask: Shape (rows, columns), bool.
        offset_px: Column and row at which the mask lies in the image.
    """
    return _joined(_parts(mask, offset_px))


def components_of(mask: Mask, *, offset_px: tuple[int, int] = (0, 0)) -> tuple[Region, ...]:
    """Outline each connected region of a mask, from top to bottom.

    Pixels that touch at a corner belong together; a region then has several rings, which touch there.

    Args:
        mask: Shape (rows, columns), bool.
        offset_px: Column and row at which the mask lies in the image.
    """
    parts = _parts(mask, offset_px)
    if not parts:
        return ()
    tree = shapely.STRtree(parts)
    group = list(range(len(parts)))
    for one, other in tree.query(parts, predicate="intersects").T.tolist():
        a, b = _root(group, one), _root(group, other)
        group[max(a, b)] = min(a, b)
    members: dict[int, list[shapely.Polygon]] = {}
    for place, part in enumerate(parts):
        members.setdefault(_root(group, place), []).append(part)
    regions = [_joined(each) for each in members.values()]
    return tuple(sorted(regions, key=lambda region: (_top_left(region), region.polygons_px)))


def _root(group: list[int], place: int) -> int:
    while group[place] != place:
        place = group[place]
    return place


def _top_left(region: Region) -> tuple[float, float]:
    x_min, y_min, _, _ = region.box_px or (0.0, 0.0, 0.0, 0.0)
    return y_min, x_min


def _parts(mask: Mask, offset_px: tuple[int, int]) -> list[shapely.Polygon]:
    """Return a polygon for each set of pixels that share edges; such rings never touch themselves along an edge."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    origin = Affine.translation(offset_px[0] + int(columns[0]), offset_px[1] + int(rows[0]))
    found = shapes(cut.astype(np.uint8), mask=cut, connectivity=4, transform=origin)
    return [shapely.Polygon(rings[0], rings[1:]) for rings in (polygon["coordinates"] for polygon, _ in found)]


def _joined(parts: list[shapely.Polygon]) -> Region:
    if not parts:
        return Region((), 0.0, None)
    # GDAL's order of parts is an accident of its scan lines; that of corners is kept.
    rings = sorted(tuple((float(x), float(y)) for x, y in part.exterior.coords[:-1]) for part in parts)
    x_min, y_min, x_max, y_max = shapely.total_bounds(parts).tolist()
    return Region(tuple(rings), float(sum(part.area for part in parts)), (x_min, y_min, x_max, y_max))
