"""``domainvl finetune`` and ``domainvl eval`` from a data set to a table."""

from __future__ import annotations

from pathlib import Path

from domainvl.cli.main import main

SMALL = [
    "--set", "optimisation.max_steps=3", "--set", "optimisation.batch_size=4", "--set", "validation.max_samples=2",
    "--set", "validation.max_new_tokens=3",
]  # fmt: skip


def test_from_data_set_to_table(squares: Path, untrained: Path, tmp_path: Path, capsys) -> None:
    run, scores = tmp_path / "run", tmp_path / "scores"
    recipe = ["--recipe", "quickstart/medical", "--model", str(untrained), "--data", str(squares)]
    assert main(["finetune", *recipe, "--out", str(run), *SMALL]) == 0
    out = capsys.readouterr().out
    assert "3 steps" in out
    assert str(run / "checkpoint") in out
    assert (
        main(["eval", "--model", str(run), "--data", str(squares), "--out", str(scores), "--max-new-tokens", "3"]) == 0
    )
    out = capsys.readouterr().out
    head = next(line for line in out.splitlines() if line.startswith("| line"))
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "line", "metric", "n", "groups", "adapted", "base", "blank images", "majority",
    ]  # fmt: skip
    assert "mean of tasks: adapted is " in out
    assert (scores / "scores.md").read_text().strip() in out
    assert "<h1>" in (scores / "report.html").read_text()


def test_same_recipe_by_family_and_method(squares: Path, untrained: Path, tmp_path: Path) -> None:
    arguments = ["--recipe", "medical", "--method", "full", "--model", str(untrained), "--data", str(squares)]
    changes = [*SMALL, "--set", "preprocessing.max_tiles=1", "--set", "compute.gradient_checkpointing=false"]
    assert main(["finetune", *arguments, "--out", str(tmp_path / "run"), *changes]) == 0
    assert (tmp_path / "run" / "checkpoint" / "model.safetensors").is_file()
    assert "name: medical/full" in (tmp_path / "run" / "recipe.yaml").read_text()
