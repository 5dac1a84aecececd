"""Opens a file as if it were stored on another grid; GDAL warps what is read, and nothing else.

Validity is warped along, whatever states it, into an alpha band. Values are never taken for it afterwards: a warped
block without any valid pixel may come back filled with the source's nodata value (rasterio 3320).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT

from domainvl.errors import ItemError

from .georeference import SceneGrid, StoredPixels
from .products.metadata import parse_xml
from .settings import NodataRule

_BLOCK_PX = 512


@contextmanager
def open_warped(
    dataset: rasterio.DatasetReader,
    stored: StoredPixels,
    grid: SceneGrid,
    nodata: NodataRule | None,
    resampling: Resampling | None,
) -> Iterator[tuple[rasterio.DatasetReader, int]]:
    """Open a file on a grid.

    Args:
        dataset: The file.
        stored: Its pixels.
        grid: The grid.
        nodata: What marks missing pixels instead of what the file says.
        resampling: How pixels are warped; None for average where they become much larger and bilinear else.

    Yields:
        A dataset with the bands of the file, and the number of the band that is above 0 where they are valid.

    Raises:
        ItemError: If file or grid has no georeference.
    """
    if not grid.is_georeferenced or stored.crs is None:
        raise ItemError(
            "Cannot bring a band to the grid of its scene",
            reason="no-crs",
            where=Path(dataset.name).name,
            rule="it has no georeference, and its size is another",
            action="Write the georeference into the file, with gdal_edit",
        )
    if nodata is not None:
        with (
            _without_mask(dataset) as bare,
            _open(bare, stored, grid, resampling, None, src_nodata=nodata.value) as opened,
        ):
            yield opened
        return
    alpha = next((n for n in dataset.indexes if dataset.colorinterp[n - 1] is ColorInterp.alpha), None)
    options: dict[str, Any] = {}
    if dataset.nodata is None and alpha is None and np.dtype(dataset.dtypes[0]).kind == "f":
        options["src_nodata"] = float("nan")  # else one NaN spreads over its neighbours
    with _open(dataset, stored, grid, resampling, alpha, **options) as opened:
        yield opened


@contextmanager
def _open(
    dataset: rasterio.DatasetReader,
    stored: StoredPixels,
    grid: SceneGrid,
    resampling: Resampling | None,
    alpha: int | None,
    **options: Any,
) -> Iterator[tuple[rasterio.DatasetReader, int]]:
    options |= {"src_alpha": alpha} if alpha else {"add_alpha": True}
    options["crs"] = grid.crs
    # Not "or": the nearest one is number 0.
    options["resampling"] = choose_resampling(stored, grid) if resampling is None else resampling
    # As of a file's own mask: a pixel is missing where all bands are.
    options["UNIFIED_SRC_NODATA"] = "YES"
    if stored.transform is None:
        with _placed_by_points(dataset, stored, grid, options) as warped:
            yield warped, alpha or warped.count
        return
    size = {"transform": grid.transform, "width": grid.width_px, "height": grid.height_px}
    with WarpedVRT(dataset, **size, **options) as warped:
        yield warped, alpha or warped.count


@contextmanager
def _without_mask(dataset: rasterio.DatasetReader) -> Iterator[rasterio.DatasetReader]:
    """Open a file without what it says itself about missing pixels, which GDAL would mix with what the user says."""
    with MemoryFile(ext=".vrt") as memory:
        copy(dataset, memory.name, driver="VRT")
        described = parse_xml(bytes(memory.getbuffer()), dataset.name)
    if len(dataset.indexes) > 1 and dataset.colorinterp[-1] is ColorInterp.alpha:
        described.remove(described.findall("VRTRasterBand")[-1])  # it never has the value that the others have
    for parent in (described, *described.findall("VRTRasterBand")):
        for child in list(parent):
            if child.tag in ("MaskBand", "NoDataValue"):
                parent.remove(child)
    with rasterio.open(ElementTree.tostring(described, encoding="unicode")) as bare:
        yield bare


@contextmanager
def _placed_by_points(
    dataset: rasterio.DatasetReader, stored: StoredPixels, grid: SceneGrid, options: dict[str, Any]
) -> Iterator[rasterio.DatasetReader]:
    """Open a file that only ground control points place.

    rasterio's WarpedVRT passes over them where it is told the grid. So GDAL chooses one, and its description of that is
    changed to the grid that is wanted.
    """
    method = "GCP_TPS" if stored.takes_splines else "GCP_POLYNOMIAL"
    with WarpedVRT(dataset, METHOD=method, **options) as chosen:
        described = parse_xml(chosen.tags(ns="xml:VRT")["xml:VRT"].encode(), dataset.name)
    transform = grid.transform or Affine.identity()
    texts = {
        "GeoTransform": transform,
        "GDALWarpOptions/Transformer//DstGeoTransform": transform,
        "GDALWarpOptions/Transformer//DstInvGeoTransform": ~transform,
    }
    for path, affine in texts.items():
        _only(described, path).text = ", ".join(f"{value:.17g}" for value in affine.to_gdal())
    for name, side_px in (("XSize", grid.width_px), ("YSize", grid.height_px)):
        described.set(f"raster{name}", str(side_px))
        _only(described, f"Block{name}").text = str(min(side_px, _BLOCK_PX))
    with rasterio.open(ElementTree.tostring(described, encoding="unicode")) as warped:
        yield warped


def _only(root: ElementTree.Element, path: str) -> ElementTree.Element:
    found = root.findall(path)
    if len(found) != 1:
        raise ValueError(f"GDAL describes a warped dataset with {len(found)} elements {path}, one was expected")
    return found[0]


def choose_resampling(stored: StoredPixels, grid: SceneGrid) -> Resampling:
    """Return average where a pixel of the grid covers more than two stored ones along a side, else bilinear."""
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]) + np.array([grid.width_px / 2, grid.height_px / 2])
    if stored.transform is None or grid.crs is None or stored.crs is None:
        return Resampling.bilinear
    back = SceneGrid(stored.width_px, stored.height_px, stored.crs, stored.transform, stored, Affine.identity())
    middle, right, below = back.from_map(grid.to_map(corners), grid.crs)
    area_px = abs((right[0] - middle[0]) * (below[1] - middle[1]) - (right[1] - middle[1]) * (below[0] - middle[0]))
    return Resampling.average if area_px > 4.0 else Resampling.bilinear
