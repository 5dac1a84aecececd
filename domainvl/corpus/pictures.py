"""Image files on their way into a corpus: whether training can use them, how they are stored, and their hashes.

Sides are those of the stored pixels: a note on how to turn a photograph (EXIF orientation) is not followed, because
training does not follow it either.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image as PillowImage

from domainvl.corpus.extras import require
from domainvl.errors import ItemError
from domainvl.interleaved.images import open_image
from domainvl.schema.images import shown_pixels

_KEPT_FORMATS = ("JPEG", "MPO", "PNG", "WEBP")
"""Stored as they come. MPO is what phones call a JPEG with further pictures behind it, which no reader shows."""

_REWRITTEN_FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG2000", "PCX", "PPM", "TIFF")
"""Stored as PNG. Others, such as EPS, are not bitmaps or need programs to be run."""

_DRAFT_SIDE_PX = 72
"""A JPEG is decoded at the smallest of its scales (1, 1/2, 1/4, 1/8: ITU-T T.81 has blocks of 8 px) whose sides have
this much: more than twice the 32 px that the perceptual hash is made of. Ours: over 340 photographs and radiographs in
shared/data the difference hash is then 5 bits off at most and the perceptual hash 6 (one picture: 10), 0 in the median;
with 128 px it is 3 and 6, and no longer four times as quick as a whole decode at 800 x 600 px."""


@dataclass(frozen=True)
class Picture:
    """An image file that can be used.

    Attributes:
        content: Bytes to store.
        width_px: Width of its first frame, as stored.
        height_px: Height of its first frame, as stored.
        byte_count: Size of ``content``.
        d_hash: Difference hash of 64 bits, 16 hexadecimal digits.
        p_hash: Perceptual hash of 64 bits, 16 hexadecimal digits.
    """

    content: bytes
    width_px: int
    height_px: int
    byte_count: int
    d_hash: str
    p_hash: str


def inspect_picture(content: bytes, url: str) -> Picture:
    """Check an image file as training does, and hash what it shows.

    The header is checked before pixels are decoded, so that memory is bounded by the pixels that Pillow allows. Hashes
    are imagehash's. Those of a JPEG are of a decode at reduced scale, a few bits from those of a whole decode at most;
    all of its file is read nevertheless, so that one that ends too early is found.

    Args:
        content: Bytes of the file.
        url: Names it in an error.

    Returns:
        The picture. JPEG, PNG and WebP are kept as they are; the first frame of other formats is stored as PNG.

    Raises:
        ItemError: With reason ``image-format``, ``image-decode``, ``image-depth`` or ``too-large``.
    """
    _check_format(content, url)
    with open_image(content, url) as opened:
        width_px, height_px = opened.size
        opened.draft("L", (_DRAFT_SIDE_PX, _DRAFT_SIDE_PX))  # does nothing to other formats than JPEG
        grey = opened.convert("L")
        stored = content if opened.format in _KEPT_FORMATS else _to_png(opened)
    d_hash, p_hash = _hashes(grey)
    return Picture(stored, width_px, height_px, len(stored), d_hash, p_hash)


def _check_format(content: bytes, url: str) -> None:
    """Refuse what does not begin like a file of a known format, without giving it to a decoder."""
    PillowImage.init()
    known = (*_KEPT_FORMATS, *_REWRITTEN_FORMATS)
    tests = [PillowImage.OPEN[name][1] for name in known if name in PillowImage.OPEN]
    if not any(test is not None and test(content[:16]) for test in tests):
        raise ItemError(
            "Cannot use an image", reason="image-format", where=url, rule=f"it must be one of {', '.join(known)}"
        )


def _to_png(opened: PillowImage.Image) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(shown_pixels(opened)).save(file, "PNG")
    return file.getvalue()


def _hashes(grey: PillowImage.Image) -> tuple[str, str]:
    imagehash = require("imagehash")
    return str(imagehash.dhash(grey)), str(imagehash.phash(grey))
