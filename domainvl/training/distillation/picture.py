"""Draws what a distillation came to: the course of the loss, and how near each matched layer is to the teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw_distillation(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the loss over steps, and the held-out cosines of each layer before, after, and of the best constants.

    Args:
        rows: Rows of the run's log.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    trained = [(row["step"], row["loss"]) for row in rows if row["kind"] == "train" and row.get("loss") is not None]
    looks = [row for row in rows if row["kind"] == "validation"]
    constants = [row for row in rows if row["kind"] == "constants"]
    figure = Figure(figsize=(10, 4), layout="constrained")
    course, layers = figure.subplots(1, 2)
    if trained:
        course.plot(*zip(*trained, strict=True), color="0.7", linewidth=0.8, label="training")
    course.plot([row["step"] for row in looks], [row["loss"] for row in looks], "o-", label="held out")
    course.set_xlabel("step")
    course.set_ylabel("1 - cosine")
    course.set_ylim(bottom=0)
    course.legend()
    if looks:
        numbers = [number - len(looks[0]["cosine_by_layer"]) for number in range(len(looks[0]["cosine_by_layer"]))]
        layers.plot(numbers, looks[0]["cosine_by_layer"], "o--", color="0.5", label=f"step {looks[0]['step']}")
        layers.plot(numbers, looks[-1]["cosine_by_layer"], "o-", label=f"step {looks[-1]['step']}")
        for row in constants:
            layers.plot(numbers, row["by_position"], "x:", color="tab:brown", label="a constant for each position")
        layers.set_xticks(numbers)
        layers.set_xlabel("layer, counted from the end")
        layers.set_ylabel("cosine to the teacher, held out")
        layers.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    figure.savefig(path, dpi=120)
