"""How a volume is cut into slices: along which axis, in which order, and where each slice lies in the patient.

A slice in stored pixels has the first of the two other axes as x and the second as y. Slices are ordered through the
patient, from feet to head, from front to back or from right to left, however the axis is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from ..medical.geometry import PLANES, Geometry, Vector, dot, plane_of
from ..medical.regularity import Regularity, Status, regularity_of, without_geometry
from .header import VolumeHeader

ACQUIRED = "acquired"

_NORMAL_AXIS = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Axis of patient coordinates that is normal to the plane."""

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI's x and y point to the patient's right and front (``nifti1.h``), DICOM's to the left and back
(PS3.3 C.7.6.2.1.1)."""

_POSITION_DIGITS = 4


@dataclass(frozen=True)
class Cut:
    """How a volume is cut.

    Attributes:
        axis: The voxel axis that runs from slice to slice.
        x_axis: The voxel axis along the rows of a slice.
        y_axis: The voxel axis down its columns.
        columns: Pixels in a row.
        rows: Rows.
        order: Index along ``axis`` of each slice, in order.
        plane: The plane that slices are shown as; None where the header does not say where voxels lie.
        named_plane: That plane if they are near enough to it to be called so.
        geometries: Where each slice lies, in order; empty where not known.
        positions_mm: Place of each along the normal of slices, in order; empty where not known.
        regularity: How they follow each other.
        spacing_mm: Distance between rows (y) and between columns (x); None where not known.
    """

    axis: int
    x_axis: int
    y_axis: int
    columns: int
    rows: int
    order: tuple[int, ...]
    plane: str | None
    named_plane: str | None
    geometries: tuple[Geometry, ...]
    positions_mm: tuple[float, ...]
    regularity: Regularity
    spacing_mm: tuple[float, float] | None


def cut_of(header: VolumeHeader, plane: str) -> Cut:
    """Decide how a volume is cut.

    A volume that has one voxel along an axis is a slice across it, whatever plane is asked for. Where the header does
    not say where voxels lie, the third axis is cut, in the order of the file.

    Args:
        header: The volume's header.
        plane: ``"axial"``, ``"coronal"``, ``"sagittal"``, or ``"acquired"`` for the axis with the largest spacing.
    """
    axis = _axis(header, plane)
    x_axis, y_axis = (other for other in range(3) if other != axis)
    count = header.shape[axis]
    spacing = None if header.spacing_mm is None else (header.spacing_mm[y_axis], header.spacing_mm[x_axis])
    size = header.shape[x_axis], header.shape[y_axis]
    if header.affine_mm is None:
        stored = tuple(range(count))
        return Cut(axis, x_axis, y_axis, *size, stored, None, None, (), (), without_geometry(), spacing)
    lps = _RAS_TO_LPS @ header.affine_mm
    world = _world_axes(header.affine_mm)[axis]
    shown_plane = next(name for name in PLANES if _NORMAL_AXIS[name] == world)
    rising = lps[world, axis] > 0
    order = range(count) if rising else range(count - 1, -1, -1)
    row, column = _direction(lps, x_axis), _direction(lps, y_axis)
    geometries = tuple(Geometry(_vector(lps[:3, axis] * index + lps[:3, 3]), row, column) for index in order)
    along = _along(geometries[0], _direction(lps, axis), rising)
    positions = [geometry.position_mm for geometry in geometries]
    return Cut(
        axis,
        x_axis,
        y_axis,
        *size,
        tuple(order),
        shown_plane,
        plane_of(geometries[0]),
        geometries,
        tuple(round(dot(position, along), _POSITION_DIGITS) for position in positions),
        regularity_of(positions, along),
        spacing,
    )


def warning_of(cut: Cut) -> str | None:
    """Say what is irregular about the slices; that their places are not known is said elsewhere."""
    return None if cut.regularity.status in (Status.NO_GEOMETRY, Status.SINGLE) else cut.regularity.warning


def _axis(header: VolumeHeader, plane: str) -> int:
    flat = [axis for axis, size in enumerate(header.shape) if size == 1]
    if len(flat) == 1:
        return flat[0]
    if plane == ACQUIRED:
        # Of axes that are equally far apart, the last: files are written slice by slice.
        return 2 if header.spacing_mm is None else _last_of_largest([round(side, 3) for side in header.spacing_mm])
    if header.affine_mm is None:
        return 2
    return _world_axes(header.affine_mm).index(_NORMAL_AXIS[plane])


def _last_of_largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda place: (values[place], place))


def _world_axes(affine: npt.NDArray[np.float64]) -> list[int]:
    """Return for each voxel axis the axis of patient coordinates that it is nearest to; each is taken once."""
    orientation: Any = nibabel.io_orientation(affine)  # type: ignore[no-untyped-call]
    return [int(axis) for axis in orientation[:, 0]]


def _direction(lps: npt.NDArray[np.float64], axis: int) -> Vector:
    return _vector(lps[:3, axis] / np.linalg.norm(lps[:3, axis]))


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _along(geometry: Geometry, step: Vector, rising: bool) -> Vector:
    """Return the normal of slices, on the side to which they are ordered."""
    x, y, z = geometry.normal()
    is_turned = (dot((x, y, z), step) > 0) != rising
    return (-x, -y, -z) if is_turned else (x, y, z)
