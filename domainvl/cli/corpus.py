"""``domainvl corpus``: interleaved corpora from a field's own documents, one verb a step."""

from __future__ import annotations

import typer

from domainvl.cli import (
    corpus_audit,
    corpus_build,
    corpus_dedup,
    corpus_degrade,
    corpus_export,
    corpus_filter,
    corpus_report,
    corpus_score,
    corpus_translate,
)

app = typer.Typer(
    help="Interleaved corpora from a field's own documents: build, filter, degrade, use.", no_args_is_help=True
)


@app.callback()
def _corpus() -> None:
    """Interleaved corpora from a field's own documents."""


app.command(name="audit", epilog=corpus_audit.EPILOG)(corpus_audit.audit)
app.command(name="build", epilog=corpus_build.EPILOG)(corpus_build.build)
app.command(name="dedup", epilog=corpus_dedup.EPILOG)(corpus_dedup.corpus_dedup)
app.command(name="degrade", epilog=corpus_degrade.EPILOG)(corpus_degrade.degrade)
app.command(name="export", epilog=corpus_export.EPILOG)(corpus_export.export)
app.command(name="filter", epilog=corpus_filter.EPILOG)(corpus_filter.corpus_filter)
app.command(name="report", epilog=corpus_report.EPILOG)(corpus_report.report)
app.command(name="score", epilog=corpus_score.EPILOG)(corpus_score.score)
app.command(name="translate", epilog=corpus_translate.EPILOG)(corpus_translate.translate)
