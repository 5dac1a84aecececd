"""The command line as a whole: what it imports, its exit codes, and messages instead of tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from domainvl import __version__
from domainvl.cli import tiles as tiles_module
from domainvl.cli.main import main
from domainvl.errors import DomainvlError, ItemError, NothingToDoError, UsageError

HEAVY = ["torch", "transformers", "peft", "rasterio", "pyogrio", "shapely", "pydicom", "matplotlib"]


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "domainvl", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["convert", "--help"], ["finetune", "--help"], ["eval", "--help"], ["quickstart", "--help"],
     ["tiles", "1600x900"]],
    ids=" ".join,
)  # fmt: skip
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import json, sys\n"
        "from domainvl.cli.main import main\n"
        f"code = main({arguments!r})\n"
        f"print(json.dumps([code, sorted(set(sys.modules) & set({HEAVY!r}))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def test_as_a_module(tmp_path):
    done = run("--version", cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"domainvl {__version__}\n", "")


def test_help_names_the_commands_and_the_exit_codes(capsys):
    assert main(["--help"]) == 0

    text = " ".join(capsys.readouterr().out.split())
    for command in ("convert", "finetune", "eval", "quickstart", "tiles", "validate", "show", "stats", "export"):
        assert command in text
    for code in ("0 done", "1 internal error", "2 usage", "3 nothing to do or nothing converted", "8 partial"):
        assert code in text
    assert "4 stopped before the end (the same command goes on)" in text


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--frobnicate"],
        ["juggle"],
        ["tiles"],
        ["tiles", "10x10", "--frobnicate"],
        ["tiles", "10x10", "--max", "many"],
        ["tiles", "10x10", "20x20"],
        ["convert"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_two(arguments, capsys):
    assert main(arguments) == 2

    captured = capsys.readouterr()
    assert "Usage:" in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("Wrong", rule="it must be right, got left"), 2),
        (NothingToDoError("Nothing there"), 3),
        (ItemError("Cannot read", reason="decode"), 8),
        (DomainvlError("Odd"), 1),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_our_errors_end_in_one_message_and_their_code(monkeypatch, capsys, error, code, debug):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(tiles_module, "choose_grid", fail)

    assert main(["--debug"] * debug + ["tiles", "10x10"]) == code

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(f"Error: {error}\n")
    assert ("Traceback" in captured.err) == debug
    assert debug or captured.err == f"Error: {error}\n"


@pytest.mark.parametrize(
    "arguments", [["tiles", "10x10"], ["--debug", "tiles", "10x10"], ["tiles", "10x10", "--debug"]]
)
def test_an_internal_error_is_one_with_its_traceback_on_request(monkeypatch, capsys, arguments):
    def fail(*args, **kwargs):
        raise ZeroDivisionError("the sky fell")

    monkeypatch.setattr(tiles_module, "choose_grid", fail)

    assert main(arguments) == 1

    error = capsys.readouterr().err
    assert error.count("Internal error: ZeroDivisionError: the sky fell. Run the command again with --debug") == 1
    assert ("Traceback (most recent call last)" in error) == ("--debug" in arguments)
    assert ("test_main.py" in error) == ("--debug" in arguments)


def test_the_exit_code_reaches_the_shell(tmp_path):
    done = run("convert", "vqa-rad", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"))

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip() == (
        f"Error: Cannot convert vqa-rad input in {tmp_path / 'nowhere'}: there is no such file or folder."
    )
