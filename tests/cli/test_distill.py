"""``domainvl distill``: options, what is printed, exit codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domainvl.cli.main import main

SMALL = ["--recipe", "tiny", "--teacher", "tiny", "--set", "optimisation.max_steps=2"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_what_came_out_is_printed(photos: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    assert main(["distill", *SMALL, "--images", str(photos), "--layers", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "2 steps on 1 held-out, 7 train images, student of 116,800 weights, teacher of 217,024" in printed
    assert "held-out cosine by layer:" in printed
    assert "a constant for each position reaches" in printed
    assert "projector kept" in printed
    assert f"checkpoint {out / 'checkpoint'}" in printed


def test_a_new_projector_is_said(photos: Path, tmp_path: Path, capsys) -> None:
    assert main(["distill", *SMALL, "--images", str(photos), "--width", "32", "--out", str(tmp_path / "run")]) == 0
    assert "projector new, since the widths differ" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--student", "internvit-300m"], "both need the same tile, got [448, 448]"),
        (["--student", "1b", "--layers", "3"], "student.layers is set, but student.size, '1b', is a whole shape"),
        (["--student", "nowhere"], "there is no such folder"),
        (["--layers", "1"], "matching.last_layers must be at most 1"),
        (["--into", "nowhere"], "there is no such folder"),
        (["--resume"], "the list of images is missing"),
        (["--recipe", "nothing"], "There is no distillation recipe 'nothing'"),
    ],
)
def test_contradictions_are_one_message(options, message, photos: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    assert main(["distill", *SMALL, "--images", str(photos), "--out", str(out), *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
