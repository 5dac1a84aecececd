"""``domainvl corpus export``: a corpus as OmniCorpus, MMC4 or OBELICS records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.cli.corpus_options import Overwrite, counted
from domainvl.errors import UsageError

EPILOG = "Example: domainvl corpus export CORPUS --format obelics --out CORPUS-OBELICS"


def export(
    corpus: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    out: Annotated[Path, typer.Option(help="Folder to make, with documents.jsonl and images.")],
    record_format: Annotated[str, typer.Option("--format", help="omnicorpus, mmc4 or obelics.")] = "omnicorpus",
    overwrite: Overwrite = False,
) -> None:
    """Write a corpus as records of JSON that other tools read, with its images linked beside them.

    MMC4 and OBELICS have no place for hashes, scores, pages, times and kinds of texts, nor for images that are switched
    off; docs/corpus.md lists what is lost.
    """
    from domainvl.corpus.exchange import RecordFormat
    from domainvl.corpus.exporting import export_corpus
    from domainvl.corpus.folder import Corpus

    known = [str(one) for one in RecordFormat]
    if record_format not in known:
        raise UsageError("Cannot export", rule=f"--format must be one of {', '.join(known)}, got {record_format!r}")
    summary = export_corpus(Corpus.open(corpus), out, RecordFormat(record_format), overwrite=overwrite)
    typer.echo(f"{out}: {counted(summary.documents, 'document')}, {counted(summary.images, 'image')}")
    if summary.missing_images:
        typer.echo(f"  {counted(summary.missing_images, 'image')} named that the corpus has no file of")
    for reason, count in summary.left_out.items():
        typer.echo(f"  {counted(count, 'document')} left out: {reason}")
