"""Opens a file as if it were stored on another grid; GDAL warps what is read, and nothing else.

Validity is warped along, whatever states it, into an alpha band. Values are never taken for it afterwards: a warped
block without any valid pixel may come back filled with the source's nodata value (rasterio 3320).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from domainvl.errors import ItemError

from .georeference import SceneGrid, StoredPixels
from .products.metadata import parse_xml
from .settings import NodataRule
from .validity import MaskPlane, mask_planes

_BLOCK_PX = 512

_GDAL_TYPES: Mapping[str, str] = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
    "complex_int16": "CInt16",
    "complex64": "CFloat32",
    "complex128": "CFloat64",
}
"""GDAL's names of the types of pixels, by those of rasterio."""


@contextmanager
def open_warped(
    dataset: rasterio.DatasetReader,
    numbers: Sequence[int],
    stored: StoredPixels,
    grid: SceneGrid,
    nodata: NodataRule | None,
    resampling: Resampling | None,
) -> Iterator[rasterio.DatasetReader]:
    """Open some bands of a file on a grid; GDAL would warp all bands of what it is given.

    Args:
        dataset: The file.
        numbers: The bands, from 1.
        stored: Its pixels.
        grid: The grid.
        nodata: What marks missing pixels instead of what the file says.
        resampling: How pixels are warped; None for average where they become much larger and bilinear else.

    Yields:
        A dataset with these bands in this order, and as its last one a band that is above 0 where they are valid.

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
    planes = mask_planes(dataset, numbers) if nodata is None else ()
    options: dict[str, Any] = {"add_alpha": True, "crs": grid.crs}
    if nodata is not None:
        # A pixel is missing where all of the bands are, as in what is read without warping.
        options |= {"src_nodata": nodata.value, "UNIFIED_SRC_NODATA": "YES"}
    elif not planes and np.dtype(dataset.dtypes[numbers[0] - 1]).kind == "f":
        # Else one NaN spreads over its neighbours.
        options |= {"src_nodata": float("nan"), "UNIFIED_SRC_NODATA": "YES"}
    # Not "or": the nearest one is number 0.
    options["resampling"] = choose_resampling(stored, grid) if resampling is None else resampling
    with rasterio.open(_describe(dataset, numbers, stored, planes)) as chosen:
        if stored.transform is None:
            with _placed_by_points(chosen, stored, grid, options) as warped:
                yield warped
        else:
            size = {"transform": grid.transform, "width": grid.width_px, "height": grid.height_px}
            with WarpedVRT(chosen, **size, **options) as warped:
                yield warped


def _describe(
    dataset: rasterio.DatasetReader, numbers: Sequence[int], stored: StoredPixels, planes: Sequence[MaskPlane]
) -> str:
    """Describe some bands of a file as a virtual raster, with these planes as the mask of them all (GDAL, VRT driver).

    Nothing else that the file says about missing pixels is in it: GDAL would mix all that it finds.
    """
    size = {"rasterXSize": str(dataset.width), "rasterYSize": str(dataset.height)}
    root = ElementTree.Element("VRTDataset", size)
    _add_place(root, stored)
    for count, number in enumerate(numbers, start=1):
        dtype = _GDAL_TYPES[dataset.dtypes[number - 1]]
        band = ElementTree.SubElement(root, "VRTRasterBand", {"dataType": dtype, "band": str(count)})
        _add_source(band, dataset, str(number))
    if planes:
        mask = ElementTree.SubElement(ElementTree.SubElement(root, "MaskBand"), "VRTRasterBand", {"dataType": "Byte"})
        if len(planes) > 1:  # 255 and 255 is 255 in a byte, so the sum tells whether any is above 0
            mask.set("subClass", "VRTDerivedRasterBand")
            ElementTree.SubElement(mask, "PixelFunctionType").text = "sum"
        for plane in planes:
            _add_source(mask, dataset, plane.source_band)
    return ElementTree.tostring(root, encoding="unicode")


def _add_place(root: ElementTree.Element, stored: StoredPixels) -> None:
    """Say where the pixels lie: by a geotransform, or by control points where there is none."""
    wkt = "" if stored.crs is None else str(stored.crs.to_wkt())
    if stored.transform is not None:
        ElementTree.SubElement(root, "SRS").text = wkt
        ElementTree.SubElement(root, "GeoTransform").text = _numbers(stored.transform)
        return
    points = ElementTree.SubElement(root, "GCPList", {"Projection": wkt})
    for count, point in enumerate(stored.gcps, start=1):
        place = {"Pixel": point.col, "Line": point.row, "X": point.x, "Y": point.y, "Z": point.z or 0.0}
        attributes = {"Id": str(count)} | {name: f"{value:.17g}" for name, value in place.items()}
        ElementTree.SubElement(points, "GCP", attributes)


def _add_source(band: ElementTree.Element, dataset: rasterio.DatasetReader, source_band: str) -> None:
    source = ElementTree.SubElement(band, "SimpleSource")
    ElementTree.SubElement(source, "SourceFilename", {"relativeToVRT": "0"}).text = dataset.name
    ElementTree.SubElement(source, "SourceBand").text = source_band


def _numbers(transform: Affine) -> str:
    return ", ".join(f"{value:.17g}" for value in transform.to_gdal())


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
        _only(described, path).text = _numbers(affine)
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
