"""``domainvl enhance train``: options, what is printed, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from zoomed_views import write_pairs_folder

from domainvl.cli.enhance_train import _look
from domainvl.cli.main import main

TINY = ["--size", "small", "--features", "8", "--blocks", "1", "--pack-block", "2", "--crop-px", "8", "--batch", "1"]
TINY += ["--steps", "2", "--device", "cpu", "--threads", "1", "--tracking", "none"]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    write_pairs_folder(tmp_path / "pairs", counts=(2, 0, 0), size_low=(12, 12))
    return tmp_path / "pairs"


def run(pairs: Path, *more: str) -> int:
    return main(["enhance", "train", str(pairs), "--out", str(pairs.parent / "run"), *TINY, *more])


def test_what_came_out_is_printed_and_looks_are_told_on_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("draw_panel", "draw_flow"):  # what takes longest
        monkeypatch.setattr(f"domainvl.enhance.training.run.{name}", lambda *_: b"a picture")
    write_pairs_folder(tmp_path / "pairs", counts=(1, 1, 0), size_low=(12, 12))
    assert run(tmp_path / "pairs") == 0
    out, err = capsys.readouterr()
    assert out.startswith("2 steps on 1 pairs, ")
    assert " weights, mean loss of the last steps 0." in out
    assert "last look at 1 held-out pairs: held-out PSNR " in out
    assert f"checkpoint {tmp_path / 'run' / 'checkpoint'}" in out
    told = " ".join(err.split())
    assert "1 pairs to train on, 1 to look at" in told
    assert "step 0: held-out PSNR" in told
    assert "dB against bicubic; mean flow " in told
    assert "2/2" in told


def test_options_become_settings(pairs: Path) -> None:
    options = "--network per-tap --no-reference-flips --largest-offset-px 3 --zero-first-offsets --no-bicubic-skip"
    more = "--lr 0.001 --border-px 1 --alignment-weight 0.5 --no-augmentation --seed 7 --restart-every 9"
    assert run(pairs, *options.split(), *more.split(), "--least-valid", "0.25") == 0
    settings = json.loads((pairs.parent / "run" / "settings.json").read_text())
    network = settings["network"]
    assert (network["alignment"], network["flips"], network["largest_offset_px"]) == ("per-tap", False, 3.0)
    assert (network["features"], network["pack_block"], network["bicubic_skip"]) == (8, 2, False)
    names = ("zero_first_offsets", "learning_rate", "border_px", "alignment_weight", "augment", "seed", "restart_every")
    assert [settings[name] for name in names] == [True, 0.001, 1, 0.5, False, 7, 9]
    assert settings["least_valid"] == 0.25


def test_a_finished_run_says_so_and_other_options_are_named(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pairs, "--network", "plain") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "no pair is held out" in told
    assert "--pack-block: without effect, since a plain network has no alignment" in told
    assert run(pairs, "--network", "plain", "--resume") == 0
    assert "the run was done before: it has its 2 steps" in capsys.readouterr().out
    assert run(pairs, "--network", "sdan", "--resume") == 2
    assert "network.alignment was 'none', is 'shared'" in " ".join(capsys.readouterr().err.split())


def test_pairs_too_small_for_a_crop_are_a_message(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pairs, "--crop-px", "16") == 3
    told = " ".join(capsys.readouterr().err.split())
    assert "scene-000 has 12 x 12 low pixels, fewer than a crop's 16. Use a smaller --crop-px" in told
    assert not (pairs.parent / "run").exists()
    assert "0/2" not in told
    assert not told.startswith("sdan")


def test_a_look_that_says_nothing_has_no_minus() -> None:
    look = {"psnr_db": 20.0, "gain_db": -0.001, "bicubic_psnr_db": 20.001}
    assert _look(look) == "held-out PSNR 20.00 dB, +0.00 dB against bicubic"
    assert _look(look | {"gain_db": -0.01}).endswith("-0.01 dB against bicubic")


def test_no_pairs_and_a_damaged_view_are_messages(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pairs.parent / "nothing") == 2
    assert "it has no pairs.json" in " ".join(capsys.readouterr().err.split())
    (pairs / "high" / "scene-001.tif").write_bytes(b"II*\0 and no more")
    assert run(pairs) == 2
    assert "scene-001.tif" in "".join(capsys.readouterr().err.split())
