"""The command ``domainvl``: assembles the subcommands and turns errors into messages and exit codes."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from domainvl import __version__
from domainvl.cli import (
    answers,
    chat,
    compare,
    convert,
    corpus,
    diff,
    distill,
    doctor,
    enhance,
    evaluate,
    export,
    few_shot,
    finetune,
    merge,
    model,
    pack,
    plan,
    predict,
    quickstart,
    recipe,
    sample,
    show,
    specialist,
    split,
    stats,
    tiles,
    validate,
)
from domainvl.errors import DomainvlError, ExitCode

_EPILOG = (
    "Exit codes: 0 done, 1 internal error, 2 usage, 3 nothing to do or nothing converted, "
    "4 stopped before the end (the same command goes on), 8 partial."
)

app = typer.Typer(
    name="domainvl",
    help="Adapt a small vision-language model to a field's own imagery.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"domainvl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Adapt a small vision-language model to a field's own imagery."""


app.add_typer(convert.app, name="convert")
app.add_typer(corpus.app, name="corpus")
app.add_typer(enhance.app, name="enhance")
app.add_typer(model.app, name="model")
app.add_typer(predict.app, name="predict")
app.add_typer(recipe.app, name="recipe")
app.add_typer(specialist.app, name="specialist")
app.command(name="finetune", epilog=finetune.EPILOG)(finetune.finetune)
app.command(name="answers", epilog=answers.EPILOG)(answers.answers)
app.command(name="chat", epilog=chat.EPILOG)(chat.chat)
app.command(name="compare", epilog=compare.EPILOG)(compare.compare)
app.command(name="diff", epilog=diff.EPILOG)(diff.diff)
app.command(name="distill", epilog=distill.EPILOG)(distill.distill)
app.command(name="doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command(name="eval", epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command(name="export", epilog=export.EPILOG)(export.export)
app.command(name="few-shot", epilog=few_shot.EPILOG)(few_shot.few_shot)
app.command(name="merge", epilog=merge.EPILOG)(merge.merge)
app.command(name="pack", epilog=pack.PACK_EPILOG)(pack.pack)
app.command(name="unpack", epilog=pack.UNPACK_EPILOG)(pack.unpack)
app.command(name="plan", epilog=plan.EPILOG)(plan.plan)
app.command(name="quickstart", epilog=quickstart.EPILOG)(quickstart.quickstart)
app.command(name="sample", epilog=sample.EPILOG)(sample.sample)
app.command(name="show", epilog=show.EPILOG)(show.show)
app.command(name="split", epilog=split.EPILOG)(split.split)
app.command(name="stats", epilog=stats.EPILOG)(stats.stats)
app.command(name="tiles", epilog=tiles.EPILOG)(tiles.tiles)
app.command(name="validate", epilog=validate.EPILOG)(validate.validate)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; those of the process where None.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments  # anywhere, not only before the subcommand
    arguments = [argument for argument in arguments if argument != "--debug"]
    if debug:
        logging.basicConfig(level=logging.INFO)
        logging.getLogger("domainvl").setLevel(logging.DEBUG)
    try:
        app(args=arguments, prog_name="domainvl")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except DomainvlError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"Error: {error}", err=True)
        return int(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the border of the command line
        if debug:
            traceback.print_exc()
        typer.echo(
            f"Internal error: {type(error).__name__}: {error}. Run the command again with --debug and report it.",
            err=True,
        )
        return int(ExitCode.INTERNAL_ERROR)
    return int(ExitCode.DONE)
