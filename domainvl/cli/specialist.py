"""``domainvl specialist``: train the small models that a field uses today on the same data, and answer with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.cli.options import read_split
from domainvl.errors import StoppedError

if TYPE_CHECKING:
    from domainvl.evaluation.specialists.specialist import Training
    from domainvl.evaluation.specialists.training_loop import OnProgress

app = typer.Typer(help="Specialists: small models and baselines to compare with.", no_args_is_help=True)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]


@app.command(
    name="train",
    epilog="Example: domainvl specialist train classifier --data chest --from imagenet-efficientnet-lite0 --out net",
)
def train(
    kind: Annotated[str, typer.Argument(help="classifier, vqa, detector, language-only or majority.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set; its training split is used.")],
    out: Annotated[Path, typer.Option(help="Folder of the specialist to make.")],
    weights: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Folder of transformers' weights to start from, or for a classifier imagenet-efficientnet-lite0; "
            "random weights if left out.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and order.", min=0)] = 0,
    epochs: Annotated[int | None, typer.Option(help="Most epochs; the kind's own if left out.", min=1)] = None,
    minutes: Annotated[float | None, typer.Option(help="Longest training, whatever the epochs.", min=0.01)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step.", min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest learning rate.", min=0.0)] = None,
    image_px: Annotated[int | None, typer.Option(help="Side of the square that it sees.", min=32)] = None,
    answers: Annotated[int, typer.Option(help="Most answers that it knows.", min=1)] = 1000,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Train a specialist on the training split of a data set; the epoch is chosen on the validation split."""
    from domainvl.evaluation.specialists.run import TrainOptions, train_specialist
    from domainvl.evaluation.specialists.specialist import known_kind
    from domainvl.model.quiet import quiet_transformers

    chosen = known_kind(kind)
    quiet_transformers()
    options = TrainOptions(
        weights=weights,
        seed=seed,
        epochs=epochs,
        minutes=minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        image_px=image_px,
        most_answers=answers,
        device=device,
    )
    try:
        with _bar() as show:
            spec = train_specialist(chosen, data, out, options, overwrite=overwrite, on_progress=show)
    except KeyboardInterrupt as stop:
        raise StoppedError("Stopped", rule="by Ctrl-C; nothing is kept", action="Give the same command again") from stop
    typer.echo(f"{spec.kind}, pretraining {spec.pretraining}: {_described(spec.training)}")
    typer.echo(f"saved {out}")


@app.command(
    name="predict",
    epilog="Example: domainvl specialist predict net --data chest --out net.jsonl",
)
def predict(
    folder: Annotated[Path, typer.Argument(help="Folder of the specialist.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="File of answers to make, as domainvl eval --predictions reads it.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    batch_size: Annotated[int, typer.Option(help="Samples at a time.", min=1)] = 32,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Answer a split with a specialist; what it cannot answer gets an empty answer and is counted."""
    from domainvl.evaluation.specialists.run import counted, predict_with_specialist
    from domainvl.model.quiet import quiet_transformers

    quiet_transformers()
    wanted = read_split(split, "Cannot answer")
    with _bar() as show:
        summary = predict_with_specialist(
            folder,
            data,
            wanted,
            out,
            batch_size=batch_size,
            device=device,
            overwrite=overwrite,
            on_progress=show,
        )
    typer.echo(f"{summary.spec.kind}, pretraining {summary.spec.pretraining}: {summary.answered} answers in {out}")
    if summary.empty:
        typer.echo(f"{sum(summary.empty.values())} empty: {counted(summary.empty)}")


@contextmanager
def _bar() -> Iterator[OnProgress]:
    """Show a bar on stderr while something is done."""
    from domainvl.cli.progress import training_bar

    with training_bar() as progress:
        bar = progress.add_task("reading", total=None)

        def show(doing: str, done: int, total: int) -> None:
            progress.update(bar, description=doing, completed=done, total=total)

        yield show


def _described(training: Training) -> str:
    from domainvl.evaluation.specialists.run import counted

    parts = [f"{training.used} of {training.samples} samples"]
    if training.left_out:
        parts.append(f"left out {counted(training.left_out)}")
    if training.epochs:
        parts.append(f"epoch {training.best_epoch} of {training.epochs} kept")
    if training.validation_score is not None:
        parts.append(f"score {training.validation_score:.3f} on {training.validation_samples} validation samples")
    return "; ".join(parts)
