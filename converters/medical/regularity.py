"""How evenly the slices of one stack follow each other: spacing, gaps, repeats and tilt, from positions alone.

SliceThickness and SpacingBetweenSlices are other quantities and are not looked at. Tolerances are those of
``highdicom.spatial.get_volume_positions`` (0.28): 0.01 of the spacing between slices, and 0.001 for the cosine
between the direction of stacking and the normal of the slices.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .geometry import Vector, dot

SAME_PLACE_MM = 1e-3
"""Places are equal where they agree to a micrometre: headers round."""

_SPACING_TOLERANCE = 0.01
_COSINE_TOLERANCE = 1e-3


class Status(enum.StrEnum):
    """What a stack is like, the first that holds from the top."""

    NO_GEOMETRY = "no-geometry"
    SINGLE = "single"
    DUPLICATE_POSITIONS = "duplicate-positions"
    COPLANAR = "coplanar"
    SHIFTED = "shifted"
    GANTRY_TILT = "gantry-tilt"
    GANTRY_TILT_MISSING = "gantry-tilt+missing-slices"
    GANTRY_TILT_VARIABLE = "gantry-tilt+variable"
    MISSING_SLICES = "missing-slices"
    VARIABLE = "variable"
    UNIFORM = "uniform"


@dataclass(frozen=True)
class Regularity:
    """How evenly slices follow each other.

    Attributes:
        status: What the stack is like.
        spacing_mm: Distance of neighbours along the normal, as it is where no slice is missing; None where the
            distances are not even, and where there are fewer than two places.
        gaps_mm: Distances along the normal between places that follow each other; repeats of a place are left out.
        missing_count: Slices that are missing where the distances are multiples of the spacing.
        duplicate_count: Slices at the place of another one.
        tilt_deg: Angle between the direction of stacking and the normal, 0 where they agree within tolerance. It
            arises from a tilted gantry, or from slices that are displaced evenly within their plane.
    """

    status: Status
    spacing_mm: float | None = None
    gaps_mm: tuple[float, ...] = ()
    missing_count: int = 0
    duplicate_count: int = 0
    tilt_deg: float = 0.0

    @property
    def warning(self) -> str | None:
        """Say what is irregular about the stack, if anything is; that it has no geometry is no irregularity."""
        clauses = [*self._place_clauses(), *self._gap_clauses()]
        return "; ".join(clauses) or None

    def _place_clauses(self) -> list[str]:
        clauses = []
        if self.status is Status.COPLANAR:
            clauses.append("slices lie in one plane beside each other")
        if self.duplicate_count:
            clauses.append(
                f"{_slices(self.duplicate_count)} at the place of another one"
                if self.gaps_mm
                else "all slices lie at one place"
            )
        return clauses

    def _gap_clauses(self) -> list[str]:
        clauses = []
        if self.status is Status.SHIFTED:
            clauses.append("slices are displaced against each other within their plane")
        if self.tilt_deg:
            clauses.append(f"slices are stacked {self.tilt_deg:.1f} degrees off their normal, as with a tilted gantry")
        if self.missing_count:
            clauses.append(f"{_slices(self.missing_count)} missing")
        if self.gaps_mm and self.spacing_mm is None:
            clauses.append(f"slices are not evenly spaced: {min(self.gaps_mm):.4g} to {max(self.gaps_mm):.4g} mm apart")
        return clauses


def _slices(count: int) -> str:
    return "1 slice is" if count == 1 else f"{count} slices are"


def without_geometry() -> Regularity:
    """Return what is known of slices that the header does not place."""
    return Regularity(Status.NO_GEOMETRY)


def regularity_of(positions_mm: Sequence[Vector], normal: Vector) -> Regularity:
    """Judge a stack by the positions of its slices.

    Args:
        positions_mm: Positions of parallel slices, at least one, in any order.
        normal: The normal of the slices, of length 1.
    """
    if len(positions_mm) == 1:
        return Regularity(Status.SINGLE)
    ordered = sorted(positions_mm, key=lambda position: dot(position, normal))
    distinct = _without_repeats(ordered, normal)
    duplicates = len(ordered) - len(distinct)
    heights = [dot(position, normal) for position in distinct]
    gaps = tuple(after - before for before, after in itertools.pairwise(heights))
    if not gaps:
        return Regularity(Status.DUPLICATE_POSITIONS, duplicate_count=duplicates)
    if max(gaps) <= SAME_PLACE_MM:
        return Regularity(Status.COPLANAR, duplicate_count=duplicates)
    spacing, missing = _spacing(gaps)
    tilt = _tilt_deg(distinct, normal)
    return Regularity(
        _status(spacing, missing, duplicates, tilt),
        spacing_mm=spacing,
        gaps_mm=gaps,
        missing_count=missing,
        duplicate_count=duplicates,
        tilt_deg=tilt or 0.0,
    )


def _status(spacing: float | None, missing: int, duplicates: int, tilt_deg: float | None) -> Status:
    if duplicates:
        return Status.DUPLICATE_POSITIONS
    if tilt_deg is None:
        return Status.SHIFTED
    if spacing is None:
        return Status.GANTRY_TILT_VARIABLE if tilt_deg else Status.VARIABLE
    if missing:
        return Status.GANTRY_TILT_MISSING if tilt_deg else Status.MISSING_SLICES
    return Status.GANTRY_TILT if tilt_deg else Status.UNIFORM


def _without_repeats(ordered: Sequence[Vector], normal: Vector) -> list[Vector]:
    """Leave out positions that an earlier one has; those in one plane at another place of it stay."""
    distinct: list[Vector] = []
    for position in ordered:
        floor_mm = dot(position, normal) - SAME_PLACE_MM
        for other in reversed(distinct):
            if dot(other, normal) < floor_mm:
                distinct.append(position)
                break
            if math.dist(other, position) <= SAME_PLACE_MM:
                break
        else:
            distinct.append(position)
    return distinct


def _spacing(gaps: Sequence[float]) -> tuple[float | None, int]:
    """Return the spacing whose multiples the gaps are, and how many slices they leave out.

    highdicom takes the smallest gap for the spacing; here it is only what the multiples are counted by, so that the
    rounding of one position does not add up over a long series.
    """
    smallest = min(gaps)
    if smallest <= SAME_PLACE_MM:
        return None, 0
    multiples = [max(1, round(gap / smallest)) for gap in gaps]
    spacing = math.fsum(gaps) / sum(multiples)
    even = all(
        abs(gap - multiple * spacing) <= _SPACING_TOLERANCE * spacing
        for gap, multiple in zip(gaps, multiples, strict=True)
    )
    return (spacing, sum(multiples) - len(multiples)) if even else (None, 0)


def _tilt_deg(distinct: Sequence[Vector], normal: Vector) -> float | None:
    """Return the angle between stacking and normal, None where slices are not stacked along a straight line."""
    first = distinct[0]
    spans = [_unit(_minus(position, first)) for position in distinct[1:]]
    if all(1.0 - dot(span, normal) < _COSINE_TOLERANCE for span in spans):
        return 0.0
    direction = spans[-1]
    if any(1.0 - dot(span, direction) >= _COSINE_TOLERANCE for span in spans):
        return None
    return math.degrees(math.acos(min(1.0, dot(direction, normal))))


def _minus(one: Vector, other: Vector) -> Vector:
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]


def _unit(vector: Vector) -> Vector:
    length = math.hypot(*vector)
    return vector[0] / length, vector[1] / length, vector[2] / length
