"""``domainvl corpus report``: what the filters took away, rule by rule, with examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = "Example: domainvl corpus report filtered --out report.html"


def report(
    corpus: Annotated[Path, typer.Argument(help="A corpus made by domainvl corpus filter.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write too: kept and dropped documents side by side.")
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Most examples of a rule.")] = 3,
) -> None:
    """Print how much each rule of a filter took away, with examples; write a page that shows it in the documents."""
    from domainvl.corpus.filtering.filtered import FilteredCorpus
    from domainvl.viewing.corpus.report import format_report, make_report, write_report_page

    filtered = FilteredCorpus.open(corpus)
    made = make_report(filtered, examples=examples)
    typer.echo(format_report(made))
    if out is not None:
        pictures = write_report_page(made, filtered, out)
        left_out = f", {pictures.left_out} pictures left out" if pictures.left_out else ""
        typer.echo(f"\nthe documents: {out}{left_out}")
