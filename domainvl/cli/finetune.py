"""``domainvl finetune``: adapt a model to a data set by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from domainvl.training.recipe import Method

EPILOG = "Example: domainvl finetune --recipe medical --data chest --model mini-internvl-1b --out chest-lora"


def finetune(
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a .yaml file.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the run to make.")],
    model: Annotated[str | None, typer.Option(help="Checkpoint to start from, instead of the recipe's.")] = None,
    method: Annotated[str | None, typer.Option(help="lora or full; lora where the recipe has both.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe, as in optimisation.epochs=2; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Adapt a model to a data set, on a GPU if there is one."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from domainvl.model.quiet import quiet_transformers
    from domainvl.training.recipe_files import load_recipe
    from domainvl.training.run import LogRow
    from domainvl.training.run import finetune as run_finetune

    quiet_transformers()
    loaded = load_recipe(recipe, method=_method(method), overrides=changes or [], model=model)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(loaded.name, total=None)

        def show(row: LogRow) -> None:
            _show(progress, bar, row)

        summary = run_finetune(loaded, data, out, resume=resume, on_row=show)
    typer.echo(
        f"{summary.steps} steps, {summary.trainable_parameters:,} trainable weights, "
        f"final loss {summary.final_loss:.4f}, {summary.seconds:.0f} s"
    )
    typer.echo(
        f"checkpoint {summary.out / 'checkpoint'}, log {summary.out / 'log.jsonl'}, curve {summary.out / 'loss.png'}"
    )


def _show(progress: Progress, bar: TaskID, row: dict[str, Any]) -> None:
    if row["kind"] == "train":
        progress.update(bar, completed=row["step"], total=row["of"], description=f"loss {row['loss']:.3f}")
    elif row["kind"] == "validation":
        progress.console.print(f"step {row['step']}: validation loss {row['loss']:.4f}")
    else:
        expected, answered = row["expected"], row["answered"]
        progress.console.print(f"    expected {expected!r}, answered {answered!r}", markup=False, highlight=False)


def _method(name: str | None) -> Method | None:
    match name:
        case None | "lora" | "full":
            return name
    raise UsageError("Cannot choose a method", rule=f"--method must be lora or full, got {name!r}")
