"""How much of all that can be seen around a camera things fill: solid angles, which know no image and no near plane.

The solid angle of a triangle is that of A. van Oosterom and J. Strackee, "The solid angle of a plane triangle", IEEE
Transactions on Biomedical Engineering 30 (1983): tan(angle / 2) = a (b x c) / (1 + a b + b c + c a) for the directions
a, b and c of its corners.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from .arrays import FloatArray

_TRIANGLES = np.array(
    [
        triangle
        for axis, side in itertools.product((1, 2, 4), (0, 1))
        for start, one, two, end in [[corner for corner in range(8) if bool(corner & axis) == bool(side)]]
        for triangle in ((start, one, end), (start, two, end))
    ]
)
"""The six faces of a cuboid in two triangles each, as places of corners in the order of
:func:`~domainvl.converters.driving.projection.box_corners`."""


def of_cuboids(corners_m: FloatArray) -> FloatArray:
    """Return the solid angles that cuboids fill as the camera sees them, in steradians.

    Args:
        corners_m: Corners in the camera's frame, shape (n, 8, 3).

    Returns:
        Shape (n,); the whole sphere where the cuboid contains the camera.
    """
    directions = _normalised(corners_m)
    faces = directions[:, _TRIANGLES]
    # Each direction meets the surface twice, but once where the camera is inside; the sum is the whole sphere then.
    total = np.abs(_of_triangles(faces[:, :, 0], faces[:, :, 1], faces[:, :, 2])).sum(axis=1)
    return np.where(_contain_the_camera(corners_m), 4 * math.pi, total / 2)


def of_polygons(directions: FloatArray, polygons: npt.NDArray[np.intp], count: int) -> FloatArray:
    """Return the solid angles of convex polygons in front of the camera, in steradians.

    Args:
        directions: Directions of the corners from the camera, of any length, one polygon after the other, each around
            its border; shape (m, 3).
        polygons: The polygon of each corner, shape (m,), rising.
        count: How many polygons there are.

    Returns:
        Shape (count,).
    """
    directions = _normalised(directions)
    firsts = np.searchsorted(polygons, polygons)
    same = polygons[1:] == polygons[:-1]
    starts, ends = directions[:-1][same], directions[1:][same]
    angles = _of_triangles(directions[firsts[:-1][same]], starts, ends)
    sums = np.zeros(count)
    np.add.at(sums, polygons[:-1][same], angles)
    return np.abs(sums)


def _normalised(vectors: FloatArray) -> FloatArray:
    unit: FloatArray = vectors / np.maximum(np.sqrt((vectors**2).sum(axis=-1, keepdims=True)), 1e-12)
    return unit


def _of_triangles(first: FloatArray, second: FloatArray, third: FloatArray) -> FloatArray:
    """Return signed solid angles of triangles of unit vectors, shape (..., 3) each."""
    triple = np.einsum("...i,...i->...", first, np.cross(second, third))
    dots = (
        np.einsum("...i,...i->...", first, second)
        + np.einsum("...i,...i->...", second, third)
        + np.einsum("...i,...i->...", third, first)
    )
    angles: FloatArray = 2 * np.arctan2(triple, 1 + dots)
    return angles


def _contain_the_camera(corners_m: FloatArray) -> npt.NDArray[np.bool_]:
    edges_m = corners_m[:, [4, 2, 1]] - corners_m[:, :1]
    along = -np.einsum("nij,nj->ni", edges_m, corners_m[:, 0]) / np.maximum((edges_m**2).sum(axis=2), 1e-12)
    inside: npt.NDArray[np.bool_] = np.all((along > 0.0) & (along < 1.0), axis=1)
    return inside
