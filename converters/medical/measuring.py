"""Lengths and areas of what is outlined on a slice, in millimetres, from the distance between its pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from domainvl.schema.boxes import Point


def longest_diameter_mm(ring: Sequence[Point], spacing_mm: tuple[float, float]) -> float:
    """Return the largest distance between two points of an outline within its slice.

    This is the longest diameter in the plane, as RECIST 1.1 measures lesions (Eisenhauer et al., Eur J Cancer 45,
    2009). The farthest pair lies among the corners of the convex hull. An outline along the edges of pixels is longer
    than one through their middles, by at most the diagonal of a pixel.

    Args:
        ring: Corners (x, y) in pixels.
        spacing_mm: Distance between rows (y) and between columns (x) of pixels.
    """
    corners = np.asarray(ring, np.float64) * (spacing_mm[1], spacing_mm[0])
    hull = shapely.get_coordinates(shapely.convex_hull(shapely.multipoints(corners)))
    differences = hull[:, np.newaxis, :] - hull[np.newaxis, :, :]
    return float(np.sqrt((differences**2).sum(axis=2).max()))


def area_mm2(area_px: float, spacing_mm: tuple[float, float]) -> float:
    """Return an area in square millimetres.

    Args:
        area_px: Area in square pixels.
        spacing_mm: Distance between rows (y) and between columns (x) of pixels.
    """
    return area_px * spacing_mm[0] * spacing_mm[1]
