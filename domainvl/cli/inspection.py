"""What ``domainvl convert --inspect`` and ``--dry-run`` print: what an input holds, and what would become of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from domainvl.errors import ExitCode, InputNotFoundError

if TYPE_CHECKING:
    from domainvl.conversion import Converter, Inspection
    from domainvl.schema import Reject

_MAX_ROWS = 100
_MAX_REJECTS = 20


def show_plan(converter: Converter[Any, Any], settings: Any, source: Path, *, sheet: Path | None) -> None:
    """Print what an input holds and what would become of it.

    Args:
        converter: What reads the input.
        settings: Its settings.
        source: The input.
        sheet: Where the contact sheet goes; None to write nothing.

    Raises:
        typer.Exit: With the code for partial success if an input cannot be used.
    """
    from domainvl.conversion import InspectingConverter
    from domainvl.conversion.converter import is_address

    if not source.exists() and not is_address(converter, source):
        raise InputNotFoundError("Cannot look at the input", where=source, rule="there is no such file or folder")
    if isinstance(converter, InspectingConverter):
        inspection = converter.inspect(source, settings)
        _print_table(inspection)
        rejects = inspection.rejects
        if sheet is not None:
            _write_sheet(inspection, sheet)
    else:
        plan = converter.plan(source, settings)
        typer.echo(f"{len(plan.units)} units would be converted, from {len(plan.sources)} files")
        for note in plan.notes:
            typer.echo(f"note: {note}")
        rejects = plan.rejects
    _print_rejects(rejects)
    failed = any(reject.severity == "failed" for reject in rejects)
    raise typer.Exit(int(ExitCode.PARTIAL if failed else ExitCode.DONE))


def _print_table(inspection: Inspection) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_lines=True)
    for name in inspection.columns:
        table.add_column(name, overflow="fold")
    for row in inspection.rows[:_MAX_ROWS]:
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 200).print(table, markup=False)
    if len(inspection.rows) > _MAX_ROWS:
        typer.echo(f"and {len(inspection.rows) - _MAX_ROWS} more")
    for note in inspection.notes:
        typer.echo(note)


def _write_sheet(inspection: Inspection, sheet: Path) -> None:
    from domainvl.files import output_errors, write_atomically
    from domainvl.schema.png import encode_png

    if inspection.contact_sheet is None:
        typer.echo("there is no image to draw")
        return
    with output_errors(sheet):
        write_atomically(sheet, encode_png(inspection.contact_sheet))
    typer.echo(f"images with their boxes: {sheet}")


def _print_rejects(rejects: Sequence[Reject]) -> None:
    for (severity, reason), count in sorted(Counter((reject.severity, reject.reason) for reject in rejects).items()):
        typer.echo(f"  {severity}: {count} x {reason}")
    for reject in rejects[:_MAX_REJECTS]:
        typer.echo(f"    {reject.input}: {reject.message}")
    if len(rejects) > _MAX_REJECTS:
        typer.echo(f"    and {len(rejects) - _MAX_REJECTS} more")
