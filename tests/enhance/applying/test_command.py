"""``domainvl enhance apply`` as it is typed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import typer
from PIL import Image
from typer.testing import CliRunner

from domainvl.cli import enhance_apply
from domainvl.errors import UsageError


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(enhance_apply.apply)

    def command(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return command


def test_a_scene_and_a_folder_are_enlarged(command, write, tmp_path, noise):
    scene = write(noise(1, 40, 30))
    (tmp_path / "in").mkdir()
    Image.fromarray(noise(8, 8)).save(tmp_path / "in" / "x.png")
    (tmp_path / "in" / "notes.txt").write_text("")

    result = command("bicubic-x4", scene, tmp_path / "in", "--out", tmp_path / "out", "--tile-px", 32, "--threads", 1)

    assert result.exit_code == 0, result.output
    assert "2 inputs enhanced" in result.output and "(bicubic-x4, zero offset, x4)" in result.output
    assert "files of folders that are no pictures: 1" in result.output
    with rasterio.open(tmp_path / "out" / "low.tif") as high:
        assert high.shape == (160, 120)
        assert high.tags()["DOMAINVL_ENHANCED"] == "bicubic-x4 mode=zero offset scale=4"


def test_failures_are_listed_and_the_exit_code_is_partial(command, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"broken")

    result = command("bicubic-x2", tmp_path / "in", "--out", tmp_path / "out")

    assert result.exit_code == 8
    assert "failed: 1 open" in result.output and "Cannot open in" in result.output


def test_forced_medical_pictures_warn(command, tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "x.png")
    row = {"split": "train", "domain": "medical", "task": "vqa", "count": 1}
    (tmp_path / "manifest.json").write_text(json.dumps({"counts": [row]}))

    refused = command("bicubic-x2", tmp_path / "x.png", "--out", tmp_path / "out")
    assert isinstance(refused.exception, UsageError)
    forced = command("bicubic-x2", tmp_path / "x.png", "--out", tmp_path / "out", "--force-medical")

    assert forced.exit_code == 0
    assert "Warning: 1 medical inputs were let through" in forced.output


def test_bicubic_takes_no_reference(command, write, noise, tmp_path):
    result = command("bicubic-x2", write(noise(3, 8, 8)), "--out", tmp_path / "out", "--mode", "self")

    assert isinstance(result.exception, UsageError)
    assert "it has no alignment, and the mode is own colours" in str(result.exception)
    assert not (tmp_path / "out").exists()
