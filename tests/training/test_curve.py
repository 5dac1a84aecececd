"""The curves of a run: what is drawn, and that no log is too short or too strange to draw."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from domainvl.errors import OutputError
from domainvl.training.curve import draw_loss_curve


def make_rows(steps: int, sources: int, *, every: int = 10, answers: bool = True) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        losses = {f"source {number}": (1 + number) * 4 / math.sqrt(step) for number in range(sources)}
        mean = sum(losses.values()) / sources
        rows.append({"kind": "train", "step": step, "of": steps, "loss": mean, "source_losses": losses})
        if step % every == 0:
            score = {"answers_score": step / steps} if answers else {}
            held_out = {name: 1.2 * loss for name, loss in losses.items()}
            rows.append(
                {"kind": "validation", "step": step, "loss": 1.2 * mean, "source_losses": held_out, "best": True}
                | score
            )
            rows.append({"kind": "answer", "step": step, "answered": "red"})
    return rows


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.figure.Figure]:
    """All figures that are saved."""
    saved: list[matplotlib.figure.Figure] = []
    save = matplotlib.figure.Figure.savefig

    def keep(figure: matplotlib.figure.Figure, file: io.BytesIO, **settings: Any) -> None:
        saved.append(figure)
        save(figure, file, **settings)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", keep)
    return saved


def lines_of(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_what_is_drawn_is_what_was_logged(tmp_path: Path, figures: list[Any]) -> None:
    rows = make_rows(80, 1, every=20)
    draw_loss_curve(rows, tmp_path / "loss.png")
    loss, score = figures[0].axes
    lines = lines_of(loss)
    losses = [4 / math.sqrt(step) for step in range(1, 81)]
    assert lines["training, each step"] == (list(range(1, 81)), losses)
    # Of 80 steps a fortieth is 2, so that each step weighs half as much as the next.
    assert lines["training, smoothed"][1][:2] == pytest.approx([4, (4 * 0.5 + losses[1]) / 1.5])
    assert lines["held-out"][0] == [20, 40, 60, 80]
    assert lines["best: 0.537 at step 80"][0] == [80]
    assert lines_of(score)["answered right"] == ([20, 40, 60, 80], [0.25, 0.5, 0.75, 1.0])
    assert "best: 100% at step 80" in lines_of(score)
    assert "40%" in [label.get_text() for label in score.get_yticklabels()]


def test_each_source_has_its_curve(tmp_path: Path, figures: list[Any]) -> None:
    draw_loss_curve(make_rows(40, 3, answers=False), tmp_path / "loss.png")
    _, by_source = figures[0].axes
    named = [line for line in by_source.lines if line.get_label().startswith("source")]
    assert [line.get_label() for line in named] == ["source 0", "source 1", "source 2"]
    assert [line.get_ydata()[0] for line in named] == [4, 8, 12]
    assert len({line.get_color() for line in named}) == 3
    held_out = [line for line in by_source.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert [line.get_color() for line in held_out] == [line.get_color() for line in named]


def test_what_is_not_finite_is_left_out(tmp_path: Path, figures: list[Any]) -> None:
    losses = [4.0, math.inf, None, math.nan, 2.0]
    rows = [{"kind": "train", "step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
    draw_loss_curve(rows, tmp_path / "loss.png")
    assert lines_of(figures[0].axes[0])["training, each step"] == ([1, 5], [4.0, 2.0])


@pytest.mark.parametrize(("last", "scale"), [(1.0, "linear"), (0.1, "log"), (0.0, "linear")])
def test_the_scale_is_logarithmic_where_losses_differ_much(
    tmp_path: Path, figures: list[Any], last: float, scale: str
) -> None:
    rows = [{"kind": "train", "step": step, "loss": loss} for step, loss in enumerate([3.0, last], start=1)]
    draw_loss_curve(rows, tmp_path / "loss.png")
    assert figures[0].axes[0].get_yscale() == scale


@pytest.mark.parametrize("sources", [1, 2, 6])
@pytest.mark.parametrize("steps", [1, 2, 60])
def test_any_length_and_number_of_sources_is_a_picture(tmp_path: Path, sources: int, steps: int) -> None:
    draw_loss_curve(make_rows(steps, sources), tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"kind": "answer", "step": 1}],
        [{"kind": "validation", "step": 1, "loss": 2.0}],
        [{"kind": "train", "step": 1, "loss": None, "source_losses": {"a": None, "b": math.nan}}],
        [{"kind": "train", "step": step, "loss": 0.0} for step in (1, 2)],
        [{"kind": "train", "step": 1, "loss": math.inf}, {"kind": "train", "step": 2, "loss": 1e-9}],
        [
            {"kind": "train", "step": 1, "loss": 1.0, "source_losses": {"a": 1.0}},
            {"kind": "train", "step": 2, "loss": 1.0, "source_losses": {"b": 1.0}},
        ],
    ],
)
def test_no_log_is_too_strange(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    draw_loss_curve(rows, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        draw_loss_curve([], tmp_path / "file" / "loss.png")
