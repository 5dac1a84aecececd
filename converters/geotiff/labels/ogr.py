"""Reads vector files through GDAL; whatever is wrong with one becomes an error of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError

_HINTS = ("; It might help to specify", "It might help to specify")
"""Where GDAL begins to advise how to name a driver, which nobody can do here."""


def list_layers(path: Path, uri: str) -> list[str]:
    """Return the names of the layers.

    Raises:
        ItemError: If the file cannot be read.
    """
    import pyogrio

    with ogr_errors(path, uri):
        return [str(name) for name, _ in pyogrio.list_layers(gdal_path(path))]


def read_info(path: Path, uri: str, layer: str | None) -> dict[str, Any]:
    """Return what a layer says about itself, its features counted and the box around them found.

    Raises:
        ItemError: If the file cannot be read.
    """
    import pyogrio

    with ogr_errors(path, uri):
        found: dict[str, Any] = pyogrio.read_info(
            gdal_path(path), layer=layer, force_feature_count=True, force_total_bounds=True
        )
    return found


def read_boxes(path: Path, uri: str, layer: str | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the ids of all features and the boxes around them, shape (n, 4).

    A feature without geometry has a box of NaN, and one with an empty geometry one of zeros.

    Raises:
        ItemError: If the file cannot be read.
    """
    import pyogrio

    with ogr_errors(path, uri):
        fids, bounds = pyogrio.read_bounds(gdal_path(path), layer=layer)
    return fids, bounds.T


def read_raw(
    path: Path, uri: str, **options: Any
) -> tuple[dict[str, Any], npt.NDArray[np.int64], npt.NDArray[Any] | None, list[npt.NDArray[Any]]]:
    """Read features as ``pyogrio.raw.read`` does: what the layer says, ids, geometries as WKB, and a column a field.

    Raises:
        ItemError: If the file cannot be read.
    """
    import pyogrio

    with ogr_errors(path, uri):
        meta, fids, geometries, fields = pyogrio.raw.read(gdal_path(path), return_fids=True, force_2d=True, **options)
    return meta, fids, geometries, fields


@contextmanager
def ogr_errors(path: Path, uri: str) -> Iterator[None]:
    """Turn what pyogrio raises about a file into an error that names the file as ``uri``, not by its path.

    Raises:
        ItemError: If the file cannot be read.
    """
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        yield
    except (DataSourceError, DataLayerError) as error:  # of the second, all other errors of pyogrio are kinds
        message = str(error)
        for hint in _HINTS:
            message = message.partition(hint)[0]
        for name in (gdal_path(path), path.resolve(), path):
            message = message.replace(f"/vsizip/{name}", uri).replace(str(name), uri)
        raise ItemError(
            "Cannot read labels",
            reason="label-read",
            where=uri,
            rule=message.strip() or "it cannot be read",
            action="Check the file; GeoJSON, Shapefile, zipped Shapefile, GeoPackage and FlatGeobuf are read",
        ) from error


def gdal_path(path: Path) -> str | Path:
    """Return how GDAL names a file: in an archive, the folder in which its one Shapefile lies."""
    if path.suffix.lower() != ".zip":
        return path
    try:
        with ZipFile(path) as archive:
            shapefiles = [name for name in archive.namelist() if name.lower().endswith(".shp")]
    except (BadZipFile, OSError):
        return path  # GDAL says what is wrong with it
    folders = {name.rpartition("/")[0] for name in shapefiles if not name.startswith("__MACOSX/")}
    if len(folders) != 1 or folders == {""}:
        return path
    return f"/vsizip/{path.resolve()}/{folders.pop()}"
