"""Numbers that stand for texts where a million texts would fill the memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from domainvl.schema.sample import MADE_OF, Image


def digest_text(text: str, *, bits: int = 64) -> int:
    """Stand for a text in some bits.

    Of a million different texts, two share a number of 64 bits with a probability of 3e-8, of 128 bits with 1e-27.

    Args:
        text: The text; half a surrogate pair, as in a file name that is not UTF-8, is no obstacle.
        bits: Size of the number, a multiple of 8.
    """
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=bits // 8).digest()
    return int.from_bytes(digest, "big")


def digest_pixels(images: Iterable[Image]) -> frozenset[int]:
    """Stand for what images show: their own pixels and those that they were made of, such as stitched views."""
    shown: set[str] = set()
    for image in images:
        shown.add(image.pixel_sha256)
        made_of = image.source.details.get(MADE_OF)
        shown.update(part for part in (made_of if isinstance(made_of, list) else ()) if isinstance(part, str))
    return frozenset(digest_text(pixels) for pixels in shown)
