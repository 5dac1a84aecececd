"""``domainvl recipe``: list, show, check, diff; as text, as JSON, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from domainvl.cli.main import main
from domainvl.training.recipe_files import load_recipe, recipe_names


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["recipe", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


def test_list_is_a_line_a_recipe_under_a_pipe(run):
    code, out, error = run("list")

    assert (code, error) == (0, "")
    head, *lines = out.splitlines()
    assert head.split() == ["name", "method", "model", "what", "it", "is", "for"]
    assert [line.split()[0] for line in lines] == recipe_names()
    assert "medical/qlora-12gb            qlora   mini-internvl-4b       Radiological slices, QLoRA" in out
    assert not any("─" in line or line.endswith(" ") for line in lines)


def test_list_is_a_table_in_a_terminal(run, monkeypatch):
    monkeypatch.setattr(Console, "is_terminal", True)
    assert "─" in run("list")[1]


def test_list_as_json(run):
    code, out, _ = run("list", "--json")

    assert code == 0
    found = {row["name"]: row for row in json.loads(out)}
    assert list(found) == recipe_names()
    assert found["quickstart/medical"] == {
        "name": "quickstart/medical",
        "method": "lora",
        "model": "tiny",
        "description": "The medical recipe for the model tiny on a CPU.",
    }


@pytest.mark.parametrize("name", ["medical", "published/drivelm-4b", "remote-sensing/qlora-12gb"])
def test_what_is_shown_is_the_recipe_itself(run, name):
    code, out, _ = run("show", name, "--set", "seed=7", "--model", "some/where")

    assert code == 0
    Path("mine.yaml").write_text(out)
    assert load_recipe("mine.yaml") == load_recipe(name, overrides=["seed=7"], model="some/where")


def test_each_value_is_shown_with_what_sets_it(run):
    _, out, _ = run("show", "driving/lora-12gb", "--set", "seed=7")

    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert "# Extends: driving/lora-12gb > _shared/lora-12gb > _shared/one-card > _shared/lora" in lines
    assert any(line.startswith("# For: six-camera driving frames") for line in lines)
    assert {
        "seed: 7 # --set",
        "model: mini-internvl-2b # _shared/lora-12gb",
        "max_tokens: 6144 # _shared/lora-12gb",
        "arrangement: auto # _shared/one-card",
        "rank: 16 # _shared/lora",
        "betas: [0.9, 0.999] # default",
    } < lines


def test_show_as_json(run):
    content = json.loads(run("show", "medical", "--json")[1])

    assert (content["name"], content["chain"]) == ("medical/lora", ["_shared/lora", "medical/lora"])
    assert content["values"]["lora.rank"] == {"value": 16, "from": "_shared/lora"}
    assert list(content["header"]) == ["for", "data", "memory", "time", "launch"]


def test_check_without_data(run):
    code, out, error = run("check", "medical", "--set", "lora.vision=frozen")

    assert (code, error) == (0, "")
    assert out.splitlines() == [
        "medical/lora: valid; lora, trains language_model, projector; model mini-internvl",
        "extends: medical/lora > _shared/lora",
    ]


def test_check_against_data(run, squares):
    code, out, _ = run("check", "medical", "--model", "tiny", "--data", squares, "--set", "preprocessing.max_tiles=2")
    assert code == 0
    assert out.splitlines()[2:] == [f"nothing contradicts {squares}"]

    arguments = ["check", "medical", "--model", "tiny", "--data", squares, "--set", "packing.max_tiles=1"]
    arguments += ["--set", "preprocessing.max_tiles=1"]
    code, out, _ = run(*arguments)
    assert code == 2
    assert "contradiction: packing.over_long: 12 of 36 samples have more tiles" in out
    assert "nothing contradicts" not in out

    content = json.loads(run(*arguments, "--json")[1])
    assert content["ok"] is False
    assert {one["severity"] for one in content["findings"]} == {"contradiction", "note"}


def test_diff_is_side_by_side(run):
    code, out, error = run("diff", "second-finetune/lora-2b", "second-finetune/lora-coco-2b")

    assert (code, error) == (8, "")
    assert [line.split() for line in out.splitlines()] == [
        ["key", "second-finetune/lora-2b", "second-finetune/lora-coco-2b"],
        ["lora.rank", "16", "128"],
        ["lora.alpha", "32", "256"],
        ["optimisation.batch_size", "16", "512"],
    ]


def test_equal_is_zero(run):
    Path("mine.yaml").write_text("extends: medical/lora\n")
    assert run("diff", "medical", "mine.yaml")[:2] == (0, "no value differs\n")


def test_diff_as_json(run):
    Path("mine.yaml").write_text("extends: medical/lora\ntracking: [wandb]\n")
    code, out, _ = run("diff", "medical", "mine.yaml", "--json")
    assert code == 8
    assert json.loads(out) == {
        "first": "medical/lora",
        "second": "mine",
        "equal": False,
        "differences": [{"key": "tracking", "first": [], "second": ["wandb"]}],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "medicel"], "did you mean medical?"),
        (["show", "published"], "of published there are published/bdd-x-1b"),
        (["show", "nowhere.yaml"], "there is no file nowhere.yaml"),
        (["show", "medical", "--method", "qlora"], "--method must be lora or full, got 'qlora'"),
        (["check", "circle.yaml"], "in circle.yaml: 'extends' goes round in a circle: circle.yaml > circle.yaml"),
        (["check", "twice.yaml"], "in twice.yaml: the key 'seed' stands twice in one section, again in line 3"),
        (["check", "medical", "--set", "lora.rnk=1"], "unknown key lora.rnk (did you mean rank?), set by --set"),
        (["check", "medical", "--set", "tracking.0=wandb"], "tracking is a list, not a section"),
        (["check", "medical", "--data", "nowhere"], "nowhere"),
        (["diff", "medical", "medical/lroa"], "did you mean medical/lora?"),
        (["diff", "medical"], "second"),
    ],
)
def test_what_is_wrong_is_two_and_says_why(run, arguments, said):
    Path("circle.yaml").write_text("extends: circle.yaml\n")
    Path("twice.yaml").write_text("extends: medical/lora\nseed: 1\nseed: 2\n")

    code, out, error = run(*arguments)

    assert (code, out) == (2, "")
    assert said in " ".join(error.replace("│", " ").split())
