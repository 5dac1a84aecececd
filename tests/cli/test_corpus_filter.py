"""``corpus filter``, ``corpus report`` and ``corpus audit`` as a user gives them."""

from __future__ import annotations

import csv
import io

import pytest
import typer
from filtered_corpora import write_plain
from typer.testing import CliRunner

from domainvl.cli import corpus_audit, corpus_filter, corpus_report
from domainvl.errors import DomainvlError, ExitCode

app = typer.Typer()
app.command(name="filter")(corpus_filter.corpus_filter)
app.command(name="report")(corpus_report.report)
app.command(name="audit")(corpus_audit.audit)


def run(*arguments):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    result = run("filter", write_plain(folder / "plain"), "--out", folder / "filtered", "--workers", 0)
    assert result.exit_code == 0
    assert "8 documents" in result.stdout
    assert "filter/gopher-words" in result.stdout
    return folder / "filtered"


def test_other_thresholds_on_a_filtered_corpus_start_from_all_documents(filtered, tmp_path):
    options = ["--set", "gopher-words=off", "--set", "hf-four-words.min=4", "--workers", 0, "--out", tmp_path / "out"]
    result = run("filter", filtered, *options)
    assert "12  documents" in result.stdout
    assert "4  paragraph/hf-four-words" in result.stdout  # those of three words


def test_where_nothing_is_left_the_report_and_the_audit_say_why(filtered, tmp_path):
    options = ["--set", "gopher-words.min=5000", "--workers", 0, "--out", tmp_path / "empty"]
    result = run("filter", filtered, *options)
    assert result.exit_code == ExitCode.NOTHING_DONE
    assert f"domainvl corpus report {tmp_path / 'empty'}" in result.stderr
    assert "--set RULE=off" in result.stderr
    report = run("report", tmp_path / "empty", "--out", tmp_path / "report.html")
    assert "0 of 12 documents kept" in report.stdout
    assert "gopher-words" in report.stdout
    audit = run("audit", tmp_path / "empty", "--out", tmp_path / "audit")
    assert "document, gopher-words" in audit.stdout


def test_a_rule_that_there_is_not_is_refused_with_those_that_there_are(filtered, tmp_path):
    with pytest.raises(DomainvlError, match="gopher-words"):
        run("filter", filtered, "--set", "gopher-wordz=off", "--out", tmp_path / "out")


def test_a_report_prints_and_writes_a_page(filtered, tmp_path):
    result = run("report", filtered, "--out", tmp_path / "report.html", "--examples", 1)
    assert "hf-four-words" in result.stdout
    assert "<del>Scan of chest</del>" in (tmp_path / "report.html").read_text()


def test_an_audit_goes_from_a_sample_to_rates_and_a_profile(filtered, tmp_path):
    result = run("audit", filtered, "--out", tmp_path / "audit", "--sample", 50)
    path = tmp_path / "audit" / "marks.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    assert f"{len(rows)} things to mark" in result.stdout
    for row in rows:
        row["mark"] = "keep" if row["was"] == "kept" or row["value"] == "4" else "drop"
    rows[-1]["mark"] = "hm"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    result = run("audit", filtered, "--marks", path, "--min-marks", 5, "--profile-out", tmp_path / "new.yaml")
    assert result.exit_code == ExitCode.PARTIAL
    assert "1 rows left out: mark" in result.stderr
    assert "4/8 = 50.0% [15.7%, 84.3%]" in result.stdout  # scipy.stats.binomtest(4, 8).proportion_ci()
    out = tmp_path / "out"
    again = run("filter", filtered, "--profile", tmp_path / "new.yaml", "--workers", 0, "--out", out)
    assert "4  paragraph/hf-four-words" in again.stdout


def test_marks_that_say_nothing_are_told(filtered, tmp_path):
    run("audit", filtered, "--out", tmp_path / "audit")
    with pytest.raises(DomainvlError, match="keep or drop"):
        run("audit", filtered, "--marks", tmp_path / "audit" / "marks.csv")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "either --out"),
        (["--out", "a", "--marks", "b"], "either --out"),
        (["--out", "a", "--profile-out", "c"], "--profile-out goes with --marks"),
        (["--out", "a", "--min-marks", 3], "--min-marks goes with --marks"),
        (["--marks", "b", "--sample", 3, "--seed", 0], "--sample, --seed goes with --out"),
    ],
    ids=["none", "both", "profile", "min-marks", "sample"],
)
def test_options_that_do_not_go_together_are_refused(filtered, options, told):
    with pytest.raises(DomainvlError, match=told):
        run("audit", filtered, *options)
