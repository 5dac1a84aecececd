"""Draws the distributions of a data set as pictures."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.schema import Box, Split
from domainvl.viewing.report import plain
from domainvl.viewing.stats import DatasetStats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_COLOURS = {Split.TRAIN: "#2f6db3", Split.VAL: "#8e5bb0", Split.TEST: "#d9822b"}
_BLUE = "#2f6db3"
_GREY = "#8a8f95"
_CLASSES = 30
_ANSWERS = 8
_SIZES = 12
_HEAT_CELLS = 64
_BARS = 40


def draw_charts(stats: DatasetStats, folder: Path) -> list[Path]:
    """Draw what there is to draw.

    Args:
        stats: The counts.
        folder: Where to write; it must exist.

    Returns:
        The PNG files.
    """
    written = []
    for name, draw in CHARTS.items():
        figure = draw(stats)
        if figure is not None:
            path = folder / name
            with warnings.catch_warnings():
                # matplotlib's own font has no Chinese; such a character is drawn as an empty box.
                warnings.filterwarnings("ignore", message="Glyph .* missing from font")
                figure.savefig(path, dpi=120)
            written.append(path)
    return written


def _figure(title: str, *, width: float = 7.5, height: float = 4.0, **subplots: Any) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    figure.suptitle(title, fontsize=12, fontweight="bold", parse_math=False)
    axes = figure.subplots(**subplots)
    for each in figure.axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=9)
    return figure, axes


def _name_rows(axes: Axes, names: Sequence[str], *, least: int = 1) -> None:
    """Name the rows of a bar chart, the first on top. Text of the data set is no formula, whatever it holds.

    Args:
        axes: The chart.
        names: The names.
        least: Leave room for so many rows, so that few bars are not fat.
    """
    axes.set_yticks(range(len(names)), [plain(name, 32) for name in names], parse_math=False)
    axes.set_ylim(max(len(names), least) - 0.4, -0.6)


def _count_on(axis: Axis) -> None:
    """Put only whole numbers, with separators, at the ticks of an axis."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _draw_samples(stats: DatasetStats) -> Figure:
    rows = sorted({(domain, task) for domain, task, _ in stats.samples})
    figure, axes = _figure(f"{plain(stats.name)}: samples by task and split", height=1.6 + 0.32 * len(rows))
    left = [0] * len(rows)
    for split, colour in _COLOURS.items():
        counts = [stats.samples[domain, task, split] for domain, task in rows]
        if any(counts):
            axes.barh(range(len(rows)), counts, left=left, color=colour, label=f"{split} ({sum(counts):,})")
        left = [a + b for a, b in zip(left, counts, strict=True)]
    for row, total in enumerate(left):
        axes.annotate(f" {total:,}", (total, row), va="center", fontsize=8, color=_GREY)
    several = len({domain for domain, _ in rows}) > 1
    _name_rows(axes, [f"{domain}, {task}" if several else task for domain, task in rows])
    axes.set_xlabel("samples")
    axes.margins(x=0.08)
    _count_on(axes.xaxis)
    axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    return figure


def _draw_image_sizes(stats: DatasetStats) -> Figure | None:
    sizes = Counter((facts.width_px, facts.height_px) for facts in stats.images.records)
    if not sizes:
        return None
    figure, (left, right) = _figure(f"{plain(stats.name)}: sizes of {stats.images.distinct:,} images", ncols=2)
    most = max(sizes.values())
    left.scatter(
        [width for width, _ in sizes],
        [height for _, height in sizes],
        s=[12 + 240 * count / most for count in sizes.values()],
        color=_BLUE,
        alpha=0.5,
        linewidths=0,
    )
    side = 1.12 * max(max(size) for size in sizes)
    left.plot([0, side], [0, side], color=_GREY, linewidth=0.8, linestyle=":")
    left.set(xlim=(0, side), ylim=(0, side), xlabel="width in px", ylabel="height in px", aspect="equal")
    left.set_title("a dot a size, its area by number", fontsize=9, color=_GREY)
    shown = sizes.most_common(_SIZES)
    right.barh(range(len(shown)), [count for _, count in shown], color=_BLUE)
    _name_rows(right, [f"{width}×{height}" for (width, height), _ in shown], least=_SIZES)
    right.set_xlabel("images")
    _count_on(right.xaxis)
    title = "images of each size" if len(sizes) <= _SIZES else f"most frequent of {len(sizes):,} sizes"
    right.set_title(title, fontsize=9, color=_GREY)
    return figure


def _draw_tiles(stats: DatasetStats) -> Figure | None:
    if set(stats.tiles) <= {0}:
        return None
    preprocessing = stats.rules.preprocessing
    figure, axes = _figure(f"{plain(stats.name)}: tiles a sample, at most {preprocessing.max_tiles} and thumbnails")
    values = range(min(stats.tiles), max(stats.tiles) + 1)
    bars = axes.bar(values, [stats.tiles[value] for value in values], color=_BLUE, width=0.8)
    if len(values) <= _BARS:
        axes.set_xticks(values)
        axes.bar_label(bars, [f"{stats.tiles[value]:,}" if stats.tiles[value] else "" for value in values], fontsize=8)
    per_tile = preprocessing.tokens_per_tile
    axes.set(xlabel=f"tiles of {preprocessing.tile_side_px} px, {per_tile} visual tokens each", ylabel="samples")
    axes.set_xlim(*_roomy(values[0], values[-1]))
    _count_on(axes.yaxis)
    return figure


def _draw_tokens(stats: DatasetStats) -> Figure | None:
    per_tile = stats.rules.preprocessing.tokens_per_tile
    panels = [("visual tokens", Counter({tiles * per_tile: times for tiles, times in stats.tiles.items()}))]
    if "text_tokens" in stats.text.lengths:
        panels.append(("text tokens", stats.text.lengths["text_tokens"]))
        panels.append(("tokens of the answers", stats.text.lengths["answer_tokens"]))
    else:
        panels.append(("words of the questions", stats.text.lengths["human_words"]))
        panels.append(("words of the answers", stats.text.lengths["assistant_words"]))
    figure, axes = _figure(f"{plain(stats.name)}: length of a sample", width=9.5, height=3.4, ncols=len(panels))
    for each, (name, counts) in zip(axes.flat, panels, strict=True):
        _histogram(each, counts)
        each.set_xlabel(name)
    axes.flat[0].set_ylabel("samples")
    return figure


def _histogram(axes: Axes, counts: Mapping[int, int]) -> None:
    """Draw counted whole numbers as bars of equal, whole width."""
    low, high = min(counts), max(counts)
    width = max(1, -(-(high - low + 1) // _BARS))
    bars = Counter[int]()
    for value, times in counts.items():
        bars[low + (value - low) // width * width] += times
    # A bar that holds one number stands over it; a wider one over the numbers that it holds.
    axes.bar(list(bars), list(bars.values()), width=0.9 * width, align="edge" if width > 1 else "center", color=_BLUE)
    if high - low < 8:
        axes.set_xticks(range(low, high + 1))
        axes.set_xlim(*_roomy(low, high))
    else:
        _count_on(axes.xaxis)
    _count_on(axes.yaxis)


def _roomy(low: int, high: int) -> tuple[float, float]:
    """Return the ends of an axis with room for nine bars, so that few are not fat."""
    spare = max(1.0, (8 - (high - low)) / 2)
    return low - spare, high + spare


def _draw_answers(stats: DatasetStats) -> Figure | None:
    panels = [(key, merged) for key, tally in sorted(stats.answers.items()) if (merged := tally.merged()).total]
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = _figure(
        f"{plain(stats.name)}: most frequent answers by task",
        width=max(5.0, 3.6 * columns),
        height=0.8 + 2.4 * rows,
        nrows=rows,
        ncols=columns,
        squeeze=False,
    )
    several = len({domain for (domain, _, _), _ in panels}) > 1
    for each, ((domain, task, _), merged) in zip(axes.flat, panels, strict=False):
        top = merged.top(_ANSWERS)
        each.barh(range(len(top)), [count / merged.total for _, count in top], color=_BLUE)
        _name_rows(each, [plain(answer, 20) for answer, _ in top], least=_ANSWERS - 2)
        title = f"{domain}, {task}" if several else task
        each.set_title(f"{plain(title)}: {len(merged.counts):,} answers", fontsize=9, parse_math=False)
        each.set_xlim(0, 1)
        each.xaxis.set_major_formatter(_percent())
    for each in list(axes.flat)[len(panels) :]:
        each.set_visible(False)
    return figure


def _percent() -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0, decimals=0)


def _draw_boxes(stats: DatasetStats) -> Figure | None:
    boxes = stats.boxes()
    if not boxes:
        return None
    figure, (left, middle, right) = _figure(
        f"{plain(stats.name)}: where {stats.objects.scale(len(boxes)):,} boxes lie and how large they are",
        width=11,
        height=3.6,
        ncols=3,
    )
    heat = left.imshow(coverage(boxes), extent=(0, 1, 1, 0), cmap="magma", vmin=0, interpolation="nearest")
    left.set_title("boxes that cover a place", fontsize=9, color=_GREY)
    left.set(xlabel="x in image widths", ylabel="y in image heights")
    figure.colorbar(heat, ax=left, shrink=0.85)
    middle.scatter(
        [x_max - x_min for x_min, _, x_max, _ in boxes],
        [y_max - y_min for _, y_min, _, y_max in boxes],
        s=8,
        color=_BLUE,
        alpha=0.35,
        linewidths=0,
    )
    middle.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    middle.set(xlabel="width in image widths", ylabel="height in image heights")
    middle.set_title("a dot a box", fontsize=9, color=_GREY)
    shares = [(x_max - x_min) * (y_max - y_min) for x_min, y_min, x_max, y_max in boxes]
    right.hist(shares, bins=[10 ** (power / 4) for power in range(-24, 1)], color=_BLUE, rwidth=0.9)
    right.set_xscale("log")
    right.set_xlim(min(1e-3, min(shares) / 2), 1.2)
    right.set(xlabel="share of the image's area", ylabel="boxes")
    _count_on(right.yaxis)
    return figure


def coverage(boxes: Iterable[Box], cells: int = _HEAT_CELLS) -> Any:
    """Count for each cell of an image how many boxes cover its middle.

    Args:
        boxes: In shares of the image sides.
        cells: Rows and columns.

    Returns:
        An array of shape (cells, cells), rows first.
    """
    import numpy as np

    middles = (np.arange(cells) + 0.5) / cells
    covered = np.zeros((cells, cells), np.int64)
    for x_min, y_min, x_max, y_max in boxes:
        rows = (middles >= y_min) & (middles <= y_max)
        columns = (middles >= x_min) & (middles <= x_max)
        covered[np.ix_(rows, columns)] += 1
    return covered


def _draw_classes(stats: DatasetStats) -> Figure | None:
    classes = stats.classes()
    if not classes:
        return None
    shown = classes[:_CLASSES]
    title = f"{plain(stats.name)}: objects by class"
    if len(classes) > _CLASSES:
        title += f", {_CLASSES} of {len(classes):,}"
    figure, axes = _figure(title, height=1.3 + 0.26 * len(shown))
    bars = axes.barh(range(len(shown)), [count for _, count in shown], color=_BLUE)
    axes.bar_label(bars, [f" {count:,}" for _, count in shown], fontsize=8, color=_GREY)
    _name_rows(axes, [label for label, _ in shown])
    axes.set_xlabel("objects, without the ignored ones")
    axes.margins(x=0.08)
    _count_on(axes.xaxis)
    return figure


CHARTS: dict[str, Callable[[DatasetStats], Figure | None]] = {
    "samples.png": _draw_samples,
    "image-sizes.png": _draw_image_sizes,
    "tiles.png": _draw_tiles,
    "tokens.png": _draw_tokens,
    "answers.png": _draw_answers,
    "boxes.png": _draw_boxes,
    "classes.png": _draw_classes,
}
"""The pictures by the names of their files."""
