"""Draws the overlay planes of a file (groups 6000 to 601E, PS3.3 C.9.2) on its pixels. They may hold text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels.utils import unpack_bits

from domainvl.errors import ItemError

from .decode import decode_unmasked
from .headers import PARSE_ERRORS

Pixels = npt.NDArray[np.uint8]

GROUPS = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _FRAMES, _FIRST_FRAME = 0x0010, 0x0011, 0x0015, 0x0051
_ORIGIN, _BITS_ALLOCATED, _BIT_POSITION, _DATA = 0x0050, 0x0100, 0x0102, 0x3000
_INK = 255


def overlay_groups(dataset: Dataset) -> tuple[int, ...]:
    """Return the groups in which a header describes an overlay plane."""
    return tuple(group for group in GROUPS if (group, _ROWS) in dataset)


def draw_overlays(dataset: Dataset, frame: int, pixels: Pixels) -> Pixels:
    """Draw all overlay planes in white.

    Args:
        dataset: The file, with overlay data.
        frame: Index of the frame, from 0.
        pixels: uint8 of shape (rows, columns) or (rows, columns, 3), as the frame is stored: not turned or resampled.

    Returns:
        The pixels with the planes drawn; the array that came in is as it was.

    Raises:
        ItemError: By ``overlay`` if a plane is malformed or cut off.
    """
    drawn = pixels.copy()
    for group in overlay_groups(dataset):
        try:
            found = _plane(dataset, group, frame)
        except PARSE_ERRORS as error:
            raise ItemError(
                "Cannot draw an overlay",
                reason="overlay",
                rule=f"an overlay plane is malformed or cut off ({type(error).__name__})",
                action="Convert without --overlays",
            ) from error
        if found is not None:
            _draw(drawn, *found)
    return drawn


def _value(dataset: Dataset, group: int, element: int, default: Any = None) -> Any:
    found = dataset.get((group, element))
    value = default if found is None else found.value
    return default if value is None or value == "" else value


def _plane(dataset: Dataset, group: int, frame: int) -> tuple[npt.NDArray[np.bool_], int, int] | None:
    """Return a plane as bool with the index of its first row and column, None where the frame has none."""
    rows, columns = int(_value(dataset, group, _ROWS)), int(_value(dataset, group, _COLUMNS))
    row, column = (int(number) - 1 for number in _value(dataset, group, _ORIGIN, (1, 1)))
    if _value(dataset, group, _DATA) is None:
        return _embedded(dataset, group, frame), row, column
    count = int(_value(dataset, group, _FRAMES, 1))
    # A plane without frames of its own holds for all of the image.
    first = int(_value(dataset, group, _FIRST_FRAME, 1)) - 1
    index = frame - first if (group, _FRAMES) in dataset else 0
    if not 0 <= index < count:
        return None
    bits = unpack_bits(_value(dataset, group, _DATA))
    size = rows * columns
    plane = np.asarray(bits)[index * size : (index + 1) * size].reshape(rows, columns)
    return plane.astype(bool), row, column


def _embedded(dataset: Dataset, group: int, frame: int) -> npt.NDArray[np.bool_]:
    """Return a plane from an unused bit of the pixels, as files before 2004 have it (PS3.5 8.1.2)."""
    bit = int(_value(dataset, group, _BIT_POSITION))
    stored = decode_unmasked(dataset, frame)
    return np.asarray((stored >> bit) & 1, bool)


def _draw(pixels: Pixels, plane: npt.NDArray[np.bool_], row: int, column: int) -> None:
    """Draw the part of a plane that lies on the image; it may begin and end outside."""
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + plane.shape[0], pixels.shape[0]), min(column + plane.shape[1], pixels.shape[1])
    if top < bottom and left < right:
        part = plane[top - row : bottom - row, left - column : right - column]
        pixels[top:bottom, left:right][part] = _INK
