"""Trains the same small model on the same data with the same settings by this project and by others; prints a table.

Useful tokens are those of the samples, each by itself and without padding, whoever trains on them: what a contender
pads or shares changes its seconds, not its work. Each contender is a process of its own on one thread.

    OMP_NUM_THREADS=1 python tests/benchmarks/training/compare.py [--vqa-rad FOLDER] [--llama-factory PYTHON]
        [--ms-swift PYTHON] [--epochs 2] [--batch-size 8] [--only mixture] [--held-out-loss 3.0] [--freeze-vision]

``--vqa-rad`` names the folder that holds trainset.json; ``--llama-factory`` and ``--ms-swift`` the Python of an
environment with each (``python -m venv X && X/bin/pip install llamafactory==0.9.5``; ``ms-swift==4.6.0 torchvision``).
Needs 2 GB of memory and some minutes a row.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import llama_factory
import ms_swift
from mixtures import Sizes, describe, measure_sizes, with_max_tiles, write_mixture, write_small_model
from padded_trainer import train_padded
from project import recipe_of, train_project
from settings import Job, Result

from domainvl.model.checkpoint import load_model
from domainvl.training.mixture import mixture_of, open_sources
from domainvl.training.plan import make_plan, measure_fill
from domainvl.training.preparation import read_model_input


def jobs(arguments: argparse.Namespace, work: Path) -> Iterator[Job]:
    """Make the data and yield what is to be trained."""
    shared = {
        "freeze_vision": arguments.freeze_vision,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
    }
    if arguments.only in (None, "mixture"):
        dataset, model = work / "mixture", work / "mixture-model"
        write_mixture(dataset, train_sets=arguments.train_sets)
        # Every image of the mixture is one tile; the limit is of a sample with six of them.
        write_small_model(model, dataset, max_tiles=12)
        yield Job("mixture", dataset, model, **shared)
    if arguments.vqa_rad and arguments.only in (None, "vqa-rad"):
        dataset = work / "vqa-rad"
        run_domainvl("convert", "vqa-rad", str(arguments.vqa_rad), "--out", str(dataset))
        for max_tiles in (6, 12):
            model = work / f"vqa-rad-{max_tiles}-model"
            write_small_model(model, dataset, max_tiles=max_tiles)
            with_max_tiles(model, max_tiles)
            yield Job(f"vqa-rad-{max_tiles}", dataset, model, max_tiles=max_tiles, **shared)


def describe_padding(job: Job, sizes: Sizes, max_tokens: int) -> Iterator[str]:
    """Say how much of the padding of random batches each arrangement leaves, and how full its packs are."""
    padding = sizes.padded(job.batch_size) - sum(sizes.tokens)
    for arrangement in ("grouped", "packed"):
        recipe = recipe_of(dataclasses.replace(job, epochs=1), arrangement, max_tokens, ())
        model, spec = read_model_input(recipe), mixture_of([job.dataset])
        sources = open_sources(spec, model, recipe.packing.max_sample_tokens)
        fill = measure_fill(make_plan(recipe, spec, sources, model, arrangement))
        left = fill.computed_tokens - fill.tokens
        packs = f"; {fill.packs} packs, {fill.packs / fill.fewest_packs:.3f} times the fewest"
        yield f"  {arrangement}: {1 - left / padding:.1%} of that is gone{packs if arrangement == 'packed' else ''}"


def pack_tokens(job: Job, sizes: Sizes) -> int:
    """Return the limit of a pack: what a batch of samples has on average, and room for the longest."""
    return max(max(sizes.tokens), round(sum(sizes.tokens) / len(sizes.tokens) * job.batch_size))


def contenders(job: Job, sizes: Sizes, arguments: argparse.Namespace, work: Path) -> Iterator[Result]:
    """Let each contender train."""
    max_tokens = pack_tokens(job, sizes)
    yield train_padded(job, work)
    yield train_project(job, work, "padded", max_tokens)
    yield train_project(job, work, "grouped", max_tokens)
    yield train_project(job, work, "packed", max_tokens)
    yield train_project(job, work, "packed", max_tokens, ("shared",))
    if job.freeze_vision:
        yield train_project(job, work, "packed", max_tokens, ("shared", "cached"))
    peers = [("sharegpt", arguments.llama_factory, llama_factory), ("ms-swift", arguments.ms_swift, ms_swift)]
    for form, python, peer in peers:
        if python is None:
            continue
        hf_model, rows = work / "hf", work / form
        if not hf_model.exists():
            run_domainvl("model", "export", str(job.model), "--out", str(hf_model))
        run_domainvl("export", str(job.dataset), "--format", form, "--out", str(rows))
        for limit in (None, max_tokens):
            yield peer.train(python, job, hf_model, rows, work, max_tokens=limit)


def run_domainvl(*arguments: str) -> None:
    """Run a command of the project."""
    done = subprocess.run(
        [Path(sys.executable).parent / "domainvl", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"domainvl {' '.join(arguments)} failed:\n{done.stderr}")


def show(result: Result, useful_tokens: int, plain: Result, held_out_loss: float) -> str:
    """Return a row of the table."""
    if result.failure is not None:
        return f"{result.contender:32} does not run:\n{result.failure}"
    rate, plain_rate = useful_tokens / result.cpu_s, useful_tokens / plain.cpu_s if plain.cpu_s else float("nan")
    reached = result.seconds_to(held_out_loss)
    lowest = min((row["loss"] for row in result.evaluations), default=float("nan"))
    return (
        f"{result.contender:32} {len(result.steps):6} {result.cpu_s:8.1f} {rate:9.0f} {rate / plain_rate:6.2f} "
        f"{result.peak_gb:8.2f} {result.grown_gb:8.2f} {'-' if reached is None else format(reached, '.1f'):>8} "
        f"{lowest:8.3f} {'-' if result.waiting_share is None else format(result.waiting_share, '.1%'):>8}"
    )


def main() -> None:
    """Print one table a job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vqa-rad", type=Path)
    parser.add_argument("--llama-factory", type=Path)
    parser.add_argument("--ms-swift", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--train-sets", type=int, default=240)
    parser.add_argument("--only", choices=("mixture", "vqa-rad"))
    parser.add_argument("--held-out-loss", type=float, default=3.0)
    parser.add_argument("--freeze-vision", action="store_true")
    parser.add_argument("--work", type=Path, help="folder for everything, kept; a temporary one where not given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for job in jobs(arguments, work):
            sizes = measure_sizes(job.dataset, load_model(str(job.model)))
            print(describe(job.name, sizes, (job.batch_size,)))
            print(*describe_padding(job, sizes, pack_tokens(job, sizes)), sep="\n")
            print(
                f"{'':32} {'steps':>6} {'CPU s':>8} {'useful/s':>9} {'times':>6} {'peak GB':>8} {'grown':>8} "
                f"{'s to ' + format(arguments.held_out_loss, 'g'):>8} {'least':>8} {'waiting':>8}"
            )
            folder = work / f"{job.name}-runs"
            folder.mkdir()
            plain = None
            for result in contenders(job, sizes, arguments, folder):
                plain = plain or result
                print(show(result, sum(sizes.tokens) * job.epochs, plain, arguments.held_out_loss), flush=True)


if __name__ == "__main__":
    main()
