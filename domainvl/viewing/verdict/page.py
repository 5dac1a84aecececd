"""Writes the report of an evaluation: one file, offline, with nothing in it that can run.

Text from data, models and results is escaped wherever it stands, there is no script, and the page may use only its own
style and the images that it holds (Content Security Policy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.evaluation.results import Results
from domainvl.evaluation.verdict import is_from_scratch
from domainvl.files import write_atomically
from domainvl.viewing.show import MARKER, check_page_target, csp_hash, drawing_macros, page_style
from domainvl.viewing.verdict import charts, numbers, tables
from domainvl.viewing.verdict.gallery import LIMIT, Gallery, build_gallery
from domainvl.viewing.verdict.inputs import Evaluations, ReportInput, read_evaluations

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT_NAME = "report.html"
_SHARED_MACROS = "drawing.html.j2"


@dataclass(frozen=True)
class ReportSummary:
    """What a report shows.

    Attributes:
        path: The HTML file.
        sentences: The headline's verdicts in words.
        shown: Number of answers in the gallery.
        gallery_problem: Why the gallery is empty; None where it is not.
    """

    path: Path
    sentences: tuple[str, ...]
    shown: int
    gallery_problem: str | None


def write_report(
    inputs: Sequence[Path | ReportInput], out: Path, *, dataset: Path | None = None, limit: int = LIMIT
) -> ReportSummary:
    """Write the report of an evaluation, or of several on the same data by the same protocol.

    Args:
        inputs: Folders made by ``domainvl eval``; one may be of a general set.
        out: HTML file to write; an older page of domainvl there is replaced.
        dataset: The data set's folder; the one named in the results where None.
        limit: Most answers in the gallery.

    Raises:
        UsageError: If the evaluations do not fit together, or ``out`` is there and is no page that domainvl made.
        InputNotFoundError: If a folder holds no results.
        DatasetError: If results cannot be read.
        OutputError: If the page cannot be written.
    """
    check_page_target(out, embed=True)
    found = read_evaluations(inputs, dataset)
    gallery = build_gallery(found.verdict, found.folders, dataset, limit=limit)
    # backslashreplace: a file name that is not UTF-8 holds lone surrogates, which UTF-8 cannot hold.
    write_atomically(out, render(found, gallery).encode("utf-8", errors="backslashreplace"))
    opposed = tables.opponents(found.verdict, tables.strict_lines(found.verdict))
    return ReportSummary(
        path=out,
        sentences=tuple(one.headline.words for one in opposed if one.headline is not None),
        shown=len(gallery.cards),
        gallery_problem=gallery.problem,
    )


def render(found: Evaluations, gallery: Gallery) -> str:
    """Return the page.

    Args:
        found: What it is about.
        gallery: The chosen answers.
    """
    results = found.verdict
    style = page_style() + _resource("report.css")
    strict = tables.strict_lines(results)
    colours = charts.tints(results)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            marker=MARKER,
            policy=(
                f"default-src 'none'; img-src data:; style-src {csp_hash(style)}; base-uri 'none'; form-action 'none'"
            ),
            style=style,
            results=results,
            lines=strict,
            published_lines=tables.published_lines(results),
            opponents=tables.opponents(results, strict),
            charts=[charts.bar_chart(line, results) for line in strict],
            panels=charts.panels(results),
            reliability=[charts.reliability(one, colours.get(one.system, 0)) for one in results.calibration],
            matrices=[charts.matrix(one) for one in results.confusion],
            plot_px=charts.PLOT_PX,
            small_groups=charts.SMALL_GROUPS,
            gallery=gallery,
            general=found.general,
            forgetting=_forgetting(found.general),
            tints=colours,
        )
    )


def _forgetting(general: Results | None) -> tables.Opponent | None:
    """Return the adapted model against its base on a general set."""
    if general is None:
        return None
    return next(iter(tables.opponents(general, tables.strict_lines(general), kinds=("base",))), None)


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda name: drawing_macros() if name == _SHARED_MACROS else _resource(name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": numbers.number,
        "signed": numbers.signed,
        "probability": numbers.probability,
        "count": numbers.count,
    }
    environment.globals |= {
        "about": tables.about,
        "average_words": tables.average_words,
        "leak_words": tables.leak_words,
        "own_values": tables.own_values,
        "factor_words": tables.factor_words,
        "legend": charts.legend,
        "kinds": tables.KINDS,
        "signs": tables.SIGNS,
        "is_from_scratch": is_from_scratch,
    }
    return environment


def _resource(name: str) -> str:
    return resources.files("domainvl.viewing.verdict").joinpath(name).read_text(encoding="utf-8")
