"""Does a share of few-shot samples keep a model's ability to learn from examples? OmniCorpus' table 2 in miniature.

    python examples/few_shot_slope/run.py --out few-shot-slope
    python examples/few_shot_slope/run.py --out few-shot-slope-quick --quick

The shipped model `tiny` is first taught to read solved examples, as pre-training on interleaved documents would teach
a large one. From there it goes on with plain samples alone, or with plain and few-shot samples, for equally many steps
of equally many tokens. All are asked about swatches of stores that no training has seen, with 0, 1, 2 and 4 examples.
README.md beside this file says what came of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from swatches import Stores, write_swatches

from domainvl.evaluation.in_context import Select, ShotSamples, shot_samples
from domainvl.evaluation.items import ItemScore, score_system
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.statistics.bootstrap import Interval, clustered_bootstrap, paired_difference
from domainvl.evaluation.tables import format_markdown
from domainvl.model.checkpoint import load_model
from domainvl.model.generation import generate_answers
from domainvl.model.image_features import mean_image_features
from domainvl.model.preprocessing import TileReader
from domainvl.model.quiet import quiet_transformers
from domainvl.schema import Split, read_samples
from domainvl.schema.operations.few_shot import FewShotSettings, ImageFeatures, few_shot_dataset
from domainvl.training.log import LOG_NAME, read_log
from domainvl.training.mixture import mixture_of
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune

MODEL = "tiny"
SHOTS = (0, 1, 2, 4)
"""Those of OmniCorpus' table 2 (arXiv 2406.08418)."""

MOST_SHOTS = SHOTS[-1]
SELECTS: tuple[Select, ...] = ("rices", "random")
STEP_TOKENS, STEP_TILES = 3_500, 60
"""One pack a step: about sixty plain samples, or twelve with four examples each, so that steps cost the same."""

TABLE_NAME = "few-shot-slope.md"
PLAIN, SHARE = "plain alone", "plain and few-shot"


@dataclass(frozen=True)
class Size:
    """How large the experiment is.

    Attributes:
        teaching_steps: Steps in which `tiny` is taught to read examples.
        steps: Steps of each training after that.
        seeds: Of the order of samples; both trainings are done with each.
        training: Stores to train on; as many others to be taught with.
        asking: Stores whose held-out swatches are asked about, and whose training swatches are the examples.
        asking_seed: Of these stores. 900 served to choose the settings; what is reported is of 901.
    """

    teaching_steps: int
    steps: int
    seeds: tuple[int, ...]
    training: Stores
    asking: Stores
    asking_seed: int = 901


FULL_SIZE = Size(200, 120, (0, 1, 2), Stores(200, 12, 1), Stores(50, 12, 2))
QUICK_SIZE = Size(4, 4, (0,), Stores(20, 12, 1), Stores(4, 12, 2))


@dataclass(frozen=True)
class Curve:
    """What models answered at each number of shots.

    Attributes:
        name: Of the models.
        scores: By number of shots, for each model the scores of the same questions.
        tokens: Tokens that each model was trained on after it was taught.
    """

    name: str
    scores: Mapping[int, list[list[ItemScore]]]
    tokens: tuple[int, ...] = ()

    def right(self, shots: int) -> Interval:
        """Return the share of right answers at a number of shots, models averaged."""
        return clustered_bootstrap(self._values(shots), self._groups())

    def slopes(self) -> npt.NDArray[np.float64]:
        """Return for each answered question its own slope, whose mean is that of the curve.

        It is the least-squares slope of ``domainvl.evaluation.in_context.slope``, which is linear in the scores:
        ``sum((k - mean(k)) s) / sum((k - mean(k))^2)`` of the shots k and the scores s.
        """
        shots = np.array(list(self.scores), np.float64)
        centred = shots - shots.mean()
        scores = np.stack([self._values(number) for number in self.scores])
        slopes: npt.NDArray[np.float64] = (centred / (centred @ centred)) @ scores
        return slopes

    def slope(self) -> Interval:
        """Return by how much the share of right answers rises a shot."""
        slopes = self.slopes()
        return paired_difference(slopes, np.zeros_like(slopes), self._groups())

    def slope_minus(self, other: Curve) -> Interval:
        """Return by how much the slope is above that of models that answered the same questions."""
        return paired_difference(self.slopes(), other.slopes(), self._groups())

    def of_model(self, index: int) -> Curve:
        """Return the curve of one of the models."""
        return Curve(self.name, {shots: [models[index]] for shots, models in self.scores.items()})

    def _values(self, shots: int) -> npt.NDArray[np.float64]:
        return np.array([float(item.correct) for items in self.scores[shots] for item in items])

    def _groups(self) -> list[str]:
        return [item.group for items in self.scores[0] for item in items]


def run_experiment(out: Path, size: Size) -> dict[Select, list[Curve]]:
    """Make the data, teach, train with and without few-shot samples, and ask.

    Args:
        out: Folder for all of it.
        size: How large.

    Returns:
        For each way to choose examples the curves: of `tiny`, of it once taught, and of both trainings.
    """
    torch.set_num_threads(1)  # more threads are slower on matrices this small
    quiet_transformers()
    asking = out / "asking"
    write_swatches(asking, size.asking, seed=size.asking_seed)
    _, lessons = _write_training(out, "teaching", size.training, seed=100)
    plain, few_shot = _write_training(out, "training", size.training, seed=200)
    taught, _ = _train(MODEL, [lessons], out / "taught", steps=size.teaching_steps, seed=0)
    models: dict[str, list[str]] = {f"`{MODEL}`": [MODEL], "taught to read examples": [taught]}
    tokens: dict[str, list[int]] = {}
    for name, data in ((PLAIN, [plain]), (SHARE, [plain, few_shot])):
        for seed in size.seeds:
            run, seen = _train(taught, data, out / f"{name.replace(' ', '-')}-{seed}", steps=size.steps, seed=seed)
            models.setdefault(name, []).append(run)
            tokens.setdefault(name, []).append(seen)
    asked = {select: _questions(asking, select) for select in SELECTS}
    return {
        select: [
            Curve(name, _answer(checkpoints, asking, asked[select]), tuple(tokens.get(name, ())))
            for name, checkpoints in models.items()
        ]
        for select in SELECTS
    }


def _write_training(out: Path, name: str, size: Stores, *, seed: int) -> tuple[Path, Path]:
    """Write a plain set and the same with similar examples before each sample."""
    plain, few_shot = out / name, out / f"{name}-few-shot"
    write_swatches(plain, size, seed=seed)
    settings = FewShotSettings(shots=MOST_SHOTS, by="similar")
    few_shot_dataset(plain, few_shot, settings, features=_look(plain), features_of=MODEL)
    return plain, few_shot


def _look(dataset: Path) -> ImageFeatures:
    """Return what says which images are alike: `tiny` for all models, so that all are shown the same examples."""
    loaded = load_model(MODEL)
    return lambda images: mean_image_features(loaded, dataset, images)


def _train(model: str, data: Sequence[Path], out: Path, *, steps: int, seed: int) -> tuple[str, int]:
    """Train all weights; return the checkpoint and the number of tokens that it saw."""
    summary = finetune(recipe_for(model, steps=steps, seed=seed), mixture_of(data), out)
    rows = [row for row in read_log(out / LOG_NAME) if row["kind"] == "train"]
    tokens = sum(row["tokens"] for row in rows)
    print(
        f"{out.name}: {summary.steps} steps, {tokens} tokens, loss {summary.final_loss:.3f}, {summary.seconds:.0f} s",
        flush=True,
    )
    return str(out), tokens


def recipe_for(model: str, *, steps: int, seed: int) -> Recipe:
    """Return the recipe of every training.

    Args:
        model: Checkpoint to start from.
        steps: Steps.
        seed: Of the order of samples.
    """
    changes = [
        f"seed={seed}",
        f"optimisation.max_steps={steps}",
        "optimisation.epochs=100",
        "optimisation.packs_per_step=1",
        f"packing.max_tokens={STEP_TOKENS}",
        f"packing.max_sample_tokens={STEP_TOKENS}",
        f"packing.max_tiles={STEP_TILES}",
        "optimisation.loss_weighting=sample",
        "optimisation.learning_rate=0.002",
        "validation.answers=0",
        f"validation.every_steps={steps}",
        f"saving.every_steps={steps}",
        "compute.device=cpu",
    ]
    return load_recipe("quickstart/remote-sensing", method="full", overrides=changes, model=model)


def _questions(asking: Path, select: Select) -> ShotSamples:
    features = _look(asking) if select == "rices" else None
    return shot_samples(asking, list(read_samples(asking, Split.TEST)), SHOTS, select=select, features=features)


def _answer(checkpoints: Sequence[str], asking: Path, asked: ShotSamples) -> dict[int, list[list[ItemScore]]]:
    scores: dict[int, list[list[ItemScore]]] = {shots: [] for shots in asked.by_shots}
    for checkpoint in checkpoints:
        loaded = load_model(checkpoint)
        reader = TileReader(asking, loaded.spec.preprocessing)
        for shots, samples in asked.by_shots.items():
            answers = generate_answers(loaded, samples, reader, batch_size=64, max_new_tokens=4)
            found = [Prediction(sample_id=one.sample_id, text=one.text, likelihood=one.likelihood) for one in answers]
            scores[shots].append(score_system(asked.samples, found))
    return scores


def table(curves: Mapping[Select, Sequence[Curve]]) -> str:
    """Lay the experiment out as Markdown, a table for each way to choose examples."""
    return "\n".join(_part(select, part) for select, part in curves.items())


def _part(select: Select, curves: Sequence[Curve]) -> str:
    lines = [["model", "tokens", *(f"{shots} shots" for shots in SHOTS), "slope a shot", "slope by seed"]]
    for curve in curves:
        models = range(len(curve.scores[0]))
        lines.append(
            [
                curve.name,
                f"{np.mean(curve.tokens):.0f}" if curve.tokens else "-",
                *(_cell(curve.right(shots)) for shots in SHOTS),
                _signed(curve.slope()),
                ", ".join(f"{curve.of_model(index).slope().mean:+.3f}" for index in models),
            ]
        )
    by_name = {curve.name: curve for curve in curves}
    difference = by_name[SHARE].slope_minus(by_name[PLAIN])
    return f"Examples: {select}\n\n{format_markdown(lines)}\nslope, {SHARE} minus {PLAIN}: {_signed(difference)}\n"


def _cell(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def main() -> None:
    """Run the experiment, and write and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--quick", action="store_true", help="less of everything, to see that it runs")
    parser.add_argument("--steps", type=int, help=f"of each training after the first; {FULL_SIZE.steps}")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    size = QUICK_SIZE if options.quick else FULL_SIZE
    curves = run_experiment(options.out, replace(size, steps=options.steps or size.steps))
    text = table(curves)
    (options.out / TABLE_NAME).write_text(text, encoding="utf-8")
    print(f"\n{text}\nIntervals of 95 % resample stores, with all answers of all seeds in them.")


if __name__ == "__main__":
    main()
