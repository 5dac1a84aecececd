"""Which pixels a scene is cut from: its own, so that nothing is resampled, or others on request."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio._err import CPLE_BaseError  # what rasterio lets through from PROJ has no public name
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import calculate_default_transform

from domainvl.errors import ItemError

from .georeference import DENSIFY_POINTS, SceneGrid, StoredPixels, explain_no_way

MAX_SIDE_PX = 1 << 24
"""No scene is larger; a grid that would be comes from a wrong georeference or unit."""


@dataclass(frozen=True)
class GridRequest:
    """What the grid must be, where it is not simply that of the file.

    Attributes:
        crs: Its CRS, as a code or WKT; the scene's own where None.
        gsd_m: Side of its pixels in metres; the scene's own where None.
        snap_px: Where the origin is snapped: to multiples of so many pixels in the CRS; not snapped where None.
        scale: How many times the rows and columns it has after all that: the pixels in between are synthesised.
    """

    crs: str | None = None
    gsd_m: float | None = None
    snap_px: int | None = None
    scale: int = 1

    @property
    def is_native(self) -> bool:
        """Whether nothing is asked for that would resample the scene."""
        return self.crs is None and self.gsd_m is None and self.snap_px is None


def plan_grid(stored: StoredPixels, request: GridRequest, *, uri: str) -> SceneGrid:
    """Choose the grid of a scene.

    Without a request it is that of the file, mirrored where rows run north or columns west, and warped to north up
    where only ground control points place it. A rotated one stays as it is: its labels are brought to its pixels.

    Args:
        stored: The pixels of the file.
        request: What the grid must be.
        uri: Name of the scene in messages.

    Raises:
        ItemError: If the scene has no georeference that the request could act on, or the CRS has no metres.
    """
    return enlarge_grid(_plan_native(stored, request, uri), request.scale, uri=uri)


def enlarge_grid(grid: SceneGrid, scale: int, *, uri: str) -> SceneGrid:
    """Divide each pixel of a grid into ``scale`` x ``scale``; all that is placed on it follows.

    Args:
        grid: The grid.
        scale: How many times the rows and columns; 1 for the grid itself.
        uri: Name of the scene in messages.

    Raises:
        ItemError: If it would be larger than any scene.
    """
    if scale == 1:
        return grid
    width_px, height_px = grid.width_px * scale, grid.height_px * scale
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise _too_large(uri, width_px, height_px, "Cut the scene, or leave --enhance out")
    return SceneGrid(
        width_px,
        height_px,
        grid.crs,
        None if grid.transform is None else grid.transform @ Affine.scale(1 / scale),
        grid.stored,
        None if grid.stored_to_grid is None else Affine.scale(scale) @ grid.stored_to_grid,
        native=grid,
    )


def _plan_native(stored: StoredPixels, request: GridRequest, uri: str) -> SceneGrid:
    if stored.crs is None or (stored.transform is None and not stored.gcps):
        if not request.is_native:
            raise _no_georeference(uri, stored)
        # A transform without a CRS places nothing on the ground: pixels only, as they are stored.
        return SceneGrid(stored.width_px, stored.height_px, None, None, stored, Affine.identity())
    if request.is_native and stored.transform is not None:
        return _own_grid(stored, stored.crs, stored.transform)
    try:
        return _requested_grid(stored, request, uri)
    except (CRSError, CPLE_BaseError) as error:
        raise ItemError(
            "Cannot choose the grid of a scene",
            reason="crs",
            where=uri,
            rule=f"there is no way from its CRS to {request.crs or 'its own'} ({explain_no_way(error)})",
            action="Name another CRS in --crs",
        ) from error


def _own_grid(stored: StoredPixels, crs: CRS, transform: Affine) -> SceneGrid:
    mirror = Affine.identity()
    if transform.b == transform.d == 0:
        if transform.e > 0:
            mirror @= Affine(1, 0, 0, 0, -1, stored.height_px)
        if transform.a < 0:
            mirror @= Affine(-1, 0, stored.width_px, 0, 1, 0)
    return SceneGrid(stored.width_px, stored.height_px, crs, transform @ ~mirror, stored, mirror)


def _requested_grid(stored: StoredPixels, request: GridRequest, uri: str) -> SceneGrid:
    crs = CRS.from_user_input(request.crs) if request.crs is not None else stored.crs
    if crs is None:
        raise _no_georeference(uri, stored)
    side_x, side_y = _pixel_sides(stored, crs, request, uri)
    if stored.transform is not None:
        own = SceneGrid(stored.width_px, stored.height_px, stored.crs, stored.transform, stored, Affine.identity())
        left, bottom, right, top = own.bounds(crs=crs)
    else:
        left, bottom, right, top = _gcp_bounds(stored, crs)
    if not all(map(math.isfinite, (left, bottom, right, top, side_x, side_y))):
        raise ItemError(
            "Cannot choose the grid of a scene",
            reason="crs",
            where=uri,
            rule=f"a part of it has no place in {request.crs or 'its CRS'}, as of a disk of the whole Earth",
            action="Name another CRS in --crs, or cut the scene with gdalwarp -te first",
        )
    if left > right:  # across the antimeridian
        right += 360.0
    if request.snap_px is not None:
        step_x, step_y = request.snap_px * side_x, request.snap_px * side_y
        left, top = _floor(left, step_x) * step_x, -_floor(-top, step_y) * step_y
    width_px, height_px = (
        max(1, _ceil(length, side)) for length, side in ((right - left, side_x), (top - bottom, side_y))
    )
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise _too_large(uri, width_px, height_px, "Check --gsd-m, --crs and the georeference of the scene")
    return SceneGrid(width_px, height_px, crs, Affine(side_x, 0, left, 0, -side_y, top), stored, None)


def _pixel_sides(stored: StoredPixels, crs: CRS, request: GridRequest, uri: str) -> tuple[float, float]:
    """Return width and height of a pixel of the grid, in units of its CRS."""
    if request.gsd_m is not None:
        if not crs.is_projected:
            raise ItemError(
                "Cannot choose the grid of a scene",
                reason="crs",
                where=uri,
                rule=f"--gsd-m {request.gsd_m:g} needs a projected CRS, this one has degrees",
                action="Name one in --crs, the UTM zone of the scene for one",
            )
        side = request.gsd_m / float(crs.linear_units_factor[1])
        return side, side
    if stored.transform is not None and crs == stored.crs:
        transform = stored.transform
        if transform.b == transform.d == 0:
            return abs(transform.a), abs(transform.e)
        side = math.sqrt(abs(transform.determinant))
        return side, side
    if stored.transform is not None:
        own = SceneGrid(stored.width_px, stored.height_px, stored.crs, stored.transform, stored, Affine.identity())
        placed, *_ = calculate_default_transform(stored.crs, crs, stored.width_px, stored.height_px, *own.bounds())
    else:
        placed, *_ = calculate_default_transform(
            stored.crs, crs, stored.width_px, stored.height_px, gcps=list(stored.gcps)
        )
    return placed.a, -placed.e


def _gcp_bounds(stored: StoredPixels, crs: CRS) -> tuple[float, float, float, float]:
    """Return the box around the border of a scene that only ground control points place."""
    steps = np.linspace(0.0, 1.0, DENSIFY_POINTS)
    ends, xs, ys = np.zeros_like(steps), steps * stored.width_px, steps * stored.height_px
    border = np.vstack(
        [
            np.column_stack([xs, ends]),
            np.column_stack([xs, ends + stored.height_px]),
            np.column_stack([ends, ys]),
            np.column_stack([ends + stored.width_px, ys]),
        ]
    )
    on_map = SceneGrid(1, 1, crs, Affine.identity(), stored, None).from_map(stored.to_map(border), stored.crs)
    (left, bottom), (right, top) = on_map.min(axis=0), on_map.max(axis=0)
    return float(left), float(bottom), float(right), float(top)


def _floor(value: float, step: float) -> int:
    """Divide downwards; a quotient within a thousandth of a whole number is that number."""
    nearest = round(value / step)
    return nearest if abs(value / step - nearest) < 1e-3 else math.floor(value / step)


def _ceil(length: float, side: float) -> int:
    return -_floor(-length, side)


def _too_large(uri: str, width_px: int, height_px: int, action: str) -> ItemError:
    return ItemError(
        "Cannot choose the grid of a scene",
        reason="grid-size",
        where=uri,
        rule=f"it would have {width_px} x {height_px} px, more than {MAX_SIDE_PX} on a side",
        action=action,
    )


def _no_georeference(uri: str, stored: StoredPixels) -> ItemError:
    lacking = "coordinate reference system" if stored.crs is None else "geotransform"
    but, action = "", "Write it into the scene, with gdal_edit -a_srs and -a_ullr"
    if stored.has_rpcs:
        but, action = " but rational polynomials (RPCs), which need heights", "Warp it with gdalwarp -rpc first"
    return ItemError(
        "Cannot choose the grid of a scene",
        reason="no-crs" if stored.crs is None else "no-geotransform",
        where=uri,
        rule=f"it has no {lacking}{but}, so --crs, --gsd-m and --align geo mean nothing",
        action=action,
    )
