"""Draws a run's curves: loss in training and on held-out samples, of each source, and the score of answers."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Points = list[tuple[int, float]]

_WIDTH_IN, _PANEL_HEIGHT_IN, _DPI = 8.0, 3.6, 120
_FEW_POINTS = 30
"""Curves of so few points are drawn with markers, so that a run of one step shows something."""

_SMOOTHED_SHARE, _MAX_SMOOTHED_STEPS = 40, 50.0
"""Smoothed curves average over one of so many parts of a run, and over so many steps at most."""

_MAX_NAME_LENGTH = 28

_LOG_SCALE_RATIO = 5.0
"""Losses that differ by more than this are drawn on a logarithmic scale, which keeps the end readable."""


def draw_loss_curve(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw training and validation loss over steps, each source's loss if there are several, and the score of answers.

    Losses that are not finite are left out.

    Args:
        rows: Rows of the run's log, see :mod:`domainvl.training.log`; none is fine.
        path: PNG to write.

    Raises:
        OutputError: If it cannot be written.
    """
    from matplotlib.figure import Figure

    training, validation = _rows_of(rows, "train"), _rows_of(rows, "validation")
    sources = list(dict.fromkeys(name for row in [*training, *validation] for name in row.get("source_losses") or ()))
    scores = _points(validation, "answers_score")
    panels = 1 + (len(sources) > 1) + bool(scores)
    figure = Figure(figsize=(_WIDTH_IN, _PANEL_HEIGHT_IN * panels), layout="constrained")
    all_axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    best_step = max((row["step"] for row in validation if row.get("best")), default=None)
    remaining = iter(all_axes)
    _draw_loss(next(remaining), _points(training, "loss"), _points(validation, "loss"), best_step)
    if len(sources) > 1:
        _draw_sources(next(remaining), sources, training, validation)
    if scores:
        _draw_scores(next(remaining), scores, best_step)
    for axes in all_axes:
        axes.grid(visible=True, which="both", color="0.92")
        axes.set_axisbelow(True)
    last_step = max((row["step"] for row in [*training, *validation]), default=1)
    all_axes[-1].set_xlim(0, 1.03 * last_step)
    all_axes[-1].set_xlabel("step")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    content = io.BytesIO()
    figure.savefig(content, dpi=_DPI, format="png")
    write_atomically(path, content.getvalue())


def _rows_of(rows: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def _points(rows: Sequence[Mapping[str, Any]], key: str, source: str | None = None) -> _Points:
    """Return step and value of the rows that have a finite one."""
    values = [(row["step"], row.get(key) if source is None else (row.get(key) or {}).get(source)) for row in rows]
    return [(step, value) for step, value in values if value is not None and math.isfinite(value)]


def _draw_loss(axes: Axes, training: _Points, validation: _Points, best_step: int | None) -> None:
    if training:
        steps, losses = zip(*training, strict=True)
        marker = "." if len(steps) <= _FEW_POINTS else None
        axes.plot(steps, losses, color="0.7", linewidth=0.8, label="training, each step")
        axes.plot(steps, _smooth(losses), color="tab:blue", marker=marker, label="training, smoothed")
    if validation:
        axes.plot(*zip(*validation, strict=True), "o-", color="tab:orange", markersize=4, label="held-out")
    best = [point for point in validation if point[0] == best_step]
    if best:
        (step, loss) = best[-1]
        axes.plot(step, loss, "*", color="tab:red", markersize=13, label=f"best: {loss:.3g} at step {step}")
    _finish_loss(axes, training + validation, "loss (cross entropy)")


def _draw_sources(
    axes: Axes, sources: Sequence[str], training: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]
) -> None:
    """Draw the smoothed training loss of each source, and its held-out loss as circles of the same colour."""
    shown: _Points = []
    for number, source in enumerate(sources):
        colour = f"C{number % 10}"
        trained, held_out = (_points(rows, "source_losses", source) for rows in (training, validation))
        label: str | None = source if len(source) <= _MAX_NAME_LENGTH else f"{source[: _MAX_NAME_LENGTH - 3]}..."
        if trained:
            steps, losses = zip(*trained, strict=True)
            smoothed = _smooth(losses)
            marker = "." if len(steps) <= _FEW_POINTS else None
            axes.plot(steps, smoothed, color=colour, marker=marker, label=label)
            shown += zip(steps, smoothed, strict=True)
            label = None
        if held_out:
            axes.plot(*zip(*held_out, strict=True), "o--", color=colour, markersize=4, linewidth=0.8, label=label)
            shown += held_out
    if any(_points(validation, "source_losses", source) for source in sources):
        axes.plot([], [], "o--", color="0.4", markersize=4, linewidth=0.8, label="the same, held-out")
    _finish_loss(axes, shown, "loss by source, smoothed")


def _finish_loss(axes: Axes, points: _Points, label: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_ylabel(label)
    losses = [loss for _, loss in points]
    if losses and min(losses) > 0 and max(losses) > _LOG_SCALE_RATIO * min(losses):
        axes.set_yscale("log")
        # Plain numbers, and some between the powers of ten: 0.05, not 5 x 10^-2.
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    else:
        axes.text(0.5, 0.5, "nothing logged", transform=axes.transAxes, ha="center", va="center", color="0.5")


def _draw_scores(axes: Axes, scores: _Points, best_step: int | None) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.plot(*zip(*scores, strict=True), "o-", color="tab:green", markersize=4, label="answered right")
    best = [point for point in scores if point[0] == best_step]
    if best:
        (step, score) = best[-1]
        axes.plot(step, score, "*", color="tab:red", markersize=13, label=f"best: {score:.0%} at step {step}")
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("held-out answers right")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _smooth(values: Sequence[float]) -> list[float]:
    """Return the running mean with exponentially falling weights, corrected for its start.

    It lags behind a falling loss by about the length over which it averages, so that this is a small share of the run.
    """
    length = min(max(1.0, len(values) / _SMOOTHED_SHARE), _MAX_SMOOTHED_STEPS)
    keep = 1 - 1 / length
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        smoothed.append(total / weight)
    return smoothed
