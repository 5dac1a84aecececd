"""``domainvl corpus translate``: puts the questions and answers of a data set into another language."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.corpus.translating.dataset import TranslationSummary
    from domainvl.corpus.translating.table import Translator

EPILOG = "Example: domainvl corpus translate scans --to de --out scans-de --model opus-mt-en-de --terms terms.csv"


def translate(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set; not of a corpus.")],
    to: Annotated[str, typer.Option("--to", help="Language to translate into, as a BCP 47 tag: de, zh, pt-BR.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set to make.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of a translation model of transformers, such as Marian, NLLB or M2M100.")
    ] = None,
    source_code: Annotated[
        str | None,
        typer.Option(help="Language of the texts as the model names it, such as eng_Latn; for NLLB, M2M100."),
    ] = None,
    target_code: Annotated[
        str | None, typer.Option(help="Language to translate into as the model names it, such as deu_Latn.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the model runs: auto, cpu, cuda, ...")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Lines that the model is given at a time.", min=1)] = 16,
    endpoint: Annotated[
        str | None, typer.Option(help="Instead of a model: a server that speaks OpenAI's chat protocol, up to /v1.")
    ] = None,
    endpoint_model: Annotated[str | None, typer.Option(help="Name by which the server knows the model.")] = None,
    endpoint_key: Annotated[Path | None, typer.Option(help="File that holds the server's key.")] = None,
    terms: Annotated[
        Path | None,
        typer.Option(
            help="Terms: a .csv file of term,translation rows, or a text file of terms that stay, one a line."
        ),
    ] = None,
    keep_source: Annotated[
        bool, typer.Option("--keep-source", help="Write each sample in its own language too.")
    ] = False,
    train_only: Annotated[bool, typer.Option("--train-only", help="Leave the other splits as they are.")] = False,
    limit: Annotated[
        int | None, typer.Option(help="For a trial: take so many samples, spread over the data set.")
    ] = None,
    memory: Annotated[
        Path | None, typer.Option(help="File of finished translations; OUT.translations.jsonl where not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that is there.")] = False,
) -> None:
    """Translate a data set, with terms locked and numbers, boxes, tags and placeholders checked to survive.

    What a translation damaged is tried once more; then the sample stays in its own language, is listed, and the command
    ends with exit code 8. A run that was stopped goes on from the translations that it had finished.
    """
    from rich.console import Console
    from rich.progress import Progress

    from domainvl.corpus.translating.dataset import TranslationSettings, memory_path, translate_dataset
    from domainvl.corpus.translating.terms import read_terms

    settings = TranslationSettings(
        language=to,
        terms={} if terms is None else read_terms(terms),
        keep_source=keep_source,
        train_only=train_only,
        limit=limit,
    )
    if endpoint is not None and (source_code, target_code) != (None, None):
        raise UsageError("Cannot choose languages", rule="--source-code and --target-code are for --model")
    server = (endpoint, endpoint_model, endpoint_key)
    translator = _translator(to, model, server, (source_code, target_code), device, batch_size)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("Translating lines")
        summary = translate_dataset(
            dataset,
            out,
            settings,
            translator,
            memory=memory or memory_path(out),
            overwrite=overwrite,
            progress=lambda done, total: bars.update(bar, completed=done, total=total),
        )
    _print(summary, to)


def _translator(
    to: str,
    model: Path | None,
    server: tuple[str | None, str | None, Path | None],
    codes: tuple[str | None, str | None],
    device: str,
    batch_size: int,
) -> Translator:
    """Make what translates.

    Raises:
        UsageError: If both a model and a server are named, or neither.
    """
    from domainvl.cli.evaluate import read_endpoint
    from domainvl.corpus.translating.translators import EndpointTranslator, LocalTranslator

    settings = read_endpoint(*server)
    if settings is not None and model is None:
        return EndpointTranslator(settings, to)
    if settings is not None or model is None:
        raise UsageError(
            "Cannot translate",
            rule="either --model or --endpoint must say what translates",
            action="Name a folder with --model, or a server with --endpoint and --endpoint-model",
        )
    from domainvl.model.device import choose_device
    from domainvl.model.quiet import quiet_transformers

    quiet_transformers()
    return LocalTranslator(
        model, device=choose_device(device), source_code=codes[0], target_code=codes[1], batch_size=batch_size
    )


def _print(summary: TranslationSummary, language: str) -> None:
    """Print what was made; ends the command with its exit code."""
    typer.echo(f"{summary.out}: {summary.translated_count} samples in {language}")
    if summary.unchanged_count:
        typer.echo(f"  {summary.unchanged_count} held-out samples as they were")
    for reason, count in summary.failed.items():
        typer.echo(f"  {count} kept in their own language: {reason}")
    for reason, count in summary.left_out.items():
        typer.echo(f"  {count} left out: {reason}")
    if summary.exit_code:
        raise typer.Exit(int(summary.exit_code))
