"""``domainvl plan``: what it prints, and what it refuses."""

from __future__ import annotations

import json

import pytest

from domainvl.cli import main as command_line

QUICK = ["--answer-batch", "2", "--new-tokens", "4"]


def run(*arguments: str) -> int:
    return command_line.main(["plan", *arguments])


def test_as_text(capsys):
    assert run("--model", "tiny", "--gpu", "24GB", "--samples", "100", *QUICK) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "model      tiny: 1,019,968 parameters"
    assert "epoch      100 samples, 7 steps" in lines
    assert any(line.startswith("verdict    fits in 24.00 GB") for line in lines)


def test_as_json_with_options_that_reach_the_recipe(capsys):
    arguments = ["--model", "tiny", "--method", "qlora", "--tiles", "5", "--batch", "2", "--set", "lora.rank=4"]
    assert run(*arguments, "--text-tokens", "40", "--json", *QUICK) == 0

    content = json.loads(capsys.readouterr().out)
    assert (content["method"], content["quantisation"]) == ("lora", "nf4-double")
    assert content["sample"]["tokens_max"] == 6 * 16 + 40
    assert content["training"]["options"][-8:] == [
        "--set",
        "preprocessing.max_tiles=5",
        "--set",
        "packing.arrangement=grouped",
        "--set",
        "optimisation.micro_batch_size=2",
        "--set",
        "quantisation=nf4-double",
    ]
    assert content["training"]["fits"] is None


def test_a_data_set_is_counted(capsys, squares, untrained):
    assert run("--model", str(untrained), "--data", str(squares), "--recipe", "medical", *QUICK, "--json") == 0

    content = json.loads(capsys.readouterr().out)
    assert content["recipe"] == "medical/lora"
    assert content["samples"] == 36
    assert content["sample"]["text_counted"] is True


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["--model", "8b"], "Name a size, one of tiny, 1b, 2b, 4b"),
        (["--model", "tiny", "--gpu", "24"], "'24'"),
        (["--model", "tiny", "--gpu", "rtx4090"], "such as 24GB"),
        (["--model", "tiny", "--method", "dora"], "got 'dora'"),
        (["--model", "tiny", "--tiles", "41"], "'--tiles'"),
        (["--model", "tiny", "--tiles", "0"], "'--tiles'"),
        (["--model", "tiny", "--text-tokens", "1"], "'--text-tokens'"),
        (["--model", "tiny", "--batch", "0"], "'--batch'"),
        (["--model", "tiny", "--samples", "0"], "'--samples'"),
        (["--model", "tiny", "--recipe", "surgery"], "surgery"),
        (["--model", "tiny", "--set", "lora.rnk=3"], "lora.rnk"),
        (["--model", "tiny", "--data", "nowhere"], "nowhere"),
        (["--model", "tiny", "--data", "nowhere", "--samples", "3"], "--samples"),
        ([], "--model"),
    ],
)
def test_what_makes_no_sense_is_two(capsys, monkeypatch, tmp_path, arguments, seen):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert seen in captured.err
    assert "Traceback" not in captured.err
