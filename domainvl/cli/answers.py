"""``domainvl answers``: answers to a data set's questions in the files that a benchmark's own scorer reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainvl.errors import InputNotFoundError, UsageError

if TYPE_CHECKING:
    from domainvl.conversion.answers import AnswersSummary
    from domainvl.schema import Split

_ABOUT_FORM = "Write one name with its value a line, such as team: Name"

EPILOG = "Example: domainvl answers drivelm-data --predictions scores/predictions.jsonl --out submission"


def answers(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    predictions: Annotated[
        Path | None,
        typer.Option(help="Answers of a model, predictions.jsonl of domainvl eval; the reference answers if left out."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    about: Annotated[
        Path | None,
        typer.Option(
            help="YAML file that says who submits; for drivelm: method, team, authors (a list), email, institution, "
            "country."
        ),
    ] = None,
    team: Annotated[str | None, typer.Option(help="Name of the team, in place of the file's.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a folder of answers that is there.")] = False,
) -> None:
    """Write answers as the benchmark's own scorer or server reads them; drivelm: output.json and submission.json.

    Samples without a prediction, predictions without a sample, and questions that the data set lacks are counted and
    listed in rejects.jsonl.
    """
    from rich.console import Console

    from domainvl.conversion.answers import write_answers
    from domainvl.evaluation.metrics.reading import read_choice

    said = _read_about(about) | ({"team": team} if team is not None else {})
    wanted, given = _split(split), _read_predictions(predictions)
    with Console(stderr=True).status("Writing answers"):
        summary = write_answers(
            dataset,
            out,
            split=wanted,
            predictions=given,
            read_choice=read_choice,
            about=said,
            overwrite=overwrite,
        )
    _print_summary(summary)
    raise typer.Exit(int(summary.exit_code))


def _split(name: str) -> Split:
    from domainvl.schema import Split

    if name not in list(Split):
        raise UsageError(
            "Cannot write answers",
            rule=f"--split must be one of {', '.join(Split)}, got {name!r}",
            action="Name the split that the predictions were made on",
        )
    return Split(name)


def _read_predictions(path: Path | None) -> Mapping[str, str] | None:
    from domainvl.evaluation.predictions import read_predictions

    if path is None:
        return None
    return {prediction.sample_id: prediction.text for prediction in read_predictions(path)}


def _read_about(path: Path | None) -> dict[str, Any]:
    import yaml

    if path is None:
        return {}
    if not path.is_file():
        raise InputNotFoundError(
            "Cannot read --about", where=path, rule="there is no such file", action="Check the path, or leave it out"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        rule = f"it must be YAML in UTF-8 ({error})"
        raise UsageError("Cannot read --about", where=path, rule=rule, action=_ABOUT_FORM) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        rule = f"it must hold names with values, got {content!r:.80}"
        raise UsageError("Cannot read --about", where=path, rule=rule, action=_ABOUT_FORM)
    return content


def _print_summary(summary: AnswersSummary) -> None:
    files = ", ".join(str(path) for path in summary.files)
    typer.echo(f"{summary.count} answers in {files}")
    for severity, counts in (("failed", summary.failed), ("skipped", summary.skipped)):
        for reason, count in counts.items():
            typer.echo(f"  {severity}: {count} x {reason}")
    for note in summary.notes:
        typer.echo(f"  note: {note}")
    if summary.failed or summary.skipped:
        typer.echo(f"  each is listed in {summary.out / 'rejects.jsonl'}")
