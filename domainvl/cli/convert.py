"""``domainvl convert``: one subcommand for each installed converter, with its settings as options.

The subcommands are made when they are asked for, so that no converter is imported to print the help of
another command.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from domainvl.conversion import ConversionSummary, Converter


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


def _make_command(converter: Converter[Any, Any]) -> Callable[..., None]:
    """Build the function of a subcommand; its signature lists the converter's settings."""
    from rich.markup import escape

    def command(**values: Any) -> None:
        source, out, overwrite = values.pop("source"), values.pop("out"), values.pop("overwrite")
        _convert_and_print(converter, source, out, _settings(converter, values), overwrite)

    fixed = [
        _parameter("source", Annotated[Path, typer.Argument(help="File or folder to convert.")]),
        _parameter("out", Annotated[Path, typer.Option(help="Folder of the data set to make.")]),
        _parameter("overwrite", Annotated[bool, typer.Option(help="Replace a data set that is there.")], False),
    ]
    options = [
        _parameter(
            name,
            Annotated[field.annotation, typer.Option(help=escape(field.description or ""))],
            inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True),
        )
        for name, field in converter.settings_type.model_fields.items()
    ]
    command.__signature__ = inspect.Signature(fixed + options)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in fixed + options}
    return command


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


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


def _convert_and_print(converter: Converter[Any, Any], source: Path, out: Path, settings: Any, overwrite: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from domainvl.conversion import convert

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"Converting {converter.name}", total=None)
        summary = convert(
            converter,
            source,
            out,
            settings,
            overwrite=overwrite,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    print_conversion(summary)
    raise typer.Exit(int(summary.exit_code))


def print_conversion(summary: ConversionSummary) -> None:
    """Print what came out of a conversion and what did not."""
    manifest = summary.manifest
    groups = ", ".join(f"{count} {split}" for split, count in manifest["groups"].items())
    typer.echo(f"{summary.sample_count} samples in {summary.out} (groups: {groups})")
    for row in manifest["counts"]:
        typer.echo(f"  {row['split']:<6}{row['task']:<18}{row['count']:>8}")
    for row in manifest["rejects"]:
        typer.echo(f"  {row['severity']}: {row['count']} x {row['reason']} ({row['stage']})")
    if manifest["rejects"]:
        typer.echo(f"  each is listed in {summary.out / 'rejects.jsonl'}")
