"""Outlines of the shapes that structured reports draw (PS3.3 C.18.6.1.1 and C.18.9.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from domainvl.schema.boxes import Box, Point

from .places import Points

_CORNERS = 72
"""Of the polygon that stands for a circle or an ellipse: one each 5 degrees, off by less than 0.1 % of the radius."""


@dataclass(frozen=True)
class Shape:
    """A shape in stored pixels.

    Attributes:
        box_px: The box around it; None where it has no extent.
        polygon_px: Its ring, without the point that closes it.
        area_px: Its area.
        point_px: The point, or the middle of a line.
    """

    box_px: Box | None = None
    polygon_px: tuple[Point, ...] = ()
    area_px: float | None = None
    point_px: Point | None = None


def shape_of(kind: str, points: Points, *, is_region: bool) -> Shape | None:
    """Outline a graphic.

    A polyline encloses an area where its ends meet, or where the report calls it an image region and it has at least
    three points; any other one is the line of a measurement, of which the middle is kept.

    Args:
        kind: GraphicType.
        points: Its points in stored pixels, corners on pixel edges, shape (n, 2).
        is_region: Whether the report says that it is a region.

    Returns:
        The shape; None for a kind that is not drawn, or for too few points.
    """
    if kind == "POINT" and len(points) == 1:
        return Shape(point_px=_point(points[0]))
    if kind == "CIRCLE" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        return _ellipse(points[0], np.array([radius, 0.0]), np.array([0.0, radius]))
    if kind == "ELLIPSE" and len(points) == 4:
        # The ends of the major axis, then those of the minor one.
        return _ellipse(points[:2].mean(axis=0), (points[1] - points[0]) / 2, (points[3] - points[2]) / 2)
    if kind in ("POLYLINE", "POLYGON"):
        is_closed = len(points) > 3 and bool(np.allclose(points[0], points[-1]))
        return _ring(points) if is_closed or (is_region and len(points) >= 3) else _line(points)
    return None


def _point(point: Points) -> Point:
    x_px, y_px = point.tolist()
    return x_px, y_px


def _line(points: Points) -> Shape | None:
    if len(points) < 2:
        return None
    middle = shapely.LineString(points).interpolate(0.5, normalized=True)
    return Shape(point_px=(middle.x, middle.y))


def _ring(points: Points) -> Shape | None:
    closed = points[:-1] if np.allclose(points[0], points[-1]) else points
    area = float(shapely.Polygon(closed).area) if len(closed) >= 3 else 0.0
    if area <= 0:
        return None
    return Shape(_box(closed), tuple(_point(point) for point in closed), area)


def _ellipse(center: Points, major: Points, minor: Points) -> Shape | None:
    area = float(np.pi * np.hypot(*major) * np.hypot(*minor))
    if area <= 0:
        return None
    angles = np.arange(_CORNERS)[:, None] * 2 * np.pi / _CORNERS
    ring = center + np.cos(angles) * major + np.sin(angles) * minor
    reach = np.hypot(major, minor)
    return Shape(_box(np.stack([center - reach, center + reach])), tuple(_point(point) for point in ring), area)


def _box(points: Points) -> Box:
    (x_min, y_min), (x_max, y_max) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x_min, y_min, x_max, y_max
