"""The enlarged raster on disk: a tiled TIFF that is written by windows, and a PNG made of it for a picture."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from domainvl.enhance.applying.georeference import scaled_points, scaled_rpcs, scaled_transform
from domainvl.enhance.applying.source import GDAL_ERRORS, Source
from domainvl.enhance.applying.tiles import Box
from domainvl.enhance.rasters import Pixels, to_dtype
from domainvl.errors import OutputError

BLOCK_PX = 256
"""Side of the blocks of the TIFF; the specification wants multiples of 16."""
_DROPPED_TAGS = (
    *("STATISTICS_", "OVR_RESAMPLING_ALG", "EXIF_", "TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION"),
    *("DOMAINVL_ENHANCE", "DOMAINVL_REFERENCE"),
)
"""Starts of the names of tags that speak of the input's pixels or of how they are shown."""
_OWN_NAMESPACES = ("IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "TIFF", "COLOR_PROFILE", "EXIF")
"""Metadata domains that GDAL makes itself or that speak of the file that was read."""


class Mark(enum.Enum):
    """What marks missing pixels in an output."""

    NONE = "none"
    NODATA = "nodata"
    MASK = "mask"
    ALPHA = "alpha"


@dataclass(frozen=True)
class Plan:
    """What an output is like.

    Attributes:
        size_px: Rows and columns.
        bands: Bands with colours.
        dtype: The type of its values.
        mark: What marks missing pixels.
        nodata: The nodata value; None if there is none.
        fill: What is written in place of missing pixels.
        opaque: The value of an alpha band where all is seen.
        notes: What could not be kept as it was.
    """

    size_px: tuple[int, int]
    bands: int
    dtype: np.dtype[Any]
    mark: Mark
    nodata: float | None
    fill: float
    opaque: float
    notes: tuple[str, ...]


def plan_output(source: Source, *, bands: int, dtype: np.dtype[Any], scale: int, picture: bool) -> Plan:
    """Decide how an output marks what the input lacks.

    Args:
        source: The input.
        bands: Bands with colours of the output.
        dtype: The type of its values.
        scale: How many times the rows and columns.
        picture: Whether it becomes a PNG, which holds no mask: then an alpha band stands for one.
    """
    notes = []
    nodata = None if picture else source.nodata
    if nodata is not None and not _holds(dtype, nodata):
        notes.append(f"the nodata value {nodata:g} is none of {dtype}; a mask marks missing pixels")
        nodata = None
    if source.alpha is not None:
        mark = Mark.ALPHA
    elif not source.may_lack_pixels:
        mark = Mark.NONE
    elif nodata is not None and not source.marks_whole:
        mark = Mark.NODATA
    else:
        mark = Mark.ALPHA if picture else Mark.MASK
    if mark is Mark.MASK and nodata is None and not source.marks_whole and not notes:
        notes.append("bands have nodata values of their own; a mask marks pixels that all bands lack")
    if picture and not source.dataset.transform.is_identity:
        notes.append("a PNG holds no georeference; give the picture as a GeoTIFF to keep it")
    if dtype.itemsize > np.dtype(np.float32).itemsize or (dtype.kind in "iu" and dtype.itemsize > 2):
        notes.append(f"values are {dtype} with the 24 bits of float32, in which enhancers calculate")
    if source.is_palette:
        notes.append("the palette is resolved to its colours")
    floats = dtype.kind == "f"
    fill = nodata if nodata is not None else (float("nan") if floats else 0.0)
    opaque = 1.0 if floats else float(np.iinfo(dtype).max)
    rows, columns = source.size_px
    return Plan((rows * scale, columns * scale), bands, dtype, mark, nodata, fill, opaque, tuple(notes))


class Output:
    """A TIFF that is written by windows.

    Args:
        dataset: It, open for writing.
        plan: What it is like.
        path: Where it is, for messages.
    """

    def __init__(self, dataset: rasterio.io.DatasetWriter, plan: Plan, path: Path) -> None:
        self._dataset = dataset
        self._plan = plan
        self._path = path

    def write(
        self, box: Box, picture: Pixels | None, known: npt.NDArray[np.bool_], alpha: npt.NDArray[Any] | None
    ) -> None:
        """Write a window.

        Args:
            box: Where, in pixels of the output.
            picture: (bands, rows, columns); None if no pixel of it is known.
            known: (bands, rows, columns), or (1, ...) for all bands: where values are not missing.
            alpha: (rows, columns), the alpha band; None to make one of what is known, where there must be one.

        Raises:
            OutputError: If it cannot be written.
        """
        plan, size = self._plan, box.size_px
        values = np.full((plan.bands, *size), plan.fill, plan.dtype)
        if picture is not None:
            found = to_dtype(picture, plan.dtype)
            if plan.nodata is not None:
                found = apart_from(found, plan.nodata)
            np.copyto(values, found, where=known)
        window = Window(box.columns.start, box.rows.start, box.columns.length, box.rows.length)
        numbers = list(range(1, plan.bands + 1))
        try:
            self._dataset.write(values, numbers, window=window)
            if plan.mark is Mark.ALPHA:
                seen = known.any(axis=0) * plan.opaque if alpha is None else alpha
                self._dataset.write(seen.astype(plan.dtype), plan.bands + 1, window=window)
            elif plan.mark is Mark.MASK:
                self._dataset.write_mask(known.any(axis=0), window=window)
        except GDAL_ERRORS as error:
            raise cannot_write(self._path, error) from error


@contextmanager
def writing(path: Path, source: Source, plan: Plan, *, scale: int, tags: dict[str, str]) -> Iterator[Output]:
    """Make a TIFF with the georeference, tags and bands of a source, to be filled by windows.

    Args:
        path: File to make.
        source: The input.
        plan: What the output is like.
        scale: How many times the input's rows and columns it has.
        tags: Tags to add.

    Raises:
        OutputError: If it cannot be written.
    """
    rows, columns = plan.size_px
    count = plan.bands + (plan.mark is Mark.ALPHA)
    colours = _colours(source, plan)
    is_rgb = set(colours[:3]) == {ColorInterp.red, ColorInterp.green, ColorInterp.blue}
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": rows,
        "width": columns,
        "count": count,
        "dtype": plan.dtype.name,
        "nodata": plan.nodata,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "compress": "deflate",
        "predictor": 2 if plan.dtype.kind in "iu" else 1,
        "bigtiff": "if_safer",
        "photometric": "rgb" if is_rgb and colours[0] == ColorInterp.red else "minisblack",
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset = rasterio.open(path, "w", **profile)
        except GDAL_ERRORS as error:
            raise cannot_write(path, error) from error
        try:
            dataset.colorinterp = colours
            _place(dataset, source, scale)
            _describe(dataset, source, plan)
            dataset.update_tags(**tags)
            yield Output(dataset, plan, path)
        except BaseException:
            with suppress(*GDAL_ERRORS):
                dataset.close()
            raise
        try:
            dataset.close()
        except GDAL_ERRORS as error:
            raise cannot_write(path, error) from error
    _check_readable(path)


def as_png(tiff: Path, png: Path) -> None:
    """Make a PNG of a TIFF, row by row; its tags become text chunks.

    Raises:
        OutputError: If it cannot be written.
    """
    try:
        with rasterio.Env(GDAL_PAM_ENABLED=False):
            rasterio.shutil.copy(tiff, png, driver="PNG", WRITE_METADATA_AS_TEXT="YES")
    except GDAL_ERRORS as error:
        raise cannot_write(png, error) from error


def apart_from(values: npt.NDArray[Any], nodata: float) -> npt.NDArray[Any]:
    """Move values that happen to be the nodata value by the least step, so that they are not taken for missing."""
    clash = values == nodata
    if not clash.any():
        return values
    if values.dtype.kind == "f":
        step = np.nextafter(values.dtype.type(nodata), values.dtype.type(0 if nodata else 1))
    else:
        step = values.dtype.type(int(nodata) + (1 if nodata < np.iinfo(values.dtype).max else -1))
    return np.where(clash, step, values)


def cannot_write(path: Path, error: Exception) -> OutputError:
    """Say that a file cannot be written."""
    return OutputError(
        "Cannot write",
        where=path,
        rule=str(error.__cause__ or error),
        action="Make room or make the folder writable, then give the same command again",
    )


def _check_readable(path: Path) -> None:
    """Read the last block: GDAL tells nobody if the disk was full when it closed a file."""
    try:
        with rasterio.open(path) as written:
            window = Window(written.width - 1, written.height - 1, 1, 1)
            written.read(window=window)
            written.read_masks(window=window)
    except GDAL_ERRORS as error:
        raise cannot_write(path, error) from error


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    if dtype.kind == "f":
        return bool(np.isnan(value)) or abs(value) <= np.finfo(dtype).max
    limits = np.iinfo(dtype)
    return bool(np.isfinite(value)) and float(value).is_integer() and limits.min <= value <= limits.max


def _colours(source: Source, plan: Plan) -> list[ColorInterp]:
    rgb = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    found = [source.dataset.colorinterp[number - 1] for number in source.numbers]
    if source.is_palette or (plan.bands != len(found) and plan.bands == len(rgb)):
        found = rgb
    elif plan.bands != len(found):
        found = [ColorInterp.gray] + [ColorInterp.undefined] * (plan.bands - 1)
    return found + [ColorInterp.alpha] * (plan.mark is Mark.ALPHA)


def _place(dataset: rasterio.io.DatasetWriter, source: Source, scale: int) -> None:
    """Give the output the place of the input; a picture that was turned upright has none."""
    low = source.dataset
    points, points_crs = low.gcps
    if source.turned:
        return
    if not low.transform.is_identity:
        dataset.transform = scaled_transform(low.transform, scale)
    elif points:
        dataset.gcps = (scaled_points(points, scale), points_crs)  # of their own CRS
    if low.crs is not None and (not points or not low.transform.is_identity):
        dataset.crs = low.crs
    if low.rpcs is not None:
        dataset.rpcs = scaled_rpcs(low.rpcs, scale)


def _describe(dataset: rasterio.io.DatasetWriter, source: Source, plan: Plan) -> None:
    """Keep tags, and what is said of bands where they are those of the input."""
    low = source.dataset
    dataset.update_tags(**_kept(low.tags()))
    for namespace in low.tag_namespaces():
        if namespace not in _OWN_NAMESPACES and not namespace.startswith("xml:"):
            dataset.update_tags(ns=namespace, **_kept(low.tags(ns=namespace)))
    if plan.bands != len(source.numbers):
        return
    numbers = [*source.numbers, *([source.alpha] if source.alpha is not None else [])]
    for place, number in enumerate(numbers, start=1):
        dataset.update_tags(place, **_kept(low.tags(number)))
        if low.descriptions[number - 1]:
            dataset.set_band_description(place, low.descriptions[number - 1])
        if low.units[number - 1]:
            dataset.set_band_unit(place, low.units[number - 1])
    more = dataset.count - len(numbers)
    dataset.scales = [low.scales[number - 1] for number in numbers] + [1.0] * more
    dataset.offsets = [low.offsets[number - 1] for number in numbers] + [0.0] * more


def _kept(tags: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not name.startswith(_DROPPED_TAGS)}
