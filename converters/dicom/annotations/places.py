"""Where the slices are that annotations are brought to, and which of them a point in the patient belongs to.

A plane belongs to the slice within half a slice spacing of it; one that lies exactly between two belongs to the lower.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...medical.geometry import Geometry
from ..instance import References

Points = npt.NDArray[np.float64]

SAME_DIRECTION = 0.01
"""Largest difference of a direction cosine between slices of one stack."""

PLACE_DIGITS = 3
"""Distances in mm are compared to a micrometre: headers round."""

LONE_HALF_MM = 0.5
"""Half of the spacing that is assumed where nothing tells one."""


@dataclass(frozen=True)
class SlicePlace:
    """One slice, or frame, that annotations are brought to.

    Attributes:
        sop_uid: SOPInstanceUID of the image.
        frame: Index of the frame in it, from 0.
        geometry: Where it lies; None where the header does not say.
        spacing_mm: Distance between rows (y) and between columns (x); None where the header does not say.
        rows: Rows of pixels.
        columns: Columns of pixels.
        frame_of_reference_uid: Names the coordinate system; empty where there is none.
        series_uid: SeriesInstanceUID, or empty.
    """

    sop_uid: str
    frame: int
    geometry: Geometry | None
    spacing_mm: tuple[float, float] | None
    rows: int
    columns: int
    frame_of_reference_uid: str = ""
    series_uid: str = ""


def passed_over(places: Sequence[SlicePlace], named: Collection[int], references: References) -> frozenset[int]:
    """Find the slices that an annotation does not mean, for it names others of their series.

    One that was drawn on one phase or echo says nothing of the others, though they lie at the same place. Slices of
    other series, and those between the slices that are named, may well be meant: through the patient.

    Args:
        places: The slices.
        named: Indices of those that the annotation names.
        references: What it names.

    Returns:
        Indices of slices that are not named, of series of which it names images: all where none of the series is
        among those named, else those that lie where another slice of the series does.
    """
    if not references.sop_uids:
        return frozenset()
    of_named = {places[index].series_uid for index in named}
    known_by_uid = {place.series_uid for place in places if place.sop_uid in references.sop_uids}
    concerned = references.series_uids | known_by_uid
    spots = [_spot(place) for place in places]
    counts = Counter(spots)
    return frozenset(
        index
        for index, place in enumerate(places)
        if index not in named
        and place.series_uid in concerned
        and (place.series_uid not in of_named or (spots[index] is not None and counts[spots[index]] > 1))
    )


def _spot(place: SlicePlace) -> tuple[str | float, ...] | None:
    """Return what slices of one series at one and the same place have in common; None where there is no place."""
    geometry = place.geometry
    if geometry is None:
        return None
    numbers = (*geometry.position_mm, *geometry.row, *geometry.column)
    return (place.series_uid, *(round(number, PLACE_DIGITS) + 0.0 for number in numbers))


@dataclass(frozen=True)
class Grid:
    """The pixels of a plane in the patient.

    Attributes:
        to_patient: Shape (3, 3): what a step along x (px), along y (px) and along the normal (mm) moves, in mm.
        origin_mm: The upper left corner of the first pixel, shape (3,).
    """

    to_patient: Points
    origin_mm: Points

    @classmethod
    def of(cls, geometry: Geometry, spacing_mm: tuple[float, float]) -> Grid:
        """Lay the grid; a position is the centre of the first pixel (PS3.3 C.7.6.2.1.1), which is at (0.5, 0.5).

        Args:
            geometry: Position and directions.
            spacing_mm: Distance between rows (y) and between columns (x), both above 0.
        """
        row = np.array(geometry.row) * spacing_mm[1]
        column = np.array(geometry.column) * spacing_mm[0]
        matrix = np.stack([row, column, np.array(geometry.normal())], axis=1)
        return cls(matrix, np.array(geometry.position_mm) - 0.5 * row - 0.5 * column)

    def to_pixels(self, points_mm: Points) -> Points:
        """Bring points of the patient, shape (n, 3) in mm, to x (px), y (px) and distance from the plane (mm)."""
        return np.asarray(np.linalg.solve(self.to_patient, (points_mm - self.origin_mm).T).T)

    def from_pixels(self, points: Points) -> Points:
        """Bring x (px), y (px) and distance from the plane (mm), shape (n, 3), to points of the patient in mm."""
        return np.asarray(points @ self.to_patient.T + self.origin_mm)


def grid_of(place: SlicePlace) -> Grid | None:
    """Return the pixels of a slice in the patient; None where the header does not tell them."""
    if place.geometry is None or place.spacing_mm is None or min(place.spacing_mm) <= 0:
        return None
    return Grid.of(place.geometry, place.spacing_mm)


@dataclass(frozen=True)
class Stack:
    """Parallel slices of one series, in order.

    Attributes:
        frame_of_reference_uid: Their coordinate system.
        normal: Their normal, shape (3,).
        offsets_mm: Their distances along the normal, ascending.
        indices: Which slices they are, as indices into the places given.
        half_mm: Half of their smallest spacing; None for a single one.
    """

    frame_of_reference_uid: str
    normal: Points
    offsets_mm: tuple[float, ...]
    indices: tuple[int, ...]
    half_mm: float | None

    def nearest(self, offset_mm: float, half_mm: float) -> tuple[int, ...]:
        """Return the places in ``indices`` to which a plane belongs: none, one, or several at one and the same place.

        Args:
            offset_mm: Its distance along the normal.
            half_mm: Half of the spacing.
        """
        position = nearest_of(self.offsets_mm, offset_mm, half_mm)
        if position is None:
            return ()
        same = round(self.offsets_mm[position], PLACE_DIGITS)
        pairs = zip(self.indices, self.offsets_mm, strict=True)
        return tuple(index for index, offset in pairs if round(offset, PLACE_DIGITS) == same)

    def between(self, low_mm: float, high_mm: float) -> tuple[int, ...]:
        """Return the places in ``indices`` of which the distance along the normal lies in a range."""
        pairs = zip(self.indices, self.offsets_mm, strict=True)
        return tuple(index for index, offset_mm in pairs if low_mm <= offset_mm <= high_mm)


def nearest_of(offsets_mm: Sequence[float], offset_mm: float, half_mm: float) -> int | None:
    """Return the position of the nearest of ascending distances, None where none is within half a spacing.

    Of two that are equally near it is the lower one.
    """
    after = bisect.bisect_left(offsets_mm, offset_mm)
    around = [place for place in (after - 1, after) if 0 <= place < len(offsets_mm)]
    if not around:
        return None
    best = min(around, key=lambda place: round(abs(offsets_mm[place] - offset_mm), PLACE_DIGITS))
    distance = round(offset_mm - offsets_mm[best], PLACE_DIGITS)
    return best if -half_mm < distance <= half_mm else None


def smallest_gap(offsets_mm: Sequence[float]) -> float | None:
    """Return the smallest distance between neighbours that are not at one place; None where there are none."""
    places = sorted({round(offset, PLACE_DIGITS) for offset in offsets_mm})
    gaps = [after - before for before, after in itertools.pairwise(places)]
    return min(gaps) if gaps else None


def stacks_of(places: Sequence[SlicePlace]) -> list[Stack]:
    """Divide slices into stacks of one series and orientation; those without a grid are in none."""
    groups: list[tuple[SlicePlace, Points, list[int]]] = []
    for index, place in enumerate(places):
        if place.geometry is None or grid_of(place) is None:
            continue
        cosines = np.array([*place.geometry.row, *place.geometry.column])
        for first, directions, members in groups:
            if _series_of(first) == _series_of(place) and np.abs(directions - cosines).max() <= SAME_DIRECTION:
                members.append(index)
                break
        else:
            groups.append((place, cosines, [index]))
    return [_stack(places, members) for _, _, members in groups]


def _series_of(place: SlicePlace) -> tuple[str, str]:
    return place.series_uid, place.frame_of_reference_uid


def _stack(places: Sequence[SlicePlace], members: Sequence[int]) -> Stack:
    geometries = [geometry for index in members if (geometry := places[index].geometry) is not None]
    normal = np.array(geometries[0].normal())
    offsets = [float(np.dot(geometry.position_mm, normal)) for geometry in geometries]
    ordered = sorted(zip(offsets, members, strict=True))
    gap = smallest_gap(offsets)
    return Stack(
        frame_of_reference_uid=places[members[0]].frame_of_reference_uid,
        normal=normal,
        offsets_mm=tuple(offset for offset, _ in ordered),
        indices=tuple(index for _, index in ordered),
        half_mm=None if gap is None else gap / 2,
    )
