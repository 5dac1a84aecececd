"""Where the pixels of a scene lie on the ground: stored pixels, the grid that tiles are cut from, maps and back.

Pixel coordinates are continuous: (0, 0) is the upper left corner of the first pixel, x to the right, y down, pixel
centres at .5. Map coordinates are always (x, y) = (easting or longitude, northing or latitude), whatever order an
authority gives a CRS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import GCPTransformer
from rasterio.warp import transform as transform_coordinates
from rasterio.warp import transform_bounds

from domainvl.schema import Box, Point

Bounds: TypeAlias = tuple[float, float, float, float]
"""(left, bottom, right, top) in map coordinates; left > right where it crosses the antimeridian."""

Points: TypeAlias = npt.NDArray[np.float64]
"""Coordinates, shape (n, 2), x before y."""

DENSIFY_POINTS = 21
"""Points on each side of a box when it is brought to another CRS; two corners alone miss what bulges out."""

LONLAT = CRS.from_epsg(4326)

LEAST_POINTS = 3
"""Ground control points that place a scene; fewer do not say how it is turned."""

MAX_SPLINE_POINTS = 1000
"""With more ground control points a polynomial is fitted instead: the work for splines grows with their cube."""

_NumberT = TypeVar("_NumberT", float, npt.NDArray[np.float64])


@dataclass(frozen=True)
class StoredPixels:
    """The pixels as the file has them.

    Attributes:
        width_px: Columns.
        height_px: Rows.
        crs: CRS of the transform or of the control points; None where there is no georeference.
        transform: From stored pixels to ``crs``; None where the file has none.
        gcps: Ground control points, where there is no transform.
    """

    width_px: int
    height_px: int
    crs: CRS | None
    transform: Affine | None
    gcps: tuple[GroundControlPoint, ...] = ()

    @property
    def takes_splines(self) -> bool:
        """Whether thin plate splines go through all control points; else a polynomial passes near them."""
        return len(self.gcps) <= MAX_SPLINE_POINTS

    def to_map(self, points: Points) -> Points:
        """Bring stored pixels to ``crs``.

        Raises:
            ValueError: If there is no georeference of any kind.
        """
        if self.transform is not None:
            return apply_affine_to_points(self.transform, points)
        if not self.gcps:
            raise ValueError("these pixels have no georeference")
        with GCPTransformer(list(self.gcps), tps=self.takes_splines) as transformer:
            xs, ys = transformer.xy(points[:, 1], points[:, 0], offset="ul")
        return np.column_stack([np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)])


@dataclass(frozen=True)
class SceneGrid:
    """The pixels that tiles are cut from: the stored ones, those mirrored so that north is up, or others warped to.

    Attributes:
        width_px: Columns.
        height_px: Rows.
        crs: CRS of ``transform``; None where the scene has no georeference.
        transform: From pixels of the grid to ``crs``; None where the scene has no georeference.
        stored: The pixels of the file.
        stored_to_grid: From stored pixels to those of the grid; None where that is not affine (warped).
    """

    width_px: int
    height_px: int
    crs: CRS | None
    transform: Affine | None
    stored: StoredPixels
    stored_to_grid: Affine | None

    @property
    def is_georeferenced(self) -> bool:
        """Whether pixels have a place on the ground."""
        return self.crs is not None and self.transform is not None

    def from_stored(self, points: Points) -> Points:
        """Bring stored pixels, in which pixel labels are given, to pixels of the grid."""
        if self.stored_to_grid is not None:
            return apply_affine_to_points(self.stored_to_grid, points)
        return self.from_map(self.stored.to_map(points), self.stored.crs)

    def to_map(self, points: Points) -> Points:
        """Bring pixels of the grid to its CRS.

        Raises:
            ValueError: If the grid has no georeference.
        """
        if self.transform is None:
            raise ValueError("this grid has no georeference")
        return apply_affine_to_points(self.transform, points)

    def from_map(self, points: Points, crs: CRS | None) -> Points:
        """Bring map coordinates in ``crs`` to pixels of the grid; what cannot be brought becomes infinite.

        Raises:
            ValueError: If the grid has no georeference.
        """
        if self.transform is None or self.crs is None or crs is None:
            raise ValueError("this grid has no georeference")
        if len(points) and crs != self.crs:
            xs, ys = transform_coordinates(crs, self.crs, points[:, 0], points[:, 1])
            points = np.column_stack([np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)])
        return apply_affine_to_points(~self.transform, points)

    def bounds(self, box_px: Box | None = None, crs: CRS | None = None) -> Bounds:
        """Bring a box of pixels, or the whole grid, to a CRS, where it becomes a box around it.

        Args:
            box_px: The box; the whole grid where None.
            crs: The CRS; the grid's own where None.

        Returns:
            left > right where the box crosses the antimeridian of a geographic CRS.
        """
        x_min, y_min, x_max, y_max = box_px or (0.0, 0.0, float(self.width_px), float(self.height_px))
        corners = self.to_map(np.array([(x, y) for x in (x_min, x_max) for y in (y_min, y_max)]))
        left, bottom = (float(value) for value in corners.min(axis=0))
        right, top = (float(value) for value in corners.max(axis=0))
        if crs is None or crs == self.crs:
            return left, bottom, right, top
        brought = transform_bounds(self.crs, crs, left, bottom, right, top, densify_pts=DENSIFY_POINTS)
        return brought[0], brought[1], brought[2], brought[3]

    def gsd_m(self, middle_px: Point | None = None) -> float | None:
        """Return the side of a square of a pixel's area in metres; None without georeference.

        Args:
            middle_px: Where degrees are converted to metres; the middle of the grid where None.
        """
        if self.crs is None or self.transform is None:
            return None
        area = abs(self.transform.determinant)
        if self.crs.is_projected:
            _, unit_m = self.crs.linear_units_factor
            return math.sqrt(area) * float(unit_m)
        if not self.crs.is_geographic:
            return None
        latitude_deg = float(self.to_map(np.array([middle_px or (self.width_px / 2, self.height_px / 2)]))[0, 1])
        return math.sqrt(area * math.prod(metres_per_degree(self.crs, latitude_deg)))


def metres_per_degree(crs: CRS, latitude_deg: float) -> tuple[float, float]:
    """Return the metres of a degree of longitude and of latitude on the ellipsoid of a geographic CRS.

    Radii of curvature of the prime vertical and of the meridian: Snyder, Map Projections - A Working Manual (USGS
    Professional Paper 1395, 1987), equations 4-20 and 4-19.
    """
    semi_major_m, inverse_flattening = _ellipsoid(crs)
    flattening = 1.0 / inverse_flattening if inverse_flattening else 0.0
    eccentricity2 = flattening * (2.0 - flattening)
    sine2 = math.sin(math.radians(latitude_deg)) ** 2
    prime_vertical_m = semi_major_m / math.sqrt(1.0 - eccentricity2 * sine2)
    meridian_m = semi_major_m * (1.0 - eccentricity2) / (1.0 - eccentricity2 * sine2) ** 1.5
    degree = math.pi / 180.0
    return prime_vertical_m * math.cos(math.radians(latitude_deg)) * degree, meridian_m * degree


def _ellipsoid(crs: CRS) -> tuple[float, float]:
    """Return the semi-major axis in metres and the inverse flattening, 0 for a sphere."""
    described = crs.to_dict(projjson=True)
    while not {"datum", "datum_ensemble"} & described.keys():
        # Projected, bound, or horizontal and vertical together: the first part is the horizontal one.
        described = described.get("base_crs") or described.get("source_crs") or described["components"][0]
    ellipsoid = (described.get("datum") or described["datum_ensemble"])["ellipsoid"]
    semi_major_m = _length_m(ellipsoid.get("semi_major_axis", ellipsoid.get("radius")))
    if "semi_minor_axis" in ellipsoid:
        difference_m = semi_major_m - _length_m(ellipsoid["semi_minor_axis"])
        return semi_major_m, semi_major_m / difference_m if difference_m else 0.0
    return semi_major_m, float(ellipsoid.get("inverse_flattening", 0.0))


def _length_m(length: Any) -> float:
    """Read a length of PROJJSON: a number of metres, or a value with a unit."""
    if isinstance(length, dict):
        unit = length["unit"]
        return float(length["value"]) * (1.0 if unit == "metre" else float(unit["conversion_factor"]))
    return float(length)


def apply_affine(transform: Affine, x: _NumberT, y: _NumberT) -> tuple[_NumberT, _NumberT]:
    """Bring pixels to the ground with a geotransform, or the ground to pixels with its inverse; arrays too."""
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def apply_affine_to_points(transform: Affine, points: Points) -> Points:
    """Do the same to points of shape (n, 2)."""
    return np.column_stack(apply_affine(transform, points[:, 0], points[:, 1]))


def describe_crs(crs: CRS) -> str:
    """Name a CRS as ``EPSG:n`` where it is exactly that, else by its WKT."""
    code = crs.to_epsg(confidence_threshold=100)
    return str(crs.to_wkt()) if code is None else f"EPSG:{code}"
