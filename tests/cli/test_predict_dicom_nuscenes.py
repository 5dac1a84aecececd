"""``domainvl predict dicom`` and ``domainvl predict nuscenes``: what is printed, and how a command ends."""

from __future__ import annotations

import json

import pytest
from fake_model import FakeModel
from typer.testing import CliRunner

from domainvl.cli.main import app, main
from domainvl.converters.dicom.generate import generate_series
from domainvl.converters.drivelm.generate import generate_drivelm
from domainvl.errors import ExitCode
from domainvl.schema import Task


@pytest.fixture
def run(monkeypatch):
    """Run a command with a model that finds the left half of everything and says yes."""

    def reply(sample, folder):
        return "<box>[[0, 0, 500, 1000]]</box>" if sample.task is Task.GROUNDING else "yes"

    monkeypatch.setattr("domainvl.prediction.answering.CheckpointModel", lambda *_: FakeModel(reply))
    return lambda *arguments: CliRunner().invoke(app, ["predict", *map(str, arguments)], catch_exceptions=False)


def test_a_study_becomes_json_and_a_report(run, tmp_path):
    generate_series(tmp_path / "in", patient_count=1, seed=0)
    (study,) = (path for path in (tmp_path / "in").iterdir() if path.is_dir())
    (study / "notes.txt").write_text("none", encoding="utf-8")
    out = tmp_path / "out.json"
    arguments = ("dicom", study, "--model", "m", "--out", out, "--windows", "lung", "--select", "even:2")
    done = run(*arguments, "--detect", "nodule", "--ask", "Is it there?", "--task", "presence")
    assert done.exit_code == 0, done.output
    assert "4 answers with 2 boxes" in done.output
    assert "left out: 1 x not-dicom" in done.output
    assert "not verified by a person" in done.output
    content = json.loads(out.read_text(encoding="utf-8"))
    assert (content["settings"]["windows"], content["settings"]["select"]) == ("lung", "even:2")
    assert (tmp_path / "out.sr.dcm").is_file()
    again = run(*arguments, "--detect", "nodule", "--no-sr", "--overwrite")
    assert "2 answers with 2 boxes" in again.output
    assert "out.sr.dcm" not in again.output


def test_key_frames_become_lines(run, tmp_path):
    generate_drivelm(tmp_path / "d", scene_count=1, frames_per_scene=1, seed=0)
    out = tmp_path / "out.jsonl"
    arguments = ("nuscenes", tmp_path / "d" / "nuscenes", "--model", "m", "--layout", "multi-image", "--out", out)
    done = run(*arguments, "--detect", "car")
    assert done.exit_code == 0, done.output
    assert "6 answers about 1 key frames, with 6 boxes" in done.output
    assert len(out.read_text(encoding="utf-8").splitlines()) == 6


def test_questions_of_drivelm_become_a_submission(run, tmp_path):
    generate_drivelm(tmp_path / "d", scene_count=2, frames_per_scene=1, seed=0, questions_only=1)
    out = tmp_path / "out"
    source = tmp_path / "d" / "generated_val_nus_q_only.json"
    done = run("nuscenes", source, "--model", "m", "--layout", "stitched", "--team", "us", "--out", out)
    assert done.exit_code == 0, done.output
    assert json.loads((out / "submission.json").read_text(encoding="utf-8"))["team"] == "us"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ask", "Why?", "--team", "us"], "--team is for the questions of DriveLM"),
        (["--ask", "Why?", "--challenge-subset"], "--challenge-subset is for the questions of DriveLM"),
        (["--scene", "scene-1"], "--scene is for --ask, --detect and --like"),
        (["--each-view"], "--each-view is for --ask"),
        (["--split", "some"], "--split must be one of train, val, test"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, tmp_path, capsys, options, message):
    code = main(["predict", "nuscenes", str(tmp_path), "--model", "m", "--out", str(tmp_path / "out"), *options])
    assert code == ExitCode.USAGE
    assert message in capsys.readouterr().err
