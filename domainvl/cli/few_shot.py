"""``domainvl few-shot``: puts solved examples before the samples of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.schema.operations.few_shot import ImageFeatures

EPILOG = "Example: domainvl few-shot scans --out scans-2-shot --shots 2 --by similar --features tiny"


def few_shot(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set to make.")],
    shots: Annotated[int, typer.Option(help="Solved examples before each sample.")] = 2,
    by: Annotated[str, typer.Option(help="Chosen how: random, or similar (the most similar last).")] = "random",
    features: Annotated[
        str | None, typer.Option(help="Checkpoint whose vision encoder says what is similar; for --by similar.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where that runs: auto, cpu, cuda, ...")] = "auto",
    seed: Annotated[int, typer.Option(help="Another seed draws others.")] = 0,
    same_group: Annotated[
        bool, typer.Option("--same-group", help="Allow examples of the same patient, scene or log.")
    ] = False,
    any_task: Annotated[
        bool, typer.Option("--any-task", help="Allow examples of other tasks and other domains.")
    ] = False,
    max_images: Annotated[int, typer.Option(help="Most images of a sample with its examples.")] = 6,
    held_out_too: Annotated[
        bool, typer.Option("--held-out-too", help="Put training examples before val and test samples too, to evaluate.")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a data set that is there.")] = False,
) -> None:
    """Put solved examples before each training sample, so that a model goes on learning from examples.

    Examples come from the training split alone, never from the sample's own group or images.
    """
    from rich.console import Console

    from domainvl.schema.operations.few_shot import FewShotSettings, few_shot_dataset

    if by not in ("random", "similar"):
        raise UsageError("Cannot choose examples", rule=f"--by must be random or similar, got {by!r}")
    settings = FewShotSettings(
        shots=shots,
        by="similar" if by == "similar" else "random",
        seed=seed,
        same_group=same_group,
        any_task=any_task,
        max_images=max_images,
        held_out_too=held_out_too,
    )
    look = None if features is None else look_with(features, dataset, device)
    with Console(stderr=True).status("Choosing examples"):
        summary = few_shot_dataset(dataset, out, settings, features=look, features_of=features, overwrite=overwrite)
    typer.echo(f"{summary.few_shot_count} samples with {shots} examples each in {out}")
    if summary.held_out_count:
        typer.echo(f"  {summary.held_out_count} of them are held out, and show images of the training split")
    if summary.unchanged_count:
        typer.echo(f"  {summary.unchanged_count} held-out samples as they were")
    for reason, count in summary.left_out.items():
        typer.echo(f"  {count} left out: {reason}")


def look_with(features: str, dataset: Path, device: str) -> ImageFeatures:
    """Load a checkpoint whose vision encoder looks at the images of a data set."""
    from domainvl.model.checkpoint import load_model
    from domainvl.model.device import choose_device
    from domainvl.model.image_features import mean_image_features
    from domainvl.model.quiet import quiet_transformers

    quiet_transformers()
    loaded = load_model(features, device=choose_device(device))
    return lambda images: mean_image_features(loaded, dataset, images)
