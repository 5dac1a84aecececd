"""``domainvl convert``: options from a converter's settings, exit codes, and a summary of what was left out."""

from __future__ import annotations

import enum
import os
import re
from pathlib import Path
from typing import Literal

import pytest
from builders import ToyConverter, write_toys
from pydantic import Field, field_validator

import domainvl.conversion
from domainvl.cli.main import main
from domainvl.conversion import ConverterSettings
from domainvl.errors import UsageError
from domainvl.schema import read_manifest


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class ManySettings(ConverterSettings):
    """A setting of each kind that a converter is likely to have."""

    grey: int = Field(default=7, ge=0, le=255, description="Grey level in [min, max].")
    colour: Colour = Field(default=Colour.RED, description="A colour.")
    edge: Literal["pad", "drop"] = Field(default="pad", description="The edge.")
    labels: Path | None = Field(default=None, description="Labels.")
    deep: bool = Field(default=False, description="Whether to look deep.")
    bands: list[int] = Field(default_factory=lambda: [3, 2, 1], description="Bands.")
    min_size_px: float = Field(default=1.5, description="Size.")

    @field_validator("edge")
    @classmethod
    def _edge(cls, edge: str) -> str:
        if edge == "drop":
            raise ValueError("drop is not to be had today")
        return edge


class Many(ToyConverter):
    settings_type = ManySettings


class NeedySettings(ConverterSettings):
    level: int = Field(description="A level that must be given.")


class Needy(ToyConverter):
    settings_type = NeedySettings


class Guarded(ToyConverter):
    def plan(self, source, settings):
        raise UsageError("Cannot plan", where="labels.csv", rule="the column label is missing", action="Add it")


class Broken(ToyConverter):
    def plan(self, source, settings):
        raise ZeroDivisionError("the plan broke")


@pytest.fixture(autouse=True)
def converters(monkeypatch):
    """Put converters without any format in place of the installed ones."""
    made = {"toy": ToyConverter, "many": Many, "needy": Needy, "guarded": Guarded, "broken": Broken}
    monkeypatch.setattr(domainvl.conversion, "converter_names", lambda: sorted(made))
    monkeypatch.setattr(domainvl.conversion, "load_converter", lambda name: made[name]())
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run(capsys):
    def run(*arguments):
        # In this process: starting others takes longer than all that is tested here.
        code = main(["convert", *map(str, arguments), *(["--workers", "0"] if "--out" in arguments else [])])
        captured = capsys.readouterr()
        if "--debug" not in arguments:
            assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("words", "code"), [({"a": "ok"}, 0), ({"a": "ok", "b": "skip"}, 0), ({"a": "ok", "b": "bad"}, 8)]
)
def test_exit_codes_of_runs_with_samples(tmp_path, run, words, code):
    folder = write_toys(tmp_path / "toys", **words)

    assert run("toy", folder, "--out", tmp_path / "out")[0] == code
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_the_summary_counts_samples_and_rejects(tmp_path, run):
    folder = write_toys(tmp_path / "toys", a="ok", b="boom", c="bad", d="skip", e="ok")

    code, out, _ = run("toy", folder, "--out", tmp_path / "out", "--val-fraction", 0, "--test-fraction", 0)

    assert code == 8
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        f"2 samples in {tmp_path / 'out'} (groups: 2 train, 0 val, 0 test)",
        "train vqa 2",
        "failed: 1 x bad-toy (convert)",
        "failed: 1 x internal-error (convert)",
        "skipped: 1 x unwanted (label)",
        "note: 1 images with the same pixels lie in several groups, 0 of them in several splits: copies of one "
        "patient, scene or log under several names, or blank images",
        f"each is listed in {tmp_path / 'out' / 'rejects.jsonl'}",
    ]


@pytest.mark.parametrize("words", [{}, {"a": "bad"}, {"a": "boom"}, {"a": "skip"}])
def test_nothing_to_do_and_nothing_converted_are_three(tmp_path, run, words):
    code, out, error = run("toy", write_toys(tmp_path / "toys", **words), "--out", tmp_path / "out")

    assert code == 3
    assert out == ""
    assert error.strip().startswith("Error: Nothing ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["toy", "nowhere", "--out", "out"], "Cannot convert toy input in nowhere: there is no such file or folder"),
        (["toy", "toys", "--out", "taken"], "taken: it exists"),
        (["toy", "toys", "--out", "taken", "--overwrite"], "Cannot overwrite in taken: it is not of the kind"),
        (["toy", "toys", "--out", "a-file/out"], "Cannot write in a-file/out"),
        (["many", "toys", "--out", "out", "--grey", "300"], "--grey: Input should be less than or equal to 255, got"),
        (["many", "toys", "--out", "out", "--edge", "drop"], "--edge: drop is not to be had today, got 'drop'"),
        (["many", "toys", "--out", "out", "--val-fraction", "1"], "--val-fraction: Input should be less than 1, got"),
        (["guarded", "toys", "--out", "out"], "Cannot plan in labels.csv: the column label is missing. Add it."),
        # These are told by typer in its own words.
        (["toy", "toys"], "--out"),
        (["toy", "--out", "out"], "source"),
        (["toy", "toys", "--out", "out", "--gray", "3"], "--gray"),
        (["toy", "toys", "--out", "out", "--grey", "dark"], "'--grey'"),
        (["many", "toys", "--out", "out", "--colour", "green"], "'--colour'"),
        (["needy", "toys", "--out", "out"], "--level"),
        (["toys", "toys", "--out", "out"], "'toys'"),
    ],
)  # fmt: skip
def test_bad_input_is_two_and_says_why(tmp_path, monkeypatch, run, arguments, expected):
    monkeypatch.chdir(tmp_path)
    write_toys(tmp_path / "toys", a="ok")
    write_toys(tmp_path / "taken", a="ok")
    (tmp_path / "a-file").write_text("")

    code, out, error = run(*arguments)

    assert code == 2
    assert out == ""
    assert expected in " ".join(error.split())
    assert sorted(os.listdir(tmp_path)) == ["a-file", "taken", "toys"]


@pytest.mark.parametrize("debug", [False, True])
def test_an_internal_error_is_one(tmp_path, run, debug):
    arguments = ["broken", write_toys(tmp_path / "toys", a="ok"), "--out", tmp_path / "out"]

    code, _, error = run(*arguments, *(["--debug"] if debug else []))

    assert code == 1
    assert "Internal error: ZeroDivisionError: the plan broke." in error
    assert ("Traceback" in error) == debug


def test_each_setting_is_an_option(tmp_path, run):
    folder = write_toys(tmp_path / "toys", a="ok")

    code, _, error = run(
        "many", folder, "--out", tmp_path / "out", "--grey", 9, "--colour", "blue", "--labels", "l.csv", "--deep",
        "--bands", 5, "--bands", 4, "--min-size-px", 2, "--split-seed", 3,
    )  # fmt: skip

    assert (code, error.strip()) == (0, "")
    assert read_manifest(tmp_path / "out")["settings"] == {
        "val_fraction": 0.1,
        "test_fraction": 0.1,
        "split_seed": 3,
        "licence": None,
        "exclude_hashes": None,
        "grey": 9,
        "colour": "blue",
        "edge": "pad",
        "labels": "l.csv",
        "deep": True,
        "bands": [5, 4],
        "min_size_px": 2.0,
    }


def test_settings_left_out_keep_their_defaults(tmp_path, run):
    assert run("many", write_toys(tmp_path / "toys", a="ok"), "--out", tmp_path / "out")[0] == 0

    assert read_manifest(tmp_path / "out")["settings"] == ManySettings().model_dump(mode="json")


def test_a_required_setting_is_an_option_too(tmp_path, run):
    assert run("needy", write_toys(tmp_path / "toys", a="bad"), "--out", tmp_path / "out", "--level", 3)[0] == 3


def test_overwrite_replaces_a_data_set(tmp_path, run):
    folder = write_toys(tmp_path / "toys", a="ok")
    for grey in (1, 2):
        assert run("toy", folder, "--out", tmp_path / "out", "--grey", grey, "--overwrite")[0] == 0

    assert read_manifest(tmp_path / "out")["settings"]["grey"] == 2


def test_help_of_a_converter_shows_every_setting_word_for_word(run):
    code, out, _ = run("many", "--help")

    text = " ".join(re.sub("[│╭╮╰╯─]", " ", out).split())
    assert code == 0
    for option in ("--out", "--overwrite", "--split-seed", "--grey", "--colour", "--labels", "--bands"):
        assert option in text
    assert "Grey level in [min, max]." in text
    assert "Undefined" not in text


def test_help_lists_the_converters(run):
    code, out, _ = run("--help")

    assert code == 0
    assert [name for name in ("broken", "guarded", "many", "needy", "toy") if name in out.split()] == [
        "broken",
        "guarded",
        "many",
        "needy",
        "toy",
    ]
    assert "Files of one word" in out
