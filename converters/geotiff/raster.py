"""Opens scenes and reads windows of them, each with the mask of its valid pixels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window

from domainvl.errors import ItemError

from .settings import NodataRule

CACHE_BYTES = 256 << 20
"""GDAL's block cache; its default is a share of the machine's memory in every process."""

Pixels: TypeAlias = npt.NDArray[Any]
"""Stored values, shape (bands, height, width)."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""True where a pixel is valid, shape (height, width)."""

_NumberT = TypeVar("_NumberT", float, npt.NDArray[np.float64])


@contextmanager
def open_scene(path: Path, uri: str) -> Iterator[rasterio.DatasetReader]:
    """Open a scene.

    Args:
        path: The file.
        uri: The name by which a message may mention it.

    Raises:
        ItemError: If it is no raster.
    """
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), warnings.catch_warnings():
        # A scene without georeference is dealt with where it matters: labels in a CRS need one, a CSV does not.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            dataset = rasterio.open(path)
        except RasterioIOError as error:
            raise ItemError(
                "Cannot open a scene",
                reason="scene-open",
                where=uri,
                rule=_cause(error, path, uri),
                action="Fetch the file again; it is incomplete or no GeoTIFF",
            ) from error
        with dataset:
            yield dataset


def read_window(
    dataset: rasterio.DatasetReader, bands: Sequence[int], window: Window, *, nodata: NodataRule | None, uri: str
) -> tuple[Pixels, Mask]:
    """Read one window; nothing but its blocks is decoded.

    A pixel is valid where the file's own mask says so (alpha band, internal mask, ``.msk`` file or nodata value,
    in this order; with a nodata value, where any band has another value) and every band read is finite.

    Args:
        dataset: The open scene.
        bands: Band numbers from 1.
        window: Columns and rows, inside the scene.
        nodata: What marks missing pixels instead of the file's own mask.
        uri: Name of the scene in messages.

    Returns:
        The stored values and the mask.

    Raises:
        ItemError: If a block cannot be decoded.
    """
    try:
        pixels = dataset.read(list(bands), window=window)
        valid = _file_mask(dataset, window) if nodata is None else _override_mask(pixels, nodata)
    except RasterioIOError as error:
        raise ItemError(
            "Cannot read a part of a scene",
            reason="scene-read",
            where=f"{uri}, columns {window.col_off} to {window.col_off + window.width}, "
            f"rows {window.row_off} to {window.row_off + window.height}",
            rule=_cause(error, Path(dataset.name), uri),
            action="Fetch the file again; a block of it is damaged",
        ) from error
    if pixels.dtype.kind == "f":
        valid = valid & np.isfinite(pixels).all(axis=0)
    return pixels, valid


def _file_mask(dataset: rasterio.DatasetReader, window: Window) -> Mask:
    if all(flags == [MaskFlags.all_valid] for flags in dataset.mask_flag_enums):
        return np.ones((window.height, window.width), dtype=bool)
    mask: Mask = dataset.dataset_mask(window=window) > 0
    return mask


def _override_mask(pixels: Pixels, nodata: NodataRule) -> Mask:
    if nodata.value is None:
        return np.ones(pixels.shape[1:], dtype=bool)
    # NaN equals nothing; where it is named, the test for finite values finds it.
    return np.asarray((pixels != nodata.value).any(axis=0))


def apply_affine(transform: Affine, x: _NumberT, y: _NumberT) -> tuple[_NumberT, _NumberT]:
    """Bring pixels to the ground with a geotransform, or the ground to pixels with its inverse; arrays too."""
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def describe_crs(crs: CRS) -> str:
    """Name a CRS as ``EPSG:n`` where it is exactly that, else by its WKT."""
    code = crs.to_epsg(confidence_threshold=100)
    return str(crs.to_wkt()) if code is None else f"EPSG:{code}"


def ground_sampling_m(dataset: rasterio.DatasetReader) -> float | None:
    """Return the side of a pixel of equal area in metres, or None where the CRS is not projected."""
    if dataset.crs is None or not dataset.crs.is_projected:
        return None
    _, unit_m = dataset.crs.linear_units_factor
    return math.sqrt(abs(dataset.transform.determinant)) * float(unit_m)


def _cause(error: RasterioIOError, path: Path, uri: str) -> str:
    # The local folder must not enter the data set, which is the same wherever its input lies.
    return str(error.__cause__ or error).replace(str(path), uri)
