"""The one conversion between pixel boxes and the 0-1000 boxes that the model reads and writes.

A pixel box has its corners on pixel edges: (0, 0) is the upper left corner of the image and (width, height)
the lower right one; x points right, y down.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from domainvl.errors import DatasetError

Box: TypeAlias = tuple[float, float, float, float]
"""(x_min, y_min, x_max, y_max) in pixels of the stored image."""

Box1000: TypeAlias = tuple[int, int, int, int]
"""(x_min, y_min, x_max, y_max), each side of the image divided into 1000."""

Point: TypeAlias = tuple[float, float]
"""(x, y) in pixels of the stored image."""


def clip_box(box_px: Box, width_px: int, height_px: int) -> Box:
    """Cut a pixel box to the image."""
    x_min, y_min, x_max, y_max = box_px
    return (
        min(max(x_min, 0.0), float(width_px)),
        min(max(y_min, 0.0), float(height_px)),
        min(max(x_max, 0.0), float(width_px)),
        min(max(y_max, 0.0), float(height_px)),
    )


def to_box_1000(box_px: Box, width_px: int, height_px: int) -> Box1000:
    """Express a pixel box in thousandths of the image sides.

    Coordinates are ``round(coordinate / side * 1000)``, clamped to 0..1000, as InternVL's chat data format
    asks for (OpenGVLab/InternVL documentation, chat_data_format). A box that rounding would make empty is
    widened to one thousandth, so that x_max > x_min and y_max > y_min always hold.

    Args:
        box_px: The box.
        width_px: Width of the image.
        height_px: Height of the image.

    Raises:
        DatasetError: If a coordinate is not finite or a maximum lies below its minimum.
    """
    x_min, y_min, x_max, y_max = box_px
    if not all(math.isfinite(value) for value in box_px):
        raise DatasetError("Invalid box", rule=f"all four coordinates must be finite, got {box_px}")
    if not (x_min <= x_max and y_min <= y_max):
        raise DatasetError("Invalid box", rule=f"x_min <= x_max and y_min <= y_max must hold, got {box_px}")
    x_range = _to_range_1000(x_min, x_max, width_px)
    y_range = _to_range_1000(y_min, y_max, height_px)
    return x_range[0], y_range[0], x_range[1], y_range[1]


def _to_range_1000(low_px: float, high_px: float, side_px: int) -> tuple[int, int]:
    exact = [min(max(value / side_px * 1000, 0.0), 1000.0) for value in (low_px, high_px)]
    low, high = round(exact[0]), round(exact[1])
    if high > low:
        return low, high
    # Widened towards the side on which the middle of the box lies, which moves an edge by one at most.
    low = min(max(math.floor(sum(exact) / 2), 0), 999)
    return low, low + 1


def to_box_px(box_1000: Box1000 | Box, width_px: int, height_px: int) -> Box:
    """Bring a 0-1000 box back to pixels of an image of the given size."""
    x_min, y_min, x_max, y_max = box_1000
    return (
        x_min * width_px / 1000,
        y_min * height_px / 1000,
        x_max * width_px / 1000,
        y_max * height_px / 1000,
    )
