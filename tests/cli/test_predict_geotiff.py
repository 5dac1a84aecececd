"""``domainvl predict geotiff``: a checkpoint, a scene, a file; and what is said of mistakes."""

from __future__ import annotations

import json

import pytest
from bright_scenes import write_bright
from typer.testing import CliRunner

from domainvl.cli.predict import app
from domainvl.errors import UsageError


@pytest.fixture
def run(untrained, tmp_path):
    scene = write_bright(tmp_path / "s.tif", [("red", 30, 40, 70, 90)], size_px=(150, 100))

    def run(*options: str, out: str = "out.geojson"):
        arguments = ["geotiff", str(scene), "--model", str(untrained), "--out", str(tmp_path / out), *options]
        result = CliRunner().invoke(app, arguments, catch_exceptions=True)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_a_scene_is_answered_whatever_the_batch(run, tmp_path):
    question = ("--ask", "What colour is the square?", "--tile-px", "64", "--device", "cpu", "--max-new-tokens", "4")
    result = run(*question)
    assert result.exit_code == 0, result.output
    assert "tiles: 6 of 6 asked, 6 answers" in result.output
    assert "note: the checkpoint does not say how its images were made" in result.output
    run(*question, "--batch-size", "1", out="one.geojson")
    assert (tmp_path / "one.geojson").read_bytes() == (tmp_path / "out.geojson").read_bytes()
    assert (tmp_path / "one.geojson.run.json").read_bytes() == (tmp_path / "out.geojson.run.json").read_bytes()
    record = json.loads((tmp_path / "out.geojson.run.json").read_bytes())
    assert record["settings"]["tile_px"] == 64
    assert record["questions"] == [{"task": "vqa", "text": "What colour is the square?", "options": []}]


def test_mistakes_are_refused_before_the_model_is_loaded(run, tmp_path):
    with pytest.raises(UsageError, match="no question is given"):
        run("--tile-px", "64")
    with pytest.raises(UsageError, match="does not say how its images were made"):
        run("--detect", "red square")
    with pytest.raises(UsageError, match="--tile-px"):
        run("--detect", "red square", "--tile-px", "3")
    assert not (tmp_path / "out.geojson").exists()


def test_help_lists_the_options_of_the_converter():
    result = CliRunner().invoke(app, ["geotiff", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for option in ("--tile-px", "--stretch", "--bands", "--out-crs", "--check-presence"):
        assert option in result.output
