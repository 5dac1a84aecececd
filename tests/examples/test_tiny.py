"""The script that made the shipped model, in a reduced form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tiny"


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import scenes

    return scenes


def test_boxes_are_where_the_colour_is(scenes) -> None:
    """Drawn on its own, the pixels that differ from the ground are those in the box."""
    checked = 0
    for number in range(60):
        generator = np.random.default_rng(number)
        pixels, (thing,) = scenes.draw_scene(generator, scenes.SceneKind(1, False, 0.0))
        colour = np.array(scenes.COLOURS[thing.label.split()[0]], float)
        near = np.abs(pixels - colour).max(axis=-1) < 40
        ground = np.median(pixels.reshape(-1, 3), axis=0)
        if np.abs(ground - colour).max() < 110:
            continue  # not told apart by colour
        y, x = np.nonzero(near)
        found = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float)
        assert np.abs(found - np.array(thing.box_px)).max() <= 1.5, (number, thing)
        checked += 1
    assert checked >= 20


@pytest.mark.slow
def test_script_runs_from_nothing_to_a_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "pretrain.py", "--out", str(tmp_path / "tiny"), "--scale", "0.004"]
    changes = ["--set", "optimisation.max_steps=3", "--set", "validation.max_samples=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *changes], cwd=EXAMPLE, check=True, env=environment, capture_output=True)
    assert (tmp_path / "tiny" / "boxes-run" / "checkpoint" / "model.safetensors").is_file()


def test_what_ships_is_small_and_what_the_card_says() -> None:
    from domainvl.model.checkpoint import find_checkpoint, hash_weights, load_model

    folder = find_checkpoint("tiny")
    assert sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) <= 8_000_000
    assert hash_weights(folder) in (EXAMPLE / "README.md").read_text()
    scores = json.loads((EXAMPLE / "scores.json").read_text())
    assert {row["task"] for row in scores["scores"]} == {"vqa", "presence", "counting", "grounding"}
    parameters = sum(value.numel() for value in load_model("tiny").internvl.parameters())
    assert f"{parameters:,} parameters" in (EXAMPLE / "README.md").read_text()
