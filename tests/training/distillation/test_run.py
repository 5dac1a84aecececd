"""Distillation as a whole: learning, going on, images that cannot be used, the model that comes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from domainvl.errors import DatasetError, StoppedError, UsageError
from domainvl.model.checkpoint import load_model
from domainvl.training.distillation.recipe import DistillationRecipe, load_distillation_recipe
from domainvl.training.distillation.run import DistillationSummary, distil
from domainvl.training.rates import without_measured


def recipe(*changes: str) -> DistillationRecipe:
    small = ["optimisation.max_steps=8", "optimisation.tiles_per_step=8", "optimisation.micro_batch_tiles=8"]
    return load_distillation_recipe(
        "tiny", overrides=[*small, "validation.every_steps=4", "saving.every_steps=3", *changes]
    )


def run(settings: DistillationRecipe, images: Path, out: Path, **options) -> DistillationSummary:
    return distil(settings, "tiny", [images], out, **options)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "checkpoint" / "model.safetensors")


def rows(out: Path, kind: str | None = None) -> list[dict]:
    found = [without_measured(json.loads(line)) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in found if kind in (None, row["kind"])]


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in rows(out, "train")]


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(recipe(), photos, out)
    return out


def test_stopped_or_killed_and_resumed_equals_uninterrupted(whole: Path, photos: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(row: dict) -> None:
        if row["kind"] == "train" and row["step"] == 5:
            raise Killed

    with pytest.raises(StoppedError, match="at step 2 of 8, the state is saved.*--resume"):
        run(recipe(), photos, tmp_path / "parts", stop_after_step=2)
    assert not (tmp_path / "parts" / "checkpoint").exists()
    with pytest.raises(Killed):
        run(recipe(), photos, tmp_path / "parts", resume=True, on_row=kill)
    summary = run(recipe(), photos, tmp_path / "parts", resume=True)
    assert rows(tmp_path / "parts") == rows(whole)
    ours, theirs = weights(tmp_path / "parts"), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert summary.before == tuple(rows(whole, "validation")[0]["cosine_by_layer"])


def test_another_run_is_not_resumed_or_overwritten(photos: Path, squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        run(recipe(), photos, out, stop_after_step=1)
    with pytest.raises(UsageError, match="add --resume"):
        run(recipe(), photos, out)
    with pytest.raises(UsageError, match="changed since the run was saved: recipe"):
        run(recipe("seed=1"), photos, out, resume=True)
    with pytest.raises(UsageError, match="changed since the run was saved: folders"):
        run(recipe(), squares, out, resume=True)


@pytest.mark.parametrize("change", ["optimisation.micro_batch_tiles=3", "compute.gradient_checkpointing=true"])
def test_what_saves_memory_does_not_change_what_is_learned(
    whole: Path, photos: Path, tmp_path: Path, change: str
) -> None:
    run(recipe(change), photos, tmp_path / "run")
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), rel=1e-4)


def test_half_precision_learns_about_the_same(whole: Path, photos: Path, tmp_path: Path) -> None:
    run(recipe("compute.precision=bf16"), photos, tmp_path / "run")
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), abs=0.02)
    assert losses(tmp_path / "run") != losses(whole)


def test_only_the_vision_encoder_and_what_reads_it_are_other_than_before(whole: Path) -> None:
    before, after = load_model("tiny"), load_model(str(whole))
    old, new = before.internvl.state_dict(), after.internvl.state_dict()
    assert all(torch.equal(new[name], value) for name, value in old.items() if "language_model" in name)
    training = after.spec.training
    assert (training["teacher"], training["projector"], training["last_layers"]) == ("tiny", "new", 2)
    assert training["images"] == {"held-out": 3, "train": 57}
    assert training["held_out_cosine_after"] == rows(whole, "validation")[-1]["cosine_by_layer"]
    assert sorted(path.name for path in whole.iterdir()) == [
        "checkpoint", "distillation.png", "images.jsonl", "log.jsonl", "recipe.yaml",
    ]  # fmt: skip


def test_the_loss_is_one_minus_the_papers(whole: Path) -> None:
    for row in (*rows(whole, "train"), *rows(whole, "validation")):
        assert row["negative_cosine"] == pytest.approx(row["loss"] - 1)
    assert [row["step"] for row in rows(whole, "validation")] == [0, 4, 8]
    look = rows(whole, "validation")[0]
    assert look["loss"] == pytest.approx(1 - sum(look["cosine_by_layer"]) / 2)


def test_the_teacher_as_its_own_student_has_nothing_to_learn(photos: Path, tmp_path: Path) -> None:
    settings = recipe("student={start: tiny, layers: null, width: null}", "optimisation.max_steps=1")
    summary = run(settings, photos, tmp_path / "run")
    assert summary.before == pytest.approx((1.0, 1.0), abs=1e-6)
    assert summary.projector == "kept"


def test_constants_are_perfect_where_all_images_are_alike(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    one = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 40).convert("RGB")
    for ending in ("png", "bmp", "tif"):  # other bytes, the same pixels
        one.save(images / f"one.{ending}")
    run(recipe("optimisation.max_steps=1"), images, tmp_path / "run")
    constants = rows(tmp_path / "run", "constants")[0]
    assert constants["by_position"] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert max(constants["single"]) < 0.95


def test_broken_images_are_left_out_listed_and_limited(whole: Path, photos: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(photos, tmp_path / "photos")
    (damaged / "empty.jpg").write_bytes(b"")
    for line in (whole / "images.jsonl").read_text().splitlines()[:60:6]:
        found = json.loads(line)
        path = damaged / Path(found["path"]).relative_to(photos.resolve())
        path.write_bytes(path.read_bytes()[:-40])  # its header still says its size
    budget = "images.error_budget=0.25"
    summary = run(recipe(budget), damaged, tmp_path / "run")
    listed = [json.loads(line) for line in (tmp_path / "run" / "rejects.jsonl").read_text().splitlines()]
    assert 2 <= summary.unusable == len(listed) <= 11
    assert all(row["why"] for row in listed)
    assert len({row["path"] for row in listed}) == len(listed)
    with pytest.raises(DatasetError, match="error_budget allows 5.00% of 61, got 4"):
        run(recipe("images.error_budget=0.05"), damaged, tmp_path / "other")


def test_a_step_without_any_usable_image_is_passed_over(tmp_path: Path, photos: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted(photos.rglob("*.png"))[:6]:
        shutil.copy(path, images / path.name)
    out = tmp_path / "run"

    def damage(row: dict) -> None:
        if row["kind"] == "validation" and row["step"] == 0:
            found = [json.loads(line) for line in (out / "images.jsonl").read_text().splitlines()]
            victim = Path(next(image["path"] for image in found if image["use"] == "train"))
            victim.write_bytes(victim.read_bytes()[:-40])

    plan = recipe("images.error_budget=0.2", "optimisation.tiles_per_step=1", "optimisation.max_steps=10")
    assert run(plan, images, out, on_row=damage).unusable == 1
    assert losses(out).count(None) == 2  # two epochs of five images
    assert [row["tiles"] for row in rows(out, "train")].count(0) == 2


@pytest.mark.slow
def test_learns_what_no_constant_has_and_goes_into_a_model_that_is_trained_on(
    photos: Path, squares: Path, tmp_path: Path
) -> None:
    """Measured: the untrained student is at 0.0, the best constant at 0.5, the student after 150 steps above 0.9."""
    from domainvl.training.recipe_files import load_recipe
    from domainvl.training.run import finetune

    settings = load_distillation_recipe(
        "tiny", overrides=["optimisation.max_steps=150", "images.held_out_share=0.2", "optimisation.tiles_per_step=24"]
    )
    summary = distil(settings, "tiny", [photos], tmp_path / "run")
    for before, after, constant in zip(summary.before, summary.after, summary.constants, strict=True):
        assert before < 0.2
        assert constant < 0.65
        assert after > 0.85
    adapted = load_recipe(
        "vision/continued",
        model=str(tmp_path / "run"),
        overrides=["optimisation.max_steps=2", "optimisation.batch_size=4", "preprocessing.max_tiles=1",
                   "compute.precision=fp32", "compute.weights=auto", "validation.max_samples=2",
                   "validation.max_new_tokens=3"],
    )  # fmt: skip
    finetune(adapted, squares, tmp_path / "adapted")
    before, after = (load_model(str(tmp_path / name)).internvl.state_dict() for name in ("run", "adapted"))
    changed = {name.split(".")[1] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"vision_tower", "multi_modal_projector"}
