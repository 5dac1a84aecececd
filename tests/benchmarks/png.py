"""Shows what PNG costs: megabytes of pixels encoded per second of processor time, and how many times smaller they get.

RGB is real imagery in tiles of 512 x 512 px, grey are CT slices in a soft-tissue window; both from a folder of real
files, or made up where there is none. Run as ``python tests/benchmarks/png.py [--data DIR]``; the figures are the best
of several rounds, on one core.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import pydicom
import rasterio
from PIL import Image

from domainvl.converters.geotiff.generate import generate_scenes
from domainvl.schema.png import Compressor, best_compressor, encode_png

TILE_PX = 512
ROUNDS = 7
SCENES = ["opengeos__data/naip/m_*.tif", "weecology__DeepForest/src/deepforest/data/australia.tif"]
SLICES = [
    "dicompyler__dicompyler-core/tests/testdata/example_data/ct.0.dcm",
    "pydicom__pydicom-data/data_store/data/693_J2KR.dcm",
    "pydicom__pydicom-data/data_store/data/explicit_VR-UN.dcm",
]
SOFT_TISSUE_HU = (-160.0, 240.0)  # centre 40, width 400


def real_tiles(folder: Path) -> list:
    tiles = []
    for path in sorted(path for pattern in SCENES for path in (folder / "remote_sensing").glob(pattern)):
        with rasterio.open(path) as scene:
            pixels = scene.read([1, 2, 3]).transpose(1, 2, 0)
        lefts = [*range(0, pixels.shape[1] - TILE_PX, TILE_PX), pixels.shape[1] - TILE_PX]
        tiles += [np.ascontiguousarray(pixels[:TILE_PX, left : left + TILE_PX]) for left in lefts]
    return tiles


def made_tiles() -> list:
    with tempfile.TemporaryDirectory() as folder:
        generate_scenes(Path(folder), scene_count=16, seed=0)
        scenes = []
        for path in sorted(Path(folder).rglob("*.tif")):
            with rasterio.open(path) as scene:
                scenes.append((scene.read([3, 2, 1]).transpose(1, 2, 0) / 5000.0 * 255.0).clip(0, 255).astype(np.uint8))
    rows = [np.hstack(scenes[start : start + 2]) for start in range(0, len(scenes), 2)]
    return [np.vstack(rows[start : start + 2]) for start in range(0, len(rows), 2)]


def to_grey(values_hu):
    low, high = SOFT_TISSUE_HU
    return ((values_hu - low) / (high - low) * 255.0).clip(0, 255).astype(np.uint8)


def real_slices(folder: Path) -> list:
    slices = []
    for path in (folder / "medical" / name for name in SLICES):
        if path.is_file():
            header = pydicom.dcmread(path)
            slices.append(to_grey(header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)))
    return slices


def made_slices() -> list:
    """Noisy discs of soft tissue in air."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    body = np.where(np.hypot(x, 1.3 * y) < 0.9, 40.0 + 30.0 * np.sin(9 * x) * np.cos(7 * y), -1000.0)
    return [to_grey(body + rng.normal(0.0, 12.0, body.shape)) for _ in range(4)]


def encode_with_pillow(pixels, level: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def measure(encode, images: list) -> tuple[float, float]:
    """Return MB/s of processor time, and bytes of pixels per byte of file."""
    pixel_bytes = sum(image.nbytes for image in images)
    best_s = float("inf")
    for _ in range(ROUNDS):
        start_s = time.process_time()
        file_bytes = sum(len(encode(image)) for image in images)
        best_s = min(best_s, time.process_time() - start_s)
    return pixel_bytes / best_s / 1e6, pixel_bytes / file_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[3] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="folder of real files")
    folder = parser.parse_args().data
    encoders = {"domainvl, zlib": lambda pixels: encode_png(pixels, Compressor.ZLIB)}
    if best_compressor() is Compressor.ZLIB_NG:
        encoders["domainvl, zlib-ng"] = lambda pixels: encode_png(pixels, Compressor.ZLIB_NG)
    encoders["Pillow, default"] = lambda pixels: encode_with_pillow(pixels, 6)  # zlib's default
    encoders["Pillow, level 1"] = lambda pixels: encode_with_pillow(pixels, 1)
    for title, real, made in (("RGB", real_tiles, made_tiles), ("grey CT", real_slices, made_slices)):
        images = real(folder)
        origin = "real" if images else "made up"
        images = images or made()
        print(f"{title}: {len(images)} {origin} images, {sum(image.nbytes for image in images) / 1e6:.1f} MB")
        for name, encode in encoders.items():
            speed_mb_s, ratio = measure(encode, images)
            print(f"  {name:16}{speed_mb_s:7.0f} MB/s  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
