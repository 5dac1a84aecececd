"""From image files to tiles.

``exact`` is compared, to the last bit, with Pillow's filter restated from its definition; ``fast`` with ``exact``.
"""

from __future__ import annotations

import io
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

import domainvl.model.preprocessing as preprocessing_module
from domainvl.errors import DatasetError, UsageError
from domainvl.model.checkpoint import CheckpointSpec, find_checkpoint, read_spec
from domainvl.model.preprocessing import (
    Preprocessing,
    Resize,
    TileReader,
    Tiles,
    blank_tiles,
    cut_tiles,
    normalise,
)
from domainvl.schema import Image, ImageStore, Source
from domainvl.tiling import TileGrid, choose_grid

SETTINGS = Preprocessing(tile_side_px=32, tokens_per_tile=4, max_tiles=6)
RESIZES: tuple[Resize, Resize] = ("exact", "fast")
both_resizes = pytest.mark.parametrize("resize", RESIZES)


def store(folder: Path, pixels: np.ndarray, **more: object) -> Image:
    return ImageStore(folder).put_pixels(pixels).to_image(Source(uri="x"), **more)


def store_file(folder: Path, name: str, content: bytes, width_px: int, height_px: int) -> Image:
    (folder / name).write_bytes(content)
    return Image.model_construct(path=name, width_px=width_px, height_px=height_px, frame=None)


def encoded(image: PillowImage.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def noise(width_px: int, height_px: int, seed: int = 0) -> PillowImage.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    return PillowImage.fromarray(pixels)


def scenery(width_px: int, height_px: int) -> PillowImage.Image:
    """Soft shapes of all sizes with sharp outlines and a little grain, as photographs have."""
    y, x = np.mgrid[0 : 1 : height_px * 1j, 0 : 1 : width_px * 1j]
    hills = sum(np.sin(3**k * (x * 5 + np.sin(y * 4 + k)) + k) * np.cos(3**k * y * 7 + k) / 1.8**k for k in range(5))
    light = np.stack([hills + 0.4 * (hills > 0.3), hills * 0.8 + y, 0.5 * hills - x], axis=-1)
    grain = np.random.default_rng(0).normal(0, 2, light.shape)
    return PillowImage.fromarray((128 + 70 * light + grain).clip(0, 255).astype(np.uint8))


def reassemble(tiles: Tiles, grid: TileGrid) -> np.ndarray:
    rows = [np.hstack(tiles[row * grid.columns : (row + 1) * grid.columns]) for row in range(grid.rows)]
    return np.vstack(rows)


def weights_by_definition(size_px: int, new_size_px: int) -> np.ndarray:
    """Pillow's bicubic weights (a = -0.5) in its fixed point of 22 bits: shape (new size, size)."""
    scale = size_px / new_size_px
    widening = max(scale, 1.0)
    weights = np.zeros((new_size_px, size_px))
    for index in range(new_size_px):
        centre = (index + 0.5) * scale
        first = max(int(centre - 2 * widening + 0.5), 0)
        last = min(int(centre + 2 * widening + 0.5), size_px)
        distance = np.abs((np.arange(first, last) - centre + 0.5) / widening)
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        weight = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
        weights[index, first:last] = weight / weight.sum()
    return np.trunc(weights * (1 << 22) + np.copysign(0.5, weights)).astype(np.int64)


def resized_by_definition(image: PillowImage.Image, width_px: int, height_px: int) -> np.ndarray:
    """Rows, rounded and clipped to 8 bits, then columns: what Pillow did when the published models were trained."""

    def one_pass(pixels: np.ndarray, new_size_px: int, axis: int) -> np.ndarray:
        if pixels.shape[axis] == new_size_px:
            return pixels
        weights = weights_by_definition(pixels.shape[axis], new_size_px)
        sums = np.moveaxis(np.tensordot(weights, pixels.astype(np.int64), axes=(1, axis)), 0, axis)
        return ((sums + (1 << 21)) >> 22).clip(0, 255).astype(np.uint8)

    return one_pass(one_pass(np.asarray(image), width_px, 1), height_px, 0)


# --- Grids


def test_limit_is_shared_over_images_and_a_frame_is_one_tile(tmp_path: Path) -> None:
    wide = store(tmp_path, np.zeros((32, 192, 3), np.uint8))
    frame = wide.model_copy(update={"frame": 1})
    assert [grid.tile_count for grid in SETTINGS.grids([wide])] == [7]
    assert [grid.tile_count for grid in SETTINGS.grids([wide, wide, wide])] == [3, 3, 3]
    assert [grid.tile_count for grid in SETTINGS.grids([wide] * 7)] == [1] * 7
    assert [grid.tile_count for grid in SETTINGS.grids([frame] * 2)] == [1, 1]


def test_frames_take_nothing_from_the_share_of_still_images(tmp_path: Path) -> None:
    wide = store(tmp_path, np.zeros((32, 192, 3), np.uint8))
    frame = wide.model_copy(update={"frame": 1})
    mixed = [frame, wide, frame, frame, wide, frame]
    # Two still images: 6 // 2 = 3 tiles and a thumbnail each.
    assert [grid.tile_count for grid in SETTINGS.grids(mixed)] == [1, 4, 1, 1, 4, 1]


# --- Cutting


@both_resizes
def test_tiles_are_row_by_row_and_the_thumbnail_is_last(resize: Resize) -> None:
    quarters = np.array([[10, 60, 110], [160, 210, 250]], np.uint8)
    image = PillowImage.fromarray(np.kron(quarters, np.ones((40, 40), np.uint8))).convert("RGB")
    tiles = cut_tiles(image, TileGrid(columns=3, rows=2, thumbnail=True), 32, resize)
    assert tiles.shape == (7, 32, 32, 3)
    assert tiles[:6, 16, 16, 0].tolist() == [10, 60, 110, 160, 210, 250]
    assert tiles[6, 8, 5, 0] == 10
    assert tiles[6, 24, 27, 0] == 250


@pytest.mark.parametrize(
    "size",
    [
        (90, 50),
        (300, 200),  # both directions shrink
        (7, 5),  # both grow
        (64, 300),  # Pillow 13 alone would take columns first
        (70, 400),
        (64, 32),  # already of the grid's size
        (1, 40),
        (200, 1),
    ],
)
def test_exact_is_the_official_arithmetic_to_the_last_bit(size: tuple[int, int]) -> None:
    image = noise(*size)
    grid = TileGrid(columns=2, rows=1, thumbnail=True)
    tiles = cut_tiles(image, grid, 32)
    assert (reassemble(tiles, grid) == resized_by_definition(image, 64, 32)).all()
    assert (tiles[-1] == resized_by_definition(image, 32, 32)).all()


def test_exact_is_what_the_published_code_computes_up_to_the_encoder() -> None:
    image = scenery(160, 90)
    grid = choose_grid(160, 90, max_tiles=12, tile_side_px=32)
    whole = resized_by_definition(image, grid.columns * 32, grid.rows * 32)
    boxes = [(row * 32, column * 32) for row in range(grid.rows) for column in range(grid.columns)]
    crops = [whole[top : top + 32, left : left + 32] for top, left in boxes]
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    expected = [
        ((crop.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)
        for crop in [*crops, resized_by_definition(image, 32, 32)]
    ]
    values = normalise(torch.from_numpy(cut_tiles(image, grid, 32)), SETTINGS, torch.float32)
    assert len(expected) == 9
    assert (values.numpy() == np.stack(expected)).all()


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    columns=st.integers(1, 4),
    rows=st.integers(1, 4),
    side=st.sampled_from([4, 7, 16]),
    resize=st.sampled_from(RESIZES),
)
def test_tiles_put_together_are_the_resized_image(
    size: tuple[int, int], columns: int, rows: int, side: int, resize: Resize
) -> None:
    image = scenery(*size)
    grid = TileGrid(columns, rows, thumbnail=columns * rows > 1)
    tiles = cut_tiles(image, grid, side, resize)
    expected = resized_by_definition(image, columns * side, rows * side)
    assert tiles.shape == (grid.tile_count, side, side, 3)
    assert tiles.dtype == np.uint8
    difference = np.abs(reassemble(tiles, grid).astype(int) - expected)
    assert difference.max() <= (0 if resize == "exact" else 1)


# --- Fast


def chequered(width_px: int, height_px: int) -> PillowImage.Image:
    return PillowImage.fromarray((np.indices((height_px, width_px)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")


def ramp(width_px: int, height_px: int) -> PillowImage.Image:
    y, x = np.mgrid[0 : 255 : height_px * 1j, 0 : 255 : width_px * 1j]
    return PillowImage.fromarray(np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8))


def check_fast(image: PillowImage.Image, max_tiles: int, side: int, max_share: float = 0.01) -> None:
    grid = choose_grid(*image.size, max_tiles=max_tiles, tile_side_px=side)
    fast = cut_tiles(image, grid, side, "fast").astype(int)
    difference = np.abs(fast - cut_tiles(image, grid, side, "exact"))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= max_share


@pytest.mark.parametrize("max_tiles", [1, 12, 40])
@pytest.mark.parametrize(
    "image",
    [
        pytest.param(scenery(1000, 750), id="scenery"),
        pytest.param(scenery(400, 225), id="scenery of the grid's size"),
        pytest.param(scenery(1600, 900), id="scenery of twice its size"),
        pytest.param(ramp(640, 480), id="ramp"),
        pytest.param(noise(300, 200), id="noise"),
        pytest.param(noise(9, 6), id="tiny"),
        pytest.param(noise(1, 1), id="one pixel"),
        pytest.param(noise(1, 300), id="one column"),
        pytest.param(noise(300, 1), id="one row"),
        pytest.param(scenery(3000, 40), id="wide"),
        pytest.param(scenery(40, 3000), id="tall"),
        pytest.param(chequered(113, 97), id="chequered, growing"),
    ],
)
def test_fast_is_within_one_grey_level(image: PillowImage.Image, max_tiles: int) -> None:
    check_fast(image, max_tiles, side=112, max_share=0.05)  # a ramp has many values half-way between two levels


@pytest.mark.parametrize("size", [(1000, 750), (901, 677), (513, 2000)])
def test_fast_is_within_one_grey_level_on_the_finest_pattern(size: tuple[int, int]) -> None:
    """Shrunk, it is the same half-way value everywhere, so that the least difference rounds all of it differently."""
    check_fast(chequered(*size), 12, side=112, max_share=1.0)


def test_fast_is_within_one_grey_level_on_photographs(real_data: Path) -> None:
    photographs = sorted(real_data.glob("driving/udacity*/test_images/*.jpg"))[::2]
    assert len(photographs) >= 3
    for path in photographs:
        with PillowImage.open(path) as photograph:
            for max_tiles in (1, 12):
                check_fast(photograph.convert("RGB"), max_tiles, side=448)


def test_fast_does_not_depend_on_torchs_threads() -> None:
    images = [scenery(1200, 900), scenery(640, 360)]
    grid = TileGrid(columns=4, rows=3, thumbnail=True)
    before = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append([cut_tiles(image, grid, 112, "fast") for image in images])
            assert torch.get_num_threads() == count  # left as it was
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert (one == two).all()


@both_resizes
@pytest.mark.parametrize("size", [(500, 400), (90, 60)])
def test_grey_gives_what_its_conversion_to_rgb_gives(resize: Resize, size: tuple[int, int]) -> None:
    grey = scenery(*size).convert("L")
    grid = TileGrid(columns=3, rows=2, thumbnail=True)
    assert (cut_tiles(grey, grid, 32, resize) == cut_tiles(grey.convert("RGB"), grid, 32, resize)).all()


# --- Normalising


def test_normalised_values_by_hand() -> None:
    tiles = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    values = normalise(tiles, SETTINGS, torch.float64)
    assert values.shape == (1, 3, 1, 1)
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    assert values.flatten().tolist() == pytest.approx(expected, abs=1e-12)


def test_every_value_is_normalised_as_totensor_and_normalize_do() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 16, 16, 3)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    expected = ((levels.astype(np.float32) / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)
    values = normalise(torch.from_numpy(levels), SETTINGS, torch.float32)
    assert values.is_contiguous()
    assert values.numpy().tobytes() == np.ascontiguousarray(expected).tobytes()
    # The official code rounds these values to the model's precision; it does not compute in it.
    half = normalise(torch.from_numpy(levels), SETTINGS, torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert (half == torch.from_numpy(np.ascontiguousarray(expected)).to(torch.bfloat16)).all()


def test_normalising_leaves_the_tiles_alone() -> None:
    tiles = torch.full((1, 2, 2, 3), 7, dtype=torch.uint8)
    normalise(tiles, SETTINGS, torch.float32)
    assert (tiles == 7).all()


def test_blank_tiles_are_about_zero_after_normalisation() -> None:
    (blank,) = blank_tiles([np.full((2, 4, 4, 3), 200, np.uint8)], SETTINGS)
    assert blank.shape == (2, 4, 4, 3)
    assert normalise(torch.from_numpy(blank.copy()), SETTINGS, torch.float32).abs().max() < 0.01


# --- The setting, on disk


def test_without_the_field_a_saved_file_means_exact() -> None:
    saved = '{"kind": "model", "chat": {"format": "Hermes-2"}, "preprocessing": {"tile_side_px": 32}}'
    assert CheckpointSpec.model_validate_json(saved).preprocessing.resize == "exact"
    assert read_spec(find_checkpoint("tiny")).preprocessing.resize == "exact"


@both_resizes
def test_the_choice_is_saved_and_read_back(resize: Resize) -> None:
    saved = Preprocessing(resize=resize).model_dump_json()
    assert f'"resize":"{resize}"' in saved
    assert Preprocessing.model_validate_json(saved).resize == resize


# --- Reading


@both_resizes
def test_the_reader_resizes_as_it_is_told(tmp_path: Path, resize: Resize) -> None:
    picture = scenery(300, 200)
    image = store(tmp_path, np.asarray(picture))
    reader = TileReader(tmp_path, SETTINGS.model_copy(update={"resize": resize}))
    (grid,) = SETTINGS.grids([image])
    assert (reader.read([image])[0] == cut_tiles(picture, grid, 32, resize)).all()
    assert (cut_tiles(picture, grid, 32, "fast") != cut_tiles(picture, grid, 32, "exact")).any()


@both_resizes
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_any_eight_bit_mode_is_read_as_its_conversion_to_rgb(tmp_path: Path, mode: str, resize: Resize) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    picture = scenery(90, 70)
    if mode in ("LA", "RGBA"):
        picture.putalpha(scenery(90, 70).convert("L"))
    content = encoded(picture.convert(mode), kind)
    image = store_file(tmp_path, "image", content, 90, 70)
    (grid,) = SETTINGS.grids([image])
    with PillowImage.open(io.BytesIO(content)) as opened:
        assert opened.mode == mode
        expected = cut_tiles(opened.convert("RGB"), grid, 32, resize)
    (tiles,) = TileReader(tmp_path, SETTINGS.model_copy(update={"resize": resize})).read([image])
    assert (tiles == expected).all()


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path: Path, kind: str, mode: str, share: float) -> None:
    content = encoded(noise(60, 40).convert(mode), kind)
    image = store_file(tmp_path, "cut.image", content[: int(len(content) * share)], 60, 40)
    with pytest.raises(DatasetError, match=r"Cannot read an image in .*cut\.image"):
        TileReader(tmp_path, SETTINGS).read([image])


def test_a_broken_header_is_named(tmp_path: Path) -> None:
    content = bytearray(encoded(noise(8, 8), "PNG"))
    content[8:12] = (5).to_bytes(4, "big")  # the length of the first chunk, IHDR, which has 13 bytes
    with pytest.raises(DatasetError, match="broken"):
        TileReader(tmp_path, SETTINGS).read([store_file(tmp_path, "broken", bytes(content), 8, 8)])


def png_claiming(width_px: int, height_px: int) -> bytes:
    content = bytearray(encoded(noise(8, 8), "PNG"))
    content[16:24] = width_px.to_bytes(4, "big") + height_px.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("claimed", "recorded", "message"),
    [
        ((10_000, 10_000), (10_000, 10_000), r"at most \d+ pixels .* got 100000000"),  # Pillow only warns of these
        ((60_000, 60_000), (60_000, 60_000), r"at most \d+ pixels .* got 3600000000"),
        ((60_000, 60_000), (8, 8), "decompression bomb"),  # more than was recorded
        # With its rows resized to the width of a tile it would have 32 times as many pixels.
        ((1, 5_000_000), (1, 5_000_000), r"at most \d+ pixels .* got 160000000"),
    ],
)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, claimed: tuple[int, int], recorded: tuple[int, int], message: str
) -> None:
    image = store_file(tmp_path, "bomb.png", png_claiming(*claimed), *recorded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DatasetError, match=message) as caught:
            TileReader(tmp_path, SETTINGS).read([image])
    assert caught.value.where == str(tmp_path / "bomb.png")


def test_a_bomb_that_pillow_warns_of_is_an_error_of_ours_too(tmp_path: Path) -> None:
    image = store_file(tmp_path, "bomb.png", png_claiming(10_000, 10_000), 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DatasetError, match="decompression bomb"):
            TileReader(tmp_path, SETTINGS).read([image])


# --- Reading ahead


@pytest.fixture
def eight(tmp_path: Path) -> list[list[Image]]:
    """Samples of one or two images, each another one."""
    images = [store(tmp_path, np.asarray(noise(40 + 9 * index, 50, index))) for index in range(12)]
    return [images[:2], *[[image] for image in images[2:7]], images[7:9], [images[9]]]


@pytest.mark.parametrize("worker_count", [0, 1, 3])
@pytest.mark.parametrize("cache_bytes", [0, 20_000])
def test_reading_ahead_gives_the_same_in_the_same_order(
    tmp_path: Path, eight: list[list[Image]], worker_count: int, cache_bytes: int
) -> None:
    expected = [TileReader(tmp_path, SETTINGS).read(images) for images in eight]
    reader = TileReader(tmp_path, SETTINGS, cache_bytes=cache_bytes)
    found = list(reader.read_all(iter(eight * 2), worker_count=worker_count))
    assert [len(tiles) for tiles in found] == [2, 1, 1, 1, 1, 1, 2, 1] * 2
    for ours, theirs in zip(found, expected * 2, strict=True):
        assert all((one == other).all() for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("worker_count", [0, 1, 3])
def test_an_image_that_cannot_be_read_raises_at_its_turn(
    tmp_path: Path, eight: list[list[Image]], worker_count: int
) -> None:
    missing = tmp_path / eight[4][0].path
    missing.unlink()
    read = TileReader(tmp_path, SETTINGS).read_all(eight, worker_count=worker_count)
    assert len([next(read) for _ in range(4)]) == 4
    with pytest.raises(DatasetError, match=missing.name):
        next(read)
    assert list(read) == []


def counted(samples: Sequence[Sequence[Image]], taken: list[int]) -> Iterator[Sequence[Image]]:
    for index, images in enumerate(samples):
        taken.append(index)
        yield images


def test_no_more_than_asked_is_read_ahead(tmp_path: Path, eight: list[list[Image]]) -> None:
    taken: list[int] = []
    read = TileReader(tmp_path, SETTINGS).read_all(counted(eight, taken), worker_count=2, ahead=3)
    assert taken == []
    for given_out in range(1, 5):
        next(read)
        assert len(taken) == given_out + 2  # the one given out and two more
    read.close()  # type: ignore[attr-defined]
    assert len(taken) == 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tiles")]


def test_several_are_read_at_the_same_time(
    tmp_path: Path, eight: list[list[Image]], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3, timeout=20)  # broken, and so an error, unless three threads come to it
    real = preprocessing_module.cut_tiles

    def cut_when_three_are_there(*arguments: object) -> Tiles:
        together.wait()
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(preprocessing_module, "cut_tiles", cut_when_three_are_there)
    samples = [images[:1] for images in eight[:6]]
    assert len(list(TileReader(tmp_path, SETTINGS).read_all(samples, worker_count=3))) == 6


def test_an_image_read_twice_at_the_same_time_is_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = store(tmp_path, np.asarray(noise(32, 32)))
    together = threading.Barrier(2, timeout=20)
    real = preprocessing_module.cut_tiles

    def cut_when_both_are_there(*arguments: object) -> Tiles:
        together.wait()
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(preprocessing_module, "cut_tiles", cut_when_both_are_there)
    reader = TileReader(tmp_path, SETTINGS, cache_bytes=32 * 32 * 3)
    first, second = reader.read_all([[image], [image]], worker_count=2)
    (tmp_path / image.path).unlink()
    assert (first[0] == second[0]).all()
    assert (reader.read([image])[0] == first[0]).all()


def test_what_a_caller_does_not_want_any_more_is_not_read(
    tmp_path: Path, eight: list[list[Image]], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    may_go_on = threading.Event()
    real = TileReader.read

    def slow(self: TileReader, images: Sequence[Image]) -> list[Tiles]:
        begun.append(images[0].path)
        if len(begun) > 1:
            may_go_on.wait(20)
        return real(self, images)

    monkeypatch.setattr(TileReader, "read", slow)
    read = TileReader(tmp_path, SETTINGS).read_all(eight, worker_count=1, ahead=6)
    next(read)
    threading.Timer(0.2, may_go_on.set).start()
    read.close()  # type: ignore[attr-defined]
    assert begun == [eight[0][0].path, eight[1][0].path][: len(begun)]


@pytest.mark.parametrize(("worker_count", "ahead"), [(-1, None), (2, 0), (2, -3)])
def test_impossible_numbers_of_threads_are_refused_at_once(
    tmp_path: Path, worker_count: int, ahead: int | None
) -> None:
    with pytest.raises(UsageError, match=rf"got {worker_count} and"):
        TileReader(tmp_path, SETTINGS).read_all([], worker_count=worker_count, ahead=ahead)
