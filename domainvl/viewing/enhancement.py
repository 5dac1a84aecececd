"""The page that says whether an enhancer is better than bicubic interpolation: one file, nothing in it that can run."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domainvl.enhance.evaluating.digits import fixed, short, signed
from domainvl.enhance.evaluating.measures import MEASURE_OF, Measure
from domainvl.enhance.evaluating.panels import Panel
from domainvl.enhance.evaluating.results import Comparison, Evaluation, Line
from domainvl.files import write_atomically
from domainvl.viewing.show import MARKER, csp_hash, page_style

SIGNS = {"better": "▲", "worse": "▼", "no difference shown": "≈", "too few groups to show any": "?"}


@dataclass(frozen=True)
class Row:
    """A comparison with where its interval lies on the axis of its measure, in percent; 50 is no difference.

    Attributes:
        comparison: The comparison.
        x: The difference.
        low: Lower end of the interval; None without one.
        high: Upper end.
        shown: The difference as text, and the ends of its interval if it has one.
    """

    comparison: Comparison
    x: float
    low: float | None
    high: float | None
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """All comparisons by one measure, on an axis from ``-reach`` to ``reach``."""

    measure: Measure
    reach: float
    rows: tuple[Row, ...]


def write_enhancement_report(path: Path, evaluation: Evaluation, panels: Sequence[Panel]) -> None:
    """Write the page.

    Args:
        path: The file.
        evaluation: What was found.
        panels: Parts of pairs to look at.

    Raises:
        OutputError: If the file cannot be written.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": png_uri, "fixed": fixed, "short": short}
    environment.globals |= {"signs": SIGNS, "measures": MEASURE_OF}
    report_style = resources.files("domainvl.viewing.verdict").joinpath("report.css").read_text(encoding="utf-8")
    style = page_style() + report_style + _resource("enhancement.css")
    page = environment.get_template("enhancement.html.j2").render(
        marker=MARKER,
        policy=f"default-src 'none'; img-src data:; style-src {csp_hash(style)}; base-uri 'none'; form-action 'none'",
        style=style,
        it=evaluation,
        lines=headlines_first(evaluation.lines),
        blocks=blocks(evaluation),
        panels=panels,
        best=partial(
            best_of, by_definition=[one.name for one in evaluation.contestants if one.enhancer.startswith("bicubic-")]
        ),
    )
    # backslashreplace: a file name that is not UTF-8 holds lone surrogates, which UTF-8 cannot hold.
    write_atomically(path, page.encode("utf-8", "backslashreplace"))


def blocks(evaluation: Evaluation) -> list[Block]:
    """Lay out the comparisons, a block a measure with an axis of its own."""
    found = []
    for line in evaluation.lines:
        rows = [one for one in evaluation.comparisons if one.measure == line.measure]
        ends = [abs(end) for one in rows for end in (one.difference, one.low, one.high) if end is not None]
        reach = max(ends, default=0.0) * 1.08 or 1.0
        if rows:
            found.append(Block(MEASURE_OF[line.measure], reach, tuple(_row(one, reach) for one in rows)))
    return found


def headlines_first(lines: Sequence[Line]) -> list[Line]:
    """Bring the measures that a terminal shows to where a page that is too narrow for all still shows them."""
    return sorted(lines, key=lambda line: not MEASURE_OF[line.measure].headline)


def best_of(line: Line, *, by_definition: Collection[str] = ()) -> str | None:
    """Name the contestant with the best mean; None where a measure has no better and worse, or only one to choose.

    Args:
        line: The measure of all contestants.
        by_definition: Contestants that have by definition what they have by measures of what was added: these do not
            make them the best.
    """
    measure = MEASURE_OF[line.measure]
    names = [name for name in line.values if not (measure.of_added and name in by_definition)]
    if measure.better is None or len(names) < 2:
        return None
    return (max if measure.better == "higher" else min)(names, key=lambda name: line.values[name].value)


def png_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """Return 8-bit colours, (rows, columns, 3), as the address of a PNG."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def _row(one: Comparison, reach: float) -> Row:
    x, low, high = (None if end is None else 50 + 50 * end / reach for end in (one.difference, one.low, one.high))
    shown = signed(one.difference, one.low, one.high, decimals=MEASURE_OF[one.measure].difference_decimals)
    return Row(one, 50.0 if x is None else x, low, high, tuple(text.replace("-", "−") for text in shown))


def _resource(name: str) -> str:
    return resources.files("domainvl.viewing").joinpath(name).read_text(encoding="utf-8")
