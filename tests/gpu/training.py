"""How fast a GPU trains the 1B and the 2B and what memory that takes, packed and grouped; prints a table.

    python tests/gpu/training.py

Random weights, samples of noise, the steps of ``finetune`` itself: its plan, loss, gradients, clipping and optimizer;
only reading images is left out. Bounded in time: rows that were not reached are named. With ``--device cpu --small``
the script itself can be tried anywhere. Ends with 1 if a loss is no finite number.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from full_size import Trainer, as_pack, random_model, random_unit

from domainvl.model import packed_attention
from domainvl.model.checkpoint import LoadedModel
from domainvl.model.quiet import quiet_transformers
from domainvl.training.batches import collate
from domainvl.training.loading import LoadedPack
from domainvl.training.mixture import MixtureSpec, SourceSpec
from domainvl.training.plan import TrainingPlan, make_plan, measure_fill
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.sources import ModelInput, Source
from domainvl.training.stepping import MemoryExhaustedError
from domainvl.training.units import EncodedUnit

SAMPLES, SAMPLES_A_STEP = 64, 16
MIN_TEXT_TOKENS, MAX_TEXT_TOKENS = 32, 512
TILES = (1, 6, 12)
MODELS = (("1b", "lora"), ("2b", "lora"), ("1b", "full"), ("2b", "full"))
WAYS = (("packed", "packed_sdpa"), ("grouped", "packed_sdpa"), ("packed", "sdpa"), ("grouped", "sdpa"))
HEAD = (
    f"{'model':6}{'tiles':>6}  {'arrangement':12}{'attention':12}{'samples/s':>10}{'tokens/s':>10}{'tiles/s':>9}"
    f"{'padding':>9}{'peak GB':>9}{'reserved':>9}  loss"
)


class Noise(Source):
    """Samples about one image each, of 1 to ``max_tiles`` tiles, thumbnail not counted, with texts of all lengths."""

    name, role, folder, digest = "noise", "domain", Path(), ""

    def __init__(self, config: Any, max_tiles: int) -> None:
        generator = np.random.default_rng(0)
        logs = generator.uniform(math.log(MIN_TEXT_TOKENS), math.log(MAX_TEXT_TOKENS), SAMPLES)
        tiles = generator.integers(1, max_tiles + 1, SAMPLES)
        self.units = [
            random_unit(config, int(count + (count > 1)), round(length), round(length) // 2, seed)
            for seed, (count, length) in enumerate(zip(tiles, np.exp(logs), strict=True))
        ]

    def __len__(self) -> int:
        return SAMPLES

    def image_key(self, index: int) -> int:
        return index

    def encode(self, indices: Sequence[int], model: ModelInput, max_tiles: int) -> list[EncodedUnit]:
        return [self.units[index].unit for index in indices]


@dataclass(frozen=True)
class Measured:
    """What some steps came to."""

    seconds: float
    samples: int
    tokens: int
    tiles: int
    loss: float


def recipe_of(size: str, method: str, *changes: str) -> Recipe:
    own = (f"optimisation.batch_size={SAMPLES_A_STEP}", "optimisation.micro_batch_size=4")
    return load_recipe(f"_shared/{method}", overrides=[*own, *changes], model=size)


def read_step(plan: TrainingPlan, source: Noise, step: int) -> list[LoadedPack]:
    packs = []
    for micro in plan.share(step % len(plan.steps), 0, 1):
        units = [source.units[plan.units[number].indices.start] for number in micro]
        packs.append(as_pack(collate(units, 0, plan.arrangement), units))
    return packs


def take_steps(trainer: Trainer, plan: TrainingPlan, source: Noise, device: torch.device, seconds: float) -> Measured:
    """Take each step once to warm up, for not more than half of the time, then count."""
    for limit in (seconds / 2, seconds):
        started = time.perf_counter()
        spent = samples = tokens = tiles = 0
        for step in range(10_000):
            packs = read_step(plan, source, step)
            synchronise(device)
            before = time.perf_counter()
            loss = trainer.step(step + 1, packs)
            synchronise(device)
            spent += time.perf_counter() - before
            samples += sum(sum(pack.samples) for pack in packs)
            tokens += sum(sum(pack.tokens) for pack in packs)
            tiles += sum(pack.tiles for pack in packs)
            warm = limit < seconds and step + 1 == len(plan.steps)
            if warm or time.perf_counter() - started > limit:
                break
    return Measured(spent, samples, tokens, tiles, loss)


def measure_row(
    trainer: Trainer, loaded: LoadedModel, recipe: Recipe, source: Noise, way: tuple[str, str], seconds: float
) -> tuple[str, bool]:
    """Measure one way to arrange samples; return the numbers of its row, and whether they are right."""
    arrangement, attention = way
    device = loaded.device
    loaded.internvl.set_attn_implementation({"vision_config": "sdpa", "text_config": attention})
    model = ModelInput(None, recipe.preprocessing.applied_to(loaded.spec.preprocessing), loaded.rope_border)
    spec = MixtureSpec(sources={source.name: SourceSpec(path=Path())})
    plan = make_plan(recipe, spec, [source], model, arrangement)
    fill = measure_fill(plan)
    padding = 1 - fill.tokens / fill.computed_tokens
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        found = take_steps(trainer, plan, source, device, seconds)
    except (MemoryExhaustedError, torch.OutOfMemoryError):
        return "  memory ran out", True
    peak = reserved = float("nan")
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 1e9
        reserved = torch.cuda.max_memory_reserved(device) / 1e9
    return (
        f"{found.samples / found.seconds:10.2f}{found.tokens / found.seconds:10,.0f}{found.tiles / found.seconds:9.1f}"
        f"{padding:9.1%}{peak:9.2f}{reserved:9.2f}  {found.loss:.3f}",
        math.isfinite(found.loss),
    )


def measure_model(
    size: str, method: str, device: torch.device, rows: Sequence[tuple[int, tuple[str, str]]], seconds: float
) -> Iterator[tuple[str, bool]]:
    try:
        loaded = random_model(size, recipe_of(size, method), device)
        trainer = Trainer(loaded, recipe_of(size, method))
    except torch.OutOfMemoryError:
        yield from (("  the model alone does not fit", True) for _ in rows)
        return
    sources: dict[int, Noise] = {}
    for tiles, way in rows:
        if tiles not in sources:
            sources = {tiles: Noise(loaded.internvl.config, tiles)}
        recipe = recipe_of(size, method, f"preprocessing.max_tiles={tiles}")
        yield measure_row(trainer, loaded, recipe, sources[tiles], way, seconds)
        loaded.model.zero_grad(set_to_none=True)
        free(device)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def has_varlen(device: torch.device) -> bool:
    return packed_attention.has_flash(torch.empty(1, 1, 1, 64, device=device, dtype=torch.bfloat16))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="take a model of the size of tiny, to try the script")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="rows that have this in their name, as '2b lora, 12'"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of steps that are counted, a row")
    parser.add_argument("--minutes", type=float, default=6.0, help="begin no row after this")
    given = parser.parse_args()
    quiet_transformers()
    device = torch.device(given.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
    varlen = "is" if has_varlen(device) else "is not"
    print(f"{name}, torch {torch.__version__}; torch's attention of several lengths {varlen} used by packed_sdpa")
    print(
        f"steps of {SAMPLES_A_STEP} samples of 1 to `tiles` tiles and a thumbnail, with {MIN_TEXT_TOKENS} to "
        f"{MAX_TEXT_TOKENS} tokens of text; activations computed again; tokens without padding"
    )
    deadline = time.monotonic() + 60 * given.minutes
    late: list[str] = []
    right = True
    for size, method in (("tiny", method) for method in ("lora", "full")) if given.small else MODELS:
        rows = [
            (tiles, way)
            for tiles, way in product(TILES, WAYS)
            if given.only in f"{size} {method}, {tiles} tiles, {way[0]}, {way[1]}"
        ]
        if rows and time.monotonic() < deadline:
            print(f"{method}\n{HEAD}")
            results = measure_model(size, method, device, rows, given.seconds)
        for tiles, (arrangement, attention) in rows:
            if time.monotonic() >= deadline:
                late.append(f"{size} {method}, {tiles} tiles, {arrangement}, {attention}")
                continue
            numbers, is_right = next(results)
            right &= is_right
            print(f"{size:6}{tiles:6}  {arrangement:12}{attention:12}{numbers}", flush=True)
        results = None
        free(device)
    if late:
        print("not reached:", *late, sep="\n  ")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
