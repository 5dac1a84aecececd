"""How much general data keeps a model from forgetting? Figure 4 of the Mini-InternVL paper in miniature.

    python examples/general_ratio.py --out general-ratio
    python examples/general_ratio.py --out general-ratio-quick --quick

The shipped model `tiny`, which knows colours, places and boxes, is adapted to plates of dyed cloth, of which it has
never heard, with r general samples mixed in for each sample of the domain. Written are held-out scores in both, for
each r and seed, as Markdown, CSV and a plot. docs/experiments.md says what this shows and what it does not.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from dyes import write_plates
from matplotlib.figure import Figure
from what_to_train import recipe_for

from domainvl.evaluation.items import ItemScore, score_system
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.statistics.bootstrap import Interval, clustered_bootstrap, paired_difference
from domainvl.evaluation.tables import format_markdown
from domainvl.model.checkpoint import load_model
from domainvl.model.generation import generate_answers
from domainvl.model.preprocessing import TileReader
from domainvl.model.quiet import quiet_transformers
from domainvl.schema import Split, read_samples
from domainvl.training.mixture import mixture_of
from domainvl.training.run import finetune

sys.path.append(str(Path(__file__).parent / "tiny"))
from scenes import SceneKind, write_scenes

BASE = "tiny"
GENERAL_SEED = 7
"""Another than that of the scenes on which `tiny` was trained, whose kind these are."""

TABLE_NAME, CSV_NAME, PLOT_NAME = "general-ratio.md", "general-ratio.csv", "general-ratio.png"
MAX_NEW_TOKENS = 48
"""Enough for a box."""


@dataclass(frozen=True)
class Size:
    """How large the experiment is.

    Attributes:
        ratios: General samples for each sample of the domain.
        seeds: Of order; each ratio is tried with each.
        plates: Plates to train on, six samples each.
        epochs: How often each is seen, whatever the ratio.
        testing: Plates that are held out.
        scenes: General scenes, three samples each; a twentieth of them is held out.
    """

    ratios: tuple[float, ...]
    seeds: tuple[int, ...]
    plates: int
    epochs: float
    testing: int
    scenes: int


FULL_SIZE = Size((0.0, 0.1, 0.25, 0.5, 1.0), (0, 1), plates=400, epochs=2.0, testing=60, scenes=2000)
QUICK_SIZE = Size((0.0, 1.0), (0,), plates=120, epochs=1.0, testing=20, scenes=1000)


@dataclass(frozen=True)
class Outcome:
    """One trained model.

    Attributes:
        ratio: The general data that was mixed in.
        seed: Of its training.
        steps: Steps of its training.
        domain: Scores of its answers to held-out questions of the domain.
        general: Of its answers to general ones.
    """

    ratio: float
    seed: int
    steps: int
    domain: list[ItemScore]
    general: list[ItemScore]


@dataclass(frozen=True)
class Experiment:
    """All trained models beside their base.

    Attributes:
        base: The base; ratio, seed and steps say nothing.
        outcomes: The models, by ratio and seed.
    """

    base: Outcome
    outcomes: list[Outcome]

    def of_ratio(self, ratio: float) -> list[Outcome]:
        """Return the models of one ratio."""
        return [outcome for outcome in self.outcomes if outcome.ratio == ratio]

    @property
    def ratios(self) -> list[float]:
        """All ratios that were tried, rising."""
        return sorted({outcome.ratio for outcome in self.outcomes})

    def general_minus_base(self, outcomes: Sequence[Outcome]) -> Interval:
        """Return what was forgotten, below 0, of models that are averaged."""
        return difference([one.general for one in outcomes], [self.base.general] * len(outcomes))


def run_experiment(out: Path, size: Size) -> Experiment:
    """Make the data, train with each ratio and seed, and score.

    Args:
        out: Folder for all of it.
        size: How large.
    """
    torch.set_num_threads(1)  # more threads are slower on matrices this small
    quiet_transformers()
    domain, general = out / "domain", out / "general"
    write_plates(domain, training=size.plates, testing=size.testing, seed=0)
    write_scenes(general, SceneKind(1, False, 0.0), scene_count=size.scenes, seed=GENERAL_SEED)
    base = Outcome(0.0, 0, 0, score_on(BASE, domain), score_on(BASE, general))
    outcomes = []
    for ratio in size.ratios:
        for seed in size.seeds:
            run = out / f"ratio-{ratio}-seed-{seed}"
            recipe = recipe_for("full", steps=10_000, seed=seed, model=BASE)  # it ends with its epochs before
            recipe = recipe.changed({"optimisation.epochs": size.epochs, "mixture.general_ratio": ratio})
            summary = finetune(recipe, mixture_of([domain], [general]), run)
            scores = score_on(str(run), domain), score_on(str(run), general)
            outcomes.append(Outcome(ratio, seed, summary.steps, *scores))
            print(
                f"r = {ratio}, seed {seed}: {summary.steps} steps in {summary.seconds:.0f} s, "
                f"domain {_cell(right([scores[0]]))}, general {_cell(right([scores[1]]))}",
                flush=True,
            )
    return Experiment(base, outcomes)


def score_on(checkpoint: str, dataset: Path) -> list[ItemScore]:
    """Score a checkpoint on the test split of a data set."""
    loaded = load_model(checkpoint)
    samples = list(read_samples(dataset, Split.TEST))
    reader = TileReader(dataset, loaded.spec.preprocessing)
    answers = generate_answers(loaded, samples, reader, batch_size=64, max_new_tokens=MAX_NEW_TOKENS)
    predictions = [Prediction(sample_id=one.sample_id, text=one.text, likelihood=one.likelihood) for one in answers]
    return score_system(samples, predictions)


def right(scores: Sequence[Sequence[ItemScore]]) -> Interval:
    """Return the share of right answers of models that answered the same questions, averaged.

    Groups are resampled with all answers of all models in them, so the interval tells of other held-out groups and not
    of other seeds, which the single models show.
    """
    return clustered_bootstrap(_values(scores), _groups(scores))


def difference(a: Sequence[Sequence[ItemScore]], b: Sequence[Sequence[ItemScore]]) -> Interval:
    """Return by how much models are better than others on the same questions, averaged."""
    return paired_difference(_values(a), _values(b), _groups(a))


def _values(scores: Sequence[Sequence[ItemScore]]) -> list[float]:
    return [float(item.correct) for items in scores for item in items]


def _groups(scores: Sequence[Sequence[ItemScore]]) -> list[str]:
    return [item.group for items in scores for item in items]


def table(experiment: Experiment) -> str:
    """Lay the experiment out as a Markdown table, seeds averaged."""
    base = experiment.base
    lines = [["r", "steps", "domain right", "general right", "general minus base", "by seed: domain, general"]]
    lines.append(["base", "-", _cell(right([base.domain])), _cell(right([base.general])), "-", "-"])
    for ratio in experiment.ratios:
        outcomes = experiment.of_ratio(ratio)
        change = experiment.general_minus_base(outcomes)
        lines.append(
            [
                f"{ratio:g}",
                str(outcomes[0].steps),
                _cell(right([one.domain for one in outcomes])),
                _cell(right([one.general for one in outcomes])),
                f"{change.mean:+.2f} [{change.low:+.2f}, {change.high:+.2f}]",
                "; ".join(f"{right([one.domain]).mean:.2f}, {right([one.general]).mean:.2f}" for one in outcomes),
            ]
        )
    return format_markdown(lines)


def write_csv(experiment: Experiment, path: Path) -> None:
    """Write one line a model, the base first."""
    measured = ("domain", "general", "general_minus_base")
    parts = [f"{part}_{end}" for part in measured for end in ("mean", "low", "high")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["ratio", "seed", "steps", *parts])
        for one in (experiment.base, *experiment.outcomes):
            names = ["base", "", ""] if one is experiment.base else [one.ratio, one.seed, one.steps]
            intervals = right([one.domain]), right([one.general]), experiment.general_minus_base([one])
            ends = [f"{end:.4f}" for each in intervals for end in (each.mean, each.low, each.high)]
            writer.writerow([*names, *ends])


def draw(experiment: Experiment, path: Path) -> None:
    """Plot both scores over the ratio: means of the seeds with intervals, and each seed as a dot."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    ratios = experiment.ratios
    for part, colour in (("domain", "tab:orange"), ("general", "tab:blue")):
        outcomes = [experiment.of_ratio(ratio) for ratio in ratios]
        scores = [[one.domain if part == "domain" else one.general for one in group] for group in outcomes]
        means = [right(group) for group in scores]
        errors = [[one.mean - one.low for one in means], [one.high - one.mean for one in means]]
        label = f"{part}, adapted"
        axes.errorbar(ratios, [one.mean for one in means], errors, fmt="o-", color=colour, capsize=3, label=label)
        for ratio, group in zip(ratios, scores, strict=True):
            axes.plot([ratio] * len(group), [right([one]).mean for one in group], ".", color=colour, alpha=0.4)
        base = right([experiment.base.domain if part == "domain" else experiment.base.general])
        axes.axhline(base.mean, linestyle="--", color=colour, alpha=0.6, label=f"{part}, base")
    axes.set_xlabel("r: general samples for each sample of the domain")
    axes.set_ylabel("held-out questions answered right")
    axes.set_ylim(-0.03, 1.03)
    axes.grid(visible=True, color="0.92")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=120)


def _cell(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def main() -> None:
    """Run the experiment and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--quick", action="store_true", help="less of everything, r of 0 and 1 alone, one seed")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    experiment = run_experiment(options.out, QUICK_SIZE if options.quick else FULL_SIZE)
    text = table(experiment)
    (options.out / TABLE_NAME).write_text(text, encoding="utf-8")
    write_csv(experiment, options.out / CSV_NAME)
    draw(experiment, options.out / PLOT_NAME)
    print(f"\n{text}\nTable, CSV and plot are in {options.out}")


if __name__ == "__main__":
    main()
