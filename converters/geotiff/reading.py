"""Opens scenes and reads windows of their grid, each with the mask of its valid pixels.

Nothing but the blocks of a window is ever decoded. Files whose pixels lie on the lattice of the grid are read as they
are, mirrored where north is not up; others are warped on the fly, and their mask with them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window

from domainvl.errors import ItemError

from .georeference import LEAST_POINTS, SceneGrid, StoredPixels
from .products import Band, Product
from .settings import NodataRule
from .validity import Mask, mask_planes, read_mask
from .warping import open_warped

__all__ = ["GridReader", "Mask", "OpenProduct", "Pixels", "WindowReader", "intersection", "open_product"]

CACHE_BYTES = 256 << 20
"""GDAL's block cache; its default is a share of the machine's memory in every process."""

LATTICE_TOLERANCE_PX = 0.01
"""Files whose corners lie this close to whole pixels of the grid are read without resampling."""

Pixels: TypeAlias = npt.NDArray[Any]
"""Stored values, shape (bands, height, width)."""

_T = TypeVar("_T")


@contextmanager
def open_product(product: Product) -> Iterator[OpenProduct]:
    """Open a scene; its files are opened when they are needed, and closed at the end.

    Args:
        product: The scene.
    """
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), warnings.catch_warnings(), ExitStack() as stack:
        # A scene without georeference is dealt with where it matters: labels in a CRS need one, a CSV does not.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield OpenProduct(product, stack)


class OpenProduct:
    """A scene whose files can be read.

    Args:
        product: The scene.
        stack: Closes its files.
    """

    def __init__(self, product: Product, stack: ExitStack) -> None:
        self.product = product
        self._stack = stack
        self._datasets: dict[str, rasterio.DatasetReader] = {}

    @property
    def uri(self) -> str:
        """Name of the scene in messages."""
        return self.product.uri

    def dataset(self, path: str) -> rasterio.DatasetReader:
        """Return one of its files, open.

        Raises:
            ItemError: If it is no raster.
        """
        if path not in self._datasets:
            try:
                opened = rasterio.open(self.product.locate(path))
            except RasterioIOError as error:
                raise ItemError(
                    "Cannot open a scene",
                    reason="scene-open",
                    where=self.name_of(path),
                    rule=self.cause(error),
                    action="Fetch the file again; it is incomplete or no raster that GDAL reads",
                ) from error
            self._datasets[path] = self.keep_open(opened)
        return self._datasets[path]

    def keep_open(self, context: AbstractContextManager[_T]) -> _T:
        """Enter a context that ends when the scene is closed."""
        return self._stack.enter_context(context)

    def name_of(self, path: str) -> str:
        """Return the name under which a message may mention one of its files."""
        return next((uri for uri, local in self.product.files if local == path), self.uri)

    def cause(self, error: RasterioIOError) -> str:
        """Return what GDAL says, without the folders of this machine."""
        return self.product.without_folders(str(error.__cause__ or error))

    def stored_pixels(self, path: str) -> StoredPixels:
        """Describe the pixels of a file; one that only rational polynomials place counts as not georeferenced."""
        dataset = self.dataset(path)
        points, points_crs = dataset.gcps
        crs, transform = dataset.crs, dataset.transform
        if transform.is_identity and len(points) >= LEAST_POINTS:
            crs, transform = points_crs, None
        elif transform.is_identity:
            transform = None
        gcps = tuple(points) if transform is None and crs is not None else ()
        has_rpcs = transform is None and not gcps and dataset.rpcs is not None
        return StoredPixels(dataset.width, dataset.height, crs, transform, gcps, has_rpcs)

    def reader(self, grid: SceneGrid, *, nodata: NodataRule | None, resampling: Resampling | None) -> GridReader:
        """Return what reads windows of a grid.

        Args:
            grid: The grid.
            nodata: What marks missing pixels instead of what the files say.
            resampling: How pixels are warped, where they must be; None for average where they become much larger and
                bilinear else.
        """
        return GridReader(self, grid, nodata, resampling)


class WindowReader(Protocol):
    """Reads windows of a grid, whatever its pixels are made of."""

    grid: SceneGrid

    def read(self, bands: Sequence[Band], window: Window) -> tuple[list[npt.NDArray[Any]], Mask]:
        """Read one window, see :meth:`GridReader.read`."""
        ...


class _Source(Protocol):
    """Some bands of one file."""

    def read(self, window: Window) -> tuple[Pixels, Mask]: ...


class GridReader:
    """Reads bands of a scene on a grid.

    Args:
        opened: The open scene.
        grid: The grid.
        nodata: What marks missing pixels instead of what the files say.
        resampling: How pixels are warped.
    """

    def __init__(
        self, opened: OpenProduct, grid: SceneGrid, nodata: NodataRule | None, resampling: Resampling | None
    ) -> None:
        self.grid = grid
        self._opened = opened
        self._nodata = nodata
        self._resampling = resampling
        self._sources: dict[tuple[str, tuple[int, ...]], _Source] = {}

    def read(self, bands: Sequence[Band], window: Window) -> tuple[list[npt.NDArray[Any]], Mask]:
        """Read one window.

        A pixel is valid where each file that is read says so, where it lies in the file, and where every band read is
        finite. A file says it by a mask of the whole file or its alpha band, else by nodata values: then a pixel is
        valid where any of the bands read has another value than its own. Bands that are not read say nothing.

        Args:
            bands: The bands.
            window: Columns and rows of the grid; what lies outside the grid is not valid.

        Returns:
            For each band the stored values, shape (height, width), and the mask.

        Raises:
            ItemError: If a block cannot be decoded.
        """
        planes: list[npt.NDArray[Any] | None] = [None] * len(bands)
        valid: Mask | None = None
        for path in dict.fromkeys(band.path for band in bands):
            places = [place for place, band in enumerate(bands) if band.path == path]
            pixels, of_file = self._read_file(path, [bands[place] for place in places], window)
            valid = of_file if valid is None else valid & of_file
            for place, plane in zip(places, pixels, strict=True):
                planes[place] = plane
                if plane.dtype.kind == "f":
                    valid = valid & np.isfinite(plane)
        if valid is None:
            raise ValueError("no band was named")
        return [plane for plane in planes if plane is not None], valid

    def _read_file(self, path: str, bands: Sequence[Band], window: Window) -> tuple[Pixels, Mask]:
        key = path, tuple(band.number for band in bands)
        try:
            if key not in self._sources:
                self._sources[key] = self._open(*key, bands[0].nodata)
            return self._sources[key].read(window)
        except RasterioIOError as error:
            _forget_gdal_error()
            raise ItemError(
                "Cannot read a part of a scene",
                reason="scene-read",
                where=f"{self._opened.name_of(path)}, columns {window.col_off} to {window.col_off + window.width}, "
                f"rows {window.row_off} to {window.row_off + window.height}",
                rule=self._opened.cause(error),
                action="Fetch the file again; a block of it is damaged",
            ) from error

    def _open(self, path: str, numbers: tuple[int, ...], stated_nodata: float | None) -> _Source:
        dataset, stored = self._opened.dataset(path), self._opened.stored_pixels(path)
        rule = self._nodata
        if rule is None and stated_nodata is not None:
            rule = NodataRule(stated_nodata)
        lattice = _on_lattice(stored, self.grid)
        if lattice is not None:
            return _StoredSource(dataset, numbers, lattice, rule)
        warped = open_warped(dataset, numbers, stored, self.grid, rule, self._resampling)
        return _WarpedSource(self._opened.keep_open(warped))


@dataclass(frozen=True)
class _Lattice:
    """Pixels of a file as pixels of the grid: ``grid = sign * stored + shift`` for each axis."""

    sign_x: int
    sign_y: int
    shift_x_px: int
    shift_y_px: int


def _on_lattice(stored: StoredPixels, grid: SceneGrid) -> _Lattice | None:
    """Return how stored pixels lie on the grid, or None where they do not coincide with its pixels."""
    if stored == grid.stored and grid.stored_to_grid is not None:
        affine = grid.stored_to_grid
    elif stored.transform is not None and grid.transform is not None and stored.crs == grid.crs:
        affine = ~grid.transform @ stored.transform
    elif not grid.is_georeferenced and (stored.width_px, stored.height_px) == (grid.width_px, grid.height_px):
        affine = Affine.identity()
    else:
        return None
    sign_x, sign_y = round(affine.a), round(affine.e)
    shift_x_px, shift_y_px = round(affine.c), round(affine.f)
    if abs(sign_x) != 1 or abs(sign_y) != 1:
        return None
    for x, y in ((0, 0), (stored.width_px, 0), (0, stored.height_px), (stored.width_px, stored.height_px)):
        there_x, there_y = affine @ (x, y)
        off_x = abs(there_x - (sign_x * x + shift_x_px))
        off_y = abs(there_y - (sign_y * y + shift_y_px))
        if max(off_x, off_y) > LATTICE_TOLERANCE_PX:
            return None
    return _Lattice(sign_x, sign_y, shift_x_px, shift_y_px)


class _StoredSource:
    """Reads the pixels of a file as they are, mirrored where the grid is."""

    def __init__(
        self, dataset: rasterio.DatasetReader, numbers: Sequence[int], lattice: _Lattice, nodata: NodataRule | None
    ) -> None:
        self._dataset = dataset
        self._numbers = list(numbers)
        self._lattice = lattice
        self._nodata = nodata
        self._planes = mask_planes(dataset, numbers)

    def read(self, window: Window) -> tuple[Pixels, Mask]:
        left, right = self._span(window.col_off, window.width, self._lattice.sign_x, self._lattice.shift_x_px)
        top, bottom = self._span(window.row_off, window.height, self._lattice.sign_y, self._lattice.shift_y_px)
        stored = Window(left, top, right - left, bottom - top)
        pixels, valid = _read_what_is_there(self._dataset, self._numbers, stored, self._read)
        step_x, step_y = self._lattice.sign_x, self._lattice.sign_y
        return pixels[:, ::step_y, ::step_x], valid[::step_y, ::step_x]

    @staticmethod
    def _span(start_px: int, length_px: int, sign: int, shift_px: int) -> tuple[int, int]:
        """Bring a span of the grid to stored pixels."""
        ends = sign * (start_px - shift_px), sign * (start_px + length_px - shift_px)
        return min(ends), max(ends)

    def _read(self, window: Window) -> tuple[Pixels, Mask]:
        pixels = self._dataset.read(self._numbers, window=window)
        if self._nodata is not None:
            return pixels, _differs_from(pixels, self._nodata)
        return pixels, read_mask(self._dataset, self._planes, window)


def _differs_from(pixels: Pixels, nodata: NodataRule) -> Mask:
    if nodata.value is None:
        return np.ones(pixels.shape[1:], dtype=bool)
    # NaN equals nothing; where it is named, the test for finite values finds it.
    return np.asarray((pixels != nodata.value).any(axis=0))


class _WarpedSource:
    """Reads the pixels of a file warped to the grid; the last band tells where they are valid."""

    def __init__(self, warped: rasterio.DatasetReader) -> None:
        self._warped = warped

    def read(self, window: Window) -> tuple[Pixels, Mask]:
        return _read_what_is_there(self._warped, self._warped.indexes[:-1], window, self._read)

    def _read(self, window: Window) -> tuple[Pixels, Mask]:
        planes = self._warped.read(window=window)
        return planes[:-1], planes[-1] > 0


def _read_what_is_there(
    dataset: rasterio.DatasetReader,
    numbers: Sequence[int],
    window: Window,
    read: Callable[[Window], tuple[Pixels, Mask]],
) -> tuple[Pixels, Mask]:
    """Read the part of a window that lies in a dataset; the rest is not valid."""
    inside = intersection(window, Window(0, 0, dataset.width, dataset.height))
    if inside == window:
        return read(window)
    dtype = np.result_type(*(dataset.dtypes[number - 1] for number in numbers))
    pixels = np.zeros((len(numbers), window.height, window.width), dtype)
    valid = np.zeros((window.height, window.width), bool)
    if inside is not None:
        rows = slice(inside.row_off - window.row_off, inside.row_off - window.row_off + inside.height)
        columns = slice(inside.col_off - window.col_off, inside.col_off - window.col_off + inside.width)
        pixels[:, rows, columns], valid[rows, columns] = read(inside)
    return pixels, valid


def intersection(window: Window, other: Window) -> Window | None:
    """Return the part that two windows share; None where they share none."""
    left, top = max(window.col_off, other.col_off), max(window.row_off, other.row_off)
    right = min(window.col_off + window.width, other.col_off + other.width)
    bottom = min(window.row_off + window.height, other.row_off + other.height)
    return Window(left, top, right - left, bottom - top) if left < right and top < bottom else None


def _forget_gdal_error() -> None:
    """Have GDAL forget its last error: rasterio's getter of colour interpretations (1.4) would raise it again."""
    CRS.from_epsg(4326)
