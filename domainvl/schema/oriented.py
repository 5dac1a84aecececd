"""Rotated boxes: the smallest one around points, its corners, and the ways in which others write its angle.

Angles turn the x axis towards y, which is clockwise on screen, as in MMRotate (open-mmlab/mmrotate, docs/en/intro.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from domainvl.errors import DatasetError
from domainvl.schema.boxes import Point
from domainvl.schema.sample import OrientedBox

AngleConvention: TypeAlias = Literal["le90", "le135", "oc"]
"""Which of the four ways to write a rotated box is taken. As MMRotate's code has them (core/bbox/transforms.py):
``le90``: width >= height, -90 <= angle < 90; ``le135``: width >= height, -45 <= angle < 135; ``oc``: 0 < angle <= 90,
either side may be the longer one, as OpenCV from 4.5.1 on writes it."""

_LOWEST_DEG: dict[AngleConvention, float] = {"le90": -90.0, "le135": -45.0}
"""The least angle of a convention in which the width is the longer side; angles span half a turn from there."""

_MIN_SIDE_PX = 1e-6
"""A box that is thinner is a line: what is left of its height is rounding."""

_SAME = 1e-9
"""Sides and areas that differ by a smaller share are equal; the choice between them must not hang on rounding."""


def smallest_oriented_box(points_px: Iterable[Sequence[float]], convention: AngleConvention = "le90") -> OrientedBox:
    """Return the rotated box of least area around points: around four corners of a rectangle, that rectangle.

    One side of it lies on an edge of the convex hull (Freeman and Shapira, Communications of the ACM 18 (7), 1975), so
    that each edge is tried. Of boxes of equal area the first is taken, going round from the leftmost point.

    Args:
        points_px: The points (x, y), in any order.
        convention: How the box is written.

    Raises:
        DatasetError: If a coordinate is not finite or all points lie on a line.
    """
    points = sorted({(float(x), float(y)) for x, y in points_px})
    if not all(math.isfinite(value) for point in points for value in point):
        raise DatasetError("Invalid oriented box", rule=f"all coordinates must be finite, got {points}")
    best: OrientedBox | None = None
    hull = _convex_hull(points)
    for start, end in zip(hull, [*hull[1:], *hull[:1]], strict=True):
        box = _box_along(start, end, hull)
        if box is not None and (best is None or _area(box) < _area(best) * (1 - _SAME)):
            best = box
    if best is None:
        raise DatasetError("Invalid oriented box", rule=f"its points must not lie on a line, got {points}")
    return in_convention(best, convention)


def in_convention(box: OrientedBox, convention: AngleConvention) -> OrientedBox:
    """Write a box in a convention; the area that it covers stays the same.

    In ``le90`` and ``le135`` a square has two angles; the one from -45 to 45 is taken.

    Args:
        box: The box, in any convention.
        convention: The one wanted.
    """
    width, height, angle = box.width_px, box.height_px, box.angle_deg
    if convention == "oc":
        quarters = math.ceil(angle / 90) - 1
        if quarters % 2:
            width, height = height, width
        return _with(box, width, height, angle - 90 * quarters)
    if abs(width - height) <= _SAME * width:
        return _with(box, width, height, _wrap(angle, -45.0, 90.0))
    if width < height:
        width, height, angle = height, width, angle + 90
    return _with(box, width, height, _wrap(angle, _LOWEST_DEG[convention], 180.0))


def corners_of(box: OrientedBox) -> tuple[Point, Point, Point, Point]:
    """Return the corners of a box, clockwise on screen, from the one that is upper left where the angle is 0."""
    cosine, sine = math.cos(math.radians(box.angle_deg)), math.sin(math.radians(box.angle_deg))
    half_width, half_height = box.width_px / 2, box.height_px / 2

    def corner(x: float, y: float) -> Point:
        return box.center_x_px + x * cosine - y * sine, box.center_y_px + x * sine + y * cosine

    return (
        corner(-half_width, -half_height),
        corner(half_width, -half_height),
        corner(half_width, half_height),
        corner(-half_width, half_height),
    )


def _convex_hull(points: Sequence[Point]) -> list[Point]:
    """Return the hull of sorted points from the leftmost one on, without points on its edges.

    Andrew's monotone chain (Information Processing Letters 9 (5), 1979).
    """
    lower, upper = _chain(points), _chain(points[::-1])
    return lower[:-1] + upper[:-1]


def _chain(points: Sequence[Point]) -> list[Point]:
    chain: list[Point] = []
    for x, y in points:
        while len(chain) > 1:
            (x0, y0), (x1, y1) = chain[-2:]
            if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def _box_along(start: Point, end: Point, hull: Sequence[Point]) -> OrientedBox | None:
    """Return the box around a hull with a side along an edge; None where it is a line."""
    length = math.dist(start, end)
    cosine, sine = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    # Measured from a corner of the hull: far from the origin, differences would lose digits.
    along = [(x - start[0]) * cosine + (y - start[1]) * sine for x, y in hull]
    across = [(y - start[1]) * cosine - (x - start[0]) * sine for x, y in hull]
    width, height = max(along) - min(along), max(across) - min(across)
    if min(width, height) < _MIN_SIDE_PX:
        return None
    middle, off = (max(along) + min(along)) / 2, (max(across) + min(across)) / 2
    return OrientedBox(
        center_x_px=start[0] + middle * cosine - off * sine,
        center_y_px=start[1] + middle * sine + off * cosine,
        width_px=width,
        height_px=height,
        angle_deg=math.degrees(math.atan2(sine, cosine)),
    )


def _area(box: OrientedBox) -> float:
    return box.width_px * box.height_px


def _with(box: OrientedBox, width_px: float, height_px: float, angle_deg: float) -> OrientedBox:
    return box.model_copy(update={"width_px": width_px, "height_px": height_px, "angle_deg": angle_deg})


def _wrap(angle_deg: float, lowest_deg: float, span_deg: float) -> float:
    wrapped = lowest_deg + (angle_deg - lowest_deg) % span_deg
    return lowest_deg if wrapped >= lowest_deg + span_deg else wrapped  # the remainder may round up to the span
