"""The picture of a run: drawn for runs of any length."""

from pathlib import Path

import pytest
from PIL import Image

from domainvl.training.distillation.picture import draw_distillation


def look(step: int, *cosines: float) -> dict:
    return {"kind": "validation", "step": step, "loss": 1 - sum(cosines) / len(cosines), "cosine_by_layer": cosines}


ROWS = [
    {"kind": "constants", "step": 0, "by_position": [0.4, 0.5]},
    look(0, 0.0, 0.1),
    {"kind": "train", "step": 1, "loss": 0.9},
    {"kind": "train", "step": 2, "loss": None},
    look(2, 0.5, 0.6),
]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_is_drawn(tmp_path: Path, count: int) -> None:
    draw_distillation(ROWS[:count], tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as drawn:
        assert drawn.size == (1200, 480)
