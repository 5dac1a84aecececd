"""The measures that a terminal shows, as a table."""

from __future__ import annotations

from domainvl.enhance.evaluating.digits import fixed
from domainvl.enhance.evaluating.measures import MEASURE_OF
from domainvl.enhance.evaluating.results import Estimate, Evaluation
from domainvl.evaluation.tables import format_markdown


def headline_table(evaluation: Evaluation) -> str:
    """Lay out the headline measures of all contestants with cells such as ``23.24 [22.10, 24.31]``, as Markdown."""
    lines = [line for line in evaluation.lines if MEASURE_OF[line.measure].headline]
    head = ["contestant"]
    for line in lines:
        measure = MEASURE_OF[line.measure]
        head.append(f"{measure.title}{f' ({measure.unit})' if measure.unit else ''} {_arrow(measure.better)}".strip())
    rows = [
        [one.name, *(_cell(line.values[one.name], MEASURE_OF[line.measure].decimals) for line in lines)]
        for one in evaluation.contestants
    ]
    size = f"{evaluation.pairs} pairs of {evaluation.groups} groups; 95 % intervals over groups"
    return f"{size}\n\n{format_markdown([head, *rows])}"


def _arrow(better: str | None) -> str:
    return {"higher": "↑", "lower": "↓"}.get(better or "", "")


def _cell(value: Estimate, decimals: int) -> str:
    mean = fixed(value.value, decimals)
    if value.low is None or value.high is None:
        return mean
    return f"{mean} [{fixed(value.low, decimals)}, {fixed(value.high, decimals)}]"
