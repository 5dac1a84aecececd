"""Trains a plain and an SDAN network of about equal size on real zoom pairs and says which is better than bicubic.

The pairs are those of City100 (ngchc/CameraSR) in the shared data, registered by ``domainvl enhance register``. Scenes
are held out in four folds: each fold trains both networks on the other scenes and measures them on its own, so that
every pair is measured once by networks that never saw its scene. Figures of all folds are pooled, with intervals over
scenes. ``--misalign-px`` moves the training views against each other by random whole high pixels that nothing registers
afterwards, which is what SDAN is made for; held-out pairs stay as they are. Run as
``OMP_NUM_THREADS=1 python tests/benchmarks/enhance/city100.py --data DIR [--steps N] [--misalign-px N] [--out DIR]``;
a step takes 0.35 CPU-s with SDAN and 0.2 without, so that 1,500 steps take about an hour in all. A run that was
stopped goes on with the same ``--out``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from domainvl.enhance.evaluating.contestants import Field, make_field
from domainvl.enhance.evaluating.results import write_results
from domainvl.enhance.evaluating.run import EvaluationSettings, Measured, conclude, measure_pairs
from domainvl.enhance.evaluating.tables import headline_table
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import INDEX_NAME, RECORDS_NAME, PairRecord, PairSet
from domainvl.enhance.rasters import Raster, write_tiff
from domainvl.enhance.training.run import train_enhancer
from domainvl.enhance.training.settings import TrainingSettings, make_settings
from domainvl.enhance.upscaler import open_upscaler
from domainvl.viewing.enhancement import write_enhancement_report

FOLDS = 4
MODES = ("zero", "self")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with City100; not needed with --pairs")
    parser.add_argument("--pairs", type=Path, help="pairs that are registered already")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop-px", type=int, default=32)
    parser.add_argument(
        "--misalign-px", type=int, default=0, help="largest random shift of training pairs, in high pixels"
    )
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="folder for pairs, runs and the report; a temporary one else")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run(options, options.out or Path(scratch))


def run(options: argparse.Namespace, out: Path) -> None:
    started = time.process_time()
    pairs = PairSet(options.pairs or register(options.data, out / "pairs"))
    scenes = sorted({record.group for record in pairs.records})
    print(f"{len(pairs.records)} pairs of {len(scenes)} scenes at x{pairs.index.scale}, {options.folds} folds")
    measured, entered = Measured(), None
    for fold in range(options.folds):
        held_out = set(scenes[fold :: options.folds])
        entered, part = run_fold(options, pairs, held_out, out / f"fold-{fold}")
        measured.figures += part.figures
        measured.left_out += part.left_out
        measured.panels += part.panels
    if entered is None:
        raise SystemExit("there must be a fold at least")
    settings = EvaluationSettings(split="all", modes=MODES, seed=options.seed)
    evaluated = conclude(measured, entered, pairs.index, settings, where="City100, held-out scenes of all folds")
    print(f"\n{headline_table(evaluated.evaluation)}")
    for comparison in evaluated.evaluation.comparisons:
        print(comparison.words)
    print()
    for sentence in evaluated.evaluation.verdict:
        print(sentence)
    if options.out is not None:
        write_results(out, evaluated.evaluation, measured.figures)
        write_enhancement_report(out / "report.html", evaluated.evaluation, measured.panels)
        print(f"report {out / 'report.html'}")
    print(f"{time.process_time() - started:.0f} CPU-s")


def register(data: Path | None, out: Path) -> Path:
    """Register City100 with the command that users have; what is registered already is kept."""
    if data is None:
        raise SystemExit("give --data or --pairs")
    if not (out / INDEX_NAME).is_file():
        command = [sys.executable, "-m", "domainvl", "enhance", "register", str(data), "--out", str(out)]
        # 8: some pairs were rejected, and listed.
        done = subprocess.run([*command, "--layout", "city100", "--scale", "2"], check=False)
        if done.returncode not in (0, 8):
            raise SystemExit(done.returncode)
    return out


def run_fold(options: argparse.Namespace, pairs: PairSet, held_out: set[str], folder: Path) -> tuple[Field, Measured]:
    """Train both networks on the other scenes and measure them on these."""
    training = split_off(pairs, held_out, folder / "pairs", misalign_px=options.misalign_px, seed=options.seed)
    sdan = settings_of(options, pairs, "shared")
    plain = settings_of(options, pairs, "none", blocks=blocks_for(sdan.network))
    opened = []
    for name, settings in (("SDAN", sdan), ("plain", plain)):
        started, target = time.process_time(), folder / name.lower()
        # Cores are shared out by who runs the benchmark; so is how sums are rounded.
        summary = train_enhancer(
            training, target, settings, resume=target.exists(), device=options.device, threads=1, tracking="none"
        )
        opened.append((name, open_upscaler(str(target), threads=1)))
        print(
            f"{folder.name}: {name}, {summary.parameters:,} weights, {summary.pairs} pairs, loss {summary.loss:.5f}, "
            f"{time.process_time() - started:.0f} CPU-s",
            flush=True,
        )
    entered = make_field(opened, pairs.index, MODES)
    records = [record for record in pairs.records if record.group in held_out]
    return entered, measure_pairs(pairs, records, entered, panels=2)


def settings_of(
    options: argparse.Namespace, pairs: PairSet, alignment: str, *, blocks: int | None = None
) -> TrainingSettings:
    return make_settings(
        "small",
        pairs.index,
        network={"alignment": alignment, "blocks": blocks},
        training={"steps": options.steps, "batch": options.batch, "crop_px": options.crop_px, "seed": options.seed},
    )


def blocks_for(sdan: NetworkSettings) -> int:
    """Return how many residual blocks bring the plain network nearest to SDAN's number of weights."""
    wanted = weights_of(sdan)
    plain = {
        n: sdan.model_copy(update={"alignment": "none", "blocks": n}) for n in range(sdan.blocks, sdan.blocks + 16)
    }
    return min(plain, key=lambda blocks: abs(weights_of(plain[blocks]) - wanted))


def weights_of(settings: NetworkSettings) -> int:
    return sum(value.numel() for value in MisalignedSR(settings).parameters())


def split_off(pairs: PairSet, held_out: set[str], folder: Path, *, misalign_px: int, seed: int) -> PairSet:
    """Write the pairs of all other scenes as a training set, moved against each other at random where that is asked."""
    records = [record for record in pairs.records if record.group not in held_out]
    kept = []
    for record in records:
        low, high = pairs.read(record)
        if misalign_px:
            low, high = misalign(low, high, pairs.index.scale, misalign_px, random_of(record, seed))
        kept.append(record.model_copy(update={"split": "train"}))
        write_tiff(folder / record.low, low)
        write_tiff(folder / record.high, high)
    # A run on pairs that were moved otherwise must not pass for one that can be gone on with.
    moved = {"misalign_px": misalign_px, "misalign_seed": seed} if misalign_px else {}
    settings = {**pairs.index.settings, **moved}
    index = pairs.index.model_copy(update={"counts": {"train": len(kept)}, "settings": settings})
    (folder / INDEX_NAME).write_text(index.model_dump_json(), "utf-8")
    (folder / RECORDS_NAME).write_text("".join(f"{record.model_dump_json()}\n" for record in kept), "utf-8")
    return PairSet(folder)


def random_of(record: PairRecord, seed: int) -> np.random.Generator:
    """Return a generator of the pair's own: its shift is the same in every fold."""
    return np.random.default_rng([seed, *record.id.encode()])


def misalign(low: Raster, high: Raster, scale: int, largest_px: int, rng: np.random.Generator) -> tuple[Raster, Raster]:
    """Cut both views so that the high one lies off the low one by a random whole number of high pixels."""
    margin = -(-largest_px // scale)
    down, along = (int(part) for part in rng.integers(-largest_px, largest_px + 1, size=2))
    rows, columns = (side - 2 * margin for side in low.size_px)
    corner = margin * scale + down, margin * scale + along
    return low.crop(margin, margin, rows, columns), high.crop(*corner, rows * scale, columns * scale)


if __name__ == "__main__":
    main()
