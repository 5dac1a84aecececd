"""A sweep as a whole: what is run, skipped, resumed, refused, and what it leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from domainvl.errors import NothingToDoError, RecipeError, StoppedError, UsageError
from domainvl.evaluation.predictions import Prediction
from domainvl.experiments.sweep import HeldOutSet, SweepSummary, sweep
from domainvl.schema import Split, Task, read_samples
from domainvl.training.mixture import MixtureSpec, mixture_of
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.stopping import DivergedError

RANKS = ["lora.rank=4,8,16"]


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(name="medical/lora", model="tiny", method="lora")


@pytest.fixture
def spec(squares: Path) -> MixtureSpec:
    return mixture_of([squares])


class Bench:
    """Makes runs that are files only; a rank of 16 answers everything, others nothing."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, bool]] = []
        self.answered: list[str] = []
        self.errors: dict[int, Exception] = {}

    def run(self, recipe: Recipe, folder: Path, resume: bool) -> None:
        self.runs.append((recipe.lora.rank, resume))
        folder.mkdir(exist_ok=True, parents=True)
        if recipe.lora.rank in self.errors:
            raise self.errors[recipe.lora.rank]
        looks = [{"kind": "validation", "step": 1, "loss": 20 / recipe.lora.rank, "best": True}]
        looks += [{"kind": "validation", "step": 2, "loss": 40 / recipe.lora.rank, "best": False}]
        (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in looks))
        (folder / "checkpoint").mkdir()
        (folder / "best").mkdir()

    def answer(
        self, checkpoint: Path, held_out: Sequence[HeldOutSet], recipe: Recipe
    ) -> Mapping[str, Sequence[Prediction]]:
        self.answered.append("/".join(checkpoint.parts[-2:]))
        return {
            one.name: [
                Prediction(
                    sample_id=sample.id,
                    text=sample.turns[-1].text if recipe.lora.rank == 16 else "",
                    likelihood=0.5,
                )
                for sample in one.samples
            ]
            for one in held_out
        }

    def sweep(self, recipe: Recipe, spec: MixtureSpec, out: Path, changes: Sequence[str] = RANKS) -> SweepSummary:
        return sweep(recipe, spec, out, changes, run_one=self.run, answer=self.answer)


def test_trials_are_run_and_ranked(recipe: Recipe, spec: MixtureSpec, tmp_path: Path) -> None:
    bench = Bench()
    summary = bench.sweep(recipe, spec, tmp_path / "out")
    assert bench.runs == [(4, False), (8, False), (16, False)]
    assert bench.answered == ["rank=4/checkpoint", "rank=8/checkpoint", "rank=16/checkpoint"]
    assert summary.best == tmp_path / "out" / "rank=16"
    assert summary.failed == 0
    assert (tmp_path / "out" / "sweep.md").read_text() == str(summary)
    lines = (tmp_path / "out" / "sweep.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["1", "rank=16", "16"],
        ["2", "rank=8", "8"],  # neither answers anything; its loss is lower
        ["3", "rank=4", "4"],
    ]
    assert [line.split(",")[-2] for line in lines[1:]] == ["2.5", "5.0", "10.0"]
    asked = len(list(read_samples(spec.sources["squares"].path, Split.VAL)))
    assert f"right of {asked} held-out answers in 6 groups" in str(summary)
    assert load_recipe(str(tmp_path / "out" / "rank=8.yaml")).lora.rank == 8


def test_a_sweep_goes_on_where_it_was_stopped(recipe: Recipe, spec: MixtureSpec, tmp_path: Path) -> None:
    bench = Bench()
    bench.errors[8] = StoppedError("Stopped")
    with pytest.raises(StoppedError):
        bench.sweep(recipe, spec, tmp_path / "out")
    assert bench.runs == [(4, False), (8, False)]
    del bench.errors[8]
    whole = bench.sweep(recipe, spec, tmp_path / "out")
    assert bench.runs[2:] == [(8, False), (16, False)]
    assert bench.answered == ["rank=4/checkpoint", "rank=8/checkpoint", "rank=16/checkpoint"]
    assert str(bench.sweep(recipe, spec, tmp_path / "out")) == str(whole)
    assert len(bench.runs) == 4


def test_a_trial_that_saved_a_state_is_resumed(
    recipe: Recipe, spec: MixtureSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    bench.errors[4] = StoppedError("Stopped")
    with pytest.raises(StoppedError):
        bench.sweep(recipe, spec, tmp_path / "out")
    (tmp_path / "out" / "rank=4" / "kept").touch()
    del bench.errors[4]
    monkeypatch.setattr("domainvl.experiments.sweep.newest_state", lambda folder: folder)
    bench.sweep(recipe, spec, tmp_path / "out")
    assert bench.runs == [(4, False), (4, True), (8, False), (16, False)]
    assert (tmp_path / "out" / "rank=4" / "kept").exists()


def test_a_trial_that_diverges_does_not_end_the_sweep(recipe: Recipe, spec: MixtureSpec, tmp_path: Path) -> None:
    bench = Bench()
    bench.errors[8] = DivergedError("The run diverged at step 3", rule="loss is nan")
    summary = bench.sweep(recipe, spec, tmp_path / "out")
    assert summary.failed == 1
    assert "failed: The run diverged at step 3: loss is nan" in str(summary)
    bench.errors |= {4: bench.errors[8], 16: bench.errors[8]}
    with pytest.raises(StoppedError, match="no trial was finished"):
        bench.sweep(recipe, spec, tmp_path / "other")


def test_the_kept_best_is_what_is_scored(recipe: Recipe, spec: MixtureSpec, tmp_path: Path) -> None:
    bench = Bench()
    bench.sweep(recipe, spec, tmp_path / "out", ["lora.rank=8", "validation.keep_best=true"])
    assert bench.answered == ["rank=8_keep_best=true/best"]
    assert (tmp_path / "out" / "sweep.csv").read_text().splitlines()[1].split(",")[-2] == "2.5"


def test_nothing_is_run_where_a_trial_is_invalid(recipe: Recipe, spec: MixtureSpec, tmp_path: Path) -> None:
    bench = Bench()
    with pytest.raises(RecipeError, match="unknown key lora.rnk"):
        bench.sweep(recipe, spec, tmp_path / "out", ["lora.rank=8,16", "lora.rnk=1"])
    assert not bench.runs
    assert not (tmp_path / "out").exists()


def test_nothing_is_run_where_nothing_can_be_scored(
    recipe: Recipe, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    with pytest.raises(NothingToDoError, match="val.jsonl has none that can be scored"):
        bench.sweep(recipe, mixture_of([tmp_path / "missing"], [squares]), tmp_path / "out")  # of the domain only
    monkeypatch.setattr("domainvl.experiments.sweep.FREE_TEXT_TASKS", frozenset(Task))
    with pytest.raises(NothingToDoError, match="val.jsonl has none that can be scored"):
        bench.sweep(recipe, mixture_of([squares]), tmp_path / "out")
    assert not bench.runs


def test_a_folder_of_another_sweep_is_refused(recipe: Recipe, squares: Path, tmp_path: Path) -> None:
    bench = Bench()
    data = shutil.copytree(squares, tmp_path / "squares")
    out = tmp_path / "out"
    bench.sweep(recipe, mixture_of([data]), out)
    ran = list(bench.runs)
    with pytest.raises(UsageError, match="rank=4.yaml: that trial was made with another recipe"):
        bench.sweep(recipe.model_copy(update={"seed": 1}), mixture_of([data]), out)
    (out / "rank=32").mkdir()
    with pytest.raises(UsageError, match="rank=32: it exists, and is no trial of this sweep"):
        bench.sweep(recipe, mixture_of([data]), out, ["lora.rank=32"])
    lines = (data / "train.jsonl").read_text().splitlines(keepends=True)
    (data / "train.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(UsageError, match="its trials were made with other data"):
        bench.sweep(recipe, mixture_of([data]), out)
    assert bench.runs == ran


def test_groups_of_two_data_sets_are_told_apart(recipe: Recipe, squares: Path, tmp_path: Path) -> None:
    other = shutil.copytree(squares, tmp_path / "other")
    summary = Bench().sweep(recipe, mixture_of([squares, other]), tmp_path / "out")
    assert "in 12 groups" in str(summary)


def test_under_a_launcher_it_is_refused(
    recipe: Recipe, spec: MixtureSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="a launcher started 2"):
        Bench().sweep(recipe, spec, tmp_path / "out")


@pytest.mark.slow
def test_real_runs_are_made_and_scored(untrained: Path, spec: MixtureSpec, tmp_path: Path) -> None:
    changes = ["max_steps=2", "batch_size=4", "micro_batch_size=4"]
    recipe = load_recipe(
        "quickstart/medical",
        model=str(untrained),
        method="lora",
        overrides=[*(f"optimisation.{change}" for change in changes), "validation.max_new_tokens=3"],
    )
    said: list[Any] = []
    summary = sweep(recipe, spec, tmp_path / "out", ["lora.rank=2,4"], say=said.append)
    assert summary.failed == 0
    assert summary.best.parent == tmp_path / "out"
    assert (tmp_path / "out" / "rank=2" / "checkpoint").is_dir()
    assert (tmp_path / "out" / "rank=4" / "held-out-squares.jsonl").is_file()
    assert "trial 2 of 2: rank=4" in said
