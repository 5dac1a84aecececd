"""Where the pixels of a scene lie on the ground: stored pixels, the grid that tiles are cut from, maps and back.

Pixel coordinates are continuous: (0, 0) is the upper left corner of the first pixel, x to the right, y down, pixel
centres at .5. Map coordinates are always (x, y) = (easting or longitude, northing or latitude), whatever order an
authority gives a CRS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio._err import CPLE_BaseError  # what rasterio lets through from PROJ has no public name
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import GCPTransformer
from rasterio.warp import transform as transform_coordinates
from rasterio.warp import transform_bounds

from domainvl.schema import Box, Point

from .ellipsoid import ellipsoid_of

Bounds: TypeAlias = tuple[float, float, float, float]
"""(left, bottom, right, top) in map coordinates; left > right where it crosses the antimeridian."""

Points: TypeAlias = npt.NDArray[np.float64]
"""Coordinates, shape (n, 2), x before y."""

DENSIFY_POINTS = 21
"""Points on each side of a box when it is brought to another CRS; two corners alone miss what bulges out."""

LONLAT = CRS.from_epsg(4326)

LEAST_POINTS = 3
"""Ground control points that place a scene; fewer do not say how it is turned."""

MAX_DISTORTION = 0.01
"""Lengths of a projection count as those of the ground where they differ by no more than this share. Those of UTM do so
by up to 0.001: its scale is 0.9996 in the middle of a zone (Snyder, Map Projections - A Working Manual, USGS
Professional Paper 1395, 1987)."""

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
        has_rpcs: Whether rational polynomials place it, and nothing else does: they need heights, so it counts as not
            georeferenced.
    """

    width_px: int
    height_px: int
    crs: CRS | None
    transform: Affine | None
    gcps: tuple[GroundControlPoint, ...] = ()
    has_rpcs: bool = False

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
        native: The grid that this one enlarges; None where its pixels are those of the sensor.
    """

    width_px: int
    height_px: int
    crs: CRS | None
    transform: Affine | None
    stored: StoredPixels
    stored_to_grid: Affine | None
    native: SceneGrid | None = None

    @property
    def scale(self) -> int:
        """How many times the rows and columns of the native grid it has."""
        return 1 if self.native is None else self.width_px // self.native.width_px

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

    def pixel_m(self, at_px: Point | None = None) -> tuple[float, float] | None:
        """Return width and height of a pixel on the ground in metres.

        They are those of the projection where it is true to about a percent there, as any UTM zone is (10 m stay 10.0),
        and of other projections, such as Web Mercator, the true ones.

        Args:
            at_px: Where; in the middle of the grid where None.

        Returns:
            None where the CRS does not tell: without georeference, or with a local one.
        """
        edges = self._pixel_edges_m(at_px)
        if edges is None:
            return None
        width_m, height_m = np.linalg.norm(edges, axis=1).tolist()
        return width_m, height_m

    def gsd_m(self, at_px: Point | None = None) -> float | None:
        """Return the side of a square of a pixel's area in metres, see :meth:`pixel_m`.

        Args:
            at_px: Where; in the middle of the grid where None.
        """
        edges = self._pixel_edges_m(at_px)
        return None if edges is None else math.sqrt(float(np.linalg.norm(np.cross(edges[0], edges[1]))))

    def _pixel_edges_m(self, at_px: Point | None) -> npt.NDArray[np.float64] | None:
        """Return the upper and the left edge of a pixel as vectors in metres, shape (2, 3)."""
        if self.crs is None or self.transform is None:
            return None
        middle_px = at_px or (self.width_px / 2, self.height_px / 2)
        if self.crs.is_geographic:
            return self._true_edges_m(middle_px)
        if not self.crs.is_projected:
            return None
        transform = self.transform
        of_map = np.array([(transform.a, transform.d, 0.0), (transform.b, transform.e, 0.0)])
        of_map *= float(self.crs.linear_units_factor[1])
        try:
            true = self._true_edges_m(middle_px)
        except (CRSError, CPLE_BaseError):
            return of_map  # of another planet: there is no way to degrees on Earth
        scale = np.linalg.norm(true, axis=1) / np.linalg.norm(of_map, axis=1)
        is_distorted = bool(np.isfinite(scale).all() and (np.abs(scale - 1.0) > MAX_DISTORTION).any())
        return true if is_distorted else of_map

    def _true_edges_m(self, middle_px: Point) -> npt.NDArray[np.float64]:
        """Measure a pixel on the ellipsoid of the CRS."""
        if self.crs is None:
            raise ValueError("this grid has no georeference")
        points = self.to_map(np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)]) + np.array(middle_px))
        if self.crs.is_geographic:
            lonlat_rad = points * float(self.crs.units_factor[1])
        else:
            lonlat = transform_coordinates(self.crs, LONLAT, points[:, 0], points[:, 1])
            lonlat_rad = np.radians(np.array(lonlat, dtype=np.float64).T)
        left, right, above, below = ellipsoid_of(self.crs).to_space(lonlat_rad)
        return np.array([right - left, below - above])


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


def explain_no_way(error: Exception) -> str:
    """Return what PROJ says of two CRSs between which there is no way, without the page on which it describes both."""
    return str(error).partition(" from '{")[0]
