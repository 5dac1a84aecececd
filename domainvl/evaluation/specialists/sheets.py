"""The square picture that a specialist sees of a sample: its image, or several in a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from domainvl.evaluation.specialists.specialist import CannotAnswerError, own_images
from domainvl.model.preprocessing import Preprocessing, TileReader, Tiles
from domainvl.schema.sample import Image, Sample

_CACHE_BYTES = 1 << 30
_GREY = 128


class SheetReader:
    """Reads sheets of one data set, by the tile reader that the models are trained with.

    An image is resized to the square, its sides' ratio given up, as a single tile is. Several are laid out row by row
    in a grid of as many columns as rows; cells that are left over are grey.

    Args:
        dataset: The data set's folder.
        side_px: Side of a sheet.
        mean: Of each channel, in units of full scale.
        std: Of each channel, in units of full scale.
    """

    def __init__(
        self, dataset: Path, side_px: int, mean: tuple[float, float, float], std: tuple[float, float, float]
    ) -> None:
        self._dataset = dataset
        self._side_px = side_px
        self._mean = torch.tensor(mean)[:, None, None]
        self._std = torch.tensor(std)[:, None, None]
        self._readers: dict[int, TileReader] = {}

    def read(self, sheets: Sequence[tuple[Image, ...]], device: torch.device) -> torch.Tensor:
        """Return normalised sheets.

        Args:
            sheets: The images of each, at least one.
            device: Where to.

        Returns:
            Float of shape (sheets, 3, side, side).

        Raises:
            DatasetError: If an image cannot be read.
        """
        pixels = torch.from_numpy(np.stack([self._sheet(images) for images in sheets])).permute(0, 3, 1, 2)
        return (pixels.to(device).float() / 255 - self._mean.to(device)) / self._std.to(device)

    def _sheet(self, images: Sequence[Image]) -> Tiles:
        columns = math.ceil(math.sqrt(len(images)))
        cell_px = self._side_px // columns
        sheet = np.full((self._side_px, self._side_px, 3), _GREY, np.uint8)
        for place, image in enumerate(images):
            row, column = divmod(place, columns)
            tile = self._reader(cell_px).read([image])[0][0]
            sheet[row * cell_px :, column * cell_px :][:cell_px, :cell_px] = tile
        return sheet

    def _reader(self, cell_px: int) -> TileReader:
        if cell_px not in self._readers:
            view = Preprocessing(tile_side_px=cell_px, max_tiles=1, use_thumbnail=False, resize="fast")
            self._readers[cell_px] = TileReader(self._dataset, view, cache_bytes=_CACHE_BYTES)
        return self._readers[cell_px]


def images_of_sheet(sample: Sample) -> tuple[Image, ...]:
    """Return the images that a sample's sheet is made of.

    Raises:
        CannotAnswerError: If there is none.
    """
    images = own_images(sample)
    if not images:
        raise CannotAnswerError("there is no image")
    return images
