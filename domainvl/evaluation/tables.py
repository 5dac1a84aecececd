"""Numbers as text: tables of an evaluation for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from domainvl.evaluation.results import Comparison, Line, Results, Value
from domainvl.evaluation.verdict import is_from_scratch

STRICT = "strict"


def format_markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lay out a head and rows of cells as a Markdown table that is readable as it stands."""
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(len(cell) for cell in column) for column in zip(*escaped, strict=True)]
    ruled = [escaped[0], ["-" * width for width in widths], *escaped[1:]]
    return "".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |\n" for line in ruled
    )


def score_table(results: Results) -> str:
    """Lay out every number with a column a system and cells such as ``0.83 [0.79, 0.87]``."""
    return format_markdown([score_head(results), *score_cells(results)])


def score_head(results: Results) -> list[str]:
    """Return the head of :func:`score_cells`."""
    return ["line", "metric", "n", "groups", *(system.name for system in results.systems)]


def score_cells(results: Results, *, names: Collection[str] | None = None) -> list[list[str]]:
    """Return a row of cells for each line, the strict ones first.

    Args:
        results: What was found.
        names: Of the strict lines to show; all lines where None.
    """
    systems = [system.name for system in results.systems]
    strict = [line for line in results.lines if line.variant == STRICT]
    shown = [line for line in strict if names is None or line.name in names]
    if names is None:
        shown += [line for line in results.lines if line.variant != STRICT]
    return [
        [
            line_name(line),
            line.metric,
            str(line.n),
            str(line.groups),
            *(value_cell(line.values.get(system)) for system in systems),
        ]
        for line in shown
    ]


def line_name(line: Line) -> str:
    """Name a line with what must not be mixed up: variant and kind of average."""
    told = [part for part in (line.average, line.variant if line.variant != STRICT else None) if part]
    return f"{line.name} ({', '.join(told)})" if told else line.name


def value_cell(value: Value | None) -> str:
    """Write a value with its interval; a dash where there is none."""
    if value is None or value.value is None:
        return "-"
    number = _number(value.value)
    if value.low is None or value.high is None:
        return number
    return f"{number} [{_number(value.low)}, {_number(value.high)}]"


def verdict_table(results: Results) -> str:
    """Lay out the comparisons: opponent, difference, interval, corrected p-value and verdict.

    To be better than a network from scratch is not to be better than the specialist that people use: it is marked.
    """
    from_scratch = {system.name for system in results.systems if is_from_scratch(system)}
    rows = [_verdict_cells(one, one.b in from_scratch) for one in results.comparisons]
    return format_markdown([["line", "against", "difference", "p (Holm)", "verdict"], *rows])


def _verdict_cells(one: Comparison, from_scratch: bool) -> list[str]:
    difference = "-"
    if one.difference is not None:
        difference = f"{one.difference:+.3f}"
        if one.low is not None and one.high is not None:
            difference += f" [{one.low:+.3f}, {one.high:+.3f}]"
    p = "-" if one.p_holm is None else f"{one.p_holm:.2g}"
    opponent = f"{one.b} (from scratch)" if from_scratch else one.b
    return [one.name, opponent, difference, p, one.verdict]


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.4g}"
