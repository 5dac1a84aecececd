"""Out of memory: the next setting is tried once, said aloud, and ends with what an untroubled run ends with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from domainvl.planning.fallback import finetune_within_memory
from domainvl.training.log import read_log
from domainvl.training.mixture import mixture_of
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import Reporting, finetune
from domainvl.training.stepping import MemoryExhaustedError, Stepper

STEPS = 4


def recipe(untrained: Path, *changes: str) -> Recipe:
    return load_recipe(
        "quickstart/medical",
        model=str(untrained),
        overrides=[
            f"optimisation.max_steps={STEPS}",
            "optimisation.batch_size=6",
            "validation.max_samples=0",
            "saving.every_steps=2",
            "compute.device=cpu",
            "compute.gradient_checkpointing=true",
            *changes,
        ],
    )


class ShortOfMemory:
    """Lets memory run out at some steps, each time that they are tried, and counts the tries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails_at: list[int] = []
        self.several_processes = False
        self.tried: list[int] = []
        backward = Stepper.backward

        def failing(stepper, step, packs, count, **options):
            self.tried.append(step)
            if self.fails_at and step == self.fails_at[0]:
                del self.fails_at[0]
                error = MemoryExhaustedError("Memory ran out", rule="99 tokens and 9 tiles were computed at a time")
                error.several_processes = self.several_processes
                raise error
            return backward(stepper, step, packs, count, **options)

        monkeypatch.setattr(Stepper, "backward", failing)


@pytest.fixture
def short(monkeypatch) -> ShortOfMemory:
    return ShortOfMemory(monkeypatch)


def run(settings: Recipe, squares: Path, out: Path, *, resume: bool = False) -> list[str]:
    said: list[str] = []
    finetune_within_memory(settings, mixture_of([squares]), out, resume=resume, reporting=Reporting(say=said.append))
    return said


def weights(out: Path) -> dict[str, torch.Tensor]:
    (file,) = (out / "checkpoint").glob("*.safetensors")
    return load_file(file)


def steps_of(out: Path) -> list[int]:
    return [row["step"] for row in read_log(out / "log.jsonl") if row["kind"] == "train"]


def test_where_there_is_enough_nothing_is_tried_again(untrained, squares, tmp_path, short):
    said = run(recipe(untrained), squares, tmp_path / "run")

    assert short.tried == [1, 2, 3, 4]
    assert not any("Trying" in line for line in said)


def test_before_a_state_was_saved_the_run_begins_again(untrained, squares, tmp_path, short):
    short.fails_at = [2]
    said = run(recipe(untrained), squares, tmp_path / "run")

    assert short.tried == [1, 2, 1, 2, 3, 4]
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4]
    (line,) = [line for line in said if "Trying" in line]
    assert line == (
        "Memory ran out: 99 tokens and 9 tiles were computed at a time. "
        "Trying once more: each pack in 2 parts (--set compute.parts_per_pack=2)"
    )


def test_after_a_state_was_saved_the_run_goes_on_from_it(untrained, squares, tmp_path, short):
    short.fails_at = [4]
    run(recipe(untrained), squares, tmp_path / "run")

    assert short.tried == [1, 2, 3, 4, 3, 4]
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4]


def test_a_second_time_is_the_end_and_the_state_is_kept(untrained, squares, tmp_path, short):
    short.fails_at = [3, 3]
    with pytest.raises(MemoryExhaustedError, match="99 tokens"):
        run(recipe(untrained), squares, tmp_path / "run")

    assert short.tried == [1, 2, 3, 3]
    run(recipe(untrained), squares, tmp_path / "run", resume=True)
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4]


def test_a_resumed_run_that_fails_at_once_keeps_its_state(untrained, squares, tmp_path, short):
    finetune(recipe(untrained), squares, tmp_path / "run", stop_after_step=2)
    short.fails_at = [3]
    run(recipe(untrained), squares, tmp_path / "run", resume=True)

    assert short.tried == [1, 2, 3, 3, 4]
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4]


def test_several_processes_cannot_try_again(untrained, squares, tmp_path, short):
    short.fails_at, short.several_processes = [1], True
    with pytest.raises(MemoryExhaustedError):
        run(recipe(untrained), squares, tmp_path / "run")

    assert short.tried == [1]


def test_where_nothing_is_left_to_change_that_is_the_end(untrained, squares, tmp_path, short):
    short.fails_at = [1]
    with pytest.raises(MemoryExhaustedError):
        run(recipe(untrained, "compute.parts_per_pack=16"), squares, tmp_path / "run")

    assert short.tried == [1]


@pytest.mark.parametrize("fails_at", [2, 4], ids=["from the start", "from a state"])
def test_packs_in_parts_learn_the_same_within_rounding(untrained, squares, tmp_path, short, fails_at):
    settings = recipe(untrained, "lora.dropout=0")
    finetune(settings, squares, tmp_path / "whole")
    short.fails_at = [fails_at]
    run(settings, squares, tmp_path / "tried")

    whole, tried = weights(tmp_path / "whole"), weights(tmp_path / "tried")
    assert whole.keys() == tried.keys()
    for name, value in whole.items():
        # AdamW divides by the root of small numbers, which makes rounding larger.
        torch.testing.assert_close(tried[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_activations_that_are_computed_again_are_the_same_bits(untrained, squares, tmp_path, short):
    settings = recipe(untrained, "compute.gradient_checkpointing=false", "lora.dropout=0.1")
    finetune(settings, squares, tmp_path / "whole")
    short.fails_at = [2]
    said = run(settings, squares, tmp_path / "tried")

    assert any("compute activations again (--set compute.gradient_checkpointing=true)" in line for line in said)
    whole, tried = weights(tmp_path / "whole"), weights(tmp_path / "tried")
    assert all(torch.equal(value, tried[name]) for name, value in whole.items())


def test_the_second_try_equals_a_run_that_had_its_setting_from_the_start(untrained, squares, tmp_path, short):
    finetune(recipe(untrained, "compute.parts_per_pack=2", "lora.dropout=0.1"), squares, tmp_path / "whole")
    short.fails_at = [2]
    run(recipe(untrained, "lora.dropout=0.1"), squares, tmp_path / "tried")

    whole, tried = weights(tmp_path / "whole"), weights(tmp_path / "tried")
    assert all(torch.equal(value, tried[name]) for name, value in whole.items())
