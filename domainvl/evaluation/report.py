"""Puts scores together: one row for each domain, task and system, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from domainvl.evaluation.items import FREE_TEXT_TASKS, ItemScore
from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD
from domainvl.evaluation.statistics.bootstrap import BootstrapSettings, Interval, clustered_bootstrap, paired_difference

SCORES_NAME = "scores.json"

EXACT_MATCH = "exact match"
BOX_ACCURACY = f"IoU >= {IOU_THRESHOLD}"
MEAN_IOU = "mean IoU"
NOT_SCORED = "not scored"


@dataclass(frozen=True)
class Row:
    """The score of one system at one task of one domain.

    Attributes:
        domain: The field.
        task: The task.
        metric: What makes an answer right: ``EXACT_MATCH``, ``BOX_ACCURACY`` or the tolerance of a measure;
            ``NOT_SCORED`` for captions and conversations, whose row only says how many there are.
        n: Number of samples.
        groups: Number of groups.
        mean: Share of right answers; None where they are not scored, as its interval then is.
        low: Lower end of its interval.
        high: Upper end of its interval.
        mean_iou: Mean IoU and its interval; None where no boxes were asked for.
        mean_count_error: Mean distance from the true count, over the counts that could be read; None where there
            is none.
        counts_read: Over how many.
        empty: Number of empty answers.
        mean_measure_error: Mean distance from the true share in percentage points, or from the true area or length
            relative to it, over the measures that could be read; None where there is none.
        measures_read: Over how many.
    """

    domain: str
    task: str
    metric: str
    n: int
    groups: int
    mean: float | None
    low: float | None
    high: float | None
    mean_iou: Interval | None
    mean_count_error: float | None
    counts_read: int
    empty: int
    mean_measure_error: float | None
    measures_read: int


def summarise(scores: Iterable[ItemScore], settings: BootstrapSettings | None = None) -> list[Row]:
    """Average scores by domain, task and metric, with intervals clustered by group.

    Args:
        scores: Scores of one system.
        settings: How intervals are made.

    Returns:
        The rows, sorted by domain, task and metric.
    """
    settings = settings or BootstrapSettings()
    return [_summarise_row(key, items, settings) for key, items in sorted(_by_row(scores).items())]


def difference_rows(
    a: Iterable[ItemScore], b: Iterable[ItemScore], settings: BootstrapSettings | None = None
) -> list[Row]:
    """Average the paired differences of two systems' scores of the same samples in the same order.

    Args:
        a: Scores of one system.
        b: Scores of the other, which are taken off.
        settings: How intervals are made.

    Returns:
        The rows, sorted by domain, task and metric; an interval above 0 says that a is better.
    """
    settings = settings or BootstrapSettings()
    others = _by_row(b)
    return [_difference_row(key, items, others[key], settings) for key, items in sorted(_by_row(a).items())]


def _by_row(scores: Iterable[ItemScore]) -> dict[tuple[str, str, str], list[ItemScore]]:
    by_row: dict[tuple[str, str, str], list[ItemScore]] = defaultdict(list)
    for item in scores:
        by_row[item.domain, item.task.value, _metric_of(item)].append(item)
    return by_row


def _metric_of(item: ItemScore) -> str:
    if item.task in FREE_TEXT_TASKS:
        return NOT_SCORED
    return item.tolerance or (EXACT_MATCH if item.iou is None else BOX_ACCURACY)


def _summarise_row(key: tuple[str, str, str], items: Sequence[ItemScore], settings: BootstrapSettings) -> Row:
    if key[-1] == NOT_SCORED:
        return _make_row(key, items, None, None)
    groups = [item.group for item in items]
    ious = [item.iou for item in items if item.iou is not None]
    return _make_row(
        key,
        items,
        clustered_bootstrap([float(item.correct) for item in items], groups, **asdict(settings)),
        clustered_bootstrap(ious, groups, **asdict(settings)) if ious else None,
    )


def _difference_row(
    key: tuple[str, str, str], a: Sequence[ItemScore], b: Sequence[ItemScore], settings: BootstrapSettings
) -> Row:
    if key[-1] == NOT_SCORED:
        return _make_row(key, a, None, None)
    groups = [item.group for item in a]
    a_ious, b_ious = ([item.iou for item in items if item.iou is not None] for items in (a, b))
    return _make_row(
        key,
        a,
        paired_difference(
            [float(item.correct) for item in a], [float(item.correct) for item in b], groups, **asdict(settings)
        ),
        paired_difference(a_ious, b_ious, groups, **asdict(settings)) if a_ious else None,
    )


def _make_row(
    key: tuple[str, str, str], items: Sequence[ItemScore], accuracy: Interval | None, mean_iou: Interval | None
) -> Row:
    domain, task, metric = key
    errors = [item.count_error for item in items if item.count_error is not None]
    distances = [item.measure_error for item in items if item.measure_error is not None]
    return Row(
        domain=domain,
        task=task,
        metric=metric,
        n=len(items),
        groups=len({item.group for item in items}),
        mean=accuracy.mean if accuracy else None,
        low=accuracy.low if accuracy else None,
        high=accuracy.high if accuracy else None,
        mean_iou=mean_iou,
        mean_count_error=sum(errors) / len(errors) if errors else None,
        counts_read=len(errors),
        empty=sum(item.empty for item in items),
        mean_measure_error=sum(distances) / len(distances) if distances else None,
        measures_read=len(distances),
    )


def write_scores(path: Path, systems: Mapping[str, Sequence[Row]], settings: BootstrapSettings | None = None) -> None:
    """Write all rows and how their intervals were made as JSON.

    The file takes its name only when it is complete.

    Args:
        path: File to write; its folder must exist.
        systems: Rows by name of the system; their order is kept.
        settings: What :func:`summarise` was called with.
    """
    content = {
        "settings": asdict(settings or BootstrapSettings()),
        "systems": list(systems),
        "scores": [
            {"domain": domain, "task": task, "system": system, **asdict(row)}
            for domain, task, metric in _row_keys(systems)
            for system, row in _rows_at((domain, task, metric), systems)
        ],
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)


def markdown_table(systems: Mapping[str, Sequence[Row]]) -> str:
    """Lay out the rows with one column a system and cells such as ``0.83 [0.79, 0.87]``.

    Boxes take two lines: the share of boxes at the IoU threshold, and the mean IoU. A system without that row
    has a dash, and so has every system where answers are not scored.

    Args:
        systems: Rows by name of the system, which heads its column; their order is kept.
    """
    return format_markdown([["domain", "task", "metric", "n", "groups", *systems], *table_cells(systems)])


def table_cells(systems: Mapping[str, Sequence[Row]]) -> list[list[str]]:
    """Return the cells of :func:`markdown_table` below its head, row by row."""
    lines = []
    for domain, task, metric in _row_keys(systems):
        rows = dict(_rows_at((domain, task, metric), systems))
        first = next(iter(rows.values()))
        head = [domain, task]
        tail = [str(first.n), str(first.groups)]
        lines.append([*head, metric, *tail, *(_cell(rows.get(system)) for system in systems)])
        if first.mean_iou is not None:
            ious = {system: row.mean_iou for system, row in rows.items()}
            lines.append([*head, MEAN_IOU, *tail, *(_cell(ious.get(system)) for system in systems)])
    return lines


def format_markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lay out a head and rows of cells as a Markdown table that is readable as it stands."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    ruled = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |\n" for line in ruled
    )


def _cell(result: Row | Interval | None) -> str:
    if result is None or result.mean is None:
        return "-"
    return f"{result.mean:.2f} [{result.low:.2f}, {result.high:.2f}]"


def _row_keys(systems: Mapping[str, Sequence[Row]]) -> list[tuple[str, str, str]]:
    return sorted({(row.domain, row.task, row.metric) for rows in systems.values() for row in rows})


def _rows_at(key: tuple[str, str, str], systems: Mapping[str, Sequence[Row]]) -> list[tuple[str, Row]]:
    return [
        (system, row) for system, rows in systems.items() for row in rows if (row.domain, row.task, row.metric) == key
    ]
