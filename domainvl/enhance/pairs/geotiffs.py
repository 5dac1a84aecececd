"""Two GeoTIFFs of one place as pairs: windows of the low one, and the high one warped onto its grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.enhance.rasters import Raster, RasterError, colour_bands, masked, quiet_gdal
from domainvl.errors import ItemError
from domainvl.schema.writer import Reject, Severity

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_BLOCK_WINDOWS = 4
"""Windows along the side of a block, the group that is not divided between splits."""
_LEAST_BLOCKS = 6
"""Blocks are made smaller where a raster would give fewer."""
_LEAST_DETAIL = 0.75
"""The high raster's resolution must be this share of what the scale asks for, or more."""


def is_georeferenced(path: Path) -> bool:
    """Say whether a file is a raster with a coordinate system."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with quiet_gdal(), rasterio.open(path) as source:
            return source.crs is not None
    except (RasterioError, OSError):
        return False


def plan_windows(files: Sequence[PairSource], settings: RegisterSettings) -> tuple[list[PairSource], list[Reject]]:
    """Cut pairs of rasters into windows on the low one's grid, wherever the high one reaches.

    Args:
        files: Pairs of whole rasters.
        settings: Scale and size of the windows; those at the edge are smaller.

    Returns:
        The windows, grouped in spatial blocks, and what cannot be used.
    """
    sources: list[PairSource] = []
    rejects: list[Reject] = []
    for pair in files:
        try:
            windows, outside = _windows(pair, settings)
        except ItemError as error:
            rejects.append(Reject(pair.id, "plan", error.reason, error.without_action, error.action))
            continue
        sources += windows
        if outside:
            message = f"{outside} windows of {pair.low.name} lie outside of {pair.high.name}"
            rejects.append(Reject(pair.id, "plan", "outside", message, severity=Severity.SKIPPED))
    return sources, rejects


def read_window(source: PairSource, scale: int) -> tuple[Raster, Raster]:
    """Read a window of the low raster and the same ground of the high one at ``scale`` times its rows and columns.

    The high raster is resampled (cubic, over all of a pixel's ground where it is finer) unless its grid fits.

    Raises:
        RasterError: If one cannot be read.
    """
    import rasterio
    from rasterio import Affine
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window

    row, column, rows, columns = source.window or (0, 0, 0, 0)
    path = source.low
    try:
        with quiet_gdal(), rasterio.open(source.low) as low, rasterio.open(source.high) as high:
            view = _read(low, Window(column, row, columns, rows))
            path = source.high
            without_mask = high.nodata is None and ColorInterp.alpha not in high.colorinterp
            a, b, c, d, e, f = low.transform[:6]
            grid: dict[str, Any] = {
                "crs": low.crs,
                "transform": Affine(a / scale, b / scale, c, d / scale, e / scale, f),
                "width": low.width * scale,
                "height": low.height * scale,
            }
            with WarpedVRT(high, **grid, resampling=Resampling.cubic, add_alpha=without_mask) as warped:
                fine = Window(column * scale, row * scale, columns * scale, rows * scale)
                return view, _read(warped, fine)
    except (RasterioError, OSError, ValueError) as error:
        rule = str(error.__cause__ or error)
        raise RasterError("Cannot read", where=path, rule=rule, action="Look at it with gdalinfo") from error


def _read(source: DatasetReader, window: Any) -> Raster:
    bands = colour_bands(source)
    valid = (source.read_masks(bands, window=window) > 0).all(axis=0)
    for alpha in set(source.indexes) - set(bands):  # the masks of a warped raster do not tell of it
        valid &= source.read(alpha, window=window) > 0
    return masked(source.read(bands, window=window), valid, source.dtypes[0])


def _windows(pair: PairSource, settings: RegisterSettings) -> tuple[list[PairSource], int]:
    """Return the windows of a pair of rasters that the high one reaches, and how many it does not."""
    import rasterio
    from rasterio.errors import RasterioError

    side = settings.window_px
    try:
        with quiet_gdal(), rasterio.open(pair.low) as low, rasterio.open(pair.high) as high:
            for source, path in ((low, pair.low), (high, pair.high)):
                _check(source, path)
            first, last, detail = _reach(low, high)
            size = (low.height, low.width)
    except (RasterioError, OSError) as error:
        raise ItemError(
            "Cannot read", reason="unreadable", where=f"{pair.low}, {pair.high}", rule=str(error)
        ) from error
    if detail < _LEAST_DETAIL * settings.scale:
        rule = f"it has {detail:.2f} times the resolution of {pair.low.name}, --scale is {settings.scale}"
        action = "Give a --scale that its resolution is worth"
        raise ItemError("Too coarse", reason="size-does-not-fit", where=pair.high, rule=rule, action=action)
    corners = [(row, column) for row in range(0, size[0], side) for column in range(0, size[1], side)]
    inside = [
        corner for corner in corners if all(c < b and c + side > a for c, a, b in zip(corner, first, last, strict=True))
    ]
    if not inside:
        action = "Name two rasters of one place"
        raise ItemError("No overlap", reason="no-overlap", where=f"{pair.low}, {pair.high}", action=action)
    windows = []
    block_px = side * _block_windows([(row // side, column // side) for row, column in inside])
    for row, column in inside:
        rows, columns = min(side, size[0] - row), min(side, size[1] - column)
        group = f"{pair.group}/r{row // block_px}c{column // block_px}"
        name = f"{pair.id}-r{row:06d}c{column:06d}"
        windows.append(replace(pair, id=name, group=group, window=(row, column, rows, columns)))
    return windows, len(corners) - len(inside)


def _check(source: DatasetReader, path: Path) -> None:
    if source.crs is None or source.transform.is_identity:
        action = "Give it a georeference, or give pictures of equal field with --layout folders"
        raise ItemError("No georeference", reason="no-georeference", where=path, action=action)
    if np.dtype(source.dtypes[0]).kind == "c":
        raise ItemError("Complex values", reason="unreadable", where=path, action="Give amplitudes")


def _reach(low: DatasetReader, high: DatasetReader) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return first and last (row, column) of the low raster that the high one reaches, and how much finer it is."""
    from rasterio.warp import transform

    fractions = np.linspace(0, 1, 9)
    columns, rows = np.meshgrid(fractions * high.width, fractions * high.height)
    x, y = _apply(high.transform, columns.ravel(), rows.ravel())
    x, y = (np.array(part) for part in transform(high.crs, low.crs, list(x), list(y)))
    column, row = _apply(~low.transform, x, y)
    finite = np.isfinite(column) & np.isfinite(row)
    if not finite.any():
        return (0.0, 0.0), (0.0, 0.0), float("inf")
    # How much ground a quarter of the high raster around its middle covers, in low pixels.
    along, down = (grid.reshape(9, 9) for grid in (column, row))
    across = (along[4, 5] - along[4, 3]) * (down[5, 4] - down[3, 4]) - (along[5, 4] - along[3, 4]) * (
        down[4, 5] - down[4, 3]
    )
    detail = float(np.sqrt(high.width * high.height / 16 / max(abs(across), 1e-12))) if np.isfinite(across) else np.inf
    column, row = column[finite], row[finite]
    return (float(row.min()), float(column.min())), (float(row.max()), float(column.max())), detail


def _apply(grid: Any, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Apply the six numbers of a geotransform to arrays."""
    return grid.a * first + grid.b * second + grid.c, grid.d * first + grid.e * second + grid.f


def _block_windows(places: Sequence[tuple[int, int]]) -> int:
    side = _BLOCK_WINDOWS
    while side > 1 and len({(row // side, column // side) for row, column in places}) < _LEAST_BLOCKS:
        side //= 2
    return side
