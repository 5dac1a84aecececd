"""What one image file holds: whether it decodes, its size, the hash of its pixels, and how it looks from afar."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from domainvl.errors import ItemError
from domainvl.schema.images import check_depth, hash_pixels, shown_pixels
from domainvl.schema.validation.findings import Problem

FLAT_RANGE_GREY = 8
"""An image is blank if its grey levels, and flat if those of its 9x8 thumbnail, span less than this."""

_THUMBNAIL_PX = (9, 8)  # width, height: eight differences in each of eight rows
_FORMATS = ("PNG", "JPEG")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class ImageFacts:
    """What a file shows.

    Attributes:
        width_px: Its width.
        height_px: Its height.
        pixel_sha256: Hash of its pixels, as the image store makes it.
        looks: Difference hash: one bit for each of 64 neighbours in the thumbnail, set where grey falls to the right.
        blank: Whether all of it is one grey, nearly.
        flat: Whether its thumbnail is one grey, nearly; its difference hash then says nothing.
        problems: What is wrong with the file; its pixels can be used nevertheless.
    """

    width_px: int
    height_px: int
    pixel_sha256: str
    looks: int
    blank: bool
    flat: bool
    problems: tuple[Problem, ...] = ()


def read_pixels(content: bytes) -> ImageFacts | Problem:
    """Decode an image file in full.

    Args:
        content: The file's bytes.

    Returns:
        What it shows, or why it cannot be shown.
    """
    problems: list[Problem] = []
    try:
        with PillowImage.open(io.BytesIO(content)) as image:
            if image.format not in _FORMATS:
                problems.append(("image-format", f"the file is {image.format}"))
            problems += _depth_problem(image.mode, content)
            pixels = shown_pixels(image)
    except PillowImage.DecompressionBombError as error:
        return "image-too-large", f"the file is not decoded ({error})"
    except Exception as error:  # noqa: BLE001 - the border of a unit of work: counted as a finding
        # Broken files make Pillow raise errors of a dozen kinds, ValueError, EOFError and struct.error among them.
        kind = "image-truncated" if content.startswith(_SIGNATURES) else "image-unreadable"
        return kind, f"the file does not decode ({_reason(error)})"
    height_px, width_px = pixels.shape[:2]
    grey = _to_grey(pixels)
    levels = np.asarray(grey)
    thumbnail = np.asarray(grey.resize(_THUMBNAIL_PX, PillowImage.Resampling.BOX)).astype(np.int16)
    return ImageFacts(
        width_px=width_px,
        height_px=height_px,
        pixel_sha256=hash_pixels(pixels),
        looks=difference_hash(thumbnail),
        blank=bool(np.ptp(levels) < FLAT_RANGE_GREY),
        flat=bool(np.ptp(thumbnail) < FLAT_RANGE_GREY),
        problems=tuple(problems),
    )


def difference_hash(thumbnail: npt.NDArray[np.int16]) -> int:
    """Return the 64-bit difference hash of an 8x9 thumbnail.

    N. Krawetz, "Kind of Like That", hackerfactor.com, 2013: each bit says whether a pixel is brighter than its right
    neighbour. Brightness, contrast, scale and compression hardly change it.
    """
    bits = thumbnail[:, :-1] > thumbnail[:, 1:]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _to_grey(pixels: npt.NDArray[np.generic]) -> PillowImage.Image:
    if pixels.dtype != np.uint8:  # a deep image: a finding already, and compared by its upper bits
        spread = pixels.astype(np.float64)
        spread -= spread.min()
        pixels = np.asarray(spread / max(float(spread.max()), 1.0) * 255.0).astype(np.uint8)
    return PillowImage.fromarray(pixels).convert("L")


def _depth_problem(mode: str, content: bytes) -> list[Problem]:
    try:
        check_depth(mode, content, "")
    except ItemError as error:
        return [("image-depth", error.rule or error.what)]
    return []


def _reason(error: Exception) -> str:
    """Say why without an address in memory."""
    text = str(error) or type(error).__name__
    return text.split(" <", 1)[0]
