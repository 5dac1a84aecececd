"""From image files to tiles."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from domainvl.errors import DatasetError
from domainvl.model.preprocessing import Preprocessing, TileReader, blank_tiles, cut_tiles, normalise
from domainvl.schema import Image, ImageStore, Source
from domainvl.tiling import TileGrid

SETTINGS = Preprocessing(tile_side_px=32, tokens_per_tile=4, max_tiles=6)


def store(folder: Path, pixels: np.ndarray, **more: object) -> Image:
    return ImageStore(folder).put_pixels(pixels).to_image(Source(uri="x"), **more)


def test_tiles_are_row_by_row_and_the_thumbnail_is_last() -> None:
    quarters = np.array([[10, 60, 110], [160, 210, 250]], np.uint8)
    image = PillowImage.fromarray(np.kron(quarters, np.ones((40, 40), np.uint8))).convert("RGB")
    tiles = cut_tiles(image, TileGrid(columns=3, rows=2, thumbnail=True), 32)
    assert tiles.shape == (7, 32, 32, 3)
    assert tiles[:6, 16, 16, 0].tolist() == [10, 60, 110, 160, 210, 250]
    assert tiles[6, 8, 5, 0] == 10
    assert tiles[6, 24, 27, 0] == 250


def test_resizing_is_pillows_bicubic_without_keeping_the_aspect() -> None:
    image = PillowImage.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8))
    tiles = cut_tiles(image, TileGrid(columns=2, rows=1, thumbnail=False), 32)
    expected = np.asarray(image.resize((64, 32), PillowImage.Resampling.BICUBIC))
    assert (tiles[0] == expected[:, :32]).all()
    assert (tiles[1] == expected[:, 32:]).all()


def test_limit_is_shared_over_images_and_a_frame_is_one_tile(tmp_path: Path) -> None:
    wide = store(tmp_path, np.zeros((32, 192, 3), np.uint8))
    frame = wide.model_copy(update={"frame": 1})
    assert [grid.tile_count for grid in SETTINGS.grids([wide])] == [7]
    assert [grid.tile_count for grid in SETTINGS.grids([wide, wide, wide])] == [3, 3, 3]
    assert [grid.tile_count for grid in SETTINGS.grids([frame] * 2)] == [1, 1]


def test_normalised_values_by_hand() -> None:
    tiles = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    values = normalise(tiles, SETTINGS, torch.float64)
    assert values.shape == (1, 3, 1, 1)
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    assert values.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_blank_tiles_are_about_zero_after_normalisation() -> None:
    (blank,) = blank_tiles([np.full((2, 4, 4, 3), 200, np.uint8)], SETTINGS)
    assert blank.shape == (2, 4, 4, 3)
    assert normalise(torch.from_numpy(blank.copy()), SETTINGS, torch.float32).abs().max() < 0.01


def test_the_cache_gives_what_the_file_gives_and_stays_within_its_size(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    images = [store(tmp_path, generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(5)]
    cached = TileReader(tmp_path, SETTINGS, cache_bytes=2 * 32 * 32 * 3)
    uncached = TileReader(tmp_path, SETTINGS)
    for image in [*images, images[4], images[0], images[4]]:
        assert (cached.read([image])[0] == uncached.read([image])[0]).all()
    (tmp_path / images[4].path).unlink()
    (tmp_path / images[1].path).unlink()
    cached.read([images[4]])  # used last, so still there
    with pytest.raises(DatasetError, match="Cannot read an image"):
        cached.read([images[1]])


def test_bad_images_are_named(tmp_path: Path) -> None:
    image = store(tmp_path, np.zeros((8, 8, 3), np.uint8))
    path = tmp_path / image.path
    with pytest.raises(DatasetError, match=r"recorded 9x8 px, got 8x8"):
        TileReader(tmp_path, SETTINGS).read([image.model_copy(update={"width_px": 9})])
    PillowImage.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)
    with pytest.raises(DatasetError, match=r"8 bits a channel, got mode I;16"):
        TileReader(tmp_path, SETTINGS).read([image])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DatasetError, match=path.name):
        TileReader(tmp_path, SETTINGS).read([image])
