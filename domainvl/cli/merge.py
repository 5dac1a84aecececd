"""``domainvl merge``: several data sets, or the shards of one conversion, become one data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from domainvl.errors import UsageError

EPILOG = "Example: domainvl merge harbours airfields --out places"


def merge(
    inputs: Annotated[list[Path], typer.Argument(help="Folders of the data sets, in order, or of all the shards.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set to make.")],
    prefix: Annotated[
        bool, typer.Option("--prefix", help="Put the name of its data set before each id and group.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a data set that is there.")] = False,
) -> None:
    """Join data sets: samples keep their split, identical ones are taken once, no group is divided.

    Images that two data sets have in different splits are found by domainvl validate.
    """
    from domainvl.conversion.shards import is_shard

    if any(is_shard(folder) for folder in inputs):
        _merge_shards(inputs, out, prefix=prefix, overwrite=overwrite)
        return

    from rich.console import Console

    from domainvl.schema.operations import merge_datasets

    with Console(stderr=True).status(f"Merging {len(inputs)} data sets"):
        summary = merge_datasets(inputs, out, prefix=prefix, overwrite=overwrite)
    groups = ", ".join(f"{count} {split}" for split, count in summary.manifest["groups"].items())
    typer.echo(f"{summary.sample_count} samples in {out} (groups: {groups})")
    for part in summary.inputs:
        repeated = f", {part.repeated_count} left out that were there already" if part.repeated_count else ""
        prefixed = f", ids and groups begin with {part.prefix}" if part.prefix else ""
        typer.echo(f"  {part.folder}: {part.sample_count} samples{repeated}{prefixed}")
    typer.echo(f"  licence: {summary.manifest['licence'] or 'unknown'}")
    for note in summary.notes:
        typer.echo(f"  note: {note}")


def _merge_shards(inputs: Sequence[Path], out: Path, *, prefix: bool, overwrite: bool) -> None:
    """Join the shards of one conversion, which is no merging of data sets: groups are drawn into splits only now."""
    from domainvl.cli.convert import print_conversion
    from domainvl.conversion import merge_shards

    if prefix:
        raise UsageError("Cannot merge shards", rule="--prefix is for data sets; shards are parts of one", where=out)
    summary = merge_shards(inputs, out, overwrite=overwrite)
    print_conversion(summary)
    raise typer.Exit(int(summary.exit_code))
