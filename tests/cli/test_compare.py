"""``domainvl compare``: what it prints, and what it refuses."""

from __future__ import annotations

import pytest
import typer
from html_page import read_page
from synthetic_results import ADAPTED, BASE, synthetic_results, write_evaluation
from typer.testing import CliRunner

from domainvl.cli.compare import compare
from domainvl.errors import UsageError
from domainvl.evaluation.results import write_results


def run(*arguments):
    app = typer.Typer()
    app.command()(compare)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def test_one_folder_with_a_general_set(tmp_path):
    write_evaluation(tmp_path / "a", tmp_path / "data")
    (tmp_path / "general").mkdir()
    write_results(tmp_path / "general" / "scores.json", synthetic_results(title="General questions"))
    out = tmp_path / "report.html"
    found = run(tmp_path / "a", "--out", out, "--general", tmp_path / "general")
    assert found.exit_code == 0
    lines = found.output.splitlines()
    assert lines[0] == f"On overall, {ADAPTED} is better than {BASE} by 0.249."
    assert lines[-1] == f"report {out}"
    assert "General questions" in out.read_text(encoding="utf-8")


def test_a_data_set_that_has_moved_is_named(tmp_path):
    write_evaluation(tmp_path / "a", tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    gone = run(tmp_path / "a", "--out", tmp_path / "1.html")
    assert "no images: the data set is not at" in gone.output
    there = run(tmp_path / "a", "--out", tmp_path / "2.html", "--data", tmp_path / "moved")
    assert "no images" not in there.output
    assert (tmp_path / "2.html").stat().st_size > 2 * (tmp_path / "1.html").stat().st_size


def test_systems_of_two_folders_on_one_page(tmp_path):
    headline = {"headline": "presence accuracy"}
    first = write_evaluation(tmp_path / "a", tmp_path / "data", **headline)
    write_evaluation(tmp_path / "b", tmp_path / "data", **headline)
    found = run(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "report.html")
    assert found.exit_code == 0, found.exception
    page = read_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    names = [f"{folder}: {system.name}" for folder in "ab" for system in first.systems if system.kind != "baseline"]
    rows = {row[0].text: row for row in page.one("table", id="costs").rows()}
    assert sorted(rows) == sorted([*names, "majority"])
    # Of 12 presence questions the first system gets 0 and 7 wrong, in either folder: (number + 0) % 7 < 1.
    line = next(row for row in page.one("table", id="scores").rows() if row[0].one("b").text == "presence accuracy")
    values = dict(
        zip([cell.text for cell in page.one("table", id="costs").find("th", scope="row")], line[2:], strict=True)
    )
    assert values[f"a: {ADAPTED}"].numbers()[0] == pytest.approx(10 / 12)
    assert values[f"b: {ADAPTED}"].numbers()[0] == pytest.approx(10 / 12)


def test_evaluations_of_other_data_are_refused(tmp_path):
    write_evaluation(tmp_path / "a", tmp_path / "data")
    (tmp_path / "b").mkdir()
    write_results(tmp_path / "b" / "scores.json", synthetic_results())
    found = run(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "report.html")
    assert isinstance(found.exception, UsageError)
    assert "0000" in str(found.exception)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("missing", ["--out", "folders"])
def test_what_must_be_named(tmp_path, missing):
    arguments = {"--out": [tmp_path / "a"], "folders": ["--out", tmp_path / "r.html"]}[missing]
    assert run(*arguments).exit_code == 2
