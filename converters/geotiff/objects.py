"""What of a scene's labels is seen in one tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from affine import Affine
from rasterio.features import geometry_mask
from shapely import MultiPolygon, Polygon
from shapely.affinity import translate

from domainvl.schema import Object, Point

from .grid import Tile
from .raster import Mask
from .vectors import Label, polygon_part

_SLIVER_PX2 = 1.0
"""A part of an object that is too little visible and smaller than a pixel is not there at all."""

_DECIMALS = 3
"""Coordinates are kept to a thousandth of a pixel: the last digits differ between versions of PROJ."""


class LabelIndex:
    """A scene's labels, found by place.

    Args:
        labels: The labels, in pixels of the scene.
    """

    def __init__(self, labels: Sequence[Label]) -> None:
        self._labels = labels
        self._tree = shapely.STRtree([label.polygon_px for label in labels])

    def objects_in(self, tile: Tile, valid: Mask, *, min_visible: float) -> tuple[list[Object], int]:
        """Cut the labels to a tile.

        Args:
            tile: The tile.
            valid: The valid pixels of the part of the scene that it shows.
            min_visible: Objects of which less is visible are marked to be ignored.

        Returns:
            The objects in pixels of the tile, in the order of the labels, and how many of them had invalid rings.
        """
        frame = shapely.box(tile.x_px, tile.y_px, tile.x_px + tile.width_px, tile.y_px + tile.height_px)
        objects: list[Object] = []
        repaired = 0
        for index in np.sort(self._tree.query(frame)):
            label = self._labels[index]
            thing = _cut(label, frame, tile, valid, min_visible)
            if thing is not None:
                objects.append(thing)
                repaired += label.repaired
        return objects, repaired


def _cut(label: Label, frame: Polygon, tile: Tile, valid: Mask, min_visible: float) -> Object | None:
    truncated = not frame.covers(label.polygon_px)
    visible = polygon_part(shapely.intersection(label.polygon_px, frame)) if truncated else label.polygon_px
    if visible is None:
        return None
    fraction = min(visible.area / label.polygon_px.area, 1.0) if truncated else 1.0
    visible = translate(visible, -tile.x_px, -tile.y_px)
    if not valid.all():
        fraction *= _valid_share(visible, valid)
    ignore = fraction < min_visible
    if ignore and visible.area < _SLIVER_PX2:
        return None
    x_min, y_min, x_max, y_max = (round(value, _DECIMALS) for value in visible.bounds)
    if x_min >= x_max or y_min >= y_max:
        return None
    return Object(
        id=label.id,
        label=label.name,
        box_px=(x_min, y_min, x_max, y_max),
        polygons_px=_rings(visible),
        visible_fraction=round(fraction, 6),
        truncated=truncated,
        ignore=ignore,
        attributes=dict(label.attributes),
    )


def _valid_share(visible: Polygon | MultiPolygon, valid: Mask) -> float:
    """Return the share of an object's pixels that show something; the scene has holes."""
    inside = geometry_mask([visible], valid.shape, transform=Affine.identity(), all_touched=True, invert=True)
    return float(valid[inside].mean()) if inside.any() else 1.0


def _rings(visible: Polygon | MultiPolygon) -> tuple[tuple[Point, ...], ...]:
    rings = []
    for part in shapely.get_parts(visible):
        corners = np.round(shapely.get_coordinates(part.exterior)[:-1], _DECIMALS)
        rings.append(tuple((float(x), float(y)) for x, y in corners))
    return tuple(rings)
