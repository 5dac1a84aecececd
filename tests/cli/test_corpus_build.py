"""``domainvl corpus build`` from the command line: what it says, and the exit code."""

from __future__ import annotations

import pytest
from toy_corpora import png
from typer.testing import CliRunner

from domainvl.cli import corpus_options
from domainvl.cli.main import app
from domainvl.errors import ExitCode, UsageError

SENTENCES = "The tower has a bell of bronze. It rings at noon. Pigeons live under its roof. "


@pytest.fixture
def pages(tmp_path):
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "i.png").write_bytes(png(32, 24))
    (folder / "one.html").write_text(f"<article><h1>Tower</h1><p>{SENTENCES * 3}</p><img src=i.png></article>")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["corpus", "build", *map(str, arguments)])


def test_exit_codes_tell_whole_partial_and_nothing(pages, tmp_path):
    result = run(pages, "--out", tmp_path / "whole", "--workers", "0")
    assert (result.exit_code, "1 document, 1 image in place" in result.output) == (ExitCode.DONE, True)
    (pages / "empty.html").touch()
    result = run(pages, "--out", tmp_path / "partial", "--workers", "0")
    assert (result.exit_code, "read/empty" in result.output) == (ExitCode.PARTIAL, True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-source-mb", "nan"),
        ("--max-image-mb", "inf"),
        ("--max-image-mb", "-1"),
        ("--frame-step-s", "nan"),
        ("--unit-timeout-s", "-1"),
        ("--unit-memory-gb", "nan"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(pages, tmp_path, option, value):
    result = run(pages, "--out", tmp_path / "corpus", "--workers", "0", option, value)
    assert isinstance(result.exception, UsageError)
    assert option in str(result.exception) and value in str(result.exception)


def test_a_negative_number_of_workers_is_refused(pages, tmp_path):
    assert run(pages, "--out", tmp_path / "corpus", "--workers", "-1").exit_code == ExitCode.USAGE


def test_a_terminal_is_shown_how_far_a_step_is(monkeypatch, capsys):
    options = (2, None, None, 0.0, None, False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert corpus_options.stage_run(*options).on_progress is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show = corpus_options.stage_run(*options).on_progress
    assert show is not None
    show(1, 2)
    assert capsys.readouterr().err.endswith("1 of 2 units")
    show(2, 2)
    assert "units" not in capsys.readouterr().err
