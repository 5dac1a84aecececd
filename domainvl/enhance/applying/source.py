"""Reads windows of a picture or a GeoTIFF of any size, with what marks its missing pixels, the way up it is shown."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image
from PIL.ExifTags import Base
from rasterio._err import CPLE_BaseError  # what rasterio lets through from GDAL has no public name
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window
from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]

from domainvl.enhance.applying.tiles import Box, Span
from domainvl.enhance.rasters import Mask, Raster
from domainvl.errors import ItemError

CACHE_BYTES = 256 << 20
"""GDAL's block cache; its default is a share of the machine's memory."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError)
"""What reading and writing through rasterio raises."""

_SAMPLED, _SAMPLE_PX = 4, 32
"""Windows of a sample on either side of the input, and their side."""

_WAYS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""Values of the Exif tag Orientation: whether rows and columns of the file are exchanged, then rows and columns turned
round, to show it upright (CIPA DC-008, 4.6.4)."""


@dataclass(frozen=True)
class Part:
    """A window of a source.

    Attributes:
        raster: Its colour bands; valid where any of them is, and where single ones are not they hold the nearest value.
        known: (bands, rows, columns), where each band has a value of its own.
        alpha: (rows, columns), the alpha band; None where there is none.
    """

    raster: Raster
    known: npt.NDArray[np.bool_]
    alpha: npt.NDArray[Any] | None


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a picture or a GeoTIFF for reading by windows.

    Raises:
        ItemError: If it cannot be opened, is complex or has no band with colours.
    """
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            dataset = rasterio.open(path)
        except GDAL_ERRORS as error:
            raise ItemError(
                "Cannot open",
                reason="open",
                where=path,
                rule=str(error.__cause__ or error),
                action="Give a picture or a raster that GDAL reads",
            ) from error
        with dataset:
            yield Source(dataset, path)


class Source:
    """An open picture or GeoTIFF.

    Args:
        dataset: The open file.
        path: Its path, for messages.

    Attributes:
        dataset: The open file.
        path: Its path.
        size_px: Rows and columns as it is shown.
        dtype: The type of its values; that of colours where it has a palette.
        numbers: The bands with colours, from 1; all but alpha.
        alpha: The alpha band, from 1.
        is_palette: Whether its one band holds indices of colours.
        bands: Bands that are read: 3 for a palette.
        turned: Whether the Exif orientation turns it.
        marks_whole: Whether pixels are missing in all bands at once (a mask, a palette's transparent colours).
    """

    def __init__(self, dataset: rasterio.DatasetReader, path: Path) -> None:
        self.dataset = dataset
        self.path = path
        colours = dataset.colorinterp
        self.alpha = next((n + 1 for n, colour in enumerate(colours) if colour == ColorInterp.alpha), None)
        self.numbers = [n + 1 for n, colour in enumerate(colours) if colour != ColorInterp.alpha]
        self._check_kind()
        self.is_palette = [colours[n - 1] for n in self.numbers] == [ColorInterp.palette]
        self._palette = _palette(dataset) if self.is_palette else None
        self.bands = 3 if self.is_palette else len(self.numbers)
        stored = np.result_type(*(dataset.dtypes[n - 1] for n in self.numbers))
        self.dtype: np.dtype[Any] = np.dtype(np.uint8) if self.is_palette else stored
        self._way = _WAYS.get(_orientation(path) if dataset.transform.is_identity else 1, _WAYS[1])
        self.turned = self._way != _WAYS[1]
        rows, columns = dataset.shape
        self.size_px: tuple[int, int] = (columns, rows) if self._way[0] else (rows, columns)
        flags = [set(dataset.mask_flag_enums[n - 1]) for n in self.numbers]
        self._all_valid = all(MaskFlags.all_valid in one for one in flags)
        by_file = any(MaskFlags.per_dataset in one for one in flags) and self.alpha is None
        transparent = self._palette is not None and bool((self._palette[:, 3] == 0).any())
        self.marks_whole = by_file or transparent or (self.is_palette and not self._all_valid)

    @property
    def nodata(self) -> float | None:
        """The value that marks missing pixels, if all bands with colours have the same one and hold no indices."""
        values = {repr(self.dataset.nodatavals[n - 1]) for n in self.numbers}
        return self.dataset.nodatavals[self.numbers[0] - 1] if len(values) == 1 and not self.is_palette else None

    @property
    def may_lack_pixels(self) -> bool:
        """Whether anything in the file, values that are not finite apart, can mark pixels as missing."""
        return not self._all_valid or self.marks_whole or self.alpha is not None

    def read(self, box: Box) -> Part:
        """Read a window.

        Args:
            box: Rows and columns of the picture as it is shown, all within it.

        Raises:
            ItemError: If it cannot be decoded.
        """
        window = self._stored(box)
        try:
            values = self._upright(self.dataset.read(self.numbers, window=window))
            alpha = None if self.alpha is None else self._upright(self.dataset.read([self.alpha], window=window))[0]
            known = self._known(values, alpha, window)
        except GDAL_ERRORS as error:
            raise ItemError(
                "Cannot read",
                reason="read",
                where=f"{self.path}, rows {box.rows.start} to {box.rows.stop}, "
                f"columns {box.columns.start} to {box.columns.stop}",
                rule=str(error.__cause__ or error),
                action="Fetch the file again; a part of it is damaged",
            ) from error
        if self._palette is not None:
            colours = self._palette[np.minimum(values[0].astype(np.intp), len(self._palette) - 1)]
            values = np.moveaxis(colours[..., :3], -1, 0)
            known = np.repeat(known & (colours[None, ..., 3] > 0), 3, axis=0)
        pixels = values.astype(np.float32)
        known = known & np.isfinite(pixels)
        return Part(Raster(_without_gaps(pixels, known), np.asarray(known.any(axis=0)), self.dtype), known, alpha)

    def sample(self) -> npt.NDArray[np.float32]:
        """Return the valid values, of all bands in one row, of small windows spread evenly over it.

        Raises:
            ItemError: If one cannot be decoded.
        """
        rows, columns = (_spread(length) for length in self.size_px)
        parts = [self.read(Box(row, column)) for row in rows for column in columns]
        return np.concatenate([part.raster.pixels[part.known] for part in parts])

    def _known(self, values: npt.NDArray[Any], alpha: npt.NDArray[Any] | None, window: Window) -> npt.NDArray[np.bool_]:
        if alpha is None:
            if self._all_valid:
                return np.ones(values.shape, bool)
            return self._upright(self.dataset.read_masks(self.numbers, window=window)) > 0
        # GDAL scales an alpha band of 16 bits to 8, and what is nearly transparent to nothing.
        known = np.repeat((alpha > 0)[None], len(values), axis=0)
        for band, number in enumerate(self.numbers):
            nodata = self.dataset.nodatavals[number - 1]
            if nodata is not None:
                known[band] &= values[band] != nodata
        return known

    def _stored(self, box: Box) -> Window:
        """Return a window of the upright picture as one of the file."""
        exchanged, rows_turned, columns_turned = self._way
        rows = _turned(box.rows, self.size_px[0]) if rows_turned else box.rows
        columns = _turned(box.columns, self.size_px[1]) if columns_turned else box.columns
        if exchanged:
            rows, columns = columns, rows
        return Window(columns.start, rows.start, columns.length, rows.length)

    def _upright(self, planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        exchanged, rows_turned, columns_turned = self._way
        upright = planes.swapaxes(1, 2) if exchanged else planes
        return upright[:, :: -1 if rows_turned else 1, :: -1 if columns_turned else 1]

    def _check_kind(self) -> None:
        rule = None
        if not self.numbers:
            rule = "it has no band but alpha"
        elif any(self.dataset.dtypes[n - 1].startswith("complex") for n in self.numbers):
            rule = "its values are complex"
        if rule is not None:
            raise ItemError("Cannot enhance", reason="kind", where=self.path, rule=rule, action="Give amplitudes")


def _spread(length_px: int) -> list[Span]:
    """Return short spans in the middles of equal parts of a side."""
    middles = {length_px * (2 * part + 1) // (2 * _SAMPLED) for part in range(_SAMPLED)}
    half = _SAMPLE_PX // 2
    return [Span(max(0, middle - half), min(length_px, middle + half)) for middle in sorted(middles)]


def _turned(span: Span, length_px: int) -> Span:
    return Span(length_px - span.stop, length_px - span.start)


def _orientation(path: Path) -> int:
    """Read the orientation of a picture; what Pillow does not read has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that would be too large to decode: nothing is decoded
            with Image.open(path) as picture:
                return int(picture.getexif().get(Base.Orientation, 1))
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return 1


def _palette(dataset: rasterio.DatasetReader) -> npt.NDArray[np.uint8]:
    """Return the colours of a palette, (indices, 4); indices that it lacks are transparent."""
    colours: dict[int, tuple[int, int, int, int]] = dataset.colormap(1)
    table = np.zeros((max(colours, default=0) + 2, 4), np.uint8)
    for index, colour in colours.items():
        table[index] = colour
    return table


def _without_gaps(pixels: npt.NDArray[np.float32], known: Mask) -> npt.NDArray[np.float32]:
    """Fill what single bands lack with the nearest value of the band, and what all bands lack with 0."""
    whole = known.all(axis=0)
    anywhere = known.any(axis=0)
    filled = np.where(known, pixels, np.float32(0))
    if (whole == anywhere).all():
        return filled
    for band in np.flatnonzero((~known & anywhere).any(axis=(1, 2))):
        if known[band].any():
            places = distance_transform_edt(~known[band], return_distances=False, return_indices=True)
            filled[band] = np.where(anywhere, filled[band][tuple(places)], np.float32(0))
    return filled
