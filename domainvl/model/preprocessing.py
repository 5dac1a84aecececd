"""From image files to the tiles that the vision encoder sees; the only image path of training and evaluation.

Source of the arithmetic: OpenGVLab/InternVL, internvl_chat/internvl/train/dataset.py (dynamic_preprocess
and build_transform): RGB, one bicubic resize to the grid, tiles row by row, the thumbnail last, then
normalisation with the ImageNet statistics.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from pydantic import BaseModel, ConfigDict, Field

from domainvl.errors import DatasetError
from domainvl.schema import WORDING_VERSION, Image
from domainvl.tiling import DEFAULT_MAX_TILES, MAX_TILES_LIMIT, TILE_SIDE_PX, TileGrid, choose_grid, max_tiles_per_image

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}

Tiles = npt.NDArray[np.uint8]
"""Tiles of one or several images: uint8 of shape (tiles, side, side, 3)."""


class Preprocessing(BaseModel):
    """What decides how a sample becomes the model's input; saved with each checkpoint.

    Attributes:
        tile_side_px: Side of a tile.
        tokens_per_tile: Visual tokens of a tile.
        max_tiles: Largest number of tiles a sample, shared over its images, thumbnails not counted.
        use_thumbnail: Whether a thumbnail follows the tiles of a divided image.
        mean: Mean of each channel, in units of full scale.
        std: Standard deviation of each channel, in units of full scale.
        wording: Version of the wording of questions.
        coordinate_space: In which boxes are read and written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile_side_px: int = TILE_SIDE_PX
    tokens_per_tile: int = 256
    max_tiles: int = Field(default=DEFAULT_MAX_TILES, ge=1, le=MAX_TILES_LIMIT)
    use_thumbnail: bool = True
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    wording: str = WORDING_VERSION
    coordinate_space: str = "0-1000"

    def grids(self, images: Sequence[Image]) -> list[TileGrid]:
        """Choose the tile grid of each image of a sample; a video frame is always one tile."""
        share = max_tiles_per_image(self.max_tiles, len(images))
        return [
            choose_grid(
                image.width_px,
                image.height_px,
                max_tiles=1 if image.frame is not None else share,
                tile_side_px=self.tile_side_px,
                use_thumbnail=self.use_thumbnail,
            )
            for image in images
        ]


def cut_tiles(image: PillowImage.Image, grid: TileGrid, tile_side_px: int) -> Tiles:
    """Resize an image to its grid and cut it.

    Args:
        image: RGB.
        grid: Columns, rows and whether a thumbnail follows.
        tile_side_px: Side of a tile.

    Returns:
        uint8 of shape (tiles, side, side, 3), row by row, the thumbnail last.
    """
    side = tile_side_px
    whole = np.asarray(_resize(image, grid.columns * side, grid.rows * side))
    tiles = whole.reshape(grid.rows, side, grid.columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    if not grid.thumbnail:
        return tiles
    return np.concatenate([tiles, np.asarray(_resize(image, side, side))[None]])


def _resize(image: PillowImage.Image, width_px: int, height_px: int) -> PillowImage.Image:
    return image.resize((width_px, height_px), PillowImage.Resampling.BICUBIC)


class TileReader:
    """Reads the tiles of images of one data set and keeps the most recently used ones in memory.

    Args:
        dataset: The data set's folder.
        preprocessing: How images become tiles.
        cache_bytes: How much to keep.
    """

    def __init__(self, dataset: Path, preprocessing: Preprocessing, *, cache_bytes: int = 0) -> None:
        self._dataset = dataset
        self._preprocessing = preprocessing
        self._cache_bytes = cache_bytes
        self._used_bytes = 0
        self._cache: OrderedDict[tuple[str, TileGrid], Tiles] = OrderedDict()

    def read(self, images: Sequence[Image]) -> list[Tiles]:
        """Return the tiles of each image of a sample.

        Raises:
            DatasetError: If an image is missing, broken, not 8-bit or of another size than recorded.
        """
        grids = self._preprocessing.grids(images)
        return [self._read_one(image, grid) for image, grid in zip(images, grids, strict=True)]

    def _read_one(self, image: Image, grid: TileGrid) -> Tiles:
        key = (image.path, grid)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        tiles = cut_tiles(self._open(image), grid, self._preprocessing.tile_side_px)
        if tiles.nbytes <= self._cache_bytes:
            self._cache[key] = tiles
            self._used_bytes += tiles.nbytes
            while self._used_bytes > self._cache_bytes:
                self._used_bytes -= self._cache.popitem(last=False)[1].nbytes
        return tiles

    def _open(self, image: Image) -> PillowImage.Image:
        path = self._dataset / image.path
        try:
            with PillowImage.open(path) as opened:
                if opened.mode not in _EIGHT_BIT_MODES:
                    raise DatasetError(
                        "Cannot use an image", where=path, rule=f"it must have 8 bits a channel, got mode {opened.mode}"
                    )
                if opened.size != (image.width_px, image.height_px):
                    raise DatasetError(
                        "Cannot use an image",
                        where=path,
                        rule=f"its size must be the recorded {image.width_px}x{image.height_px} px, got "
                        f"{opened.width}x{opened.height}",
                    )
                return opened.convert("RGB")
        except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError on broken PNG chunks
            raise DatasetError(
                "Cannot read an image", where=path, rule=str(error), action="Make the data set again"
            ) from error


def blank_tiles(tiles: Sequence[Tiles], preprocessing: Preprocessing) -> list[Tiles]:
    """Return tiles of the same shape without content: the grey that normalises to about zero."""
    grey = np.round(np.array(preprocessing.mean) * 255).astype(np.uint8)
    return [np.broadcast_to(grey, part.shape) for part in tiles]


def normalise(tiles: torch.Tensor, preprocessing: Preprocessing, dtype: torch.dtype) -> torch.Tensor:
    """Turn uint8 tiles into the encoder's input, on whatever device they are.

    Args:
        tiles: uint8 of shape (tiles, side, side, 3).
        preprocessing: Holds mean and standard deviation.
        dtype: Of the result.

    Returns:
        Shape (tiles, 3, side, side).
    """
    mean = tiles.new_tensor(preprocessing.mean, dtype=dtype).mul(255)
    std = tiles.new_tensor(preprocessing.std, dtype=dtype).mul(255)
    return tiles.to(dtype).sub(mean).div(std).permute(0, 3, 1, 2).contiguous()
