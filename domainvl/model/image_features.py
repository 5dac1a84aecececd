"""One vector for a whole image, by which images are compared: the mean of the vision encoder's features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainvl.model.preprocessing import TileReader, normalise
from domainvl.schema import Image

if TYPE_CHECKING:
    from domainvl.model.checkpoint import LoadedModel


def mean_image_features(
    loaded: LoadedModel, dataset: Path, images: Sequence[Image], *, batch_size: int = 32
) -> npt.NDArray[np.float32]:
    """Encode each image as one tile and take the mean over its patches.

    Args:
        loaded: The model whose vision encoder looks.
        dataset: Folder of the images.
        images: The images.
        batch_size: Images at a time.

    Returns:
        float32 of shape (images, width of the vision encoder); not normalised.

    Raises:
        DatasetError: If an image cannot be used.
    """
    import torch

    preprocessing = loaded.spec.preprocessing.limited_to(1)
    reader = TileReader(dataset, preprocessing)
    vision = loaded.internvl.model.vision_tower
    dtype = next(vision.parameters()).dtype
    rows: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        tiles = _tiles(reader, batch)
        pixels = normalise(torch.from_numpy(tiles).to(loaded.device), preprocessing, dtype)
        with torch.inference_mode():
            hidden = vision(pixel_values=pixels).last_hidden_state
        rows.append(hidden[:, 1:].float().mean(dim=1).cpu().numpy())  # without the class token
    return np.concatenate(rows) if rows else np.zeros((0, vision.config.hidden_size), np.float32)


def _tiles(reader: TileReader, images: Sequence[Image]) -> npt.NDArray[np.uint8]:
    return np.concatenate([parts[0] for parts in reader.read_all([image] for image in images)])
