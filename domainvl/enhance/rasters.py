"""A raster in memory: pixels of any band count and depth with a mask of what is valid, and its files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import OutputError, UsageError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Pixels = npt.NDArray[np.float32]
"""(bands, rows, columns) in the units of the file."""
Mask = npt.NDArray[np.bool_]
"""(rows, columns), true where the pixel is valid."""


class RasterError(UsageError):
    """A raster cannot be read, or is not what it must be."""


@dataclass(frozen=True)
class Raster:
    """Pixels with their validity.

    Attributes:
        pixels: (bands, rows, columns), float32, in the units of the file; finite everywhere, 0 where it is not valid.
        valid: (rows, columns), true where every band holds a value.
        dtype: The type of the file's values.
    """

    pixels: Pixels
    valid: Mask
    dtype: np.dtype[Any]

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.valid.shape != self.pixels.shape[1:]:
            raise ValueError(f"pixels {self.pixels.shape} and validity {self.valid.shape} do not fit")

    @property
    def bands(self) -> int:
        """How many bands it has."""
        return int(self.pixels.shape[0])

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.valid.shape[0], self.valid.shape[1]

    def crop(self, row: int, column: int, rows: int, columns: int) -> Raster:
        """Return a part of it, given by its upper left corner and its size in pixels."""
        inside = (slice(row, row + rows), slice(column, column + columns))
        return Raster(self.pixels[(slice(None), *inside)], self.valid[inside], self.dtype)


def masked(values: npt.NDArray[Any], valid: Mask, dtype: npt.DTypeLike) -> Raster:
    """Make a raster of values that may be anything where they are not valid.

    Args:
        values: (bands, rows, columns), of any type.
        valid: (rows, columns); what is not finite in any band is taken out of it.
        dtype: The type of the file's values.
    """
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and so not valid
        pixels = values.astype(np.float32)
    valid = valid & np.isfinite(pixels).all(axis=0)
    pixels[:, ~valid] = 0.0
    return Raster(pixels, valid, np.dtype(dtype))


def to_dtype(pixels: Pixels, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Round and clip values to what a type can hold; floats are only cast."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return pixels.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(pixels.astype(np.float64)), limits.min, limits.max).astype(dtype)


def read_raster(path: Path) -> Raster:
    """Read a picture or a GeoTIFF whole.

    Args:
        path: Anything that GDAL opens; a palette is resolved to its colours, an alpha band is the validity, and a
            photograph is turned upright as its EXIF orientation says.

    Raises:
        RasterError: If it cannot be opened or read, is complex, or holds no valid pixel.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        # A picture that is cut off is no picture: GDAL would fill the rest of a JPEG, and of a PNG without a word.
        with (
            quiet_gdal(GDAL_ERROR_ON_LIBJPEG_WARNING=True, GDAL_PNG_WHOLE_IMAGE_OPTIM=False),
            rasterio.open(path) as source,
        ):
            raster = _upright(_read(source, path), source)
    except (RasterioError, OSError, ValueError) as error:
        rule = str(error.__cause__ or error)
        raise RasterError("Cannot read", where=path, rule=rule, action="Look at it with gdalinfo") from error
    if not raster.valid.any():
        raise RasterError("Cannot use", where=path, rule="no pixel of it is valid", action="Leave it out")
    return raster


def read_kind(path: Path) -> tuple[int, str]:
    """Return the number of bands and the type of a raster that :func:`write_tiff` wrote, without its pixels."""
    import rasterio

    with quiet_gdal(), rasterio.open(path) as source:
        return source.count, source.dtypes[0]


@contextmanager
def quiet_gdal(**options: Any) -> Iterator[None]:
    """Read and write with GDAL without side files and without warnings that a picture has no georeference.

    Args:
        options: Further options of GDAL for the time of the block.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with rasterio.Env(GDAL_PAM_ENABLED=False, **options), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def colour_bands(source: DatasetReader) -> list[int]:
    """Return the numbers of the bands of an open file that are no alpha, from 1."""
    from rasterio.enums import ColorInterp

    return [number for number, colour in enumerate(source.colorinterp, 1) if colour != ColorInterp.alpha]


def read_validity(source: DatasetReader, bands: list[int], window: Any = None) -> Mask:
    """Return (rows, columns), true where all bands of an open file are valid.

    A file's own mask would take one band for enough.

    Args:
        source: The file.
        bands: Numbers of bands, from 1.
        window: A window of rasterio's; all of the file if None.
    """
    from rasterio.errors import NodataShadowWarning

    with warnings.catch_warnings():  # it comes with each window of a file with both alpha and nodata
        warnings.simplefilter("ignore", NodataShadowWarning)
        valid: Mask = (source.read_masks(bands, window=window) > 0).all(axis=0)
    return valid


def has_alpha(path: Path) -> bool:
    """Whether a file has a band that is flagged as alpha, and so is taken for the validity of the others.

    Raises:
        RasterError: If it cannot be opened.
    """
    import rasterio
    from rasterio.enums import ColorInterp
    from rasterio.errors import RasterioError

    try:
        with quiet_gdal(), rasterio.open(path) as source:
            return ColorInterp.alpha in source.colorinterp
    except (RasterioError, OSError) as error:
        raise RasterError("Cannot read", where=path, rule=str(error), action="Look at it with gdalinfo") from error


def write_tiff(path: Path, raster: Raster) -> None:
    """Write a raster as a TIFF without georeference; the validity goes into an internal mask where a pixel lacks it.

    Args:
        path: Where to; missing folders are made.
        raster: What; values are rounded and clipped to its type.

    Raises:
        OutputError: If it cannot be written.
    """
    import rasterio
    from rasterio.errors import RasterioError

    rows, columns = raster.size_px
    profile = {"driver": "GTiff", "height": rows, "width": columns, "count": raster.bands, "dtype": raster.dtype.name}
    profile |= {"compress": "deflate", "predictor": 2 if raster.dtype.kind in "iu" else 1, "BIGTIFF": "IF_SAFER"}
    # GDAL would take the fourth of four bands of 8 bits for alpha.
    profile |= {} if raster.bands == 3 else {"photometric": "minisblack", "alpha": "no"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with quiet_gdal(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as out:
            out.write(to_dtype(raster.pixels, raster.dtype))
            if not raster.valid.all():
                out.write_mask(raster.valid)
    except OSError as error:
        raise OutputError.of(error, path) from error
    except RasterioError as error:
        action = "Make room or make the folder writable, then give the same command again"
        raise OutputError("Cannot write", where=path, rule=str(error), action=action) from error


def _read(source: DatasetReader, path: Path) -> Raster:
    from rasterio.enums import ColorInterp

    dtype = np.dtype(source.dtypes[0])
    if dtype.kind == "c":
        raise RasterError("Cannot read", where=path, rule="its values are complex", action="Give amplitudes")
    bands = colour_bands(source)
    if not bands:
        raise RasterError("Cannot read", where=path, rule="its only band is alpha", action="Leave it out")
    valid = read_validity(source, bands)
    if source.colorinterp[0] != ColorInterp.palette:
        return masked(source.read(bands), valid, dtype)
    table = np.zeros((np.iinfo(dtype).max + 1, 4), np.uint8)
    for value, colour in source.colormap(1).items():
        table[value] = colour
    values = np.moveaxis(table[source.read(1)], -1, 0)
    return masked(values[:3], valid & (values[3] > 0), np.uint8)


def _upright(raster: Raster, source: DatasetReader) -> Raster:
    turn = _TURNS.get(source.tags().get("EXIF_Orientation", ""))
    if turn is None:
        return raster
    pixels = np.ascontiguousarray(np.moveaxis(turn(np.moveaxis(raster.pixels, 0, -1)), -1, 0))
    return Raster(pixels, np.ascontiguousarray(turn(raster.valid)), raster.dtype)


_TURNS: dict[str, Callable[[Any], Any]] = {
    "2": np.fliplr,
    "3": lambda picture: np.rot90(picture, 2),
    "4": np.flipud,
    "5": lambda picture: picture.swapaxes(0, 1),
    "6": lambda picture: np.rot90(picture, -1),
    "7": lambda picture: np.rot90(picture, 2).swapaxes(0, 1),
    "8": np.rot90,
}
"""What brings a stored picture (rows, columns, ...) upright, by the EXIF tag Orientation (EXIF 2.32, table 4)."""
