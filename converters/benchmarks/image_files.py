"""Image files of benchmarks: stored as they are where they can be, else as PNG with the pixels that they show."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from domainvl.errors import ItemError
from domainvl.schema.images import ImageStore, StoredImage, check_depth, shown_pixels

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png"})
"""Endings of the image files that :func:`put_image` takes, in lower case."""

Pixels = npt.NDArray[np.uint8]

# TIFF 6.0 (Adobe, 1992), sections 3, 4, 8 and 10; a file of BigTIFF has 43 for 42.
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO, _PALETTE = 0, 3
_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
"""From stored to shown pixels, by the tag Orientation: where the first row and column are seen (TIFF 6.0, page 36)."""


def put_image(images: ImageStore, path: Path) -> StoredImage:
    """Store an image file: JPEG and PNG byte for byte, TIFF of up to 8 bits as PNG with the pixels that it shows.

    Raises:
        ItemError: If it cannot be decoded, or would have to be stretched or reduced to three bands.
    """
    if _is_tiff(path):
        return images.put_pixels(_read_tiff(path, path.name))
    return images.put_file(path)


def put_pixels_alone(images: ImageStore, path: Path, name: str) -> StoredImage:
    """Store what an image file shows as PNG, and nothing else of it: its metadata may name someone.

    Args:
        images: Where to.
        path: The file.
        name: Names it in messages, which do not quote its path.

    Raises:
        ItemError: As :func:`put_image` does.
    """
    if _is_tiff(path):
        return images.put_pixels(_read_tiff(path, name))
    try:
        with PillowImage.open(path) as image:
            check_depth(image.mode, path.read_bytes(), name)
            pixels = shown_pixels(image)
    except (OSError, SyntaxError, UnidentifiedImageError, PillowImage.DecompressionBombError) as error:
        raise _undecodable(name, "it is incomplete or no image that can be recognised") from error
    return images.put_pixels(np.ascontiguousarray(pixels[..., :3]) if pixels.ndim == 3 else pixels)


def _is_tiff(path: Path) -> bool:
    """Say whether a file is a TIFF, whatever its ending is; one that cannot be opened is none."""
    try:
        with path.open("rb") as file:
            return file.read(4) in _TIFF_STARTS
    except OSError:
        return False


@dataclass(frozen=True)
class _TiffTags:
    """What the first page of a TIFF says of its pixels and rasterio does not pass on."""

    bits: int
    photometric: int | None
    orientation: int


def _read_tags(path: Path, name: str) -> _TiffTags:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's, of damaged tags that nothing here is about
            head = file.read(8)
            if b"+" in head[:4]:
                head += file.read(8)  # BigTIFF counts in 8 bytes
            tags = ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
        bits = tags.get(_BITS_PER_SAMPLE, (1,))
        photometric, orientation = tags.get(_PHOTOMETRIC), tags.get(_ORIENTATION, 1)
    except (OSError, SyntaxError, struct.error, ValueError, TypeError, KeyError, IndexError) as error:
        raise _undecodable(name, "its tags cannot be read") from error
    if orientation not in _TURNS:
        raise _undecodable(name, f"the tag Orientation must be 1 to 8, got {orientation!r:.20}")
    return _TiffTags(max(bits), photometric, orientation)


def _read_tiff(path: Path, name: str) -> Pixels:
    """Read what a TIFF shows; uint8 of shape (height, width, 3), or (height, width) where it has one band."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    tags = _read_tags(path, name)
    with rasterio.Env(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # benchmarks are made of plain pictures
        try:
            with rasterio.open(path) as dataset:
                _check_pages(len(dataset.subdatasets), name)
                _check_bands(dataset.dtypes, name, has_palette=_has_palette(dataset.colorinterp, tags))
                bands = dataset.read()
        except RasterioIOError as error:
            rule = str(error.__cause__ or error).replace(str(path), name).replace(path.name, name)
            raise _undecodable(name, rule) from error
    if tags.bits < 8:  # GDAL gives what is stored: 0 and 1 of a bilevel image
        bands = np.rint(bands * (255 / (2**tags.bits - 1))).astype(np.uint8)
    if tags.photometric == _WHITE_IS_ZERO:
        bands = 255 - bands
    pixels = bands[0] if len(bands) == 1 else np.moveaxis(bands, 0, -1)
    return np.ascontiguousarray(_TURNS[tags.orientation](pixels))


def _has_palette(colours: Sequence[Enum], tags: _TiffTags) -> bool:
    """Say whether values are places in a table of colours; it may stand in a file beside the TIFF."""
    # GDAL makes up a table for bilevel images and for those where white is zero.
    made_up = tags.photometric == _WHITE_IS_ZERO or (tags.bits == 1 and tags.photometric != _PALETTE)
    return not made_up and "palette" in [colour.name for colour in colours]


def _check_pages(page_count: int, name: str) -> None:
    """Refuse files of several pages; overviews and masks are none (GDAL lists pages as subdatasets where there are)."""
    if page_count > 1:
        raise ItemError(
            "Cannot take an image as it is",
            reason="image-pages",
            where=name,
            rule=f"it must have one page, got {page_count}",
            action="Save each page that is meant as a file of its own",
        )


def _check_bands(dtypes: tuple[str, ...], name: str, *, has_palette: bool) -> None:
    if set(dtypes) == {"uint8"} and (len(dtypes) == 3 or (len(dtypes) == 1 and not has_palette)):
        return
    raise ItemError(
        "Cannot take an image as it is",
        reason="image-bands",
        where=name,
        rule=f"it must have one grey or three colour bands of 8 bits, got {len(dtypes)} of "
        f"{', '.join(sorted(set(dtypes)))}{' with a palette' if has_palette else ''}",
        action="Take the RGB edition of the data set; or let domainvl convert geotiff choose bands by their role "
        "(the 13 of EuroSAT are in Sentinel-2's order) and stretch them",
    )


def _undecodable(name: str, rule: str) -> ItemError:
    return ItemError(
        "Cannot decode an image",
        reason="image-decode",
        where=name,
        rule=rule,
        action="Fetch the file again; it is incomplete or no image",
    )
