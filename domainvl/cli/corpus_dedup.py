"""``domainvl corpus dedup``: takes duplicates out of a corpus."""

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
    Workers,
    print_summary,
    stage_run,
)

EPILOG = "Example: domainvl corpus dedup pages --out unique --min-jaccard 0.8"


def corpus_dedup(
    corpus: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    out: Annotated[Path, typer.Option(help="Folder of the corpus to make.")],
    min_jaccard: Annotated[float, typer.Option(help="Texts at least so alike are near-duplicates.")] = 0.8,
    shingle_words: Annotated[
        int, typer.Option(help="Words of a shingle; characters where a script has no blanks.")
    ] = 5,
    bands: Annotated[int, typer.Option(help="Bands of a MinHash signature; more find more.")] = 16,
    rows: Annotated[int, typer.Option(help="Permutations of a band; fewer find more.")] = 8,
    same_images: Annotated[
        bool, typer.Option("--same-images", help="Keep documents that read alike where they share no image.")
    ] = False,
    max_paragraph_documents: Annotated[
        int, typer.Option(help="A paragraph of more documents is kept in the latest of them alone; 0 to keep all.")
    ] = 10,
    min_paragraph_words: Annotated[int, typer.Option(help="Shorter paragraphs are kept.")] = 5,
    workers: Workers = None,
    shard: ShardOption = None,
    ray: RayOption = None,
    unit_timeout_s: UnitTimeout = 0.0,
    unit_memory_gb: UnitMemory = None,
    overwrite: Overwrite = False,
) -> None:
    """Take exact and near-duplicate documents and frequent paragraphs out of a corpus, keeping the latest version.

    Images are not taken out: in how many documents each is, by its hashes, is written down for corpus filter.
    """
    from domainvl.corpus.deduplicating.settings import DedupSettings
    from domainvl.corpus.deduplicating.step import dedup_corpus

    settings = DedupSettings(
        shingle_words=shingle_words,
        bands=bands,
        rows=rows,
        min_jaccard=min_jaccard,
        same_images=same_images,
        max_paragraph_documents=max_paragraph_documents,
        min_paragraph_words=min_paragraph_words,
    )
    run = stage_run(workers, shard, ray, unit_timeout_s, unit_memory_gb, overwrite)
    print_summary(dedup_corpus(corpus, out, settings, run))
