"""Bringing two files' pixels to one field of view, the high one at ``scale`` times the rows and columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from domainvl.enhance.pairs.geotiffs import read_high_window, read_low_window
from domainvl.enhance.pairs.refusing import SWAP, refuse_synthesised
from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.enhance.rasters import Raster, RasterError, quiet_gdal, read_raster
from domainvl.enhance.resampling import resize, shrink
from domainvl.errors import ItemError


def read_views(source: PairSource, settings: RegisterSettings) -> tuple[Raster, Raster]:
    """Read a pair and bring it to one field of view; nothing is registered yet.

    Args:
        source: Which files.
        settings: The scale, and how the files are stored.

    Returns:
        The low and the high view.

    Raises:
        ItemError: By ``unreadable``, ``synthesised``, ``too-large``, ``not-a-mosaic``, ``size-does-not-fit`` or
            ``no-valid-pixels``.
    """
    with _reading():
        if source.window is not None:
            low, high = read_low_window(source), read_high_window(source, settings.scale)
        else:
            _check_files(source, settings.largest_mpx)
            low, high = read_raster(source.low), read_raster(source.high)
    if settings.mosaic and low.bands != 1:
        rule = f"it has {low.bands} bands, a raw mosaic has 1"
        raise ItemError("No mosaic", reason="not-a-mosaic", where=source.low, rule=rule, action="Leave out --mosaic")
    if source.zoom is not None:
        low, high = _same_field(low, high, source.zoom, settings.scale, settings.mosaic)
    if settings.shrink_low:
        low = _shrunk(low, settings.scale)
    return _fit(low, high, source, settings)


def read_moved(source: PairSource, settings: RegisterSettings, moved_px: tuple[int, int]) -> Raster:
    """Read the high view of a window again, so many of its rows and columns further on.

    Raises:
        ItemError: By ``unreadable``.
    """
    with _reading():
        return read_high_window(source, settings.scale, moved_px)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except RasterError as error:
        reason = "no-valid-pixels" if "no pixel of it is valid" in str(error) else "unreadable"
        raise ItemError(
            error.what, reason=reason, where=error.where, rule=error.rule, action="Leave it out or give it anew"
        ) from error


def _check_files(source: PairSource, largest_mpx: float) -> None:
    import rasterio
    from rasterio.errors import RasterioError

    for path in (source.low, source.high):
        try:
            with quiet_gdal(), rasterio.open(path) as file:
                area_mpx = file.width * file.height / 1e6
                if path == source.high:
                    refuse_synthesised(file, path)
        except (RasterioError, OSError) as error:
            raise RasterError("Cannot read", where=path, rule=str(error)) from error
        if area_mpx > largest_mpx:
            rule = f"it has {area_mpx:.1f} megapixels, at most {largest_mpx:g} are read whole"
            action = "Raise --largest-mpx, or give georeferenced rasters, which are read in windows"
            raise ItemError("Too large", reason="too-large", where=path, rule=rule, action=action)


def _same_field(low: Raster, high: Raster, zoom: float, scale: int, mosaic: bool) -> tuple[Raster, Raster]:
    """Cut out the low frame's middle, which the high frame shows; resample the high one where the zoom is uneven."""
    even = 2 if mosaic else 1  # the mosaic must begin with the same colour
    size = [max(1, round(side / zoom / even) * even) for side in low.size_px]
    corner = [(side - part) // 2 // even * even for side, part in zip(low.size_px, size, strict=True)]
    low = low.crop(corner[0], corner[1], size[0], size[1])
    return low, _resized(high, size[0] * scale, size[1] * scale)


def _resized(view: Raster, rows: int, columns: int) -> Raster:
    if view.size_px == (rows, columns):
        return view
    pixels, valid = resize(view.pixels, view.valid, (rows, columns))
    return Raster(pixels, valid, view.dtype)


def _shrunk(view: Raster, scale: int) -> Raster:
    rows, columns = (side // scale * scale for side in view.size_px)
    if min(rows, columns) == 0:
        return view  # too small, which is found out with a message later
    cut = view.crop(0, 0, rows, columns)
    pixels, valid = shrink(cut.pixels, cut.valid, scale)
    return Raster(pixels, valid, view.dtype)


def _fit(low: Raster, high: Raster, source: PairSource, settings: RegisterSettings) -> tuple[Raster, Raster]:
    """Cut off what one view has too much, if it is less than a low pixel."""
    scale = settings.scale
    if any(abs(theirs - scale * ours) >= scale for ours, theirs in zip(low.size_px, high.size_px, strict=True)):
        names = f"{low.size_px[0]} x {low.size_px[1]} low against {high.size_px[0]} x {high.size_px[1]} high pixels"
        shrunk = " (after --shrink-low)" if settings.shrink_low else ""
        action = "Give the --scale that the sizes have"
        if low.size_px == high.size_px:
            action = "Add --shrink-low if low views are stored at the size of the high ones"
        elif all(theirs < ours for ours, theirs in zip(low.size_px, high.size_px, strict=True)):
            action = SWAP if settings.layout == "folders" else action
        raise ItemError(
            "The sizes do not fit",
            reason="size-does-not-fit",
            where=f"{source.low}, {source.high}",
            rule=f"{names}{shrunk} at scale {scale}",
            action=action,
        )
    rows, columns = (min(ours, theirs // scale) for ours, theirs in zip(low.size_px, high.size_px, strict=True))
    if min(rows, columns) < settings.least_size_px:
        raise too_small((rows, columns), source, settings)
    return low.crop(0, 0, rows, columns), high.crop(0, 0, rows * scale, columns * scale)


def too_small(size_px: tuple[int, int], source: PairSource, settings: RegisterSettings) -> ItemError:
    """Say that too little is left of a pair.

    Args:
        size_px: Rows and columns of the low view.
        source: The pair.
        settings: How much is needed.
    """
    return ItemError(
        "Too small",
        reason="too-small",
        where=source.low,
        rule=f"{size_px[0]} x {size_px[1]} low pixels are left, {settings.least_size_px} are needed",
        action="Lower --least-size-px and train on crops that fit, or leave it out",
    )
