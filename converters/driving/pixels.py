"""Reads the pixels of image files."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from domainvl.errors import ItemError

UInt8Array: TypeAlias = npt.NDArray[np.uint8]


def read_pixels(path: Path, name: str) -> UInt8Array:
    """Return an image as RGB, uint8 of shape (height, width, 3).

    Args:
        path: The file.
        name: Names it in an error, relative to the input.

    Raises:
        ItemError: If it is missing, incomplete or no image.
    """
    try:
        with PillowImage.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, PillowImage.DecompressionBombError) as error:  # Pillow raises SyntaxError too
        raise ItemError(
            "Cannot decode an image",
            reason="image-decode",
            where=name,
            rule="it is incomplete or no image that can be recognised",
            action="Fetch the file again",
        ) from error
