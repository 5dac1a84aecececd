"""``domainvl eval``: score a model on held-out samples beside the model it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = "Example: domainvl eval --model chest-lora --data chest --out chest-scores"


def evaluate(
    model: Annotated[str, typer.Option(help="Checkpoint or run of finetune to score.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the results to make.")],
    base: Annotated[
        str | None, typer.Option(help="Checkpoint to compare with; for an adapter its own base, if left out.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Score only so many samples, evenly spread.", min=1)] = None,
    batch_size: Annotated[int, typer.Option(help="Samples at a time.", min=1)] = 32,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer in tokens.", min=1)] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Score a model on held-out samples beside its base, the majority answer and blank images."""
    from rich.console import Console
    from rich.progress import Progress

    from domainvl.evaluation.run import EvaluationSettings
    from domainvl.evaluation.run import evaluate as run_evaluate
    from domainvl.model.quiet import quiet_transformers

    quiet_transformers()
    settings = EvaluationSettings.from_options(
        split=split, limit=limit, batch_size=batch_size, max_new_tokens=max_new_tokens, device=device
    )
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bars = {}

        def show(system: str, done: int, total: int) -> None:
            if system not in bars:
                bars[system] = progress.add_task(system, total=total)
            progress.update(bars[system], completed=done)

        summary = run_evaluate(model, data, out, base=base, settings=settings, on_progress=show)
    typer.echo(summary.table)
    typer.echo(f"scores {out / 'scores.json'}, answers {out / 'predictions.jsonl'}")
