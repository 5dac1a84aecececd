"""From image files to the tiles that the vision encoder sees; the only image path of training and evaluation.

Source of the arithmetic: OpenGVLab/InternVL, internvl_chat/internvl/train/dataset.py (dynamic_preprocess
and build_transform): RGB, one bicubic resize to the grid, tiles row by row, the thumbnail last, then
normalisation with the ImageNet statistics. Tiles stay uint8 until they are on the model's device.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from pydantic import BaseModel, ConfigDict, Field

from domainvl.errors import DatasetError
from domainvl.model.read_ahead import read_ahead
from domainvl.schema import WORDING_VERSION, Image
from domainvl.tiling import DEFAULT_MAX_TILES, MAX_TILES_LIMIT, TILE_SIDE_PX, TileGrid, choose_grid, max_tiles_per_image

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_PILLOW_ERRORS = (
    OSError,
    SyntaxError,  # broken PNG chunks
    ValueError,  # broken headers
    PillowImage.DecompressionBombError,
    PillowImage.DecompressionBombWarning,  # where warnings are made errors
)
_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}

_STRIP_PX = 1 << 18
"""Pixels copied out of Pillow at a time: 1 MiB of its four bytes a pixel, which stays in the processor's cache."""

Tiles = npt.NDArray[np.uint8]
"""Tiles of one or several images: uint8 of shape (tiles, side, side, 3)."""

Resize = Literal["fast", "exact"]
"""How pixels are resized: ``exact`` is the official arithmetic to the last bit, ``fast`` is within one grey level."""


class Preprocessing(BaseModel):
    """What decides how a sample becomes the model's input; saved with each checkpoint.

    Attributes:
        tile_side_px: Side of a tile.
        tokens_per_tile: Visual tokens of a tile.
        max_tiles: Largest number of tiles a sample, shared over its still images; thumbnails and video frames are
            not counted.
        use_thumbnail: Whether a thumbnail follows the tiles of a divided image.
        resize: How pixels are resized. The default is what a file without this field means: it was written before
            there was a choice, by a model trained on exact pixels. Whoever makes a new checkpoint chooses.
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
    resize: Resize = "exact"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    wording: str = WORDING_VERSION
    coordinate_space: str = "0-1000"

    def limited_to(self, max_tiles: int) -> Preprocessing:
        """Return the same with another limit of tiles."""
        return self if max_tiles == self.max_tiles else self.model_copy(update={"max_tiles": max_tiles})

    def grids(self, images: Sequence[Image]) -> list[TileGrid]:
        """Choose the tile grid of each image of a sample.

        The still images share ``max_tiles`` evenly. A video frame is always one tile, without a thumbnail, and takes
        nothing from the others' share (OpenGVLab/InternVL, internvl_chat/internvl/train/internvl_chat_finetune.py:
        several images divide the limit, a video sets it to 1; the two never meet in one sample there).
        """
        share = max_tiles_per_image(self.max_tiles, sum(image.frame is None for image in images))
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


def cut_tiles(image: PillowImage.Image, grid: TileGrid, tile_side_px: int, resize: Resize = "exact") -> Tiles:
    """Resize an image to its grid and cut it.

    Args:
        image: RGB, or grey (L), which gives what its conversion to RGB gives.
        grid: Columns, rows and whether a thumbnail follows.
        tile_side_px: Side of a tile.
        resize: How pixels are resized.

    Returns:
        uint8 of shape (tiles, side, side, 3), row by row, the thumbnail last.
    """
    side = tile_side_px
    resizer = _ExactResizer(image) if resize == "exact" else _FastResizer(image)
    tiles = np.empty((grid.tile_count, side, side, 3), np.uint8)
    whole = resizer.resize(grid.columns * side, grid.rows * side)
    by_row = whole.reshape(grid.rows, side, grid.columns, side, whole.shape[2]).swapaxes(1, 2)
    tiles[: grid.columns * grid.rows].reshape(grid.rows, grid.columns, side, side, 3)[...] = by_row
    if grid.thumbnail:
        tiles[-1] = resizer.resize(side, side)
    return tiles


class _ExactResizer:
    """Pillow's bicubic arithmetic, rows first, then columns.

    The order is stated because it shows: the values between the passes are clipped to 8 bits. Pillow had this order
    until release 13, which takes columns first where the height shrinks by more than twice as many pixels as the
    width (python-pillow/Pillow#9549); single values then differ by up to 9. The published models were trained before.
    """

    def __init__(self, image: PillowImage.Image) -> None:
        self._image = image

    def resize(self, width_px: int, height_px: int) -> npt.NDArray[np.uint8]:
        """Return uint8 of shape (height, width, 3), or (height, width, 1) for a grey image."""
        resized = _resize_rows(self._image, width_px).resize((width_px, height_px), PillowImage.Resampling.BICUBIC)
        return np.asarray(resized).reshape(height_px, width_px, -1)


class _FastResizer:
    """The same filter in torch's integer arithmetic: several times quicker, within one level of exact.

    torch rounds the weights to 16 bits, so a pass gives the neighbouring level in about two of a thousand places: where
    the value lies almost half-way between two. Two such errors make a difference of two levels if they meet in a column
    and have one sign. They do where neighbouring rows are alike, so every other row is resized as its negative: there
    the same error has the other sign. That leaves about one difference of two levels in a hundred million values.

    An image that becomes taller takes its rows from Pillow, because a row then weighs on several; its fewer rows make
    that cheap. One pass of torch is off by one level at most. No value depends on threads or vector instructions.
    ``tests/benchmarks/tiles.py`` measures all of this.
    """

    def __init__(self, image: PillowImage.Image) -> None:
        self._image = image

    def resize(self, width_px: int, height_px: int) -> npt.NDArray[np.uint8]:
        """Return uint8 of shape (height, width, 3)."""
        if height_px > self._image.height:
            rows = _to_tensor(_resize_rows(self._image, width_px))
        else:
            rows = _interpolate(self._striped, width_px, self._image.height)
            _invert_every_other_row(rows)
        array: npt.NDArray[np.uint8] = _interpolate(rows, width_px, height_px)[0].permute(1, 2, 0).numpy()
        return array

    @cached_property
    def _striped(self) -> torch.Tensor:
        pixels = _to_tensor(self._image)
        _invert_every_other_row(pixels)
        return pixels


def _interpolate(pixels: torch.Tensor, width_px: int, height_px: int) -> torch.Tensor:
    from torch.nn.functional import interpolate

    return interpolate(pixels, (height_px, width_px), mode="bicubic", antialias=True)


def _invert_every_other_row(pixels: torch.Tensor) -> None:
    pixels[:, :, 1::2].bitwise_not_()


def _resize_rows(image: PillowImage.Image, width_px: int) -> PillowImage.Image:
    return image.resize((width_px, image.height), PillowImage.Resampling.BICUBIC)


def _to_tensor(image: PillowImage.Image) -> torch.Tensor:
    """Copy an RGB or grey image to uint8 of shape (1, 3, height, width), laid out as torch's quick kernel wants it."""
    import torch

    pixels = np.empty((image.height, image.width, 3), np.uint8)
    if image.mode == "L":
        grey = np.asarray(image)
        for channel in range(3):  # Four times as quick as one assignment to all three.
            pixels[..., channel] = grey
    else:
        # In strips, because the copy of a large image as a whole spends most of its time on fresh memory.
        strip_rows = max(1, _STRIP_PX // image.width)
        for top in range(0, image.height, strip_rows):
            bottom = min(image.height, top + strip_rows)
            pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)


class TileReader:
    """Reads the tiles of images of one data set and keeps the most recently used ones in memory.

    Several threads may use one reader.

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
        self._cache_lock = threading.Lock()

    def read(self, images: Sequence[Image], max_tiles: int | None = None) -> list[Tiles]:
        """Return the tiles of each image of a sample.

        Args:
            images: The images.
            max_tiles: Most tiles of the sample; the preprocessing's where None.

        Raises:
            DatasetError: If an image is missing, broken, too large, not 8-bit or of another size than recorded.
        """
        preprocessing = self._preprocessing if max_tiles is None else self._preprocessing.limited_to(max_tiles)
        grids = preprocessing.grids(images)
        return [self._read_one(image, grid) for image, grid in zip(images, grids, strict=True)]

    def read_all(
        self, samples_images: Iterable[Sequence[Image]], *, worker_count: int = 2, ahead: int | None = None
    ) -> Generator[list[Tiles], None, None]:
        """Yield the tiles of each sample in order, the same as :meth:`read` gives, reading ahead in threads.

        Decoding and resizing release Python's lock, so threads are enough. A sample that cannot be read raises its
        error at its turn, and ends the iteration.

        Args:
            samples_images: The images of each sample; taken from at most ``ahead`` samples early.
            worker_count: Threads; with 0 each sample is read when its turn comes, by the caller.
            ahead: Samples being read or ready and not yet taken; twice as many as threads where None.

        Raises:
            UsageError: If a number is out of range.
            DatasetError: As :meth:`read` does.
        """
        return read_ahead(self.read, samples_images, worker_count=worker_count, ahead=ahead)

    def _read_one(self, image: Image, grid: TileGrid) -> Tiles:
        key = (image.path, grid)
        with self._cache_lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        settings = self._preprocessing
        self._check_size(image, grid.columns * settings.tile_side_px)
        tiles = cut_tiles(self._open(image), grid, settings.tile_side_px, settings.resize)
        self._keep(key, tiles)
        return tiles

    def _keep(self, key: tuple[str, TileGrid], tiles: Tiles) -> None:
        if tiles.nbytes > self._cache_bytes:
            return
        with self._cache_lock:
            if key not in self._cache:  # Another thread may have read it meanwhile.
                self._cache[key] = tiles
                self._used_bytes += tiles.nbytes
            while self._used_bytes > self._cache_bytes:
                self._used_bytes -= self._cache.popitem(last=False)[1].nbytes

    def _check_size(self, image: Image, grid_width_px: int) -> None:
        """Refuse an image that, as it is or with its rows resized, has more pixels than Pillow holds to be safe."""
        limit_px = PillowImage.MAX_IMAGE_PIXELS
        pixel_count = max(image.width_px, grid_width_px) * image.height_px
        if limit_px is not None and pixel_count > limit_px:
            raise DatasetError(
                "Cannot use an image",
                where=self._dataset / image.path,
                rule=f"it may take at most {limit_px} pixels to resize, got {pixel_count} for "
                f"{image.width_px}x{image.height_px} px",
                action="Cut it into smaller images",
            )

    def _open(self, image: Image) -> PillowImage.Image:
        """Decode an image as RGB, or as grey where it is stored so."""
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
                if opened.mode in ("RGB", "L"):
                    opened.load()  # A conversion to the same mode would copy it.
                    return opened
                return opened.convert("RGB")
        except _PILLOW_ERRORS as error:
            raise DatasetError(
                "Cannot read an image", where=path, rule=str(error), action="Make the data set again"
            ) from error


def blank_tiles(tiles: Sequence[Tiles], preprocessing: Preprocessing) -> list[Tiles]:
    """Return tiles of the same shape without content: the grey that normalises to about zero."""
    grey = np.round(np.array(preprocessing.mean) * 255).astype(np.uint8)
    return [np.broadcast_to(grey, part.shape) for part in tiles]


def normalise(tiles: torch.Tensor, preprocessing: Preprocessing, dtype: torch.dtype) -> torch.Tensor:
    """Turn uint8 tiles into the encoder's input, on whatever device they are.

    The values are those of ToTensor and Normalize to the last bit, ``(x / 255 - mean) / std`` in float32, then
    rounded to ``dtype``. In place this takes as long as one fused multiplication and addition, which would not be.

    Args:
        tiles: uint8 of shape (tiles, side, side, 3).
        preprocessing: Holds mean and standard deviation.
        dtype: Of the result.

    Returns:
        Shape (tiles, 3, side, side), contiguous.
    """
    import torch

    exact = torch.promote_types(dtype, torch.float32)
    values = tiles.permute(0, 3, 1, 2).to(exact, memory_format=torch.contiguous_format)
    # A tensor, because CUDA multiplies by the rounded inverse of a plain number.
    values.div_(tiles.new_tensor(255, dtype=exact))
    values.sub_(tiles.new_tensor(preprocessing.mean, dtype=exact)[:, None, None])
    values.div_(tiles.new_tensor(preprocessing.std, dtype=exact)[:, None, None])
    return values.to(dtype)
