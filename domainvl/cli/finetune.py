"""``domainvl finetune``: adapt a model to data by a recipe."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainvl.cli.options import Changes, parse_method
from domainvl.cli.progress import training_bar
from domainvl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from domainvl.training.mixture import MixtureSpec
    from domainvl.training.recipe import Recipe
    from domainvl.training.run import FinetuneSummary

EPILOG = "Example: domainvl finetune --recipe medical --data chest --model mini-internvl-1b --out chest-lora"

_SAID_BY_THE_PLAN = frozenset({"data", "packing.over_long"})
"""Keys of findings that the plan of a run refuses too: sample by sample, or with an exit code of its own."""


def finetune(
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a .yaml file.")],
    out: Annotated[Path, typer.Option(help="Folder of the run to make.")],
    data: Annotated[list[Path] | None, typer.Option(help="Folder of a data set of the domain; repeatable.")] = None,
    general: Annotated[
        list[Path] | None, typer.Option(help="Folder of a general data set, mixed in as the recipe says; repeatable.")
    ] = None,
    mixture: Annotated[
        Path | None, typer.Option(help="YAML file that names the data sets with weights or repeats instead.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Checkpoint to start from, instead of the recipe's.")] = None,
    method: Annotated[str | None, typer.Option(help="lora or full; lora where the recipe has both.")] = None,
    changes: Changes = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, without training.")] = False,
    vision_cache: Annotated[
        Path | None, typer.Option(help="Where what a frozen vision encoder gives is kept; in --out if left out.")
    ] = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="Try values, as in lora.rank=8,16; repeatable: all combinations are tried.")
    ] = None,
    further: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUES]...", help="More values to try, after --sweep.")
    ] = None,
) -> None:
    """Adapt a model to data, on a GPU if there is one, on several under torchrun."""
    from domainvl.model.quiet import quiet_transformers
    from domainvl.training.recipe_files import load_recipe

    quiet_transformers()
    _refuse_options(sweep or [], further or [], dry_run=dry_run, vision_cache=vision_cache)
    spec = _mixture(data or [], general or [], mixture)
    loaded = load_recipe(recipe, method=parse_method(method), overrides=changes or [], model=model)
    _refuse_contradictions(loaded, spec)
    if dry_run:
        from domainvl.planning.dry_run import describe_run

        for line in describe_run(loaded, spec):
            typer.echo(line)
        return
    if sweep:
        _sweep(loaded, spec, out, [*sweep, *(further or [])])
        return
    _show_summary(_run(loaded, spec, out, resume, vision_cache))


def _refuse_options(sweep: list[str], further: list[str], *, dry_run: bool, vision_cache: Path | None) -> None:
    if further and not sweep:
        raise UsageError("Cannot train", rule=f"{further[0]!r} stands alone", action="Values to try go with --sweep")
    others = {"--dry-run": dry_run, "--vision-cache": vision_cache is not None}
    ignored = [name for name, given in others.items() if given]
    if sweep and ignored:
        raise UsageError("Cannot sweep", rule=f"--sweep does not go with {ignored[0]}", action="Leave one of them out")


def _refuse_contradictions(recipe: Recipe, spec: MixtureSpec) -> None:
    """Refuse what the records of the data sets contradict, before anything heavy is read."""
    from domainvl.training.recipe_check import check_against_dataset

    found = [
        (source.path, finding)
        for source in spec.sources.values()
        if source.kind == "dataset"
        for finding in check_against_dataset(recipe, source.path)
        if finding.severity == "contradiction" and finding.key not in _SAID_BY_THE_PLAN
    ]
    looks = sum(finding.key.startswith("validation.") for _, finding in found)
    for path, finding in found:
        # Held-out samples of one source are enough.
        if not finding.key.startswith("validation.") or looks == len(spec.sources):
            raise UsageError(
                "The recipe contradicts the data set",
                where=path,
                rule=f"{finding.key}: {finding.said}",
                action=finding.action,
            )


def _run(recipe: Recipe, spec: MixtureSpec, out: Path, resume: bool, vision_cache: Path | None) -> FinetuneSummary:
    """Train with a bar on the terminal; where memory runs out, try once more with the next setting that takes less."""
    from domainvl.evaluation.scorer import share_right
    from domainvl.planning.fallback import finetune_within_memory
    from domainvl.training.log import LogRow
    from domainvl.training.run import Reporting

    progress = training_bar()
    bar = progress.add_task(recipe.name, total=None)
    with ExitStack() as stack:
        stack.callback(progress.stop)

        def show(row: LogRow) -> None:
            progress.start()  # here, because of several processes only one has rows
            _show(progress, bar, row)

        def say(line: str) -> None:
            progress.console.print(line, markup=False, highlight=False)

        return finetune_within_memory(
            recipe,
            spec,
            out,
            resume=resume,
            vision_cache=vision_cache,
            reporting=Reporting(on_row=show, say=say, score=share_right),
        )


def _show_summary(summary: FinetuneSummary) -> None:
    if not summary.is_first:
        return
    typer.echo(
        f"{summary.steps} steps, {summary.trainable_parameters:,} trainable weights, "
        f"mean loss of the last steps {summary.final_loss:.4f}, {summary.seconds:.0f} s"
    )
    for reason, count in summary.skipped.items():
        typer.echo(f"left out: {count} samples, {reason}; each is listed in {summary.out / 'skipped.jsonl'}")
    if summary.ended_early is not None:
        typer.echo(summary.ended_early)
    if summary.best is not None:
        kept = f", kept in {summary.out / 'best'}" if (summary.out / "best").is_dir() else ""
        score = "" if summary.best.answers_score is None else f", {summary.best.answers_score:.0%} of answers right"
        typer.echo(f"best look at step {summary.best.step}: held-out loss {summary.best.loss:.4f}{score}{kept}")
    typer.echo(
        f"checkpoint {summary.out / 'checkpoint'}, log {summary.out / 'log.jsonl'}, curve {summary.out / 'loss.png'}"
    )


def _sweep(recipe: Recipe, spec: MixtureSpec, out: Path, changes: list[str]) -> None:
    from domainvl.experiments.sweep import sweep

    summary = sweep(recipe, spec, out, changes, say=lambda line: typer.echo(line, err=True))
    typer.echo(summary.text)
    if summary.failed:
        raise typer.Exit(int(ExitCode.PARTIAL))


def _mixture(data: list[Path], general: list[Path], mixture: Path | None) -> MixtureSpec:
    from domainvl.training.mixture import load_mixture, mixture_of

    if (mixture is None) == (not data):
        raise UsageError(
            "Cannot train",
            rule="either --data or --mixture must be given, and not both",
            action="Name a data set with --data",
        )
    if mixture is not None:
        if general:
            raise UsageError("Cannot train", rule="--general goes with --data; a mixture file names all data sets")
        return load_mixture(mixture)
    return mixture_of(data, general)


def _show(progress: Progress, bar: TaskID, row: dict[str, Any]) -> None:
    if row["kind"] == "train":
        progress.update(bar, completed=row["step"], total=row["of"], description=f"loss {row['loss']:.3f}")
    elif row["kind"] == "validation":
        score = (
            "" if row["answers_score"] is None else f", {row['answers_score']:.0%} of {row['answered']} answers right"
        )
        loss = "no finite number" if row["loss"] is None else f"{row['loss']:.4f}"
        progress.console.print(f"step {row['step']}: validation loss {loss}{score}")
    else:
        expected, answered = row["expected"], row["answered"]
        progress.console.print(f"    expected {expected!r}, answered {answered!r}", markup=False, highlight=False)
