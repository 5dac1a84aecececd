"""Within which bounds numbers of the tables can be what they are said to be; ours, far around all real rigs.

Beyond them a number is a slip of units or a damaged file, and would move boxes or drop things without a word.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..scenes import Quaternion, Vector3
from .faults import Fault

LENGTHS_OF_ROTATIONS = (0.9, 1.1)
"""Least and greatest length of a quaternion. Rotations of nuScenes have length 1 within 1e-6, those of the samples of
T4 within 3e-5; one that was rounded to one digit mostly lies between, angles or a vector of rotation mostly do not."""

GREATEST_POSITION_M = 1e8
"""Greatest coordinate. Positions on the map of a city, in UTM (1e7) and from the earth's centre (6.4e6) lie below."""

SIDES_M = (1e-3, 1e3)
"""Least and greatest side of a cuboid."""

FOCAL_LENGTHS_PX = (1.0, 1e6)
"""Least and greatest focal length; the other entries of a camera's matrix are no greater."""

GREATEST_IMAGE_SIDE_PX = 100_000
"""Greatest width or height of an image; a JPEG has at most 65,535 (ITU-T T.81, B.2.2)."""

_LEAST_SQUARE, _GREATEST_SQUARE = (length**2 for length in LENGTHS_OF_ROTATIONS)


def fault_of_pose(what: str, translation: Vector3, rotation: Quaternion) -> Fault | None:
    """Return what is wrong with a position in metres or a rotation (w, x, y, z); None where both can be used.

    Args:
        what: Whose they are, such as ``"ego pose 5f"``.
        translation: The position.
        rotation: The rotation.
    """
    w, x, y, z = rotation
    # Products, unlike powers, of numbers that are too large are infinite and raise nothing.
    if not _LEAST_SQUARE <= w * w + x * x + y * y + z * z <= _GREATEST_SQUARE:
        least, greatest = LENGTHS_OF_ROTATIONS
        rule = f"the rotation of {what} must have a length of 1 ({least} to {greatest}), got {list(rotation)}"
        return Fault("bad-rotation", rule)
    if max(map(abs, translation)) > GREATEST_POSITION_M:
        rule = f"the position of {what} must be within {GREATEST_POSITION_M:.0e} m, got {list(translation)}"
        return Fault("bad-position", rule)
    return None


def fault_of_sides(what: str, size: Vector3) -> Fault | None:
    """Return what is wrong with the sides of a cuboid in metres; None where they can be used."""
    least, greatest = SIDES_M
    if least <= min(size) and max(size) <= greatest:
        return None
    return Fault("bad-size", f"{what} must have sides of {least:g} m to {greatest:g} m, got {list(size)}")


def fault_of_matrix(matrix: Sequence[Sequence[float]]) -> Fault | None:
    """Return what is wrong with a camera's matrix in pixels; None where it is that of a pin-hole camera."""
    least, greatest = FOCAL_LENGTHS_PX
    if [len(line) for line in matrix] != [3, 3, 3]:
        return Fault("no-intrinsic", "camera_intrinsic must be 3x3 numbers")
    if not all(least <= focal_px <= greatest for focal_px in (matrix[0][0], matrix[1][1])):
        shown = f"got {matrix[0][0]:g} and {matrix[1][1]:g}"
        return Fault("no-intrinsic", f"focal lengths of camera_intrinsic must be {least:g} to {greatest:g} px, {shown}")
    if max(abs(entry) for line in matrix for entry in line) > greatest:
        return Fault("no-intrinsic", f"no entry of camera_intrinsic may be beyond {greatest:g} px, got {list(matrix)}")
    if tuple(matrix[2]) != (0.0, 0.0, 1.0):
        return Fault("no-intrinsic", "the last row of camera_intrinsic must be 0, 0, 1")
    return None


def fault_of_size(token: str, width: int | None, height: int | None) -> Fault | None:
    """Return what is wrong with the size of an image in pixels; None where the table states one."""
    if not width or not height:
        return Fault("bad-image-size", f"image {token} must have a width and height, got {width}, {height}")
    if max(width, height) > GREATEST_IMAGE_SIDE_PX:
        rule = f"image {token} must have sides of at most {GREATEST_IMAGE_SIDE_PX} px, got {width}, {height}"
        return Fault("bad-image-size", rule)
    return None
