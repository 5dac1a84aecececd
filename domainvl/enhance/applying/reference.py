"""A reference image on the grid of an input, window by window; never one so fine that it would be the truth.

A network that sees what its output should be only shows that it can copy: the published test script of SDAN did this.
So a reference must be coarser than the output.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as transform_points
from rasterio.windows import Window

from domainvl.enhance.applying.source import GDAL_ERRORS, Source
from domainvl.enhance.applying.tiles import Box
from domainvl.enhance.rasters import Raster, masked
from domainvl.errors import ItemError

_TRUTH_TOLERANCE = 0.99
"""A reference this share of the scale finer than the input counts as one of the output's pixel size."""
_ASPECT_TOLERANCE_PX = 1.5
"""How far the sides of a reference without georeference, brought to the input's size, may be from it."""
_ANY_PLANE = CRS.from_epsg(3857)
"""Stands for the plane of two pictures, for GDAL's warper wants a CRS; nothing is projected."""


class ReferenceGrid:
    """A reference image that is read on the grid of a source; close it when done.

    Args:
        path: The reference: a picture or a GeoTIFF.
        source: What it is the reference of.
        bands: Bands that it must have without alpha.
        scale: Scale of the enhancer.

    Raises:
        ItemError: If it cannot be opened, has other bands, lies elsewhere, is of another shape, or is as fine as the
            output.
    """

    def __init__(self, path: Path, source: Source, *, bands: int, scale: int) -> None:
        self._path = path
        try:
            self._dataset = rasterio.open(path)
        except GDAL_ERRORS as error:
            raise self._error("open", str(error.__cause__ or error), "Give a picture or a GeoTIFF") from error
        try:
            colours = self._dataset.colorinterp
            self._numbers = [n + 1 for n, colour in enumerate(colours) if colour != ColorInterp.alpha]
            if len(self._numbers) != bands or ColorInterp.palette in colours:
                found = "a palette" if ColorInterp.palette in colours else f"{len(self._numbers)} bands"
                raise self._error("bands", f"it has {found}, and {bands} are needed", "Give one of the output's bands")
            if Source(self._dataset, path).turned:
                raise self._error("turned", "its Exif orientation turns it", "Store it upright")
            self._grid = self._warped(source, scale)
        except (*GDAL_ERRORS, ValueError) as error:
            self._dataset.close()
            raise self._error("place", str(error.__cause__ or error), "Give one of the input's place") from error
        except BaseException:
            self._dataset.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._grid.close()
        self._dataset.close()

    def read(self, box: Box) -> Raster:
        """Read a window of the input's grid; it may hold no valid pixel.

        Raises:
            ItemError: If it cannot be decoded.
        """
        window = Window(box.columns.start, box.rows.start, box.columns.length, box.rows.length)
        try:
            values = self._grid.read(self._numbers, window=window)
            valid = self._grid.read(self._grid.count, window=window) > 0
        except GDAL_ERRORS as error:
            raise self._error("read", str(error.__cause__ or error), "Fetch it again; it is damaged") from error
        return masked(values, valid, self._dataset.dtypes[0])

    def _warped(self, source: Source, scale: int) -> WarpedVRT:
        rows, columns = source.size_px
        low = source.dataset
        if low.crs is not None and self._dataset.crs is not None and not low.transform.is_identity:
            finer = self._finer_by(low.transform, low.crs, source.size_px)
            crs, transform, placed = low.crs, low.transform, {}
        else:
            across, down = self._dataset.width / columns, self._dataset.height / rows
            finer = min(across, down)
            if abs(across - down) * min(rows, columns) > _ASPECT_TOLERANCE_PX * max(finer, 1.0):
                rule = f"it has {self._dataset.height} x {self._dataset.width} pixels, the input {rows} x {columns}"
                raise self._error("shape", rule, "Crop it to the input's field of view, or georeference both")
            crs, transform = _ANY_PLANE, Affine.identity()
            placed = {"src_crs": _ANY_PLANE, "src_transform": Affine.scale(1 / across, 1 / down)}
        self._refuse_truth(finer, scale)
        return WarpedVRT(
            self._dataset,
            crs=crs,
            transform=transform,
            width=columns,
            height=rows,
            resampling=Resampling.average if finer > 1 else Resampling.cubic,
            add_alpha=self._dataset.count == len(self._numbers),
            **placed,
        )

    def _finer_by(self, transform: Affine, crs: CRS, size_px: tuple[int, int]) -> float:
        """Return how many pixels of the reference are as long as one of the input, in the middle of the input."""
        rows, columns = size_px
        corners = [transform @ (columns / 2 + x, rows / 2 + y) for x, y in ((0, 0), (1, 0), (0, 1))]
        xs, ys = transform_points(crs, self._dataset.crs, [x for x, _ in corners], [y for _, y in corners])[:2]
        places = np.array([~self._dataset.transform @ place for place in zip(xs, ys, strict=True)])
        area = abs(float(np.linalg.det(places[1:] - places[0])))
        if not math.isfinite(area) or area == 0:
            raise self._error("place", "it cannot be brought to the input's CRS", "Give one of the input's place")
        return math.sqrt(area)

    def _refuse_truth(self, finer: float, scale: int) -> None:
        if finer >= scale * _TRUTH_TOLERANCE:
            raise self._error(
                "truth",
                f"its pixels are {finer:.3g} times as fine as the input's, and the output's {scale} times: "
                "the network would be shown what it should find",
                "Give a coarser reference; compare with a fine image by domainvl enhance eval",
            )

    def _error(self, reason: str, rule: str, action: str) -> ItemError:
        return ItemError(
            "Cannot use the reference", reason=f"reference-{reason}", where=self._path, rule=rule, action=action
        )
