"""Draws a run's loss curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw_loss_curve(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw training and validation loss over steps.

    Args:
        rows: Rows of the run's log.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    training = [(row["step"], row["loss"]) for row in rows if row["kind"] == "train"]
    validation = [(row["step"], row["loss"]) for row in rows if row["kind"] == "validation"]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    if training:
        steps, losses = zip(*training, strict=True)
        axes.plot(steps, losses, color="0.75", linewidth=0.8, label="training, each step")
        axes.plot(steps, _smooth(losses), color="tab:blue", label="training, smoothed")
    if validation:
        axes.plot(*zip(*validation, strict=True), "o-", color="tab:orange", label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("cross entropy a token")
    axes.set_yscale("log")
    axes.legend()
    figure.savefig(path, dpi=120)


def _smooth(values: Sequence[float], keep: float = 0.95) -> list[float]:
    """Return the running mean with exponentially falling weights, corrected for its start."""
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        smoothed.append(total / weight)
    return smoothed
