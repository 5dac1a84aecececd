"""``finetune --dry-run``: what a run would do is said, and nothing is done."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from domainvl.cli import main as command_line
from domainvl.training.log import read_log
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dry_run(untrained: Path, *arguments: str) -> int:
    start = ["finetune", "--recipe", "quickstart/medical", "--model", str(untrained), "--out", "run", "--dry-run"]
    return command_line.main([*start, *arguments])


def lines_of(text: str) -> dict[str, list[str]]:
    """Return what is said under each label."""
    found: dict[str, list[str]] = {}
    label = ""
    for line in text.splitlines():
        label = line[:11].strip() or label
        found.setdefault(label, []).append(line[11:].strip())
    return found


QUICK = ("--set", "optimisation.max_steps=3", "--set", "optimisation.batch_size=4")


def test_what_would_happen_is_said_and_nothing_is_written(here, squares, untrained, capsys):
    assert dry_run(untrained, "--data", str(squares), *QUICK) == 0

    said = lines_of(capsys.readouterr().out)
    assert said["recipe"] == [f"quickstart/medical: lora, model {untrained}"]
    assert re.fullmatch(r"squares \(domain\): 36 samples, \d+ seen in all, [\d,]+ tokens, 100%", said["source"][0])
    assert said["plan"][0].startswith("packed: ")
    assert said["steps"][0].startswith("3, each of about ")
    assert said["fill"] == ["100.0% of the tokens that are computed are no padding"]
    assert re.match(r"0\.\d\d GB at the peak of a step on one process", said["memory"][0])
    assert said["memory"][1].endswith(" GB are there: fits")
    assert re.match(r"less than a minute on one process of this machine, if a step reaches 50% of ", said["time"][0])
    assert list(here.iterdir()) == []


def test_steps_samples_tokens_and_tiles_are_those_of_the_run(here, squares, untrained, capsys):
    changes = ["optimisation.max_steps=3", "optimisation.batch_size=4", "validation.max_samples=0"]
    assert dry_run(untrained, "--data", str(squares), *(part for one in changes for part in ("--set", one))) == 0
    steps = lines_of(capsys.readouterr().out)["steps"][0]
    recipe = load_recipe("quickstart/medical", model=str(untrained), overrides=changes)
    finetune(recipe, squares, here / "run")

    rows = [row for row in read_log(here / "run" / "log.jsonl") if row["kind"] == "train"]
    samples, tokens, tiles = (sum(row[key] for row in rows) / 3 for key in ("samples", "tokens", "tiles"))
    assert steps.startswith(f"3, each of about {samples:.1f} samples, {tokens:,.0f} tokens and {tiles:.1f} tiles; ")


def test_rows_that_are_padded_say_how_much(here, squares, untrained, capsys):
    assert dry_run(untrained, "--data", str(squares), *QUICK, "--set", "packing.arrangement=grouped") == 0

    said = lines_of(capsys.readouterr().out)
    assert said["plan"][0].startswith("grouped, as the recipe says: ")
    padding = float(re.search(r"([\d.]+)% padding", said["plan"][0])[1])
    assert padding > 0
    assert float(said["fill"][0].split("%")[0]) == pytest.approx(100 - padding, abs=0.11)


def test_general_data_is_mixed_in_as_the_ratio_says(here, squares, untrained, tmp_path_factory, capsys):
    general = tmp_path_factory.mktemp("general") / "words"
    shutil.copytree(squares, general)
    changes = ("mixture.general_ratio=0.25", "optimisation.epochs=2", "optimisation.max_steps=null")
    arguments = [part for change in changes for part in ("--set", change)]
    assert dry_run(untrained, "--data", str(squares), "--general", str(general), *arguments) == 0

    output = capsys.readouterr().out
    said = lines_of(output)
    assert "squares (domain): 36 samples, 72 seen in all" in said["source"][0]
    assert "words (general): 36 samples, 18 seen in all" in said["source"][1]
    assert sum(int(re.search(r"(\d+)%", line)[1]) for line in said["source"]) in (99, 100, 101)
    assert "mixture.general_ratio" not in output  # the mixture has general data


def test_samples_that_are_too_long_are_listed(here, squares, untrained, capsys):
    # With one question: 53 to 80 tokens with one tile, 82 with two, of 16 tokens each; one tile an image is the least.
    limits = ("packing.max_sample_tokens=80", "packing.over_long=leave-out", "optimisation.questions_per_pass=1")
    arguments = [part for change in limits for part in ("--set", change)]
    assert dry_run(untrained, "--data", str(squares), *QUICK, *arguments) == 0

    said = lines_of(capsys.readouterr().out)["too long"]
    count = int(said[0].split()[0])
    assert said[0] == f"{count} samples, which are left out"
    assert 5 <= count <= 12
    assert len(said) == 1 + 5
    assert re.fullmatch(r"squares \d\d/\w+: \d+ tokens, [12] tiles; left out", said[1])


def test_notes_of_the_check_of_recipe_and_data_are_said(here, squares, untrained, capsys):
    assert dry_run(untrained, "--data", str(squares), *QUICK, "--set", "preprocessing.max_tiles=1") == 0

    # Counting is about two images.
    (note,) = lines_of(capsys.readouterr().out)["note"]
    assert note.startswith("squares, preprocessing.max_tiles: 12 samples have more images than")


def test_patience_that_can_never_end_the_run_is_said(here, squares, untrained, capsys):
    patient = [*QUICK, "--set", "validation.patience=2", "--set", "validation.every_steps=2"]
    assert dry_run(untrained, "--data", str(squares), *patient) == 0
    assert any("2 looks in all: validation.patience=2" in line for line in lines_of(capsys.readouterr().out)["note"])
    assert dry_run(untrained, "--data", str(squares), *patient, "--set", "validation.every_steps=1") == 0
    assert "looks in all" not in capsys.readouterr().out


def test_what_contradicts_the_data_is_refused(here, squares, untrained, tmp_path_factory, capsys):
    model = tmp_path_factory.mktemp("model") / "other"
    shutil.copytree(untrained, model)
    spec = json.loads((model / "domainvl.json").read_text())
    spec["preprocessing"]["wording"] = "another"
    (model / "domainvl.json").write_text(json.dumps(spec))
    assert dry_run(model, "--data", str(squares), *QUICK) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "model: the model was trained with wording another" in captured.err


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "DATA", "--model", "1b"], "Cannot load a model in 1b"),
        (["--data", "DATA", "--set", "mixture.general_ratio=0.5"], "Name general data sets with --general"),
        (["--data", "DATA", "--data", "DATA"], "it is named twice"),
        (["--data", "DATA", "--set", "packing.max_sample_tokens=20"], "36 are longer"),
        (["--data", "DATA", "--set", "compute.liger=true"], "liger"),
        (["--data", "DATA", "--set", "compute.device=tpu"], "'tpu'"),
    ],
)
def test_errors_are_those_of_the_run(here, squares, untrained, capsys, arguments, seen):
    arguments = [str(squares) if part == "DATA" else part for part in arguments]
    dry = dry_run(untrained, *arguments)
    dry_said = capsys.readouterr()
    start = ["finetune", "--recipe", "quickstart/medical", "--model", str(untrained), "--out", "run"]
    real = command_line.main([*start, *arguments])
    real_said = capsys.readouterr()

    assert dry == real == 2
    assert dry_said.out == real_said.out == ""
    assert seen in dry_said.err
    assert dry_said.err.splitlines()[-1] == real_said.err.splitlines()[-1]
    assert not (here / "run").exists()
