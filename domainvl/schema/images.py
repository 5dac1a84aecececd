"""Content-addressed pixels: each image is stored once, under the hash of what it shows."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from domainvl.errors import DatasetError, ItemError
from domainvl.files import link_or_copy, write_atomically
from domainvl.schema.png import Compressor, best_compressor, encode_png
from domainvl.schema.sample import Image, Source

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK"})


@dataclass(frozen=True)
class StoredImage:
    """An image as it lies in the data set."""

    path: str
    width_px: int
    height_px: int
    pixel_sha256: str

    def to_image(self, source: Source, *, view: str | None = None, frame: int | None = None) -> Image:
        """Complete it to the image of a sample."""
        return Image(
            path=self.path,
            width_px=self.width_px,
            height_px=self.height_px,
            pixel_sha256=self.pixel_sha256,
            view=view,
            frame=frame,
            source=source,
        )


class ImageStore:
    """Writes images under ``ROOT/images/ab/cd/<hash>.<extension>``; several processes may write at once.

    Args:
        root: The data set's folder.
        compressor: What packs pixels; the quickest that is installed where None.
    """

    def __init__(self, root: Path, compressor: Compressor | None = None) -> None:
        self._root = root
        self._compressor = compressor or best_compressor()

    def put_pixels(self, pixels: npt.NDArray[np.uint8]) -> StoredImage:
        """Store pixels as PNG.

        Args:
            pixels: uint8 of shape (height, width) for grey or (height, width, 3) for RGB.

        Returns:
            Where they lie. Equal pixels are stored once.

        Raises:
            DatasetError: If dtype or shape are others.
        """
        digest = hash_pixels(pixels)
        path = self._put(digest, ".png", lambda: encode_png(pixels, self._compressor))
        return StoredImage(path, pixels.shape[1], pixels.shape[0], digest)

    def put_file(self, path: Path) -> StoredImage:
        """Copy an image file byte for byte, after checking that it decodes.

        Args:
            path: The file.

        Raises:
            ItemError: If the file is missing, truncated, no JPEG or PNG, or of more than 8 bits a channel.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _undecodable(path.name, error) from error
        return self.put_encoded(content, path.name)

    def put_encoded(self, content: bytes, name: str) -> StoredImage:
        """Store an encoded image byte for byte, after checking that it decodes.

        Its name is the hash of its bytes, not of its pixels: of two files that show the same, which one came first
        would else depend on which worker was quicker.

        Args:
            content: The bytes of a JPEG or PNG file.
            name: Names it in an error.

        Raises:
            ItemError: If it is truncated, no JPEG or PNG, or of more than 8 bits a channel.
        """
        try:
            with PillowImage.open(io.BytesIO(content)) as image:
                extension = {"JPEG": ".jpg", "PNG": ".png"}.get(image.format or "")
                if extension is None:
                    raise ItemError(
                        "Cannot copy an image",
                        reason="image-format",
                        where=name,
                        rule=f"it must be JPEG or PNG, got {image.format}",
                        action="Convert it to PNG without loss",
                    )
                check_depth(image.mode, content, name)
                pixels = shown_pixels(image)
        except (OSError, SyntaxError, PillowImage.DecompressionBombError) as error:
            raise _undecodable(name, error) from error  # Pillow raises SyntaxError on broken PNG chunks
        stored = self._put(hashlib.sha256(content).hexdigest(), extension, lambda: content)
        return StoredImage(stored, pixels.shape[1], pixels.shape[0], hash_pixels(pixels))

    def adopt(self, dataset: Path, path: str) -> None:
        """Take over an image of another data set under the path that it has there, without decoding it.

        Args:
            dataset: Folder of the other data set.
            path: Path relative to it.

        Raises:
            DatasetError: If it is not there.
            OutputError: If it cannot be written.
        """
        source = dataset / path
        if not source.is_file():
            raise DatasetError(
                "Cannot take over an image", where=source, rule="there is no such file", action="Run domainvl validate"
            )
        link_or_copy(source, self._root / path)

    def _put(self, digest: str, extension: str, encode: Callable[[], bytes]) -> str:
        relative = f"images/{digest[:2]}/{digest[2:4]}/{digest}{extension}"
        target = self._root / relative
        if not target.exists():
            write_atomically(target, encode())
        return relative


def check_depth(mode: str, content: bytes, name: str) -> None:
    """Refuse more than 8 bits a channel: trainers would cut them off without a word."""
    # The byte after signature, chunk head, width and height of IHDR is the bit depth (ISO/IEC 15948, 11.2.1).
    is_deep_png = content.startswith(_PNG_SIGNATURE) and content[24] > 8
    if mode not in _EIGHT_BIT_MODES or is_deep_png:
        raise ItemError(
            "Cannot copy an image",
            reason="image-depth",
            where=name,
            rule=f"it must have 8 bits a channel, got {'16 bits' if is_deep_png else f'mode {mode}'}",
            action="Map its values to 8 bits first",
        )


def shown_pixels(image: PillowImage.Image) -> npt.NDArray[np.uint8]:
    """Decode to what is seen, so that a palette, bilevel or CMYK image is told apart by colour, not by code."""
    mode = {"1": "L", "LA": "RGBA", "CMYK": "RGB"}.get(image.mode, image.mode)
    if mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    return np.asarray(image if mode == image.mode else image.convert(mode))


def _undecodable(name: str, error: Exception) -> ItemError:
    return ItemError(
        "Cannot decode an image",
        reason="image-decode",
        where=name,
        rule=_why_undecodable(error),
        action="Fetch the file again; it is incomplete or no image",
    )


def _why_undecodable(error: Exception) -> str:
    """Say why without an address in memory or a path of this machine: equal inputs give equal rejects."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no image that can be recognised"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def hash_pixels(pixels: npt.NDArray[np.generic]) -> str:
    """Hash shape, dtype and values of an array; independent of any encoder."""
    digest = hashlib.sha256(f"{pixels.shape}{pixels.dtype.str}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
