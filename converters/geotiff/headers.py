"""What the header of a scene tells without its pixels: its bands, its date, its place on the globe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from rasterio._err import CPLE_BaseError  # what rasterio lets through from PROJ has no public name
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_coordinates
from shapely import Polygon
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from domainvl.schema import Box

from .georeference import LONLAT, Points, SceneGrid
from .products import Band, Product
from .products.dates import date_from_tags
from .products.roles import roles_of
from .reading import OpenProduct, open_product
from .scene_grid import GridRequest, plan_grid

_HALF_TURN = 180.0

_POINTS_A_SIDE = 16
"""Points on each side of a footprint: straight lines in one CRS bend in another."""


@dataclass(frozen=True)
class SceneHeader:
    """What is known of a scene before its pixels are read.

    Attributes:
        date: Day of acquisition, ``YYYY-MM-DD`` or the start of one; None where unknown.
        footprint: Its outline in longitude and latitude; None without georeference on Earth.
        gsd_m: Side of a pixel; None where unknown.
    """

    date: str | None
    footprint: BaseGeometry | None
    gsd_m: float | None


def look_at_header(product: Product, request: GridRequest) -> SceneHeader:
    """Open a scene and read what its header tells.

    Raises:
        ItemError: If it cannot be opened.
    """
    with open_product(product) as opened:
        grid = plan_grid(opened.stored_pixels(reference_path(product, product.bands)), request, uri=product.uri)
        return SceneHeader(scene_date(opened), footprint(grid), grid.gsd_m())


def scene_date(opened: OpenProduct) -> str | None:
    """Return the date of a scene, from its metadata; of a plain file from its tags, else from its name."""
    product = opened.product
    if product.bands:
        return product.date
    dataset = opened.dataset(product.path)
    tags = dataset.tags() | dataset.tags(ns="IMAGERY")
    return date_from_tags(tags, written=False) or product.date or date_from_tags(tags)


def bands_of(opened: OpenProduct, *, scaling: bool) -> tuple[Band, ...]:
    """List the bands of a scene, those of a plain file by its header.

    Args:
        opened: The open scene.
        scaling: Whether scale and offset are kept.

    Raises:
        ItemError: If it cannot be opened, or its bands are not those of its sensor.
    """
    product = opened.product
    bands = product.bands or tuple(_bands_in_header(opened))
    if scaling:
        return bands
    return tuple(Band(band.name, band.role, band.path, band.number, nodata=band.nodata) for band in bands)


def _bands_in_header(opened: OpenProduct) -> list[Band]:
    product = opened.product
    dataset = opened.dataset(product.path)
    named = roles_of(
        dataset.descriptions,
        [interpretation.name for interpretation in dataset.colorinterp],
        dataset.count,
        product.sensor,
        is_certain=product.is_sensor_stated,
        uri=product.uri,
    )
    return [
        Band(name, role, product.path, number, scale=float(scale), offset=float(offset))
        for number, ((name, role), scale, offset) in enumerate(
            zip(named, dataset.scales, dataset.offsets, strict=True), start=1
        )
    ]


def palette_band(opened: OpenProduct) -> int | None:
    """Return the number of the band that holds indexes into a colour table, where the first does."""
    if opened.product.bands:
        return None
    return 1 if opened.dataset(opened.product.path).colorinterp[0] is ColorInterp.palette else None


def reference_path(product: Product, bands: Sequence[Band]) -> str:
    """Return the file whose pixels are the scene's: that of the finest band."""
    stated = [band for band in bands if band.gsd_m is not None]
    if stated:
        return min(stated, key=lambda band: band.gsd_m or 0.0).path
    return bands[0].path if bands else product.path


def footprint(grid: SceneGrid, box_px: Box | None = None) -> BaseGeometry | None:
    """Return the outline of a grid, or of a box in it, in longitude and latitude; None where there is none."""
    if grid.crs is None or not grid.is_georeferenced:
        return None
    outline = outline_in(grid, LONLAT, box_px)
    if outline is None:
        return None
    if np.ptp(outline[:, 0]) > _HALF_TURN and not _is_wide(grid, box_px):
        outline = _in_one_piece(grid, outline, box_px)
    polygon = shapely.make_valid(Polygon(outline))
    left, _, right, _ = polygon.bounds
    # What lies beyond 180 degrees is shown where the map has it too.
    turns = [turn for turn, beyond in ((-1, right > _HALF_TURN), (1, left < -_HALF_TURN)) if beyond]
    shown: BaseGeometry = shapely.union_all([polygon, *(translate(polygon, 2 * _HALF_TURN * turn) for turn in turns)])
    return shown


def _in_one_piece(grid: SceneGrid, outline: Points, box_px: Box | None) -> Points:
    """Tell what longitudes that lie far apart mean: ground across the antimeridian, around a pole, or wide ground."""
    unwrapped = outline.copy()
    unwrapped[unwrapped[:, 0] < 0.0, 0] += 2 * _HALF_TURN
    if np.ptp(unwrapped[:, 0]) <= _HALF_TURN:
        return unwrapped
    pole = 90.0 if outline[:, 1].mean() > 0.0 else -90.0
    if not _shows(grid, (0.0, pole), box_px):
        return outline
    # Seen from the pole the border goes once around; on the map it goes from one side to the other.
    border = outline[np.argsort(outline[:, 0])]
    ends = np.array([(-_HALF_TURN, border[0, 1]), (_HALF_TURN, border[-1, 1]), (_HALF_TURN, pole), (-_HALF_TURN, pole)])
    return np.vstack([ends[:1], border, ends[1:]])


def _shows(grid: SceneGrid, lonlat: tuple[float, float], box_px: Box | None) -> bool:
    x_min, y_min, x_max, y_max = box_px or (0.0, 0.0, float(grid.width_px), float(grid.height_px))
    try:
        ((x, y),) = grid.from_map(np.array([lonlat]), LONLAT)
    except (CRSError, CPLE_BaseError):
        return False
    return bool(x_min <= x <= x_max and y_min <= y <= y_max)


def _is_wide(grid: SceneGrid, box_px: Box | None) -> bool:
    """Say whether longitudes are far apart because the ground is wide, not because it lies across the antimeridian."""
    if grid.crs is None or not grid.crs.is_geographic:
        return False
    left, _, right, _ = grid.bounds(box_px)
    return right - left > _HALF_TURN


def outline_in(grid: SceneGrid, crs: CRS, box_px: Box | None = None) -> Points | None:
    """Bring the border of a grid, or of a box in it, to a CRS, with points along its sides.

    Returns:
        Points of shape (n, 2), or None where there is no way to that CRS: without georeference, from another planet.
    """
    if not grid.is_georeferenced:
        return None
    x_min, y_min, x_max, y_max = box_px or (0.0, 0.0, float(grid.width_px), float(grid.height_px))
    steps = np.arange(_POINTS_A_SIDE) / _POINTS_A_SIDE
    corners = np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)])
    border = np.concatenate(
        [
            start + steps[:, np.newaxis] * (end - start)
            for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True)
        ]
    )
    points = grid.to_map(border)
    if crs == grid.crs:
        return points
    try:
        xs, ys = transform_coordinates(grid.crs, crs, points[:, 0], points[:, 1])
    except (CRSError, CPLE_BaseError):
        return None
    brought = np.column_stack([np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)])
    return brought if np.isfinite(brought).all() else None
