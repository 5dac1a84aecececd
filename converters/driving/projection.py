"""From a labelled cuboid in the world to its box in a camera image. Pure geometry, no files.

Frames follow the nuScenes schema (github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md): the global
and ego frames are metric with z up, ego x points forward and y left; a camera looks along its z, with x to
the right and y down. A pose maps its own frame into the one it is mounted in. Sizes are width, length,
height: length lies along the box's x, width along its y.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from domainvl.errors import ItemError

from .arrays import BoolArray, FloatArray, IndexArray
from .solid_angles import of_cuboids, of_polygons

NEAR_PLANE_M = 0.1
"""What lies nearer to the camera plane is cut off before it is projected; nothing real is that near to a lens."""

_CORNER_SIGNS = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
"""The corners of a unit cube, as (x, y, z)."""

_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b).bit_count() == 1])
"""Pairs of corner indices; two corners share an edge where one sign differs."""


@dataclass(frozen=True)
class ProjectedBoxes:
    """The parts of n cuboids that a camera sees.

    Attributes:
        seen: Whether any of it lies inside the image, shape (n,).
        boxes_px: Extents of the silhouette inside the image (x_min, y_min, x_max, y_max), shape (n, 4); NaN where
            nothing is seen.
        visible_fraction: Solid angle of what is inside the image over that of the whole cuboid, seen from the camera
            all around, shape (n,); 0 where nothing is seen. An area would not do: that of what reaches beside the
            camera grows without limit towards the camera's plane.
        image_share: Area of the silhouette inside the image over that of the image, shape (n,); NaN where nothing is
            seen, and where all is seen, for it was not measured there.
        truncated: Whether the image border or the near plane cuts the silhouette, shape (n,).
    """

    seen: BoolArray
    boxes_px: FloatArray
    visible_fraction: FloatArray
    image_share: FloatArray
    truncated: BoolArray


def rotation_matrices(quaternions_wxyz: FloatArray) -> FloatArray:
    """Turn quaternions (w, x, y, z) of any length but zero into rotation matrices.

    Args:
        quaternions_wxyz: Shape (n, 4).

    Returns:
        Shape (n, 3, 3).

    Raises:
        ItemError: If all four numbers of one are zero.
    """
    lengths = np.sqrt((quaternions_wxyz**2).sum(axis=1))
    if not lengths.all():
        raise ItemError(
            "Cannot read a rotation",
            reason="bad-rotation",
            rule="a quaternion must not be zero",
            action="Fix the table",
        )
    w, x, y, z = (quaternions_wxyz / lengths[:, None]).T
    matrices = np.empty((len(quaternions_wxyz), 3, 3))
    matrices[:, 0, 0] = 1 - 2 * (y * y + z * z)
    matrices[:, 0, 1] = 2 * (x * y - w * z)
    matrices[:, 0, 2] = 2 * (x * z + w * y)
    matrices[:, 1, 0] = 2 * (x * y + w * z)
    matrices[:, 1, 1] = 1 - 2 * (x * x + z * z)
    matrices[:, 1, 2] = 2 * (y * z - w * x)
    matrices[:, 2, 0] = 2 * (x * z - w * y)
    matrices[:, 2, 1] = 2 * (y * z + w * x)
    matrices[:, 2, 2] = 1 - 2 * (x * x + y * y)
    return matrices


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


def into_frame(points_m: FloatArray, translation_m: npt.ArrayLike, rotation: FloatArray) -> FloatArray:
    """Express points of the outer frame in the frame of a pose, or of several poses at once.

    Args:
        points_m: Shape (..., n, 3).
        translation_m: Origin of the pose in the outer frame, shape (3,) or (..., 1, 3).
        rotation: Pose frame to outer frame, shape (3, 3) or (..., 3, 3).
    """
    # The inverse of a rotation is its transpose; for row vectors the two transpositions cancel.
    inner: FloatArray = (points_m - np.asarray(translation_m, dtype=np.float64)) @ rotation
    return inner


def project_cuboids(
    corners_m: FloatArray,
    intrinsic: FloatArray,
    *,
    width_px: int | npt.NDArray[np.int64],
    height_px: int | npt.NDArray[np.int64],
) -> ProjectedBoxes:
    """Project cuboids into a pin-hole camera's image, or each into the image of a camera of its own.

    Edges are cut at the near plane, so a cuboid that reaches beside or behind the camera keeps its true
    silhouette. The convex hull of what is left is intersected with the image. Only cuboids that cross the near plane
    or the border of the image need that; most are wholly behind, wholly beside or wholly inside.

    Args:
        corners_m: Corners in the camera's frame as :func:`box_corners` orders them, shape (n, 8, 3).
        intrinsic: The camera's matrix in pixels, of which the last row is (0, 0, 1), shape (3, 3); or one for each
            cuboid, shape (n, 3, 3).
        width_px: Width of the image, or of the image for each cuboid, shape (n,).
        height_px: Height of the image, likewise.

    Returns:
        One entry a cuboid.
    """
    count = len(corners_m)
    found = ProjectedBoxes(
        seen=np.zeros(count, np.bool_),
        boxes_px=np.full((count, 4), np.nan),
        visible_fraction=np.zeros(count),
        image_share=np.full(count, np.nan),
        truncated=np.zeros(count, np.bool_),
    )
    in_front = corners_m[..., 2] >= NEAR_PLANE_M
    ahead = np.flatnonzero(in_front.any(axis=1))
    matrices = np.broadcast_to(intrinsic, (count, 3, 3))
    sizes_px = np.stack(np.broadcast_arrays(width_px, height_px, np.empty(count))[:2], axis=1)[ahead].astype(np.float64)
    # By coordinate, then corner: numpy is slow where it reduces a short last axis.
    homogeneous = np.ascontiguousarray((corners_m[ahead] @ matrices[ahead].swapaxes(1, 2)).transpose(2, 1, 0))
    # x <= 0 and x >= width are x_h <= 0 and x_h >= width * depth in front of the camera. Those are linear, so what
    # holds for all corners holds for the whole cuboid, also for a part of it that is cut off at the near plane.
    before, past = homogeneous[:2], homogeneous[2] * sizes_px.T[:, None] - homogeneous[:2]
    outside = np.any(np.all(before <= 0.0, axis=1) | np.all(past <= 0.0, axis=1), axis=0)
    inside = in_front[ahead].all(axis=1) & np.all((before >= 0.0) & (past >= 0.0), axis=(0, 1))
    _add_inside(found, ahead[inside], homogeneous[..., inside])
    crossing = ~(inside | outside)
    _add_crossing(found, ahead[crossing], corners_m[ahead[crossing]], matrices[ahead[crossing]], sizes_px[crossing])
    return found


def _add_inside(found: ProjectedBoxes, indices: IndexArray, homogeneous: FloatArray) -> None:
    """Add cuboids that lie wholly inside the image and in front of the near plane, corners of shape (3, 8, n)."""
    points_px = homogeneous[:2] / homogeneous[2]
    found.boxes_px[indices] = np.concatenate([points_px.min(axis=1), points_px.max(axis=1)]).T
    found.visible_fraction[indices] = 1.0
    found.seen[indices] = True


def _add_crossing(
    found: ProjectedBoxes, indices: IndexArray, corners_m: FloatArray, matrices: FloatArray, sizes_px: FloatArray
) -> None:
    """Add what is seen of cuboids that may cross the near plane or the border of the image."""
    if not len(indices):
        return
    points_m, exists = _cut_at_near_plane(corners_m)
    # What does not exist is replaced by a point that does: no hull changes, and nothing divides by zero.
    points_m = np.where(exists[..., None], points_m, points_m[np.arange(len(points_m)), exists.argmax(axis=1)][:, None])
    homogeneous = points_m @ matrices.swapaxes(1, 2)
    # In units of the image, so that one rectangle cuts all.
    points = homogeneous[..., :2] / (homogeneous[..., 2:] * sizes_px[:, None, :])
    hulls = shapely.convex_hull(shapely.linestrings(points))
    parts = shapely.clip_by_rect(hulls, 0.0, 0.0, 1.0, 1.0)
    hull_areas, part_areas = np.asarray(shapely.area(hulls)), np.asarray(shapely.area(parts))
    some = part_areas > 0.0
    seen = indices[some]
    found.seen[seen] = True
    found.boxes_px[seen] = np.asarray(shapely.bounds(parts))[some] * np.tile(sizes_px[some], 2)
    found.image_share[seen] = part_areas[some]
    cut = np.any(corners_m[some, :, 2] < NEAR_PLANE_M, axis=1) | (part_areas[some] < (1 - 1e-9) * hull_areas[some])
    found.truncated[seen] = cut
    # A sheet without thickness that is seen from its edge has no angle.
    whole = np.maximum(of_cuboids(corners_m[some]), np.finfo(np.float64).tiny)
    shares = _part_angles(np.asarray(parts)[some], matrices[some], sizes_px[some]) / whole
    found.visible_fraction[seen] = np.where(cut, np.minimum(shares, 1.0), 1.0)


def _part_angles(parts: npt.NDArray[np.object_], matrices: FloatArray, sizes_px: FloatArray) -> FloatArray:
    """Return the solid angles of polygons in images, in units of the image each, shape (n,)."""
    points, polygons = shapely.get_coordinates(parts, return_index=True)
    homogeneous = np.column_stack([points * sizes_px[polygons], np.ones(len(points))])
    inverse: FloatArray = np.linalg.inv(matrices).astype(np.float64, copy=False)
    return of_polygons((inverse[polygons] @ homogeneous[..., None])[..., 0], polygons, len(parts))


def _cut_at_near_plane(corners_m: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return corners (8) and edge crossings (12) of each cuboid, and which of the 20 exist in front."""
    depth_m = corners_m[..., 2]
    starts, ends = corners_m[:, _EDGES[:, 0]], corners_m[:, _EDGES[:, 1]]
    start_depth_m, end_depth_m = starts[..., 2], ends[..., 2]
    crossing = (start_depth_m < NEAR_PLANE_M) != (end_depth_m < NEAR_PLANE_M)
    rise_m = np.where(crossing, end_depth_m - start_depth_m, 1.0)
    share = np.where(crossing, (NEAR_PLANE_M - start_depth_m) / rise_m, 0.0)
    cuts = starts + share[..., None] * (ends - starts)
    return np.concatenate([corners_m, cuts], axis=1), np.concatenate([depth_m >= NEAR_PLANE_M, crossing], axis=1)
