"""Hyper-parameter search in the small: a grid of runs, ranked by the answers of each to held-out questions.

A sweep that was stopped goes on where it stopped: runs that are done are kept, answers too, and the run that was
interrupted is resumed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.errors import NothingToDoError, StoppedError, UsageError
from domainvl.evaluation.items import FREE_TEXT_TASKS, ItemScore, score_system
from domainvl.evaluation.predictions import Prediction, read_predictions, write_predictions
from domainvl.evaluation.scorer import share_right
from domainvl.experiments.grid import Trial, make_trials, parse_dimensions
from domainvl.experiments.ranking import Outcome, as_csv, rank, table, verdict
from domainvl.files import hash_file, output_errors, write_atomically
from domainvl.schema import Sample, SampleFile, Split, spread
from domainvl.training.log import LOG_NAME, read_log
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe, save_recipe
from domainvl.training.run import BEST, CHECKPOINT, Reporting
from domainvl.training.state import newest_state
from domainvl.training.stepping import MemoryExhaustedError
from domainvl.training.stopping import DivergedError

if TYPE_CHECKING:
    from domainvl.training.mixture import MixtureSpec, SourceSpec

CSV_NAME = "sweep.csv"
TABLE_NAME = "sweep.md"
DATA_NAME = "data.txt"
"""Hashes of the data that the trials were made with."""

_MAX_SAMPLES = 1000
"""Held-out samples of each data set that are answered; more would cost more than they tell."""

_TILE_CACHE_BYTES = 512 << 20


@dataclass(frozen=True)
class HeldOutSet:
    """What trials are compared on, of one data set.

    Attributes:
        name: Of the source.
        folder: The data set.
        samples: Its held-out samples, evenly spread.
    """

    name: str
    folder: Path
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class SweepSummary:
    """What came out of a sweep.

    Attributes:
        text: The table and what it says.
        best: Folder of the best trial.
        failed: Number of trials that were not finished.
    """

    text: str
    best: Path
    failed: int

    def __str__(self) -> str:
        return self.text


RunOne = Callable[[Recipe, Path, bool], None]
"""Makes the run of a recipe in a folder, or goes on with it."""

Answer = Callable[[Path, Sequence[HeldOutSet], Recipe], Mapping[str, Sequence[Prediction]]]
"""Given a checkpoint, what to answer and the trial's recipe, returns the answers by name of the set."""


def sweep(
    recipe: Recipe,
    spec: MixtureSpec,
    out: Path,
    changes: Sequence[str],
    *,
    say: Callable[[str], None] = lambda line: None,
    run_one: RunOne | None = None,
    answer: Answer | None = None,
) -> SweepSummary:
    """Run a recipe with all combinations of some values and rank the runs.

    Args:
        recipe: What they have in common.
        spec: What to train on; the held-out samples of its domain data sets rank the trials.
        out: Folder of the sweep; one of the same sweep is gone on with.
        changes: What is varied, see :func:`domainvl.experiments.grid.parse_dimensions`.
        say: Told what happens.
        run_one: Makes one run.
        answer: Answers the held-out samples.

    Returns:
        The table, written to ``sweep.md`` and ``sweep.csv`` too.

    Raises:
        RecipeError: If a key is unknown or a value breaks a rule; nothing was run then.
        NothingToDoError: If there are no held-out samples whose answers can be scored; nothing was run then.
        UsageError: If ``out`` holds other trials of these names, or trials on other data; or under torchrun.
        StoppedError: If it was asked to stop, or no trial was finished.
    """
    _refuse_launcher(os.environ)
    trials = make_trials(recipe, parse_dimensions(changes))
    held_out = _read_held_out(spec)
    _claim(out, spec, trials)
    run_one = run_one or _default_run(spec, out, say)
    answer = answer or answer_held_out
    outcomes: list[Outcome] = []
    for number, trial in enumerate(trials, start=1):
        say(f"trial {number} of {len(trials)}: {trial.name}")
        outcome = _try(trial, out / trial.name, run_one, answer, held_out)
        if outcome.failure is not None:
            say(f"failed: {outcome.failure}")
        outcomes.append(outcome)
        text = _write(out, outcomes)
    ranked = rank(outcomes)
    if not ranked:
        raise StoppedError("The sweep ended", where=out, rule="no trial was finished", action=outcomes[0].failure)
    return SweepSummary(text, out / ranked[0].outcome.trial.name, len(outcomes) - len(ranked))


def answer_held_out(checkpoint: Path, held_out: Sequence[HeldOutSet], recipe: Recipe) -> dict[str, list[Prediction]]:
    """Answer held-out samples with a checkpoint."""
    from domainvl.model.checkpoint import load_model
    from domainvl.model.device import choose_device, choose_precision
    from domainvl.model.generation import generate_answers
    from domainvl.model.preprocessing import TileReader

    device = choose_device(recipe.compute.device)
    loaded = load_model(str(checkpoint), device=device, dtype=choose_precision("auto", device))
    answers: dict[str, list[Prediction]] = {}
    for one in held_out:
        reader = TileReader(one.folder, loaded.spec.preprocessing, cache_bytes=_TILE_CACHE_BYTES)
        answers[one.name] = [
            Prediction(sample_id=given.sample_id, text=given.text, likelihood=given.likelihood)
            for given in generate_answers(loaded, one.samples, reader, max_new_tokens=recipe.validation.max_new_tokens)
        ]
    return answers


def _default_run(spec: MixtureSpec, out: Path, say: Callable[[str], None]) -> RunOne:
    from domainvl.planning.fallback import finetune_within_memory

    def run_one(recipe: Recipe, folder: Path, resume: bool) -> None:
        finetune_within_memory(recipe, spec, folder, resume=resume, reporting=Reporting(say=say, score=share_right))

    return run_one


def _refuse_launcher(variables: Mapping[str, str]) -> None:
    if variables.get("WORLD_SIZE", "1") != "1":
        raise UsageError(
            "Cannot sweep",
            rule=f"a sweep runs in one process, but a launcher started {variables['WORLD_SIZE']}",
            action="Start it without torchrun, or start its trials one by one",
        )


def _read_held_out(spec: MixtureSpec) -> list[HeldOutSet]:
    found = []
    for name, source in spec.sources.items():
        if source.kind != "dataset" or source.role != "domain":
            continue
        if (source.path / f"{Split.VAL.value}.jsonl").is_file():
            samples = SampleFile(source.path, Split.VAL)
            picked = tuple(samples[index] for index in spread(len(samples), _MAX_SAMPLES))
            found.append(HeldOutSet(name, source.path, picked))
    if not any(sample.task not in FREE_TEXT_TASKS for one in found for sample in one.samples):
        raise NothingToDoError(
            "Cannot sweep",
            rule="trials are ranked by held-out answers, and val.jsonl has none that can be scored",
            action="Divide the data set again with domainvl split, or compare the runs' held-out losses yourself",
        )
    return found


def _claim(out: Path, spec: MixtureSpec, trials: Sequence[Trial]) -> None:
    """Write what the trials are, and refuse a folder of which any is another."""
    data = spec.model_dump_json(indent=1) + "\n"
    data += "".join(
        f"{name} {file.name} {hash_file(file)}\n"
        for name, source in spec.sources.items()
        for file in _files_of(source)
        if file.is_file()
    )
    if (out / DATA_NAME).is_file() and (out / DATA_NAME).read_text(encoding="utf-8") != data:
        raise _refuse(out, "its trials were made with other data")
    for trial in trials:
        path = _recipe_path(out, trial)
        if path.is_file() and load_recipe(str(path)) != trial.recipe:
            raise _refuse(path, "that trial was made with another recipe")
        if not path.is_file() and (out / trial.name).exists():
            raise _refuse(out / trial.name, "it exists, and is no trial of this sweep")
    write_atomically(out / DATA_NAME, data.encode())
    for trial in trials:
        with output_errors(out):
            save_recipe(trial.recipe, _recipe_path(out, trial))


def _files_of(source: SourceSpec) -> list[Path]:
    if source.kind == "interleaved":
        return sorted(source.path.iterdir()) if source.path.is_dir() else [source.path]
    return [source.path / "train.jsonl", source.path / "val.jsonl"]


def _recipe_path(out: Path, trial: Trial) -> Path:
    # Beside the run's folder: the recipe within it may have been changed to fit into memory.
    return out / f"{trial.name}.yaml"


def _refuse(where: Path, rule: str) -> UsageError:
    return UsageError("Cannot sweep", where=where, rule=rule, action="Name another folder with --out")


def _try(trial: Trial, folder: Path, run_one: RunOne, answer: Answer, held_out: Sequence[HeldOutSet]) -> Outcome:
    if not (folder / CHECKPOINT).is_dir():
        resume = folder.is_dir() and newest_state(folder) is not None
        if folder.is_dir() and not resume:  # stopped before it saved anything
            shutil.rmtree(folder)
        try:
            run_one(trial.recipe, folder, resume)
        except (DivergedError, MemoryExhaustedError) as error:
            return Outcome(trial, failure=f"{error.what}: {error.rule}" if error.rule else error.what)
    scores = _score(trial, folder, answer, held_out)
    return Outcome(trial, tuple(scores), _held_out_loss(trial, folder))


def _score(trial: Trial, folder: Path, answer: Answer, held_out: Sequence[HeldOutSet]) -> list[ItemScore]:
    paths = {one.name: folder / f"held-out-{one.name}.jsonl" for one in held_out}
    if not all(path.is_file() for path in paths.values()):
        checkpoint = folder / (BEST if _scores_best(trial, folder) else CHECKPOINT)
        for name, given in answer(checkpoint, held_out, trial.recipe).items():
            with output_errors(paths[name]):
                write_predictions(paths[name], given)
    return [
        # Groups of two data sets are not the same for bearing the same name.
        replace(score, group=f"{one.name}/{score.group}")
        for one in held_out
        for score in score_system(one.samples, read_predictions(paths[one.name]))
    ]


def _scores_best(trial: Trial, folder: Path) -> bool:
    return trial.recipe.validation.keep_best and (folder / BEST).is_dir()


def _held_out_loss(trial: Trial, folder: Path) -> float | None:
    """Return the loss at the look whose checkpoint is scored."""
    if not (folder / LOG_NAME).is_file():
        return None
    looks = [row for row in read_log(folder / LOG_NAME) if row["kind"] == "validation"]
    if _scores_best(trial, folder):
        looks = [row for row in looks if row["best"]]
    return looks[-1]["loss"] if looks else None


def _write(out: Path, outcomes: Sequence[Outcome]) -> str:
    ranked = rank(outcomes)
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    text = table(ranked, failed)
    if ranked:
        text += f"\n{verdict(ranked)}\n"
    write_atomically(out / TABLE_NAME, text.encode())
    write_atomically(out / CSV_NAME, as_csv(ranked, failed).encode())
    return text
