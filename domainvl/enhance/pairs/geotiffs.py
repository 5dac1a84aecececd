"""Two GeoTIFFs of one place as pairs: windows of the low one, and the high one warped onto its grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainvl.enhance.pairs.blocks import Cut, block_side, join_blocks, project
from domainvl.enhance.pairs.refusing import SWAP, refuse_synthesised
from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.enhance.rasters import Raster, RasterError, colour_bands, masked, quiet_gdal, read_validity
from domainvl.errors import ItemError, UsageError
from domainvl.schema.writer import Reject, Severity

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

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
        The windows, grouped in spatial blocks that are the same for all rasters of a place, and what cannot be used.
    """
    cuts: list[Cut] = []
    rejects: list[Reject] = []
    for pair in files:
        try:
            cut, outside = _cut(pair, settings)
        except ItemError as error:
            rejects.append(Reject(pair.id, "plan", error.reason, error.without_action, error.action))
            continue
        cuts.append(cut)
        if outside:
            message = f"{outside} windows of {pair.low.name} lie outside of {pair.high.name}"
            rejects.append(Reject(pair.id, "plan", "outside", message, severity=Severity.SKIPPED))
    if not cuts:
        return [], rejects
    groups = join_blocks(cuts)
    return [replace(source, group=groups[source.group]) for cut in cuts for source in cut.windows], rejects


def read_low_window(source: PairSource) -> Raster:
    """Read a window of the low raster.

    Raises:
        RasterError: If it cannot be read.
    """
    import rasterio
    from rasterio.windows import Window

    with _reading(source.low), rasterio.open(source.low) as low:
        row, column, rows, columns = source.window or (0, 0, low.height, low.width)
        return _read(low, Window(column, row, columns, rows))


def read_high_window(source: PairSource, scale: int, moved_px: tuple[int, int] = (0, 0)) -> Raster:
    """Read the ground of a window of the low raster from the high one, at ``scale`` times its rows and columns.

    The high raster is resampled (cubic, over all of a pixel's ground where it is finer) unless its grid fits. Where it
    ends the result is not valid.

    Args:
        source: The window.
        scale: How many times the rows and columns.
        moved_px: Read so many rows and columns further on, in pixels of the result.

    Raises:
        RasterError: If a raster cannot be read.
    """
    import rasterio
    from rasterio import Affine
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.vrt import WarpedVRT

    with _reading(source.low), rasterio.open(source.low) as low:
        row, column, rows, columns = source.window or (0, 0, low.height, low.width)
        a, b, c, d, e, f = low.transform[:6]
        down, along = row + moved_px[0] / scale, column + moved_px[1] / scale
        corner = (c + a * along + b * down, f + d * along + e * down)
        grid: dict[str, Any] = {
            "crs": low.crs,
            "transform": Affine(a / scale, b / scale, corner[0], d / scale, e / scale, corner[1]),
            "width": columns * scale,
            "height": rows * scale,
        }
    with _reading(source.high), rasterio.open(source.high) as high:
        without_mask = high.nodata is None and ColorInterp.alpha not in high.colorinterp
        with WarpedVRT(high, **grid, resampling=Resampling.cubic, add_alpha=without_mask) as warped:
            return _read(warped)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say of an error in the block which file it is about."""
    from rasterio.errors import RasterioError

    try:
        with quiet_gdal():
            yield
    except (RasterioError, OSError, ValueError) as error:
        rule = str(error.__cause__ or error)
        raise RasterError("Cannot read", where=path, rule=rule, action="Look at it with gdalinfo") from error


def _read(source: DatasetReader, window: Any = None) -> Raster:
    bands = colour_bands(source)
    valid = read_validity(source, bands, window)
    for alpha in set(source.indexes) - set(bands):  # the masks of a warped raster do not tell of it
        valid &= source.read(alpha, window=window) > 0
    return masked(source.read(bands, window=window), valid, source.dtypes[0])


def _cut(pair: PairSource, settings: RegisterSettings) -> tuple[Cut, int]:
    """Return the windows of a pair of rasters that the high one reaches, and how many it does not."""
    import rasterio
    from rasterio.errors import RasterioError

    side = settings.window_px
    try:
        with quiet_gdal(), rasterio.open(pair.low) as low, rasterio.open(pair.high) as high:
            for source, path in ((low, pair.low), (high, pair.high)):
                _check(source, path)
            refuse_synthesised(high, pair.high)
            first, last, detail = _reach(low, high)
            size, crs, transform = (low.height, low.width), low.crs, low.transform
    except UsageError as error:
        where = f"{pair.low}, {pair.high}"
        raise ItemError(
            error.what, reason="no-georeference", where=where, rule=error.rule, action=error.action
        ) from error
    except (RasterioError, OSError) as error:
        raise ItemError(
            "Cannot read",
            reason="unreadable",
            where=f"{pair.low}, {pair.high}",
            rule=str(error),
            action="Look at both with gdalinfo",
        ) from error
    if detail < _LEAST_DETAIL * settings.scale:
        rule = f"it has {detail:.2f} times the resolution of {pair.low.name}, --scale is {settings.scale}"
        action = SWAP if detail < 1 else "Give a --scale that its resolution is worth"
        raise ItemError("Too coarse", reason="size-does-not-fit", where=pair.high, rule=rule, action=action)
    corners = [(row, column) for row in range(0, size[0], side) for column in range(0, size[1], side)]
    inside = [
        corner for corner in corners if all(c < b and c + side > a for c, a, b in zip(corner, first, last, strict=True))
    ]
    if not inside:
        action = "Name two rasters of one place"
        raise ItemError("No overlap", reason="no-overlap", where=f"{pair.low}, {pair.high}", action=action)
    windows = []
    block_px = side * block_side([(row // side, column // side) for row, column in inside])
    for row, column in inside:
        rows, columns = min(side, size[0] - row), min(side, size[1] - column)
        group = f"{pair.group}/r{row // block_px}c{column // block_px}"
        name = f"{pair.id}-r{row:06d}c{column:06d}"
        windows.append(replace(pair, id=name, group=group, window=(row, column, rows, columns)))
    return Cut(tuple(windows), crs, transform), len(corners) - len(inside)


def _check(source: DatasetReader, path: Path) -> None:
    from rasterio.enums import ColorInterp

    if source.crs is None or source.transform.is_identity:
        action = "Give it a georeference, or give pictures of equal field with --layout folders"
        raise ItemError("No georeference", reason="no-georeference", where=path, action=action)
    if np.dtype(source.dtypes[0]).kind == "c":
        raise ItemError("Complex values", reason="unreadable", where=path, action="Give amplitudes")
    if ColorInterp.palette in source.colorinterp:
        action = "Expand it first: gdal_translate -expand rgb"
        raise ItemError("Numbers of a palette cannot be resampled", reason="palette", where=path, action=action)


def _reach(low: DatasetReader, high: DatasetReader) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return first and last (row, column) of the low raster that the high one reaches, and how much finer it is."""
    fractions = np.linspace(0, 1, 9)
    columns, rows = np.meshgrid(fractions * high.width, fractions * high.height)
    x, y = _apply(high.transform, columns.ravel(), rows.ravel())
    column, row = _apply(~low.transform, *project(x, y, high.crs, low.crs))
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
