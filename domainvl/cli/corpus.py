"""``domainvl corpus``: interleaved corpora from a field's own documents, one verb a step."""

from __future__ import annotations

import typer

from domainvl.cli import corpus_build

app = typer.Typer(
    help="Interleaved corpora from a field's own documents: build, filter, degrade, use.", no_args_is_help=True
)


@app.callback()
def _corpus() -> None:
    """Interleaved corpora from a field's own documents."""


app.command(name="build", epilog=corpus_build.EPILOG)(corpus_build.build)
