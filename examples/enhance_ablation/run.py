"""Does it help a model to see small objects larger? Without, with bicubic, and with SDAN, in one table.

    python examples/enhance_ablation/run.py --out enhance-ablation
    python examples/enhance_ablation/run.py --out enhance-ablation-quick --quick

An enhancer is trained on zoom pairs that do not line up. Scenes of other places are converted four times: as the coarse
sensor took them, enlarged by interpolation, enlarged by the enhancer, and as the fine sensor would have taken them. The
shipped model `tiny` is adapted to each by the same recipe, and asked for the same objects on held-out scenes.
README.md beside this file says what came of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from places import LABELS_NAME, QUADRANT_PX, SCALE, write_places, write_zoom_pairs

from domainvl.conversion import convert, load_converter
from domainvl.enhance.pairs.records import PairSet
from domainvl.enhance.pairs.register import RegisterSettings, register_pairs
from domainvl.enhance.training.run import train_enhancer
from domainvl.enhance.training.settings import make_settings
from domainvl.evaluation.items import ItemScore, score_system
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.statistics.bootstrap import Interval, clustered_bootstrap, paired_difference
from domainvl.evaluation.tables import format_markdown
from domainvl.model.checkpoint import load_model
from domainvl.model.generation import generate_answers
from domainvl.model.preprocessing import TileReader
from domainvl.model.quiet import quiet_transformers
from domainvl.schema import Sample, Split, Task, read_samples
from domainvl.training.mixture import mixture_of
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune

TABLE_NAME = "enhance-ablation.md"
PLAIN, BICUBIC, SDAN, FINE = "as it is", f"bicubic x{SCALE}", f"SDAN x{SCALE}", "fine sensor"
CONDITIONS = (PLAIN, BICUBIC, SDAN, FINE)
TASKS = (Task.GROUNDING, Task.PRESENCE)


@dataclass(frozen=True)
class Size:
    """How large the experiment is.

    Attributes:
        pairs: Zoom pairs for the enhancer.
        enhancer_steps: Steps of its training.
        scenes: Scenes to convert; a quarter of them is held out.
        steps: Steps of each adaptation.
        seeds: Of the order of samples; each adaptation is done with each.
    """

    pairs: int
    enhancer_steps: int
    scenes: int
    steps: int
    seeds: tuple[int, ...]


FULL_SIZE = Size(80, 2_400, 240, 300, (0,))
QUICK_SIZE = Size(4, 2, 8, 2, (0,))


@dataclass(frozen=True)
class Scores:
    """How models of one condition answered.

    Attributes:
        samples: What they were asked, the same in all conditions but for the pixels.
        by_seed: Scores of each model.
    """

    samples: Sequence[Sample]
    by_seed: Sequence[Sequence[ItemScore]]

    def measure(self, task: Task, name: str) -> tuple[np.ndarray, list[str]]:
        """Return a number for each answer of a task by each model, and its group."""
        items = [item for scores in self.by_seed for item in scores if item.task is task]
        read = {"iou": lambda item: item.iou or 0.0, "found": lambda item: (item.iou or 0.0) >= 0.5}
        values = np.array([float(read.get(name, lambda item: item.correct)(item)) for item in items])
        return values, [item.group for item in items]

    def mean(self, task: Task, name: str) -> Interval:
        """Return the mean of a measure."""
        return clustered_bootstrap(*self.measure(task, name))

    def minus(self, other: Scores, task: Task, name: str) -> Interval:
        """Return by how much a measure is above that of others on the same questions."""
        values, groups = self.measure(task, name)
        return paired_difference(values, other.measure(task, name)[0], groups)


def run_experiment(out: Path, size: Size) -> dict[str, Scores]:
    """Make scenes and pairs, train the enhancer, convert, adapt, and ask.

    Args:
        out: Folder for all of it.
        size: How large.
    """
    torch.set_num_threads(1)  # more threads are slower on matrices this small
    quiet_transformers()
    enhancer = _enhancer(out, size)
    write_places(out / "places", count=size.scenes, seed=7)
    data_sets = {
        PLAIN: _convert(out, "plain", "coarse", QUADRANT_PX // SCALE),
        BICUBIC: _convert(out, "bicubic", "coarse", QUADRANT_PX, enhance=f"bicubic-x{SCALE}"),
        SDAN: _convert(out, "sdan", "coarse", QUADRANT_PX, enhance=str(enhancer)),
        FINE: _convert(out, "fine", "fine", QUADRANT_PX),
    }
    return {name: _adapt_and_ask(data, out, size) for name, data in data_sets.items()}


def _enhancer(out: Path, size: Size) -> Path:
    """Register the zoom pairs, and train on them."""
    write_zoom_pairs(out / "zoom", count=size.pairs, seed=1)
    wanted = RegisterSettings(scale=SCALE, layout="folders", least_size_px=24, test_share=0.0)
    register_pairs(out / "zoom" / "coarse", out / "zoom" / "fine", out / "pairs", wanted)
    pairs = PairSet(out / "pairs")
    print(f"zoom pairs: {pairs.index.counts}, rejected: {pairs.index.rejected}", flush=True)
    network = {"features": 16, "blocks": 4, "pack_block": 4}
    training = {"steps": size.enhancer_steps, "batch": 4, "crop_px": 24, "learning_rate": 1e-3}
    # Two cycles, so that it ends at the lowest rate.
    training["restart_every"] = max(1, size.enhancer_steps // 3)
    settings = make_settings("small", pairs.index, network, training)
    summary = train_enhancer(pairs, out / "enhancer", settings, device="cpu", threads=1, tracking="none")
    looked = {name: round(value, 3) for name, value in summary.look.items()}
    print(f"enhancer: {summary.steps} steps, {summary.seconds:.0f} s, on held-out pairs {looked}", flush=True)
    return out / "enhancer"


def _convert(out: Path, name: str, sensor: str, tile_px: int, **more: Any) -> Path:
    converter = load_converter("geotiff")
    settings = converter.settings_type(
        labels=out / "places" / LABELS_NAME.format(sensor),
        tile_px=tile_px,
        tasks=",".join(task.value for task in TASKS),
        val_fraction=0.0,
        test_fraction=0.25,
        **more,
    )
    convert(converter, out / "places" / sensor, out / name, settings)
    return out / name


def recipe_for(*, steps: int, seed: int) -> Recipe:
    """Return the recipe of every adaptation.

    Args:
        steps: Steps.
        seed: Of the order of samples.
    """
    changes = [
        f"seed={seed}",
        f"optimisation.max_steps={steps}",
        "optimisation.epochs=100",
        "optimisation.learning_rate=1e-3",
        "validation.answers=0",
        f"validation.every_steps={steps}",
        f"saving.every_steps={steps}",
        "compute.device=cpu",
    ]
    return load_recipe("quickstart/remote-sensing", method="full", overrides=changes)


def _adapt_and_ask(data: Path, out: Path, size: Size) -> Scores:
    samples = list(read_samples(data, Split.TEST))
    scores = []
    for seed in size.seeds:
        started = time.monotonic()
        run = out / f"{data.name}-run-{seed}"
        summary = finetune(recipe_for(steps=size.steps, seed=seed), mixture_of([data]), run)
        loaded = load_model(str(run))
        reader = TileReader(data, loaded.spec.preprocessing)
        answers = generate_answers(loaded, samples, reader, batch_size=64, max_new_tokens=48)
        found = [Prediction(sample_id=one.sample_id, text=one.text, likelihood=one.likelihood) for one in answers]
        scores.append(score_system(samples, found))
        took_s = time.monotonic() - started
        print(f"{run.name}: {summary.steps} steps, loss {summary.final_loss:.3f}, {took_s:.0f} s", flush=True)
    return Scores(samples, scores)


COLUMNS = (
    ("boxes: IoU >= 0.5", Task.GROUNDING, "found"),
    ("boxes: mean IoU", Task.GROUNDING, "iou"),
    ("presence: right", Task.PRESENCE, "correct"),
)


def table(scores: Mapping[str, Scores]) -> str:
    """Lay the experiment out as Markdown."""
    lines = [["scenes", *(title for title, _, _ in COLUMNS)]]
    for name, of_name in scores.items():
        lines.append([name, *(_cell(of_name.mean(task, measure)) for _, task, measure in COLUMNS)])
    for name, other in ((BICUBIC, PLAIN), (SDAN, PLAIN), (SDAN, BICUBIC), (FINE, BICUBIC)):
        differences = [scores[name].minus(scores[other], task, measure) for _, task, measure in COLUMNS]
        lines.append([f"{name} minus {other}", *map(_signed, differences)])
    return format_markdown(lines)


def _cell(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def main() -> None:
    """Run the experiment, and write and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--quick", action="store_true", help="less of everything, to see that it runs")
    parser.add_argument("--steps", type=int, help=f"of each adaptation; {FULL_SIZE.steps}")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    size = QUICK_SIZE if options.quick else FULL_SIZE
    scores = run_experiment(options.out, replace(size, steps=options.steps or size.steps))
    text = table(scores)
    (options.out / TABLE_NAME).write_text(text, encoding="utf-8")
    counts = {task: sum(item.task is task for item in scores[PLAIN].by_seed[0]) for task in TASKS}
    asked = " and ".join(f"{count} questions of {task.value}" for task, count in counts.items())
    print(f"\n{text}\n{asked} on held-out scenes, {len(size.seeds)} models each; intervals of 95 % resample scenes.")


if __name__ == "__main__":
    main()
