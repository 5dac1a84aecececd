"""Colour frames to 8-bit RGB: what decoders return, and palettes (PS3.3 C.7.6.3.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut

from .headers import number_of

Pixels = npt.NDArray[np.uint8]

PALETTE = "PALETTE COLOR"
RGB_AFTER_DECODING = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Photometric interpretations that decoders return as RGB: a second conversion gives green images."""


def expand_palette(header: Dataset, stored: npt.NDArray[Any]) -> Pixels:
    """Look up a frame's palette, plain or segmented (C.7.9); entries of 16 bits keep their upper byte (C.7.6.3.1.6).

    Args:
        header: The frame's header with its palette.
        stored: Indexes of shape (rows, columns).

    Returns:
        uint8 of shape (rows, columns, 3).

    Raises:
        ValueError: If the palette is missing or malformed; so do others of :data:`.headers.PARSE_ERRORS`.
    """
    colour = apply_color_lut(stored, header)[..., :3]
    return colour if colour.dtype == np.uint8 else (colour >> 8).astype(np.uint8)


def colour_to_8_bit(header: Dataset, stored: npt.NDArray[Any]) -> Pixels:
    """Scale colour to 8 bits by BitsStored.

    Args:
        header: The frame's header.
        stored: RGB of shape (rows, columns, 3), of any unsigned integer type.

    Returns:
        uint8 of the same shape.
    """
    bits = int(number_of(header, "BitsStored") or 8)
    if stored.dtype == np.uint8 and bits == 8:
        return np.ascontiguousarray(stored)
    scaled: npt.NDArray[np.float64] = np.rint(stored * (255.0 / (2**bits - 1)))
    return np.clip(scaled, 0.0, 255.0).astype(np.uint8)
