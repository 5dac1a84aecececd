"""``domainvl sample``: chooses a smaller data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.errors import UsageError

EPILOG = "Example: domainvl sample scans --out few-scans --count 500 --stratify task"


def sample(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set to make.")],
    count: Annotated[int | None, typer.Option(help="How many samples, or groups with --by group.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Which share of them, from 0 to 1.")] = None,
    by: Annotated[
        str, typer.Option(help="What is chosen: sample, or group (whole patients, scenes, logs).")
    ] = "sample",
    stratify: Annotated[str, typer.Option(help="What keeps its share: task, class, domain or none.")] = "none",
    seed: Annotated[int, typer.Option(help="Another seed gives another choice.")] = 0,
    complement: Annotated[
        bool, typer.Option("--complement", help="Take what would be left out, and leave out the rest.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a data set that is there.")] = False,
) -> None:
    """Make a smaller data set; splits, groups and their shares stay as they are.

    With the same seed a smaller choice is part of a larger one. Only images in use are taken over.
    """
    from rich.console import Console

    from domainvl.schema.operations import SampleSettings, Stratify, sample_dataset

    if by not in ("sample", "group"):
        raise UsageError("Cannot choose", rule=f"--by must be sample or group, got {by!r}")
    settings = SampleSettings(
        count=count,
        fraction=fraction,
        by_group=by == "group",
        stratify=Stratify.parse(stratify),
        seed=seed,
        complement=complement,
    )
    with Console(stderr=True).status("Choosing"):
        summary = sample_dataset(dataset, out, settings, overwrite=overwrite)
    groups = ", ".join(f"{number} {name}" for name, number in summary.manifest["groups"].items())
    typer.echo(f"{summary.sample_count} of {summary.available_count} samples in {out} (groups: {groups})")
    for stratum, (taken, there) in summary.strata.items():
        typer.echo(f"  {stratum}: {taken} of {there}")
