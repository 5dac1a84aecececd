"""Shows what the way from a JPEG to the encoder's input costs: processor milliseconds on one core, and grey levels off.

Two JPEGs of 4000x3000 and 1600x900 px, at most 12 tiles and a thumbnail. Both show a photograph, repeated and mirrored
at its own scale where it is too small, or a made-up scene where there is none. ``official`` is InternVL's arithmetic
(dynamic_preprocess, then ToTensor and Normalize of each tile), once with rows resized before columns, as Pillow did
until release 13 and so when the models were trained, and once as the installed Pillow does. Differences are to the
former. "Until tiles" is what a worker does: decoding, resizing and cutting, and for all but domainvl, which normalises
on the model's device, normalising too. The share is that of the first row's total.

Run as ``python tests/benchmarks/tiles.py [--image FILE] [--data DIR] [--rounds 9] [--accuracy]``; the figures are
medians. With ``--accuracy`` it counts by how many levels ``fast`` differs on a folder of real files, for minutes.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import transformers
from PIL import Image as PillowImage
from rich.console import Console
from rich.table import Table
from transformers import GotOcr2ImageProcessorPil

from domainvl.model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, TileReader, cut_tiles, normalise
from domainvl.schema import Image
from domainvl.tiling import choose_grid

SIZES = [(4000, 3000), (1600, 900)]
MAX_TILES = 12
SIDE_PX = 448
JPEG_QUALITY = 95
PHOTOGRAPH = "driving/udacity__CarND-Advanced-Lane-Lines/test_images/test5.jpg"
REAL_FILES = {
    "road photographs": "driving/udacity__CarND-Advanced-Lane-Lines/test_images/*.jpg",
    "city photographs": "superres/**/*.PNG",
    "radiographs and scans": "medical/longle0702__med-v2qa/**/*.jpg",
    "book illustrations": "general/**/*.jpg",
}
BICUBIC = PillowImage.Resampling.BICUBIC


def made_up() -> PillowImage.Image:
    """Noise whose strength falls with its frequency, as that of photographs does."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(720)[:, None], np.fft.rfftfreq(1280)[None])
    frequency[0, 0] = 1.0
    shape = (3, 720, 641)
    spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / frequency**1.1
    scene = np.fft.irfft2(spectrum, (720, 1280)).transpose(1, 2, 0)
    scene = (scene - scene.mean()) / scene.std()
    return PillowImage.fromarray((128 + 50 * scene).clip(0, 255).astype(np.uint8))


def jpeg(picture: PillowImage.Image, width_px: int, height_px: int) -> bytes:
    pixels = np.asarray(picture.convert("RGB"))
    rows, columns = max(0, height_px - len(pixels)), max(0, width_px - pixels.shape[1])
    pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="symmetric")[:height_px, :width_px]
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def decode_rgb(content: bytes) -> PillowImage.Image:
    return PillowImage.open(io.BytesIO(content)).convert("RGB")


def decode_once(content: bytes) -> PillowImage.Image:
    """What TileReader does: no copy of what is RGB already."""
    image = PillowImage.open(io.BytesIO(content))
    image.load()
    return image


def rows_first(image: PillowImage.Image, size: tuple[int, int]) -> PillowImage.Image:
    return image.resize((size[0], image.height), BICUBIC).resize(size, BICUBIC)


def as_installed(image: PillowImage.Image, size: tuple[int, int]) -> PillowImage.Image:
    return image.resize(size, BICUBIC)


def official_cut(resize: Callable[..., PillowImage.Image]) -> Callable[[PillowImage.Image], list[PillowImage.Image]]:
    def cut(image: PillowImage.Image) -> list[PillowImage.Image]:
        grid = choose_grid(*image.size, max_tiles=MAX_TILES)
        whole = resize(image, (grid.columns * SIDE_PX, grid.rows * SIDE_PX))
        corners = [(column * SIDE_PX, row * SIDE_PX) for row in range(grid.rows) for column in range(grid.columns)]
        tiles = [whole.crop((left, top, left + SIDE_PX, top + SIDE_PX)) for left, top in corners]
        return [*tiles, resize(image, (SIDE_PX, SIDE_PX))]

    return cut


def official_normalise(tiles: list[PillowImage.Image]) -> torch.Tensor:
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    std = torch.tensor(IMAGENET_STD)[:, None, None]
    channels_first = [torch.from_numpy(np.array(tile)).permute(2, 0, 1).contiguous() for tile in tiles]
    return torch.stack([tile.float().div(255).sub_(mean).div_(std) for tile in channels_first])


def our_cut(settings: Preprocessing) -> Callable[[PillowImage.Image], np.ndarray]:
    def cut(image: PillowImage.Image) -> np.ndarray:
        grid = choose_grid(*image.size, max_tiles=settings.max_tiles)
        return cut_tiles(image, grid, settings.tile_side_px, settings.resize)

    return cut


def our_normalise(tiles: np.ndarray) -> torch.Tensor:
    return normalise(torch.from_numpy(tiles), Preprocessing(), torch.float32)


class Transformers:
    """Its processor does all at once; what it takes without the last step is taken for the steps before."""

    def __init__(self) -> None:
        self._processor = GotOcr2ImageProcessorPil(
            crop_to_patches=True,
            max_patches=MAX_TILES,
            size={"height": SIDE_PX, "width": SIDE_PX},
            image_mean=IMAGENET_MEAN,
            image_std=IMAGENET_STD,
        )

    def cut(self, image: PillowImage.Image) -> PillowImage.Image:
        self._processor(images=image, do_rescale=False, do_normalize=False)
        return image

    def cut_and_normalise(self, image: PillowImage.Image) -> torch.Tensor:
        values: torch.Tensor = self._processor(images=image, return_tensors="pt")["pixel_values"]
        return values


def variants() -> dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]]:
    """Name to the three steps: decode, resize and cut, normalise."""
    processor = Transformers()
    return {
        "official, rows first": (decode_rgb, official_cut(rows_first), official_normalise),
        "official, installed Pillow": (decode_rgb, official_cut(as_installed), official_normalise),
        "transformers, Pillow": (decode_rgb, processor.cut, processor.cut_and_normalise),
        "domainvl, exact": (decode_once, our_cut(Preprocessing(resize="exact")), our_normalise),
        "domainvl, fast": (decode_once, our_cut(Preprocessing(resize="fast")), our_normalise),
    }


def timed_ms(step: Callable[..., Any], argument: Any) -> tuple[float, Any]:
    start_s = time.process_time()
    result = step(argument)
    return (time.process_time() - start_s) * 1e3, result


def measure(content: bytes, rounds: int) -> tuple[dict[str, list[float]], dict[str, torch.Tensor]]:
    """Return the median milliseconds of each step, and the values; the variants take turns."""
    times: dict[str, list[tuple[float, ...]]] = {}
    values = {}
    for _ in range(rounds + 1):
        for name, (decode, cut, finish) in variants().items():
            decode_ms, image = timed_ms(decode, content)
            cut_ms, tiles = timed_ms(cut, image)
            finish_ms, values[name] = timed_ms(finish, tiles)
            if name.startswith("transformers"):
                finish_ms -= cut_ms
            times.setdefault(name, []).append((decode_ms, cut_ms, finish_ms, decode_ms + cut_ms + finish_ms))
    medians = {
        name: [statistics.median(column) for column in zip(*rows[1:], strict=True)] for name, rows in times.items()
    }
    return medians, values


def grey_levels(difference: torch.Tensor) -> torch.Tensor:
    return (difference * torch.tensor(IMAGENET_STD)[None, :, None, None] * 255).abs()


def show_speed(console: Console, picture: PillowImage.Image, origin: str, rounds: int) -> None:
    for width_px, height_px in SIZES:
        content = jpeg(picture, width_px, height_px)
        medians, values = measure(content, rounds)
        grid = choose_grid(width_px, height_px, max_tiles=MAX_TILES)
        title = (
            f"{width_px}x{height_px} JPEG, {len(content) / 1e6:.1f} MB, {origin}; {grid.columns} x {grid.rows} tiles "
            f"+ thumbnail; CPU ms, 1 thread"
        )
        columns = ["decode", "resize+cut", "normalise", "total", "share", "until tiles", "share"]
        columns += ["max off", "mean off", "differ"]
        table = Table("", *columns, title=title, title_justify="left")
        first = next(iter(medians))
        for name, times in medians.items():
            off = grey_levels(values[name] - values[first])
            worker_ms = sum(times[:2]) if name.startswith("domainvl") else times[-1]
            table.add_row(
                name,
                *[f"{value:.1f}" for value in times],
                f"{times[-1] / medians[first][-1]:.2f}",
                f"{worker_ms:.1f}",
                f"{worker_ms / medians[first][-1]:.2f}",
                f"{off.max():.3f}",
                f"{off.mean():.5f}",
                f"{(off > 0.5).float().mean():.4%}",
            )
        console.print(table)


def show_accuracy(console: Console, folder: Path) -> None:
    """Count the values that differ by one level and by more, over grids of 6 to 40 tiles and their thumbnails."""
    table = Table("", "images", "values", "differ by 1", "by more", title="fast against exact", title_justify="left")
    for name, pattern in REAL_FILES.items():
        paths = sorted(folder.glob(pattern))
        counts = np.zeros(3, np.int64)
        for path in paths:
            with PillowImage.open(path) as opened:
                image = opened.convert("RGB")
            for max_tiles in (6, 12, 24, 40):
                grid = choose_grid(*image.size, max_tiles=max_tiles)
                exact = cut_tiles(image, grid, SIDE_PX, "exact").astype(np.int16)
                difference = np.abs(exact - cut_tiles(image, grid, SIDE_PX, "fast"))
                counts += [difference.size, (difference == 1).sum(), (difference > 1).sum()]
        if paths:
            table.add_row(
                name, str(len(paths)), f"{counts[0] / 1e6:.0f} M", f"{counts[1] / counts[0]:.3%}", str(counts[2])
            )
    console.print(table)


def show_threads(console: Console, picture: PillowImage.Image) -> None:
    """Wall time of reading images ahead; two threads on two free cores should take half."""
    table = Table("threads", "exact, images/s", "fast, images/s", title="reading ahead", title_justify="left")
    with tempfile.TemporaryDirectory() as folder:
        samples = []
        for index, size in enumerate([*SIZES * 12]):
            (Path(folder) / f"{index}.jpg").write_bytes(jpeg(picture, *size))
            image = Image.model_construct(path=f"{index}.jpg", width_px=size[0], height_px=size[1], frame=None)
            samples.append([image])
        for worker_count in (0, 1, 2, 4):
            speeds = []
            for resize in ("exact", "fast"):
                reader = TileReader(Path(folder), Preprocessing(resize=resize))
                start_s = time.perf_counter()
                for _ in reader.read_all(samples, worker_count=worker_count):
                    pass
                speeds.append(len(samples) / (time.perf_counter() - start_s))
            table.add_row(str(worker_count), *[f"{speed:.1f}" for speed in speeds])
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[3] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="folder of real files")
    parser.add_argument("--image", type=Path, default=None, help="a photograph to use instead")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--accuracy", action="store_true", help="count differences on the real files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.image or arguments.data / PHOTOGRAPH
    if arguments.image or path.is_file():
        picture, origin = PillowImage.open(path), "photograph"
    else:
        picture, origin = made_up(), "made up"
    console = Console(width=140)
    console.print(f"Pillow {PIL.__version__}, torch {torch.__version__}, transformers {transformers.__version__}")
    show_speed(console, picture, origin, arguments.rounds)
    show_threads(console, picture)
    if arguments.accuracy:
        show_accuracy(console, arguments.data)


if __name__ == "__main__":
    main()
