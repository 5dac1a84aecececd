"""What should be trained, and does the model look? Full fine-tuning, LoRA and a frozen vision encoder in one table.

    python examples/what_to_train.py --out what-to-train
    python examples/what_to_train.py --out vqa-rad --vqa-rad DIR

The first command makes data on whose answers nobody can be right who does not look, adapts the shipped model `tiny` to
it in three ways and compares each on held-out groups with the base, the majority answer, itself on blank images, and
the same model trained on blank images. The second does the comparison with the recipe quickstart/medical on VQA-RAD.
docs/experiments.md says what both show.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from dyes import ASKED, write_blank, write_plates

from domainvl.evaluation.contestants import Contestants
from domainvl.evaluation.items import ItemScore, score_system
from domainvl.evaluation.predictions import read_predictions
from domainvl.evaluation.run import EvaluationSettings, evaluate
from domainvl.evaluation.statistics.bootstrap import Interval, clustered_bootstrap, paired_difference
from domainvl.evaluation.tables import format_markdown
from domainvl.model.quiet import quiet_transformers
from domainvl.schema import Sample, Split, read_samples
from domainvl.training.recipe import Method, Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune

BASE, MAJORITY, LANGUAGE_ONLY, BLANK = "base", "majority", "language-only", "blank images"
BASELINES = (BASE, MAJORITY, BLANK, LANGUAGE_ONLY)
"""What a model is compared with; ``BLANK`` is the model itself."""

GREY = (124, 116, 104)
"""The mean of ImageNet's pixels, which evaluation shows for blank images too."""

STEPS = 300
TRAINING_PLATES, TESTING_PLATES = 500, 100
TABLE_NAME = "what-to-train.md"
VQA_RAD_STEPS = 300

METHODS: dict[str, tuple[Method, tuple[str, ...]]] = {
    "full": ("full", ("optimisation.learning_rate=1e-3",)),
    "LoRA": ("lora", ()),  # its 3e-3 has the least validation loss of 1.5e-3, 3e-3, 5e-3 and 8e-3
    "frozen ViT": ("full", ("optimisation.learning_rate=1e-3", "full.vision=false")),
}
"""Method and changes of the recipe quickstart/remote-sensing, by the name that the table calls it."""

Scores = dict[str, list[ItemScore]]
"""Scores of the same samples in the same order, by name of the system."""


@dataclass(frozen=True)
class Comparison:
    """What came of an experiment.

    Attributes:
        samples: The held-out samples.
        baselines: What did not look, or did not learn: base, majority, language-only.
        methods: Trained models.
        blank: The same models on blank images.
        trained: How many weights each trained.
    """

    samples: list[Sample]
    baselines: Scores
    methods: Scores
    blank: Scores
    trained: dict[str, int]

    def difference(self, method: str, baseline: str, question: str | None = None) -> Interval:
        """Return by how much a method is better than a baseline, with its interval, of one question or of all."""
        other = self.blank[method] if baseline == BLANK else self.baselines[baseline]
        picked = self._picked(question)
        groups = [self.samples[index].group for index in picked]
        ours, theirs = ([float(items[index].correct) for index in picked] for items in (self.methods[method], other))
        return paired_difference(ours, theirs, groups)

    def right(self, system: str, question: str | None = None) -> Interval:
        """Return the share of right answers with its interval, of one question or of all."""
        items = (self.baselines | self.methods)[system]
        picked = self._picked(question)
        return clustered_bootstrap(
            [float(items[index].correct) for index in picked], [self.samples[index].group for index in picked]
        )

    def _picked(self, question: str | None) -> list[int]:
        return [index for index, sample in enumerate(self.samples) if question in (None, sample.question)]

    def table(self, questions: dict[str, str] | None = None) -> str:
        """Lay it out as a Markdown table.

        Args:
            questions: Questions that get rows of their own, by name.
        """
        head = ["asked", "system", "trained weights", "right", *(f"minus {baseline}" for baseline in BASELINES)]
        lines = [head]
        for name, question in {"all": None, **(questions or {})}.items():
            for system in self.baselines:
                lines.append([name, system, "-", _cell(self.right(system, question)), *["-"] * len(BASELINES)])
            for method in self.methods:
                differences = [_signed(self.difference(method, baseline, question)) for baseline in BASELINES]
                lines.append(
                    [name, method, f"{self.trained[method]:,}", _cell(self.right(method, question)), *differences]
                )
        return format_markdown(lines)


def compare_methods(
    out: Path,
    *,
    steps: int = STEPS,
    methods: Sequence[str] = tuple(METHODS),
    training: int = TRAINING_PLATES,
    testing: int = TESTING_PLATES,
    seed: int = 0,
) -> Comparison:
    """Make the data, train, and score on held-out plates.

    Args:
        out: Folder for all of it.
        steps: Steps of each training.
        methods: Which of :data:`METHODS`; LoRA among them, whose base is the one that is shown.
        training: Plates to train on.
        testing: Plates that are held out.
        seed: Of data and training.
    """
    data = out / "plates"
    write_plates(data, training=training, testing=testing, seed=seed)
    recipes = {name: recipe_for(name, steps=steps, seed=seed) for name in methods}
    # Of all weights, because that is the most that language can give.
    return _compare(out, data, recipes, recipe_for("full", steps=steps, seed=seed))


def compare_on_vqa_rad(out: Path, source: Path, *, steps: int = VQA_RAD_STEPS) -> Comparison:
    """Convert VQA-RAD, train by the recipe of the medical quickstart, and score on the official test questions.

    Args:
        out: Folder for all of it.
        source: The folder of VQA-RAD.
        steps: Steps of each training.
    """
    from domainvl.conversion import convert, load_converter

    data = out / "vqa-rad"
    converter = load_converter("vqa-rad")
    convert(converter, source, data, converter.settings_type())
    recipe = load_recipe("quickstart/medical", overrides=short(steps))
    return _compare(out, data, {"LoRA": recipe}, recipe)


def recipe_for(method: str, *, steps: int, seed: int, model: str | None = None) -> Recipe:
    """Return the recipe by which plates are learned.

    Args:
        method: One of :data:`METHODS`.
        steps: Steps of the training.
        seed: Of order and adapters.
        model: Checkpoint to start from; `tiny` where None.
    """
    kind, changes = METHODS[method]
    # The three questions about a picture share a pass, so a copy with blank pictures is divided in the same way.
    own = [f"seed={seed}", "optimisation.batch_size=24", f"optimisation.questions_per_pass={len(ASKED)}"]
    overrides = [*own, *short(steps), *changes]
    return load_recipe("quickstart/remote-sensing", method=kind, overrides=overrides, model=model)


def short(steps: int) -> list[str]:
    """Return changes of a recipe for so many steps on a CPU, the held-out loss looked at once at the end."""
    return [
        f"optimisation.max_steps={steps}",
        "validation.answers=0",
        f"validation.every_steps={steps}",
        f"saving.every_steps={steps}",
        "compute.device=cpu",
    ]


def _compare(out: Path, data: Path, recipes: dict[str, Recipe], language_only: Recipe) -> Comparison:
    """Train by each recipe, and by one of them on blank images; score all on the same held-out samples."""
    torch.set_num_threads(1)  # more threads are slower on matrices this small
    quiet_transformers()
    samples = list(read_samples(data, Split.TEST))
    baselines: Scores = {}
    methods: Scores = {}
    blank: Scores = {}
    trained: dict[str, int] = {}
    for name, recipe in recipes.items():
        scored, trained[name] = _train_and_score(recipe, data, out / name.replace(" ", "-"), samples)
        methods[name], blank[name] = scored["adapted"], scored[BLANK]
        baselines |= {system: scored[system] for system in (BASE, MAJORITY) if system in scored}
    blank_data = out / f"blank-{data.name}"
    write_blank(data, blank_data, GREY)
    scored, _ = _train_and_score(language_only, blank_data, out / LANGUAGE_ONLY, samples)
    baselines[LANGUAGE_ONLY] = scored["adapted"]
    baselines = {system: baselines[system] for system in BASELINES if system in baselines}
    return Comparison(samples, baselines, methods, blank, trained)


def _train_and_score(recipe: Recipe, data: Path, out: Path, samples: Sequence[Sample]) -> tuple[Scores, int]:
    summary = finetune(recipe, data, out / "run")
    print(f"{out.name}: {summary.steps} steps, loss {summary.final_loss:.3f}, {summary.seconds:.0f} s", flush=True)
    settings = EvaluationSettings(batch_size=64, max_new_tokens=16, devices=("cpu",), measure_cost=False)
    evaluate(Contestants(model=str(out / "run")), data, out / "scores", settings=settings)
    files = {
        name.removeprefix("predictions-").replace("-", " "): out / "scores" / f"{name}.jsonl"
        for name in (path.stem for path in (out / "scores").glob("predictions-*.jsonl"))
    }
    files["adapted"] = out / "scores" / "predictions.jsonl"
    return {name: score_system(samples, read_predictions(path)) for name, path in files.items()}, (
        summary.trainable_parameters
    )


def _cell(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def main() -> None:
    """Run one of the two experiments and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--steps", type=int, help=f"of each training; {STEPS}, with --vqa-rad {VQA_RAD_STEPS}")
    parser.add_argument("--vqa-rad", type=Path, help="folder of VQA-RAD: train on it instead of on generated data")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    if options.vqa_rad is None:
        comparison = compare_methods(options.out, steps=options.steps or STEPS)
        table = comparison.table(ASKED)
    else:
        comparison = compare_on_vqa_rad(options.out, options.vqa_rad, steps=options.steps or VQA_RAD_STEPS)
        table = comparison.table()
    (options.out / TABLE_NAME).write_text(table, encoding="utf-8")
    print(f"\n{table}")
    groups = len({sample.group for sample in comparison.samples})
    print(f"{len(comparison.samples)} held-out questions in {groups} groups; intervals of 95 % resample groups.")


if __name__ == "__main__":
    main()
