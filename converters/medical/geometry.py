"""Where a slice lies in the patient: its position, its directions and the anatomical plane that it shows.

Positions and directions are in the patient coordinate system of PS3.3 C.7.6.2.1.1: x to the patient's left,
y to the back, z to the head, in mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

_CROSS_PRODUCT_MIN = 0.5
"""Rows and columns are unit vectors at a right angle, whose cross product has length 1; some are zero or equal."""

_PLANE_COSINE_MIN = 0.9
"""A slice within 26 degrees of an anatomical plane is called by its name; a steeper one has none."""

_TIE_DIGITS = 6
"""Slices half-way between two planes: rounding of the header must not choose."""

Vector: TypeAlias = tuple[float, float, float]

PLANES = ("axial", "coronal", "sagittal")

_NORMAL_AXIS = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Axis (x, y, z) that is normal to the plane."""


@dataclass(frozen=True)
class Geometry:
    """Where one slice lies.

    Attributes:
        position_mm: Centre of the first pixel (ImagePositionPatient).
        row: Direction along a row of pixels, as direction cosines.
        column: Direction down a column of pixels.
    """

    position_mm: Vector
    row: Vector
    column: Vector

    def normal(self) -> Vector:
        """Return the right-handed normal of the slice, of length 1."""
        normal = cross(self.row, self.column)
        length = math.hypot(*normal)
        return normal[0] / length, normal[1] / length, normal[2] / length

    def is_plane(self) -> bool:
        """Whether the directions span a plane: a header can hold zeros, or one direction twice."""
        return math.hypot(*cross(self.row, self.column)) >= _CROSS_PRODUCT_MIN


def cross(one: Vector, other: Vector) -> Vector:
    """Return the cross product."""
    (a, b, c), (d, e, f) = one, other
    return b * f - c * e, c * d - a * f, a * e - b * d


def dot(one: Vector, other: Vector) -> float:
    """Return the scalar product."""
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def plane_of(geometry: Geometry) -> str | None:
    """Name the anatomical plane of a slice; None for an oblique one."""
    plane = nearest_plane(geometry)
    return plane if abs(geometry.normal()[_NORMAL_AXIS[plane]]) >= _PLANE_COSINE_MIN else None


def runs_along_axis(geometry: Geometry) -> bool:
    """Whether slices that are ordered along their normal run to the head, the back or the patient's left.

    Those are the ends of the patient axis that is normal to the nearest plane; else the order runs the other way.
    """
    return geometry.normal()[_NORMAL_AXIS[nearest_plane(geometry)]] > 0


def nearest_plane(geometry: Geometry) -> str:
    """Name the anatomical plane that a slice is nearest to, however oblique it is."""
    normal = geometry.normal()
    # Of planes that are equally near, the first is taken.
    return max(PLANES, key=lambda plane: round(abs(normal[_NORMAL_AXIS[plane]]), _TIE_DIGITS))
