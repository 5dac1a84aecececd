"""``domainvl split``: draws the splits of a data set anew, whole groups only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.schema import Split

EPILOG = "Example: domainvl split scans --out scans-split --val-fraction 0.2 --stratify class"


def split(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set to make.")],
    val_fraction: Annotated[float, typer.Option(help="Share held out for validation.")] = 0.1,
    test_fraction: Annotated[float, typer.Option(help="Share held out for testing.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another seed gives another division of the same groups.")] = 0,
    stratify: Annotated[
        str, typer.Option(help="What is spread evenly over the splits: task, class, domain or none.")
    ] = "none",
    overwrite: Annotated[bool, typer.Option(help="Replace a data set that is there.")] = False,
) -> None:
    """Draw the splits of a data set anew; a group is never divided, and a split that the source fixed is kept.

    Without --stratify a group's split follows from its name and the seed alone, and the fractions are shares of groups.
    With it they are shares of samples, and adding data may move a group.
    """
    from rich.console import Console

    from domainvl.schema import SplitFractions
    from domainvl.schema.operations import Stratify, split_dataset

    for option, fraction in (("--val-fraction", val_fraction), ("--test-fraction", test_fraction)):
        if not 0 <= fraction < 1:
            raise UsageError("Cannot split", rule=f"{option} must be 0 or more and below 1, got {fraction:g}")
    fractions = SplitFractions(val=val_fraction, test=test_fraction, seed=seed)
    with Console(stderr=True).status("Splitting"):
        summary = split_dataset(
            dataset, out, fractions=fractions, stratify=Stratify.parse(stratify), overwrite=overwrite
        )
    groups = ", ".join(f"{count} {name}" for name, count in summary.manifest["groups"].items())
    typer.echo(f"{summary.sample_count} samples in {out} (groups: {groups})")
    typer.echo(f"  {summary.moved_count} are in another split than before")
    if summary.fixed_group_count:
        typer.echo(f"  {summary.fixed_group_count} groups keep the split that the source gave them")
    _print_shares(summary.strata)


def _print_shares(strata: Mapping[str, Mapping[Split, int]]) -> None:
    width = max(len("stratum"), *map(len, strata))
    splits = list(next(iter(strata.values())))
    typer.echo(f"  {'stratum':<{width}}" + "".join(f"{name.value:>18}" for name in splits))
    for stratum, counts in strata.items():
        total = sum(counts.values())
        shares = "".join(f"{counts[name]:>10} {counts[name] / total:>7.1%}" for name in splits)
        typer.echo(f"  {stratum:<{width}}{shares}")
