"""The run as a whole: learning, resuming, logging, refusing."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from domainvl.errors import DatasetError, UsageError
from domainvl.model.checkpoint import load_model
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune


def recipe(untrained: Path, *changes: str, method: str = "lora") -> Recipe:
    return load_recipe(
        "quickstart/medical",
        model=str(untrained),
        method=method,
        overrides=[
            "optimisation.max_steps=8",
            "optimisation.batch_size=4",
            "optimisation.micro_batch_size=4",
            "validation.every_steps=4",
            "validation.max_samples=3",
            "validation.answers=1",
            "validation.max_new_tokens=3",
            "saving.every_steps=3",
            *changes,
        ],
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = sorted((run / "checkpoint").glob("*.safetensors"))
    assert files
    return {name: value for file in files for name, value in load_file(file).items()}


def rows(run: Path, kind: str) -> list[dict]:
    lines = (run / "log.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_resumed_equals_uninterrupted(untrained: Path, squares: Path, tmp_path: Path, method: str) -> None:
    changes = ["optimisation.drop_path_rate=0.3", "optimisation.learning_rates.vision=1e-3"]
    if method == "lora":
        changes += ["lora.dropout=0.1", "lora.qkv=fused"]
    settings = recipe(untrained, *changes, method=method)
    finetune(settings, squares, tmp_path / "whole")
    finetune(settings, squares, tmp_path / "parts", stop_after_step=5)
    assert not (tmp_path / "parts" / "checkpoint").exists()
    finetune(settings, squares, tmp_path / "parts", resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert (tmp_path / "whole" / "log.jsonl").read_text() == (tmp_path / "parts" / "log.jsonl").read_text()


def test_rates_of_parts_are_logged_at_each_step(untrained: Path, squares: Path, tmp_path: Path) -> None:
    settings = recipe(untrained, "optimisation.learning_rates.vision=1e-3", "optimisation.warmup_ratio=0.5")
    finetune(settings, squares, tmp_path / "run")
    logged = rows(tmp_path / "run", "train")
    for row in logged:
        rates = row["learning_rates"]
        assert rates.keys() == {"vision", "projector", "language_model"}
        assert rates["vision"] == pytest.approx(rates["language_model"] / 3)  # 1e-3 beside 3e-3
        assert rates["projector"] == rates["language_model"] == row["learning_rate"]
    assert max(row["learning_rates"]["vision"] for row in logged) == pytest.approx(1e-3)


def test_adapter_of_a_quantised_base_says_so(untrained: Path, squares: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    finetune(recipe(untrained, "quantisation=nf4"), squares, tmp_path / "run")
    assert load_model(str(tmp_path / "run")).spec.training["quantisation"] == "nf4"
    losses = [row["loss"] for row in rows(tmp_path / "run", "train")]
    assert losses[-1] < losses[0]


def test_killed_between_saves_goes_back_to_the_last_save(untrained: Path, squares: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(row: dict) -> None:
        if row["step"] == 5:
            raise Killed

    settings = recipe(untrained)
    finetune(settings, squares, tmp_path / "whole")
    with pytest.raises(Killed):
        finetune(settings, squares, tmp_path / "killed", on_row=kill)
    finetune(settings, squares, tmp_path / "killed", resume=True)
    assert [row["step"] for row in rows(tmp_path / "killed", "train")] == list(range(1, 9))
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())


def test_micro_batches_do_not_change_what_is_learned(untrained: Path, squares: Path, tmp_path: Path) -> None:
    """Answers differ in length, so a mean of the means of micro-batches would differ."""
    finetune(recipe(untrained), squares, tmp_path / "one")
    finetune(recipe(untrained, "optimisation.micro_batch_size=1"), squares, tmp_path / "four")
    losses = [[row["loss"] for row in rows(tmp_path / run, "train")] for run in ("one", "four")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_learns_and_only_what_the_method_allows(untrained: Path, squares: Path, tmp_path: Path) -> None:
    changes = ("optimisation.max_steps=60", "optimisation.batch_size=12", "optimisation.epochs=60")
    settings = recipe(untrained, *changes, "full.vision=false", method="full")
    summary = finetune(settings, squares, tmp_path / "run")
    losses = [row["loss"] for row in rows(tmp_path / "run", "train")]
    assert sum(losses[-5:]) / 5 < 0.5 * losses[0]
    before, after = load_model(str(untrained)), load_model(str(tmp_path / "run"))
    changed = {
        name
        for (name, old), new in zip(before.internvl.named_parameters(), after.internvl.parameters(), strict=True)
        if not torch.equal(old, new)
    }
    assert not any("vision_tower" in name for name in changed)
    assert any("multi_modal_projector" in name for name in changed)
    assert any("lm_head" in name for name in changed)
    frozen = sum(value.numel() for value in before.internvl.model.vision_tower.parameters())
    total = sum(value.numel() for value in before.internvl.parameters())
    assert summary.trainable_parameters == total - frozen


def test_leaves_what_is_needed_to_use_and_to_understand_the_run(untrained: Path, squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = recipe(untrained, "preprocessing.max_tiles=3")
    finetune(settings, squares, run)
    assert load_recipe(str(run / "recipe.yaml")) == settings
    spec = load_model(str(run)).spec
    assert spec.kind == "adapter"
    assert spec.preprocessing.max_tiles == 3
    assert spec.preprocessing.tile_side_px == 64
    assert spec.training["dataset"] == "squares"
    assert spec.training["conversion_settings"] == {"groups": 24}
    assert [row["step"] for row in rows(run, "validation")] == [4, 8]
    assert {row["expected"] for row in rows(run, "answer")}
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "state.pt").exists()
    rates = [row["learning_rate"] for row in rows(run, "train")]
    assert max(rates) == pytest.approx(3e-3)
    assert rates[-1] < 0.1 * max(rates)


def test_refuses_to_overwrite_or_to_resume_another_run(untrained: Path, squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finetune(recipe(untrained), squares, run, stop_after_step=4)
    with pytest.raises(UsageError, match="add --resume"):
        finetune(recipe(untrained), squares, run)
    with pytest.raises(UsageError, match="changed since the run was saved: recipe"):
        finetune(recipe(untrained, "seed=1"), squares, run, resume=True)
    (run / "state.pt").unlink()
    with pytest.raises(UsageError, match="state.pt is missing"):
        finetune(recipe(untrained), squares, run, resume=True)


def test_a_bad_line_stops_before_anything_is_written(untrained: Path, squares: Path, tmp_path: Path) -> None:
    import shutil

    damaged = shutil.copytree(squares, tmp_path / "data")
    lines = (damaged / "train.jsonl").read_text().splitlines()
    lines[2] = lines[2].replace("<image>", "")
    (damaged / "train.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError, match=r"train\.jsonl:3: .*placeholders must equal the number of images"):
        finetune(recipe(untrained), damaged, tmp_path / "run")
    assert not (tmp_path / "run").exists()
