"""Where slices lie in the patient: their order, spacing and plane.

Positions and directions are in the patient coordinate system of PS3.3 C.7.6.2.1.1: x to the patient's left,
y to the back, z to the head, in mm.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydicom import Dataset

from .headers import numbers_of

_SAME_ORIENTATION = 0.01
"""Largest difference of a direction cosine between slices of one stack."""

_SAME_PLACE_DIGITS = 3
"""Places along the normal are equal where they agree to a micrometre: headers round."""

_UNIFORM_TOLERANCE = 0.01
"""Relative; the default of highdicom.spatial for regular spacing."""

_CROSS_PRODUCT_MIN = 0.5
"""Rows and columns are unit vectors at a right angle, whose cross product has length 1; some are zero or equal."""

_PLANE_COSINE_MIN = 0.9
"""A slice within 26 degrees of an anatomical plane is called by its name; a steeper one has none."""

_PLANES = ("sagittal", "coronal", "axial")
"""By the axis (x, y, z) that is normal to them."""

_DISPLAYED_AS = {
    "axial": ((0, 1.0), (1, 1.0)),
    "coronal": ((0, 1.0), (2, -1.0)),
    "sagittal": ((1, 1.0), (2, -1.0)),
}
"""Axis and sign of a row's and of a column's direction in the customary display (radiological convention)."""


Vector: TypeAlias = tuple[float, float, float]


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
        cross = _cross(self.row, self.column)
        length = math.hypot(*cross)
        return cross[0] / length, cross[1] / length, cross[2] / length


@dataclass(frozen=True)
class Placed:
    """What decides the place of one slice in its series.

    Attributes:
        geometry: Where it lies, if the header says so.
        instance_number: InstanceNumber, for slices without geometry and for ties.
        sop_uid: SOPInstanceUID, for what is left of ties.
        frame: Index of the frame.
    """

    geometry: Geometry | None
    instance_number: float | None
    sop_uid: str
    frame: int

    def tie_break(self) -> tuple[float, str, int]:
        """Order slices at one place, or without one."""
        return math.inf if self.instance_number is None else self.instance_number, self.sop_uid, self.frame


def geometry_of(header: Dataset) -> Geometry | None:
    """Read position and orientation; None where they are absent or make no plane."""
    position = numbers_of(header, "ImagePositionPatient")
    cosines = numbers_of(header, "ImageOrientationPatient")
    if len(position) != 3 or len(cosines) != 6:
        return None
    row = (cosines[0], cosines[1], cosines[2])
    column = (cosines[3], cosines[4], cosines[5])
    if math.hypot(*_cross(row, column)) < _CROSS_PRODUCT_MIN:
        return None
    return Geometry((position[0], position[1], position[2]), row, column)


def _cross(one: Vector, other: Vector) -> Vector:
    (a, b, c), (d, e, f) = one, other
    return b * f - c * e, c * d - a * f, a * e - b * d


def stacks_in_order(slices: Sequence[Placed]) -> list[list[Placed]]:
    """Divide slices into stacks of one orientation and order each along its normal.

    Slices without geometry make the last stack, by InstanceNumber. Nothing depends on the order given.
    """
    stacks: list[list[Placed]] = []
    with_geometry = [thing for thing in slices if thing.geometry is not None]
    for thing in sorted(with_geometry, key=lambda thing: (_cosines(thing), thing.tie_break())):
        stack = next((stack for stack in stacks if _same_orientation(stack[0], thing)), None)
        if stack is None:
            stacks.append([thing])
        else:
            stack.append(thing)
    stacks = [_along_normal(stack) for stack in stacks]
    without = sorted((thing for thing in slices if thing.geometry is None), key=Placed.tie_break)
    return [*stacks, without] if without else stacks


def _along_normal(stack: Sequence[Placed]) -> list[Placed]:
    normal = _geometry(stack[0]).normal()
    return sorted(stack, key=lambda thing: (round(_along(thing, normal), _SAME_PLACE_DIGITS), thing.tie_break()))


def _geometry(thing: Placed) -> Geometry:
    if thing.geometry is None:
        raise ValueError("a slice without geometry has no place along a normal")
    return thing.geometry


def _cosines(thing: Placed) -> tuple[float, ...]:
    return (*_geometry(thing).row, *_geometry(thing).column)


def _same_orientation(one: Placed, other: Placed) -> bool:
    return all(abs(a - b) <= _SAME_ORIENTATION for a, b in zip(_cosines(one), _cosines(other), strict=True))


def _along(thing: Placed, normal: Vector) -> float:
    position_mm = _geometry(thing).position_mm
    return sum(a * b for a, b in zip(position_mm, normal, strict=True))


@dataclass(frozen=True)
class Spacing:
    """Distances between the slices of one stack.

    Attributes:
        median_mm: Median distance of neighbours along the normal; None for fewer than two places.
        warning: What is irregular about them, if anything is.
    """

    median_mm: float | None
    warning: str | None


def spacing_of(stack: Sequence[Placed]) -> Spacing:
    """Measure the distances of an ordered stack from positions; SliceThickness is another quantity."""
    if len(stack) < 2 or stack[0].geometry is None:
        return Spacing(None, None)
    normal = stack[0].geometry.normal()
    places = [_along(thing, normal) for thing in stack]
    gaps = [after - before for before, after in itertools.pairwise(places)]
    distinct = [gap for gap in gaps if round(gap, _SAME_PLACE_DIGITS) > 0]
    if not distinct:
        return Spacing(None, "all slices of the stack lie at one place")
    median = statistics.median(distinct)
    if len(distinct) < len(gaps):
        return Spacing(median, "several slices of the stack lie at one place")
    if max(gaps) - min(gaps) > _UNIFORM_TOLERANCE * median:
        return Spacing(median, f"slices are not evenly spaced: {min(gaps):.4g} to {max(gaps):.4g} mm apart")
    return Spacing(median, None)


def plane_of(geometry: Geometry) -> str | None:
    """Name the anatomical plane of a slice; None for an oblique one."""
    cosines = [abs(cosine) for cosine in geometry.normal()]
    axis = cosines.index(max(cosines))
    return _PLANES[axis] if cosines[axis] >= _PLANE_COSINE_MIN else None


def is_stored_as_displayed(geometry: Geometry, plane: str) -> bool:
    """Whether rows and columns run as in the customary display of the plane, so that no flip is missing."""
    directions = zip(_DISPLAYED_AS[plane], (geometry.row, geometry.column), strict=True)
    return all(cosines[axis] * sign > 1 / math.sqrt(2) for (axis, sign), cosines in directions)
