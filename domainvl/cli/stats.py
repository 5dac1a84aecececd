"""``domainvl stats``: what is in a data set, in numbers and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.tiling import DEFAULT_MAX_TILES, MAX_TILES_LIMIT

EPILOG = "Example: domainvl stats remote-sensing --model tiny --out pictures"


def stats(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path | None, typer.Option(help="Folder to make for pictures and stats.json.")] = None,
    max_tiles: Annotated[
        int | None,
        typer.Option(
            help=f"Most tiles a sample, thumbnails not counted; {DEFAULT_MAX_TILES} or the model's, if left out.",
            min=1,
            max=MAX_TILES_LIMIT,
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint whose tokenizer counts the text, and whose tiles are counted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count samples, images, tiles, tokens, answers and objects of a data set."""
    from domainvl.viewing.output import check_stats_target, to_json, write_stats
    from domainvl.viewing.report import format_stats
    from domainvl.viewing.stats import collect_stats
    from domainvl.viewing.tokens import TokenRules

    if out is not None:
        check_stats_target(out)
    collected = collect_stats(dataset, TokenRules.load(model, max_tiles=max_tiles))
    typer.echo(to_json(collected) if as_json else format_stats(collected.to_dict()))
    if out is not None:
        for path in write_stats(collected, out):
            typer.echo(f"wrote {path}", err=True)
