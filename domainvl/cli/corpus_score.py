"""``domainvl corpus score``: what models say of a corpus' images and texts, written into its documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.cli.corpus_options import (
    Overwrite,
    RayOption,
    ShardOption,
    UnitMemory,
    UnitTimeout,
    print_summary,
    stage_run,
)

EPILOG = "Example: domainvl corpus score corpus --out scored --clip models/clip-vit-large-patch14"


def score(
    corpus: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    out: Annotated[Path, typer.Option(help="Folder of the corpus to make.")],
    clip: Annotated[
        Path | None, typer.Option(help="Folder of a CLIP or SigLIP model, which compares images with texts.")
    ] = None,
    aesthetics: Annotated[
        Path | None, typer.Option(help="LAION's predictor, sac+logos+ava1-l14-linearMSE.pth; needs CLIP ViT-L/14.")
    ] = None,
    nsfw: Annotated[Path | None, typer.Option(help="Folder of an image classifier of what is not safe.")] = None,
    nsfw_label: Annotated[
        str | None, typer.Option(help="Its label for that; found by its name where not given.")
    ] = None,
    text_classifier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER[:LABEL]",
            help="A text classifier; of long documents its mean over parts, weighted by length, is taken.",
        ),
    ] = None,
    place: Annotated[
        bool,
        typer.Option("--place", help="Place images of documents without a layout before the sentences most alike."),
    ] = False,
    min_similarity: Annotated[
        float, typer.Option(help="Images that are less like every sentence are then switched off.")
    ] = 0.15,
    device: Annotated[str, typer.Option(help="Where models run: auto, cpu, cuda, ...")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Images or texts at a time.")] = 32,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes, each with models of its own; 0 for none but this one.")
    ] = 0,
    shard: ShardOption = None,
    ray: RayOption = None,
    unit_timeout_s: UnitTimeout = 0.0,
    unit_memory_gb: UnitMemory = None,
    overwrite: Overwrite = False,
) -> None:
    """Score images and texts with models from local folders; nothing is left out and nothing is downloaded."""
    from domainvl.corpus.scoring.settings import ClassifierChoice, ScoreSettings
    from domainvl.corpus.scoring.step import score_corpus
    from domainvl.model.quiet import quiet_transformers

    settings = ScoreSettings(
        clip=clip,
        aesthetics=aesthetics,
        nsfw=nsfw,
        nsfw_label=nsfw_label,
        text_classifiers=tuple(ClassifierChoice.parse(text) for text in text_classifier or ()),
        place=place,
        min_similarity=min_similarity,
        device=device,
        batch_size=batch_size,
    )
    quiet_transformers()
    run = stage_run(workers, shard, ray, unit_timeout_s, unit_memory_gb, overwrite)
    print_summary(score_corpus(corpus, out, settings, run=run))
