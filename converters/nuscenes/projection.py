"""From a labelled cuboid in the world to its box in a camera image. Pure geometry, no files.

Frames follow the nuScenes schema (github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md): the global
and ego frames are metric with z up, ego x points forward and y left; a camera looks along its z, with x to
the right and y down. A pose maps its own frame into the one it is mounted in. Sizes are width, length,
height: length lies along the box's x, width along its y.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from domainvl.errors import ItemError
from domainvl.schema import Box

FloatArray: TypeAlias = npt.NDArray[np.float64]

NEAR_PLANE_M = 0.1
"""What lies nearer to the camera plane is cut off before it is projected; nothing real is that near to a lens."""

_CORNER_SIGNS = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
"""The corners of a unit cube, as (x, y, z)."""

_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b).bit_count() == 1])
"""Pairs of corner indices; two corners share an edge where one sign differs."""


@dataclass(frozen=True)
class ProjectedBox:
    """The part of a cuboid that a camera sees.

    Attributes:
        box_px: Extents of the silhouette inside the image.
        visible_fraction: Area of the silhouette inside the image over its whole area in front of the camera.
        truncated: Whether the image border or the near plane cuts the silhouette.
    """

    box_px: Box
    visible_fraction: float
    truncated: bool


def rotation_matrix(quaternion_wxyz: Sequence[float]) -> FloatArray:
    """Turn a quaternion (w, x, y, z) of any length but zero into a 3x3 rotation matrix.

    Raises:
        ItemError: If all four are zero.
    """
    norm = float(np.linalg.norm(quaternion_wxyz))
    if norm == 0.0:
        raise ItemError(
            "Cannot read a rotation",
            reason="bad-rotation",
            rule="a quaternion must not be zero",
            action="Fix the table",
        )
    w, x, y, z = np.asarray(quaternion_wxyz, dtype=np.float64) / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def box_corners(centers_m: FloatArray, sizes_wlh_m: FloatArray, rotations: FloatArray) -> FloatArray:
    """Return the corners of cuboids.

    Args:
        centers_m: Shape (n, 3).
        sizes_wlh_m: Width, length and height, shape (n, 3).
        rotations: Box frame to outer frame, shape (n, 3, 3).

    Returns:
        Shape (n, 8, 3), in the outer frame.
    """
    local = _CORNER_SIGNS * sizes_wlh_m[:, None, [1, 0, 2]]
    return local @ rotations.transpose(0, 2, 1) + centers_m[:, None, :]


def into_frame(points_m: FloatArray, translation_m: Sequence[float], rotation: FloatArray) -> FloatArray:
    """Express points of the outer frame in the frame of a pose.

    Args:
        points_m: Shape (..., 3).
        translation_m: Origin of the pose in the outer frame.
        rotation: Pose frame to outer frame, 3x3.
    """
    # The inverse of a rotation is its transpose; for row vectors the two transpositions cancel.
    inner: FloatArray = (points_m - np.asarray(translation_m, dtype=np.float64)) @ rotation
    return inner


def project_cuboids(
    corners_m: FloatArray, intrinsic: FloatArray, *, width_px: int, height_px: int
) -> list[ProjectedBox | None]:
    """Project cuboids into a pin-hole camera's image.

    Edges are cut at the near plane, so a cuboid that reaches beside or behind the camera keeps its true
    silhouette. The convex hull of what is left is intersected with the image.

    Args:
        corners_m: Corners in the camera's frame as :func:`box_corners` orders them, shape (n, 8, 3).
        intrinsic: The camera's 3x3 matrix, in pixels.
        width_px: Width of the image.
        height_px: Height of the image.

    Returns:
        One entry a cuboid; None where the camera sees nothing of it.
    """
    points_m, in_front = _cut_at_near_plane(corners_m)
    seen = in_front.sum(axis=1) >= 3
    results: list[ProjectedBox | None] = [None] * len(corners_m)
    if not seen.any():
        return results
    # Rows of `points_m` that are not in front are replaced; they must not divide by zero.
    homogeneous = np.where(in_front[..., None], points_m, 1.0) @ intrinsic.T
    points_px = homogeneous[..., :2] / homogeneous[..., 2:]
    indices = np.flatnonzero(seen)
    owner, member = np.nonzero(in_front[indices])
    hulls = shapely.convex_hull(shapely.multipoints(points_px[indices][owner, member], indices=owner))
    parts = shapely.intersection(hulls, shapely.box(0, 0, width_px, height_px))
    hull_areas, part_areas = np.asarray(shapely.area(hulls)), np.asarray(shapely.area(parts))
    near_cut = np.any(corners_m[indices, :, 2] < NEAR_PLANE_M, axis=1).tolist()
    for row, bounds in enumerate(shapely.bounds(parts)):
        if part_areas[row] <= 0.0:
            continue
        fraction = min(float(part_areas[row] / hull_areas[row]), 1.0)
        x_min, y_min, x_max, y_max = (float(value) for value in bounds)
        results[indices[row]] = ProjectedBox(
            (x_min, y_min, x_max, y_max), fraction, near_cut[row] or fraction < 1 - 1e-9
        )
    return results


def _cut_at_near_plane(corners_m: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return corners (8) and edge crossings (12) of each cuboid, and which of the 20 exist in front."""
    depth_m = corners_m[..., 2]
    starts, ends = corners_m[:, _EDGES[:, 0]], corners_m[:, _EDGES[:, 1]]
    start_depth_m, end_depth_m = starts[..., 2], ends[..., 2]
    crossing = (start_depth_m < NEAR_PLANE_M) != (end_depth_m < NEAR_PLANE_M)
    rise_m = np.where(crossing, end_depth_m - start_depth_m, 1.0)
    share = np.where(crossing, (NEAR_PLANE_M - start_depth_m) / rise_m, 0.0)
    cuts = starts + share[..., None] * (ends - starts)
    return np.concatenate([corners_m, cuts], axis=1), np.concatenate([depth_m >= NEAR_PLANE_M, crossing], axis=1)
