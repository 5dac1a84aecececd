"""``domainvl convert``: one subcommand for each installed converter, with its settings as options.

The subcommands are made when they are asked for, so that no converter is imported to print the help of
another command.
"""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from domainvl.conversion import ConversionSummary, Converter, Progress, RunSettings, ShardSummary


class _ConverterGroup(TyperGroup):
    """Finds its subcommands among the installed converters."""

    def list_commands(self, ctx: Any) -> list[str]:
        from domainvl.conversion import converter_names

        return converter_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from rich.markup import escape

        from domainvl.conversion import converter_names, load_converter

        if cmd_name not in converter_names():
            return None
        converter = load_converter(cmd_name)
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name=cmd_name, help=escape(converter.summary))(_make_command(converter))
        return get_command(single)


app = typer.Typer(cls=_ConverterGroup, help="Turn imagery and labels into one data set.", no_args_is_help=True)


@app.callback()
def _convert() -> None:
    """Turn imagery and labels into one data set."""


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _run_option(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel="How it runs; changes nothing of what comes out", **more)


_FIXED = (
    _parameter("source", Annotated[Path, typer.Argument(help="File or folder to convert.")]),
    _parameter(
        "out",
        Annotated[
            Path | None, typer.Option(help="Folder of the data set to make; not needed with --inspect and --dry-run.")
        ],
        None,
    ),
    _parameter("overwrite", Annotated[bool, typer.Option(help="Replace a data set that is there.")], False),
    _parameter(
        "dry_run",
        Annotated[bool, typer.Option("--dry-run", help="Say what would be done; no data set is written.")],
        False,
    ),
    _parameter(
        "workers",
        Annotated[int | None, _run_option("Processes; all cores if left out, 0 for none but this one.", min=0)],
        None,
    ),
    _parameter(
        "shard",
        Annotated[str | None, _run_option("Convert share i/n only, into OUT.shard-i-of-n; domainvl merge joins them.")],
        None,
    ),
    _parameter(
        "unit_timeout_s",
        Annotated[float, _run_option("Seconds that a unit may take before it is given up; 0 for any.", min=0)],
        600.0,
    ),
    _parameter(
        "unit_memory_gb",
        Annotated[
            float | None,
            _run_option(
                "Memory that a unit may take, alone or not; a share of 80 % of the machine's if left out.", min=0.001
            ),
        ],
        None,
    ),
    _parameter(
        "max_error_rate",
        Annotated[float, _run_option("Share of units that may fail before the run is stopped.", min=0, max=1)],
        1.0,
    ),
    _parameter(
        "ray",
        Annotated[str | None, _run_option("Run on Ray: the address of a cluster, or local. Needs the extra ray.")],
        None,
    ),
    _parameter("log", Annotated[Path | None, _run_option("File to which one JSON line a unit is added.")], None),
)

_SHEET = Path("contact-sheet.png")
_INSPECTING = (
    _parameter(
        "inspect",
        Annotated[
            bool,
            typer.Option(
                "--inspect", help="Look before converting: print a table of the input and draw --contact-sheet."
            ),
        ],
        False,
    ),
    _parameter(
        "contact_sheet",
        Annotated[Path, typer.Option(help="PNG file of --inspect: some images that would be made, with their boxes.")],
        _SHEET,
    ),
)


_NOT_ENHANCED = _parameter("enhance", Annotated[str | None, typer.Option(hidden=True)], None)
"""Of converters that do not enlarge: one that asks for it is told why instead of that there is no such option."""


def _refuse_enhancing(converter: Converter[Any, Any], enhance: str | None) -> None:
    if enhance is not None:
        raise UsageError(
            f"The converter {converter.name} takes no --enhance",
            rule=converter.settings_type.not_enhanced,
            action="Leave it out; domainvl enhance apply enlarges pictures, and says what it asks for",
        )


def _make_command(converter: Converter[Any, Any]) -> Callable[..., None]:
    """Build the function of a subcommand; its signature lists the converter's settings."""
    from rich.markup import escape

    from domainvl.cli.inspection import show_plan
    from domainvl.conversion import InspectingConverter

    fixed = (*_FIXED, *_INSPECTING) if isinstance(converter, InspectingConverter) else _FIXED

    def command(**values: Any) -> None:
        given = {parameter.name: values.pop(parameter.name) for parameter in fixed}
        if not enhances:
            _refuse_enhancing(converter, values.pop(_NOT_ENHANCED.name))
        sheet = given.pop("contact_sheet", None)
        if sheet not in (None, _SHEET) and not given.get("inspect"):
            raise UsageError("Cannot draw a contact sheet", rule="--contact-sheet is for --inspect")
        inspect_first, dry_run = given.pop("inspect", False), given.pop("dry_run")
        settings = _settings(converter, values)
        if inspect_first or dry_run:
            show_plan(converter, settings, given["source"], sheet=sheet if inspect_first and not dry_run else None)
        else:
            _convert_and_print(converter, settings, **given)

    panels = {name: panel for panel, names in converter.settings_type.panels.items() for name in names}
    options = [
        _parameter(
            name,
            Annotated[
                field.annotation, typer.Option(help=escape(field.description or ""), rich_help_panel=panels.get(name))
            ],
            inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True),
        )
        for name, field in converter.settings_type.model_fields.items()
    ]
    enhances = "enhance" in converter.settings_type.model_fields
    parameters = [*fixed, *options] if enhances else [*fixed, *options, _NOT_ENHANCED]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _settings(converter: Converter[Any, Any], values: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    settings_type: type[BaseModel] = converter.settings_type
    try:
        return settings_type.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"Cannot run the converter {converter.name}", rule=_first_problem(error)) from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    option = "--" + "-".join(str(part) for part in problem["loc"]).replace("_", "-")
    message = problem["msg"].removeprefix("Value error, ")
    return f"{option}: {message}, got {problem['input']!r}" if problem["loc"] else message


def _convert_and_print(
    converter: Converter[Any, Any],
    settings: Any,
    *,
    source: Path,
    out: Path | None,
    overwrite: bool,
    shard: str | None,
    **run_options: Any,
) -> None:
    from domainvl.conversion import convert
    from domainvl.conversion.shards import convert_shard
    from domainvl.engine import Shard

    if out is None:
        raise UsageError("Cannot convert", rule="--out is not given", action="Name the folder of the data set to make")
    if shard is not None and overwrite:
        raise UsageError(
            "Cannot convert a shard", rule="--overwrite is for data sets", action="Remove the shard yourself"
        )
    run = _run_settings(**run_options)
    with _stop_on_sigterm(), _progress_bar(converter.name) as show:
        if shard is None:
            summary = convert(converter, source, out, settings, overwrite=overwrite, run=run, on_progress=show)
        else:
            share = convert_shard(converter, source, out, Shard.parse(shard), settings, run=run, on_progress=show)
    if shard is None:
        print_conversion(summary)
        raise typer.Exit(int(summary.exit_code))
    _print_shard(share)
    raise typer.Exit(int(share.exit_code))


def _run_settings(
    *, workers: int | None, unit_timeout_s: float, unit_memory_gb: float | None, **others: Any
) -> RunSettings:
    from domainvl.conversion import RunSettings
    from domainvl.engine import usable_cores

    if workers is None:
        workers = usable_cores() if others["ray"] is None else 0
    memory_bytes = int(unit_memory_gb * 1e9) if unit_memory_gb is not None else None
    return RunSettings(workers=workers, unit_timeout_s=unit_timeout_s or None, unit_memory_bytes=memory_bytes, **others)


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Take the signal with which a cluster ends a job like Ctrl-C: what is done is kept."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress_bar(name: str) -> Iterator[Callable[[Progress], None]]:
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.TextColumn("{task.fields[how]}"))
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"Converting {name}", total=None, how="planning")

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.planned, how=progress.summary())

        yield show


def _print_shard(summary: ShardSummary) -> None:
    progress = summary.progress
    typer.echo(f"shard {summary.shard}: {summary.unit_count} units, {progress.samples} samples in {summary.folder}")
    for reason, count in sorted(progress.drops.items()):
        typer.echo(f"  left out: {count} x {reason}")
    typer.echo("  join all shards with: domainvl merge SHARD... --out OUT")


def print_conversion(summary: ConversionSummary) -> None:
    """Print what came out of a conversion and what did not."""
    manifest = summary.manifest
    groups = ", ".join(f"{count} {split}" for split, count in manifest["groups"].items())
    typer.echo(f"{summary.sample_count} samples in {summary.out} (groups: {groups})")
    for row in manifest["counts"]:
        typer.echo(f"  {row['split']:<6}{row['task']:<18}{row['count']:>8}")
    for row in manifest["rejects"]:
        typer.echo(f"  {row['severity']}: {row['count']} x {row['reason']} ({row['stage']})")
    for note in manifest.get("notes", ()):
        typer.echo(f"  note: {note}")
    if manifest["rejects"]:
        typer.echo(f"  each is listed in {summary.out / 'rejects.jsonl'}")
