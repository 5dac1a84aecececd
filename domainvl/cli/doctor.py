"""``domainvl doctor``: what of this installation and this machine works."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.errors import ExitCode

if TYPE_CHECKING:
    from domainvl.doctor import Check

EPILOG = "Example: domainvl doctor --path /data. Ends with 8 if something required is missing or broken."

_UNWRAPPED_COLUMNS = 10_000
_STYLES = {"ok": "green", "missing": "yellow", "problem": "yellow"}


def doctor(
    path: Annotated[Path, typer.Option("--path", help="Folder that output is to be written to.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check packages, decoders, devices, memory and disk, and say what is missing and what to do."""
    from domainvl.doctor import examine

    checks = examine(path)
    if as_json:
        found = [dataclasses.asdict(check) for check in checks]
        typer.echo(json.dumps({"works": not any(check.fails for check in checks), "checks": found}, indent=2))
    else:
        _print_table(checks)
        typer.echo(_summary(checks))
    if any(check.fails for check in checks):
        raise typer.Exit(int(ExitCode.PARTIAL))


def _print_table(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # takes [fast] as it stands, where markup would swallow it

    console = Console()
    if not console.is_terminal:
        console = Console(width=_UNWRAPPED_COLUMNS)
    table = Table(box=None, pad_edge=False, show_header=False)
    for number, check in enumerate(checks):
        if number == 0 or check.group != checks[number - 1].group:
            if number:
                table.add_row()
            table.add_row(Text(check.group, style="bold"))
        style = "bold red" if check.fails else _STYLES[check.status]
        status = f"{check.status}, required" if check.fails else check.status.value
        said = check.found if check.advice is None else f"{check.found}\n{check.advice}"
        table.add_row(Text(f"  {check.name}"), Text(status, style=style), Text(said))
    with console.capture() as capture:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _summary(checks: Sequence[Check]) -> str:
    failed = [check.name for check in checks if check.fails]
    if failed:
        return f"\n{len(failed)} required of {len(checks)} checks failed: {', '.join(failed)}."
    offered = sum(check.status != "ok" for check in checks)
    return f"\nEverything required works; of what is optional, {offered} of {len(checks)} checks say more."
