"""``domainvl diff``: what is different between two data sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainvl.errors import ExitCode

if TYPE_CHECKING:
    from domainvl.schema.operations import DatasetDiff

EPILOG = "Exit codes: 0 equal, 8 different, 2 usage. Example: domainvl diff old new --tolerance-px 0.5"


def diff(
    first: Annotated[Path, typer.Argument(help="Folder of the data set that was there before.")],
    second: Annotated[Path, typer.Argument(help="Folder of the other.")],
    tolerance_px: Annotated[
        float, typer.Option(help="Boxes are equal where no coordinate is further away than this.")
    ] = 0.0,
    limit: Annotated[int, typer.Option(help="How many ids of each kind are named.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what was added, removed and changed, by sample id, and how the settings and versions differ.

    Images are compared by what they show, not by their files. The names of the data sets do not count.
    """
    from rich.console import Console

    from domainvl.schema.operations import DiffSettings, diff_datasets

    with Console(stderr=True).status("Comparing"):
        found = diff_datasets(first, second, DiffSettings(tolerance_px=tolerance_px, limit=limit))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        _print(found)
    raise typer.Exit(int(ExitCode.DONE if found.equal else ExitCode.PARTIAL))


def _print(found: DatasetDiff) -> None:
    parts = ", ".join(f"{part} {count}" for part, count in found.changed_parts.items())
    typer.echo(f"added    {found.added_count}")
    _print_ids("+", found.added, found.added_count)
    typer.echo(f"removed  {found.removed_count}")
    _print_ids("-", found.removed, found.removed_count)
    typer.echo(f"changed  {found.changed_count}" + (f" ({parts})" if parts else ""))
    _print_ids("~", [f"{one.id}: {', '.join(one.parts)}" for one in found.changed], found.changed_count)
    typer.echo(f"same     {found.same_count}")
    for row in found.counts:
        if row["first"] != row["second"]:
            typer.echo(f"{row['split']} {row['task']}: {row['first']} -> {row['second']} samples")
    for change in found.manifest:
        values = [_value(change, name) for name in ("first", "second")]
        typer.echo(f"{change['key']}: {values[0]} -> {values[1]}")


def _print_ids(mark: str, lines: Sequence[str], count: int) -> None:
    for line in lines:
        typer.echo(f"  {mark} {line}")
    if count > len(lines):
        typer.echo(f"  {mark} and {count - len(lines)} more; name more with --limit")


def _value(change: dict[str, Any], name: str) -> str:
    return json.dumps(change[name]) if name in change else "(not there)"
