"""Options that the steps of a corpus share: where they run, and what a summary looks like."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from domainvl.corpus.stage import StageRun, StageSummary

Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Processes; 0 for none but this one. As many as there are cores where not given."),
]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", help="i/n: do the i-th of n shares, as a job of an array; each says how they are joined."),
]
RayOption = Annotated[str | None, typer.Option("--ray", help="Address of a Ray cluster, or local.")]
UnitTimeout = Annotated[float, typer.Option("--unit-timeout-s", help="Seconds that a unit may take; 0 for any time.")]
UnitMemory = Annotated[
    float | None, typer.Option("--unit-memory-gb", help="Memory that a unit may take; a share of the machine's else.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a corpus that is there.")]


def check_number(option: str, value: float, *, least: float) -> None:
    """Refuse a value that is too small, or no number at all: comparisons let NaN and infinity through.

    Raises:
        UsageError: If it is.
    """
    if not math.isfinite(value) or value < least:
        rule = f"{option} must be a number of {least:g} or more, got {value:g}"
        raise UsageError("Cannot work on a corpus", rule=rule)


def stage_run(
    workers: int | None,
    shard: str | None,
    ray: str | None,
    unit_timeout_s: float,
    unit_memory_gb: float | None,
    overwrite: bool,
) -> StageRun:
    """Read the options that say how a step is run.

    Raises:
        UsageError: If ``--shard`` cannot be read, or a number is none that the option can have.
    """
    from domainvl.corpus.stage import StageRun
    from domainvl.engine import Execution, Shard, usable_cores

    check_number("--unit-timeout-s", unit_timeout_s, least=0)
    if unit_memory_gb is not None:
        check_number("--unit-memory-gb", unit_memory_gb, least=0.001)
    if workers is None:
        workers = 0 if ray is not None else usable_cores()
    return StageRun(
        execution=Execution(
            workers=workers,
            unit_timeout_s=unit_timeout_s or None,
            unit_memory_bytes=None if unit_memory_gb is None else int(unit_memory_gb * 1e9),
            ray=ray,
        ),
        shard=None if shard is None else Shard.parse(shard),
        overwrite=overwrite,
        on_progress=_show_progress if sys.stderr.isatty() else None,
    )


def _show_progress(done: int, planned: int) -> None:
    """Write how far a phase is over the line before; the line is cleared at its end."""
    typer.echo("\r\x1b[K" if done == planned else f"\r\x1b[K{done} of {planned} units", nl=False, err=True)


def counted(count: int, thing: str) -> str:
    """Name a count of things whose plural takes an s."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def print_summary(summary: StageSummary) -> None:
    """Print what a step did, with what it left out by reason; ends the command with the step's exit code."""
    manifest = summary.manifest
    if "steps" not in manifest:
        typer.echo(
            f"{summary.out}: {counted(sum(manifest['units'].values()), 'unit')} of shard {manifest['shard']}; "
            "when all are done, the same command without --shard joins them"
        )
        step = manifest
    else:
        step = manifest["steps"][-1]
        documents, images = counted(manifest["documents"], "document"), counted(manifest["images"], "image")
        typer.echo(f"{summary.out}: {documents}, {images} in place")
        for name, count in step["counts"].items():
            typer.echo(f"  {count:>8}  {name}")
    if step["drops"]:
        typer.echo("left out:")
        for reason, count in step["drops"].items():
            typer.echo(f"  {count:>8}  {reason}")
    if summary.exit_code is ExitCode.NOTHING_DONE:
        action = "try another --profile or --set RULE=off"
        typer.echo(f"no document is left: see why with domainvl corpus report {summary.out}; {action}", err=True)
    if summary.exit_code:
        raise typer.Exit(int(summary.exit_code))
