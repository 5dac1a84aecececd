"""``domainvl show``: a page of samples to look at in a browser, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.errors import ExitCode

EPILOG = "Example: domainvl show remote-sensing --out page"


def show(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the page to make; with --embed, its HTML file.")],
    limit: Annotated[int, typer.Option(help="Most samples to show, chosen evenly over split and task.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Another seed shows other samples.")] = 0,
    split: Annotated[list[str] | None, typer.Option(help="train, val or test; repeatable; all where left out.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Show this task only; repeatable; all where left out.")] = None,
    embed: Annotated[bool, typer.Option("--embed", help="Make one file that holds the images.")] = False,
) -> None:
    """Make a page of samples with their boxes drawn and filters by task, split, class and domain."""
    from domainvl.viewing.choosing import Wanted
    from domainvl.viewing.show import write_page

    wanted = Wanted.from_options(splits=split or [], tasks=task or [], limit=limit, seed=seed)
    summary = write_page(dataset, out, wanted=wanted, embed=embed)
    typer.echo(f"{summary.shown} of {summary.available} samples in {summary.path}")
    if summary.disagreeing:
        have = "has" if summary.disagreeing == 1 else "have"
        typer.echo(f"{summary.disagreeing} of them {have} a conversation that disagrees with the truth")
    for path, problem in sorted(summary.problems.items()):
        typer.echo(f"image {path!r}: {problem}", err=True)
    if summary.problems:
        raise typer.Exit(ExitCode.PARTIAL)
