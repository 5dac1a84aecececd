"""The images of interleaved documents: files named by the SHA-256 of their URL, each decoded once to see it whole."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from domainvl.errors import InputNotFoundError, ItemError
from domainvl.interleaved.documents import ImageSlot, image_name
from domainvl.schema import Image, Source
from domainvl.schema.images import check_depth, hash_pixels, shown_pixels


class ImageFolder:
    """Finds the images of documents in a flat folder.

    Args:
        folder: Holds the files: named by the SHA-256 of the URL in hexadecimal digits, with any extension or none.

    Raises:
        InputNotFoundError: If there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputNotFoundError(
                "Cannot read interleaved documents",
                where=folder,
                rule="the folder of their images is missing",
                action="Put the images there, each named by the SHA-256 of its URL",
            )
        self._folder = folder
        # In reverse, so that of several files of one name the first by extension counts.
        self._names = {Path(name).stem: name for name in sorted((path.name for path in folder.iterdir()), reverse=True)}
        self._known: dict[str, Image | ItemError] = {}

    def image(self, slot: ImageSlot) -> Image:
        """Return the image of a slot; its path is relative to the parent of the folder.

        Raises:
            ItemError: With reason ``missing``, ``image-decode``, ``image-depth``, ``too-large`` or ``size``.
        """
        if slot.url not in self._known:
            try:
                self._known[slot.url] = self._read(slot.url)
            except ItemError as error:
                self._known[slot.url] = error
        known = self._known[slot.url]
        if isinstance(known, ItemError):
            raise known
        told, found = (slot.width_px, slot.height_px), (known.width_px, known.height_px)
        if any(value not in (None, seen) for value, seen in zip(told, found, strict=True)):
            rule = f"it must have the recorded {told[0]}x{told[1]} px, got {found[0]}x{found[1]}"
            raise _unusable("size", slot.url, rule)
        return known

    def _read(self, url: str) -> Image:
        name = self._names.get(image_name(url))
        if name is None:
            raise _unusable("missing", url, "there is no file of its name")
        pixels = _decode(self._folder / name, url)
        return Image(
            path=f"{self._folder.name}/{name}",
            width_px=pixels.shape[1],
            height_px=pixels.shape[0],
            pixel_sha256=hash_pixels(pixels),
            source=Source(uri=url),
        )


@contextlib.contextmanager
def open_image(content: bytes, url: str) -> Iterator[PillowImage.Image]:
    """Open an image file that training can use; its pixels are decoded in the block, with the same errors.

    Args:
        content: Bytes of the file.
        url: Names it in an error.

    Yields:
        The image, of 8 bits a channel and not too large, its pixels not read yet.

    Raises:
        ItemError: With reason ``image-decode``, ``image-depth`` or ``too-large``.
    """
    limit_px = PillowImage.MAX_IMAGE_PIXELS
    try:
        with PillowImage.open(io.BytesIO(content)) as opened:
            if limit_px is not None and opened.width * opened.height > limit_px:
                raise _unusable("too-large", url, f"it may have at most {limit_px} pixels, got {opened.size}")
            check_depth(opened.mode, content, url)
            yield opened
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning) as error:
        # Pillow raises the first at twice the limit, and the second where warnings are made errors.
        raise _unusable("too-large", url, f"it may have at most {limit_px} pixels, got more") from error
    except (
        OSError,
        RuntimeError,  # broken AVIF
        SyntaxError,  # broken PNG chunks
        ValueError,  # broken headers
    ) as error:
        raise _undecodable(url, error) from error


def _decode(path: Path, url: str) -> npt.NDArray[np.uint8]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _undecodable(url, error) from error
    with open_image(content, url) as opened:
        return shown_pixels(opened)


def _undecodable(url: str, error: Exception) -> ItemError:
    return _unusable("image-decode", url, f"it must decode: {type(error).__name__}")


def _unusable(reason: str, url: str, rule: str) -> ItemError:
    return ItemError("Cannot use an image", reason=reason, where=url, rule=rule)
