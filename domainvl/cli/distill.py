"""``domainvl distill``: a smaller vision encoder learns another's hidden states from images without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.cli.options import Changes
from domainvl.cli.progress import training_bar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from domainvl.training.distillation.recipe import StudentSettings
    from domainvl.training.distillation.run import DistillationSummary
    from domainvl.training.log import LogRow

EPILOG = "Example: domainvl distill --recipe tiny --teacher tiny --images photos --layers 2 --width 32 --out smaller"


def distill(
    teacher: Annotated[str, typer.Option(help="Checkpoint whose vision encoder is the teacher.")],
    images: Annotated[list[Path], typer.Option(help="Folder of images, or a data set; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder of the run to make.")],
    recipe: Annotated[str, typer.Option(help="Name of a distillation recipe, or a .yaml file.")] = "internvit-300m",
    student: Annotated[
        str | None,
        typer.Option(
            help="internvit-300m or a size of model, of random weights; teacher-layers; or a checkpoint whose vision "
            "encoder is trained on."
        ),
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Layers of the student.", min=1)] = None,
    width: Annotated[int | None, typer.Option(help="Width of the student's hidden states.", min=1)] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads of the student.", min=1)] = None,
    mlp_width: Annotated[int | None, typer.Option(help="Width inside the student's MLP.", min=1)] = None,
    into: Annotated[
        str | None, typer.Option(help="Checkpoint that the student is put into, instead of the teacher's.")
    ] = None,
    changes: Changes = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Distil a vision encoder from images without labels, and put it into a model.

    The student is as the recipe says, unless --student, --layers, --width, --heads or --mlp-width say otherwise.
    """
    from domainvl.model.quiet import quiet_transformers
    from domainvl.training.distillation.recipe import load_distillation_recipe
    from domainvl.training.distillation.run import distil
    from domainvl.training.stopping import announce

    quiet_transformers()
    shape = _student(student, {"layers": layers, "width": width, "heads": heads, "mlp_width": mlp_width})
    loaded = load_distillation_recipe(recipe, overrides=changes or [], student=shape)
    with training_bar() as progress:
        bar = progress.add_task(loaded.name, total=None)

        def show(row: LogRow) -> None:
            _show(progress, bar, row)

        summary = distil(loaded, teacher, images, out, into=into, resume=resume, on_row=show, announce=announce)
    _print(summary)


def _student(name: str | None, shape: dict[str, int | None]) -> StudentSettings | None:
    """Return what the options say of the student, None where they say nothing.

    Raises:
        RecipeError: If they contradict each other.
    """
    from domainvl.training.distillation.recipe import STUDENT_SIZES, StudentSettings
    from domainvl.training.recipe_yaml import Layer, validate

    given = {key: value for key, value in shape.items() if value is not None}
    if name is None and not given:
        return None
    start = {} if name is None else {"size": name} if name in STUDENT_SIZES else {"start": name}
    return validate(
        StudentSettings,
        [Layer("options", {**start, **given})],
        own="options",
        what="Cannot choose a student",
        where=None,
        action="See domainvl distill --help",
    )


def _show(progress: Progress, bar: TaskID, row: LogRow) -> None:
    if row["kind"] == "train":
        shown = "unusable" if row["loss"] is None else f"cosine {-row['negative_cosine']:.3f}"
        progress.update(bar, completed=row["step"], total=row["of"], description=shown)
    elif row["kind"] == "validation":
        progress.console.print(f"step {row['step']}: held-out cosine {_numbers(row['cosine_by_layer'])}")


def _numbers(values: list[float] | tuple[float, ...]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def _print(summary: DistillationSummary) -> None:
    counts = ", ".join(f"{count} {use}" for use, count in summary.images.items())
    typer.echo(
        f"{summary.steps} steps on {counts} images, student of {summary.student_parameters:,} weights, teacher of "
        f"{summary.teacher_parameters:,}, {summary.seconds:.0f} s"
    )
    typer.echo(
        f"held-out cosine by layer: {_numbers(summary.before)} before, {_numbers(summary.after)} after; "
        f"a constant for each position reaches {_numbers(summary.constants)}"
    )
    if summary.unusable:
        typer.echo(f"{summary.unusable} images could not be used; each is listed in {summary.out / 'rejects.jsonl'}")
    if summary.projector == "kept":
        typer.echo("projector kept; next: domainvl finetune --recipe vision/continued, or a domain's recipe")
    else:
        typer.echo(
            "projector new, since the widths differ: the model answers nothing sensible before it is trained; next: "
            "domainvl finetune --recipe vision/continued"
        )
    typer.echo(
        f"checkpoint {summary.out / 'checkpoint'}, log {summary.out / 'log.jsonl'}, picture "
        f"{summary.out / 'distillation.png'}"
    )
