"""Shows how well SDAN's offsets find a displacement that is known: the end-point error before and after learning.

Generated scenes are seen by two sensors: the low view is shifted as a whole by up to 3 low pixels a component and, on
top, displaced by a smooth field. ``domainvl enhance register`` takes out the shift; SDAN trains on what it leaves, from
pictures alone, and its flow is compared with the truth on scenes that it has not seen, the reference being the high
view shrunk, as in training. The mean end-point error (the length of the difference of the two vectors, in low pixels)
is taken over all pixels but a border. A kernel that is off its centre makes up for a constant in the flow, so that this
constant says nothing: the last column leaves it out, which is found without the truth, as the mean flow over the
training pairs (their true mean is about 0 once they are registered). One thing is not as published unless asked for,
since it slows learning down: ``--reference-flips``. Run as
``OMP_NUM_THREADS=1 python tests/benchmarks/enhance/known_displacement.py [--seeds 3] [--steps N] [--out DIR]``.
Ends with 1 if a seed does not come below half a pixel.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from domainvl.enhance.checkpoint import load_checkpoint
from domainvl.enhance.generate import ZoomedPair, make_pair
from domainvl.enhance.pairs.records import PairRecord, PairSet
from domainvl.enhance.pairs.register import register_pairs
from domainvl.enhance.pairs.settings import RegisterSettings
from domainvl.enhance.rasters import Pixels, Raster
from domainvl.enhance.resampling import shrink
from domainvl.enhance.training.run import train_enhancer
from domainvl.enhance.training.settings import make_settings

SCALE = 2
SIZE_LOW = (96, 96)
BORDER_PX = 8
WANTED_PX = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many networks and sets of scenes")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--held-out", type=int, default=8)
    parser.add_argument("--flow-px", type=float, default=2.0, help="largest component of the smooth displacement")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--pack-block", type=int, default=4, help="0 takes a third of the time")
    parser.add_argument("--reference-flips", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for pairs and runs; a temporary one else")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        print("mean end-point error in low pixels, held-out scenes")
        print(
            f"{'seed':>4}{'as taken':>10}{'registered':>12}{'learned':>9}{'CPU-s':>7}{'less constant':>15}", flush=True
        )
        found = [run(options, seed, out / f"seed-{seed}") for seed in seeds(options)]
    return 0 if max(found) < WANTED_PX else 1


def seeds(options: argparse.Namespace) -> range:
    return range(options.first_seed, options.first_seed + options.seeds)


def run(options: argparse.Namespace, seed: int, out: Path) -> float:
    """Make, register, train and measure one set; returns the error that is left."""
    started = time.process_time()
    truth = write_views(options, seed, out / "views")
    settings = RegisterSettings(
        scale=SCALE, layout="folders", val_share=0.05, test_share=options.held_out / options.pairs, seed=seed
    )
    if not (out / "pairs").exists():
        register_pairs(out / "views" / "low", out / "views" / "high", out / "pairs", settings)
    pairs = PairSet(out / "pairs")
    layers = {
        "features": 32,
        "blocks": 1,
        "pack_block": options.pack_block,
        "flips": options.reference_flips,
        "bicubic_skip": False,  # a skip shows the low view where it is, and hides what alignment is for
    }
    training = {
        "steps": options.steps,
        "batch": 8,
        "crop_px": 24,
        "learning_rate": 1e-3,
        "restart_every": options.steps,
        "seed": seed,
        "validate_every": options.steps,
    }
    trained = make_settings("small", pairs.index, network=layers, training=training)
    train_enhancer(pairs, out / "run", trained, device="cpu", threads=1, tracking="none", resume=(out / "run").exists())
    network, _ = load_checkpoint(out / "run")
    constant = np.mean(
        [flow_of(network, *pairs.read(one)).mean(axis=(1, 2)) for one in pairs.of_split("train")], axis=0
    )
    errors = np.array(
        [errors_of(network, pairs, record, truth[record.id], constant) for record in pairs.of_split("test")]
    )
    taken, registered, learned, corrected = errors.mean(axis=0)
    took_s = time.process_time() - started
    print(f"{seed:4}{taken:10.3f}{registered:12.3f}{learned:9.3f}{took_s:7.0f}{corrected:15.3f}", flush=True)
    return float(corrected)


def write_views(options: argparse.Namespace, seed: int, folder: Path) -> dict[str, ZoomedPair]:
    """Write both folders; returns the pairs by their ids."""
    rng = np.random.default_rng(seed)
    made = {}
    for number in range(options.pairs):
        down_px, along_px = rng.uniform(-3, 3, size=2)
        pair = make_pair(
            100_000 * (seed + 1) + 10 * number,
            SIZE_LOW,
            SCALE,
            shift_px=(down_px, along_px),
            flow_px=options.flow_px,
            noise=0.01,
        )
        for name, view in (("low", pair.low), ("high", pair.high)):
            path = folder / name / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.moveaxis(view.pixels, 0, -1).astype(np.uint8)).save(path)
        made[f"{number:03d}"] = pair
    return made


def flow_of(network: torch.nn.Module, low: Raster, high: Raster) -> np.ndarray:
    """Return (2, rows, columns): what the network finds when the high view, shrunk, is the reference."""
    reference, _ = shrink(high.pixels, high.valid, SCALE)
    with torch.inference_mode():
        return network(as_batch(low.pixels), as_batch(reference)).flow_px[0].numpy()


def errors_of(
    network: torch.nn.Module, pairs: PairSet, record: PairRecord, truth: ZoomedPair, constant: np.ndarray
) -> list[float]:
    """Return the mean end-point errors of a pair: as taken, registered, learned, and less the constant."""
    low, high = pairs.read(record)
    rows, columns = low.size_px
    corner = find_corner(low.pixels, truth.low)
    high_corner = find_corner(high.pixels, truth.high)
    # The shift that cropping whole pixels took out.
    taken_out = np.array([b / SCALE - a for a, b in zip(corner, high_corner, strict=True)])
    # In the low view's frame: the flow from a place of the registered high view into the registered low view.
    origin = [round(b / SCALE) for b in high_corner]
    whole = truth.flow_px[:, origin[0] : origin[0] + rows, origin[1] : origin[1] + columns]
    left = whole + taken_out[:, None, None]
    found = flow_of(network, low, high)[:, : whole.shape[1], : whole.shape[2]]
    inner = (slice(None), slice(BORDER_PX, rows - BORDER_PX), slice(BORDER_PX, columns - BORDER_PX))
    fields = (whole, left, found - left, found - constant[:, None, None] - left)
    return [mean_length(field[inner]) for field in fields]


def find_corner(part: Pixels, whole: Raster) -> tuple[int, int]:
    """Find where a crop was taken from; its pixels are those of the whole."""
    rows, columns = part.shape[1:]
    for row in range(whole.size_px[0] - rows + 1):
        for column in range(whole.size_px[1] - columns + 1):
            if np.array_equal(whole.pixels[:, row : row + rows, column : column + columns], part):
                return row, column
    raise SystemExit("a registered view is no crop of its source")


def as_batch(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels / np.float32(255))[None]


def mean_length(field: np.ndarray) -> float:
    return float(np.hypot(field[0], field[1]).mean())


if __name__ == "__main__":
    sys.exit(main())
