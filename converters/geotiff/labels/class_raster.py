"""Rasters of class numbers: what their numbers mean, and which class covers what of a scene."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window

from domainvl.errors import ItemError, UsageError

from ..enlarged_reading import RepeatedReader
from ..georeference import SceneGrid
from ..products import Band, Product
from ..products.metadata import parse_xml
from ..reading import Mask, WindowReader, open_product
from .pixel_labels import number
from .text_files import check_columns, read_table

ClassNumbers = npt.NDArray[np.integer]
"""Class numbers, shape (height, width)."""

_COLUMNS = ("value", "name")
_MAX_NUMBER = 1 << 24
"""Pixels are counted in a list with a place for each number; a larger one is no class but an identifier."""

_PAM_SUFFIX = ".aux.xml"
_RAT_NAME, _RAT_MIN, _RAT_MIN_MAX = "2", "3", "5"
"""What a column of a raster attribute table is for: GFU_Name, GFU_Min and GFU_MinMax of GDAL's GDALRATFieldUsage."""


@dataclass(frozen=True)
class ClassRaster:
    """A raster of class numbers, looked at but not read.

    Attributes:
        path: The file.
        uri: The name by which it may be mentioned.
        names: Class of each number; pixels with another number are unknown.
    """

    path: Path
    uri: str
    names: Mapping[int, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, sorted."""
        return tuple(sorted(set(self.names.values())))


def read_class_names(path: Path) -> dict[int, str]:
    """Read what class numbers mean, from a CSV with the columns ``value,name``; several numbers may be of one class.

    Args:
        path: The file.

    Raises:
        UsageError: If it is no such table.
    """
    names: dict[int, str] = {}
    try:
        columns, rows = read_table(path, path.name)
        check_columns(path.name, columns, [name for name in _COLUMNS if name not in columns])
        for line, row in rows:
            value, name = (row[column] for column in _COLUMNS)
            broken = _broken_rule(value, name, names)
            if broken is not None:
                raise UsageError("Cannot read the names of classes", where=f"{path}:{line}", rule=broken)
            names[int(value)] = name
    except ItemError as error:
        raise UsageError(
            "Cannot read the names of classes", where=path, rule=error.rule, action=error.action
        ) from error
    if not names:
        raise UsageError("Cannot read the names of classes", where=path, rule="it has no rows")
    return names


def look_at_class_raster(path: Path, uri: str, *, class_names: Path | None = None) -> ClassRaster:
    """Find out what a raster of class numbers holds.

    Args:
        path: The file.
        uri: The name by which it may be mentioned.
        class_names: CSV with the columns ``value,name``; what the raster's own ``.aux.xml`` says where None.

    Raises:
        UsageError: If it cannot be read, is no raster of whole numbers in one band, or its numbers have no names.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                kinds = [np.dtype(dtype).kind for dtype in dataset.dtypes]
                bands = [
                    kind for kind, role in zip(kinds, dataset.colorinterp, strict=True) if role != ColorInterp.alpha
                ]
    except RasterioIOError as error:
        raise UsageError("Cannot read a raster of classes", where=path, rule=str(error.__cause__ or error)) from error
    if len(bands) != 1 or bands[0] not in "iu":
        seen = f"{len(bands)} bands" if len(bands) != 1 else f"values of type {dataset.dtypes[0]}"
        raise UsageError(
            "Cannot use a raster of classes",
            where=path,
            rule=f"it must have one band of whole numbers, one a class; it has {seen}",
            action="Convert it, with gdal_translate -b 1 -ot Byte for one",
        )
    names = _own_names(path) if class_names is None else read_class_names(class_names)
    if not names:
        raise UsageError(
            "Cannot use a raster of classes",
            where=path,
            rule="nothing says what its numbers mean",
            action="Name a CSV with the columns value,name in --class-names",
        )
    largest = max(names, key=abs)
    if abs(largest) > _MAX_NUMBER:
        rule = f"no class number may be beyond {_MAX_NUMBER} or -{_MAX_NUMBER}, {names[largest]} has {largest}"
        raise UsageError("Cannot use a raster of classes", where=path, rule=rule)
    return ClassRaster(path, uri, names)


class Cover:
    """A raster of classes, open on the grid of a scene.

    Args:
        raster: The raster.
        reader: Reads it on the grid.
        place: Its own grid; None where it lies on the scene's stored pixels.

    Attributes:
        place: The same.
    """

    def __init__(self, raster: ClassRaster, reader: WindowReader, place: SceneGrid | None) -> None:
        self.place = place
        self._bands = _product(raster).bands
        self._numbers = np.array(sorted(raster.names))
        self._reader = reader

    def read(self, window: Window) -> tuple[ClassNumbers, Mask]:
        """Read class numbers of a window of the grid.

        Args:
            window: Columns and rows of the grid.

        Returns:
            The numbers, each as it is stored somewhere, never a mean; and where they are known: not nodata, inside the
            raster, and a number with a name.

        Raises:
            ItemError: If a block cannot be decoded.
        """
        (numbers,), valid = self._reader.read(self._bands, window)
        return numbers, valid & np.isin(numbers, self._numbers)


@contextmanager
def open_cover(raster: ClassRaster, grid: SceneGrid) -> Iterator[Cover]:
    """Open a raster of classes on the grid of a scene; where pixels do not coincide, the nearest one counts.

    A raster without georeference that is as large as the scene is taken to lie on its stored pixels.

    Args:
        raster: The raster, in any CRS.
        grid: The scene's grid.

    Raises:
        ItemError: If it cannot be opened.
    """
    with open_product(_product(raster)) as opened:
        own = opened.stored_pixels(str(raster.path))
        place = SceneGrid(own.width_px, own.height_px, own.crs, own.transform, own, Affine.identity())
        is_by_pixels = own.crs is None or not grid.is_georeferenced
        # A raster with a place of its own may be finer than the scene, and is read on the enlarged grid.
        seen = grid.native if grid.native is not None and is_by_pixels else grid
        if own.crs is None and seen.stored_to_grid == Affine.identity():
            seen = replace(seen, crs=None, transform=None)
        reader: WindowReader = opened.reader(seen, nodata=None, resampling=Resampling.nearest)
        if seen.scale != grid.scale:
            reader = RepeatedReader(reader, grid)
        yield Cover(raster, reader, place if place.is_georeferenced else None)


def shares(numbers: ClassNumbers, known: Mask, names: Mapping[int, str]) -> dict[str, float]:
    """Return the share of each class in the known pixels.

    Args:
        numbers: Class numbers, shape (height, width).
        known: Where they are known, and have a name.
        names: Class of each number.

    Returns:
        All classes, sorted; the shares add up to 1, or are all 0 where no pixel is known.
    """
    lowest, highest = min(names), max(names)
    counts = np.bincount(numbers[known].astype(np.int64) - lowest, minlength=highest - lowest + 1)
    total = max(int(counts.sum()), 1)
    pixels = dict.fromkeys(sorted(set(names.values())), 0)
    for value, name in names.items():
        pixels[name] += int(counts[value - lowest])
    return {name: count / total for name, count in pixels.items()}


def _broken_rule(value: str, name: str, names: Mapping[int, str]) -> str | None:
    try:
        number = int(value)
    except ValueError:
        return f"value must be a whole number, got {value!r}"
    if not name:
        return f"{value} has no name"
    return f"{value} is there twice" if number in names else None


def _product(raster: ClassRaster) -> Product:
    path = str(raster.path)
    return Product(raster.uri, raster.uri, "file", path, ((raster.uri, path),), (Band("class", None, path, 1),))


def _own_names(path: Path) -> dict[int, str]:
    """Read names from the file beside a raster in which GDAL keeps what the format has no place for."""
    beside = path.with_name(path.name + _PAM_SUFFIX)
    if not beside.is_file():
        return {}
    try:
        root = parse_xml(beside.read_bytes(), beside.name)
    except ItemError as error:
        raise UsageError("Cannot read the names of classes", where=beside, rule=error.rule) from error
    table = root.find("PAMRasterBand/GDALRasterAttributeTable")
    if table is not None:
        return _names_in_table(table, beside)
    categories = [(element.text or "").strip() for element in root.findall("PAMRasterBand/CategoryNames/Category")]
    return {number: name for number, name in enumerate(categories) if name}


def _names_in_table(table: ElementTree.Element, where: Path) -> dict[int, str]:
    usages = [field.findtext("Usage", "") for field in table.findall("FieldDefn")]
    value = next((usages.index(usage) for usage in (_RAT_MIN_MAX, _RAT_MIN) if usage in usages), None)
    if value is None or _RAT_NAME not in usages:
        return {}
    names = {}
    for row in table.findall("Row"):
        cells = [(cell.text or "").strip() for cell in row.findall("F")]
        if len(cells) == len(usages) and cells[usages.index(_RAT_NAME)]:
            if not math.isfinite(number(cells[value])):
                raise UsageError(
                    "Cannot read the names of classes",
                    where=where,
                    rule=f"row {row.get('index')} has a name, {cells[usages.index(_RAT_NAME)]}, and no number",
                    action="Name a CSV with the columns value,name in --class-names",
                )
            names[round(number(cells[value]))] = cells[usages.index(_RAT_NAME)]
    return names
