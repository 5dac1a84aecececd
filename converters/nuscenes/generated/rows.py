"""What generated rows are made of: tokens, links to the rows before and after, rotations, levels of visibility."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

VISIBILITY_LEVELS = {"1": "v0-40", "2": "v40-60", "3": "v60-80", "4": "v80-100"}
"""The levels of nuScenes by their tokens (nuscenes-devkit, docs/schema_nuscenes.md)."""


def token_of(*parts: object) -> str:
    """Return a token that looks like those of nuScenes: 32 hexadecimal digits, always the same for the same parts."""
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:32]


def links(tokens: Sequence[str], place: int) -> dict[str, str]:
    """Return the links of a row to the one before and the one after; empty where there is none.

    Args:
        tokens: The tokens of all rows in time.
        place: The row's place among them.
    """
    return {
        "prev": tokens[place - 1] if place > 0 else "",
        "next": tokens[place + 1] if place + 1 < len(tokens) else "",
    }


def yaw_rotation(yaw_rad: float) -> list[float]:
    """Return the turn by an angle about the z-axis as a quaternion (w, x, y, z)."""
    return [math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)]


def camera_rotation(yaw_rad: float) -> list[float]:
    """Return the rotation from a level camera (z ahead, x right, y down) to the vehicle, as (w, x, y, z).

    It is the product of the turn by yaw about z and (0.5, -0.5, 0.5, -0.5), which a camera ahead has.

    Args:
        yaw_rad: The camera's bearing from the vehicle's heading, to the left.
    """
    cos, sin = math.cos(yaw_rad / 2), math.sin(yaw_rad / 2)
    return [(cos + sin) / 2, -(cos + sin) / 2, (cos - sin) / 2, (sin - cos) / 2]
