"""``domainvl compare``: one report for several evaluations of the same data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = "Example: domainvl compare chest-1b chest-2b chest-vilt --out report.html"


def compare(
    folders: Annotated[list[Path], typer.Argument(help="Folders made by eval, the one to judge first.")],
    out: Annotated[Path, typer.Option(help="HTML file to make.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set, for the images; the one that was scored, if left out.")
    ] = None,
    general: Annotated[
        Path | None,
        typer.Option(help="Evaluation of the first model and its base on a general set: what was forgotten."),
    ] = None,
) -> None:
    """Compare evaluations of the same data by the same protocol: the first system against all others."""
    from domainvl.viewing.verdict.inputs import ReportInput
    from domainvl.viewing.verdict.page import write_report

    inputs = [ReportInput(folder) for folder in folders]
    if general is not None:
        inputs.append(ReportInput(general, "general"))
    summary = write_report(inputs, out, dataset=data)
    for sentence in summary.sentences:
        typer.echo(sentence)
    if summary.gallery_problem is not None:
        typer.echo(f"no images: {summary.gallery_problem}", err=True)
    typer.echo(f"report {summary.path}")
