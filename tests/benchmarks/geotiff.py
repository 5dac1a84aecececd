"""Shows what converting a large GeoTIFF costs: tiles a second of processor time, beside rio-tiler, and peak memory.

The scene is made here: 10,000 x 10,000 px, four bands of uint16, DEFLATE with predictor 2 in blocks of 512 px. Steady
state is what a worker does once it runs: read, stretch, encode, hash, write and record, without start-up and without
the pass for the limits of the stretch, which is quoted apart. rio-tiler is no dependency: ``pip install rio-tiler`` to
have it beside.

    python tests/benchmarks/geotiff.py [--side 10000] [--sparse-side 40000]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from domainvl.conversion import RunSettings, convert
from domainvl.conversion.work import ConversionWork, Staging
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
from domainvl.schema import ImageStore
from domainvl.schema.png import Compressor, best_compressor

BLOCK_PX, TILE_PX = 512, 512
BANDS = ("B02", "B03", "B04", "B08")


def write_scene(path: Path, side_px: int) -> None:
    """Write texture of several scales with noise, about as compressible as Landsat."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "width": side_px, "height": side_px, "count": 4, "dtype": "uint16", "nodata": 0}
    layout = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "interleave": "pixel"}
    place = {"crs": "EPSG:32633", "transform": from_origin(300_000, 5_700_000, 10, 10)}
    with rasterio.open(path, "w", **profile, **layout, **place, compress="deflate", predictor=2, zlevel=6) as dataset:
        dataset.descriptions = BANDS
        for y in range(0, side_px, BLOCK_PX):
            rows = min(BLOCK_PX, side_px - y)
            strip = 2200 + sum(texture(rng, rows, side_px, scale) for scale in (64, 16, 4))
            noise = rng.normal(0, 8, (4, rows, side_px))
            bands = np.clip(strip[np.newaxis] * np.array([0.6, 0.8, 1.0, 1.6])[:, None, None] + noise, 1, 10_000)
            dataset.write(bands.astype(np.uint16), window=Window(0, y, side_px, rows))


def texture(rng: np.random.Generator, rows: int, columns: int, scale: int) -> np.ndarray:
    coarse = rng.normal(0, 6 * scale, (rows // scale + 2, columns // scale + 2))
    fine = coarse.repeat(scale, axis=0).repeat(scale, axis=1)
    return fine[:rows, :columns]


def write_table(folder: Path) -> Path:
    path = folder / "labels.csv"
    path.write_text("scene,label\nscene,farmland\n")
    return path


def time_steady_state(
    scene: Path, settings: GeotiffSettings, compressor: Compressor, folder: Path
) -> tuple[int, float, float]:
    """Return tiles and processor seconds of all bands after the first, and those of the division before."""
    staging = Staging(folder)
    staging.dataset.mkdir(parents=True)
    work = ConversionWork(CONVERTER, settings, scene, staging)
    work._images = ImageStore(staging.dataset, compressor)
    (unit,) = CONVERTER.plan(scene, settings).units
    begin = time.process_time()
    pieces = work(work.task(unit)).pieces
    divided_s = time.process_time() - begin
    work(pieces[0])
    begin, tiles = time.process_time(), 0
    for piece in pieces[1:]:
        tiles += work(piece).sample_count
    return tiles, time.process_time() - begin, divided_s


def time_rio_tiler(scene: Path, folder: Path, tiles: int) -> tuple[int, float] | None:
    try:
        from rio_tiler.io import Reader
    except ImportError:
        return None
    with rasterio.open(scene) as dataset:
        transform, columns = dataset.transform, dataset.width // TILE_PX
    count = 0
    with Reader(str(scene)) as reader:
        begin = time.process_time()
        for index in range(tiles):
            row, column = divmod(index, columns)
            left, top = transform @ (column * TILE_PX, row * TILE_PX)
            bounds = (left, top - 10 * TILE_PX, left + 10 * TILE_PX, top)
            image = reader.part(bounds, bounds_crs=reader.crs, indexes=(3, 2, 1), max_size=None)
            image.rescale(in_range=((500, 4000),) * 3)
            (folder / f"{index}.png").write_bytes(image.render(img_format="PNG", add_mask=False))
            count += 1
        return count, time.process_time() - begin


def cpu_s() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def time_workers(scene: Path, settings: GeotiffSettings, out: Path, workers: int) -> tuple[float, float]:
    begin_s, begin_cpu_s = time.perf_counter(), cpu_s()
    convert(CONVERTER, scene, out, settings, run=RunSettings(workers=workers))
    return time.perf_counter() - begin_s, cpu_s() - begin_cpu_s


SPARSE = """
import re, sys, time
from pathlib import Path
import rasterio
from domainvl.conversion import convert
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
folder, side = Path(sys.argv[1]), int(sys.argv[2])
profile = dict(driver="GTiff", width=side, height=side, count=4, dtype="uint16", tiled=True, sparse_ok=True)
layout = dict(compress="deflate", blockxsize=512, blockysize=512, BIGTIFF="YES")
with rasterio.open(folder / "scene.tif", "w", **profile, **layout):
    pass
convert(CONVERTER, folder / "scene.tif", folder / "out", GeotiffSettings(labels=folder / "labels.csv"))
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1], time.process_time())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--sparse-side", type=int, default=40_000, help="0 leaves it out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene, table = folder / "scene.tif", write_table(folder)
        write_scene(scene, options.side)
        stored = options.side**2 * 8 / scene.stat().st_size
        print(f"{options.side} x {options.side} px, 4 bands of uint16, DEFLATE {stored:.2f} times smaller")
        settings = GeotiffSettings(labels=table, tile_px=TILE_PX)
        rates = {}
        for compressor in dict.fromkeys((Compressor.ZLIB, best_compressor())):
            tiles, spent_s, divided_s = time_steady_state(scene, settings, compressor, folder / compressor)
            rates[compressor] = tiles / spent_s
            print(
                f"{compressor:<8}{tiles:>6} tiles{spent_s:>8.2f} CPU-s{tiles / spent_s:>8.1f} tiles/CPU-s, "
                f"limits of the stretch {divided_s:.2f} CPU-s"
            )
        (folder / "rio").mkdir()
        other = time_rio_tiler(scene, folder / "rio", 60)
        if other is None:
            print("rio-tiler is not installed")
        else:
            rate = other[0] / other[1]
            ratios = ", ".join(f"{compressor} {ours / rate:.1f}" for compressor, ours in rates.items())
            print(
                f"rio-tiler {other[0]:>4} tiles{other[1]:>8.2f} CPU-s{rate:>8.1f} tiles/CPU-s; times as quick: {ratios}"
            )
        one, two = (time_workers(scene, settings, folder / f"out{n}", n) for n in (1, 2))
        print(
            f"workers 1: {one[0]:.1f} s, {one[1]:.1f} CPU-s; 2: {two[0]:.1f} s, {two[1]:.1f} CPU-s; "
            f"CPU ratio {two[1] / one[1]:.3f}, wall ratio {two[0] / one[0]:.2f}, load {os.getloadavg()[0]:.1f}"
        )
    if options.sparse_side:
        with tempfile.TemporaryDirectory() as name:
            write_table(Path(name))
            done = subprocess.run(
                [sys.executable, "-c", SPARSE, name, str(options.sparse_side)],
                capture_output=True,
                text=True,
                check=True,
            )
            peak_kb, spent_s = done.stdout.split()
            side = options.sparse_side
            print(f"sparse {side} x {side}: peak {int(peak_kb) / 1e6:.2f} GB, {float(spent_s):.0f} CPU-s")


if __name__ == "__main__":
    main()
