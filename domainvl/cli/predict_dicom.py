"""``domainvl predict dicom``: questions about the images of a study, answered by instance as JSON and as a DICOM SR."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.cli.predict_options import (
    BatchSize,
    Device,
    Like,
    LongestAnswer,
    OptionTexts,
    PredictingModel,
    SettingsOf,
)

if TYPE_CHECKING:
    from domainvl.prediction.dicom import DicomResult

EPILOG = "Example: domainvl predict dicom study --model chest-lora --detect nodule --out nodules.json"

_SHOWN = "How images are shown and chosen; as the model was trained, if left out"


def dicom(
    source: Annotated[Path, typer.Argument(help="File, folder or archive with the images of one study.")],
    model: PredictingModel,
    out: Annotated[Path, typer.Option(help="JSON file to make; the DICOM SR lies beside it, as NAME.sr.dcm.")],
    detect: Annotated[
        list[str] | None, typer.Option(help="Find this, such as nodule; give it several times for several things.")
    ] = None,
    ask: Annotated[str | None, typer.Option(help="Ask this of each image.")] = None,
    task: Annotated[
        str | None, typer.Option(help="Task of --ask (vqa if left out), or the only one of --like: presence, ...")
    ] = None,
    option: OptionTexts = None,
    like: Like = None,
    sr: Annotated[bool, typer.Option("--sr/--no-sr", help="Write a DICOM SR too (TID 1500, unverified).")] = True,
    form: Annotated[
        str | None,
        typer.Option(help="What one question is about: slices, series, montage or video; as trained if left out."),
    ] = None,
    windows: Annotated[str | None, typer.Option(help="Grey levels, as for convert.", rich_help_panel=_SHOWN)] = None,
    pack: Annotated[str | None, typer.Option(help="images or rgb, as for convert.", rich_help_panel=_SHOWN)] = None,
    percentiles: Annotated[
        str | None, typer.Option(help="LOW,HIGH where no window is named.", rich_help_panel=_SHOWN)
    ] = None,
    display: Annotated[str | None, typer.Option(help="anatomical or stored.", rich_help_panel=_SHOWN)] = None,
    select: Annotated[
        str | None, typer.Option(help="Slices of a stack: all, every:MM or even:N.", rich_help_panel=_SHOWN)
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Frames of a file that is no volume.", min=1, rich_help_panel=_SHOWN)
    ] = None,
    burnt_in: Annotated[
        str | None,
        typer.Option(
            help="quarantine leaves out images whose header suggests text in the pixels, allow asks about them.",
            rich_help_panel=_SHOWN,
        ),
    ] = None,
    for_processing: Annotated[
        str | None, typer.Option(help="skip or convert radiographs FOR PROCESSING.", rich_help_panel=_SHOWN)
    ] = None,
    settings_of: SettingsOf = None,
    batch_size: BatchSize = 32,
    max_new_tokens: LongestAnswer = 256,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Ask a model about the images of a DICOM study; its answers name the instances that they are about."""
    from datetime import datetime

    from domainvl.cli.progress import training_bar
    from domainvl.model.quiet import quiet_transformers
    from domainvl.prediction.answering import AnsweringSettings, CheckpointModel
    from domainvl.prediction.asking import choose_questions
    from domainvl.prediction.dicom import DicomPrediction, predict_study

    quiet_transformers()
    questions = choose_questions(detect=detect or (), ask=ask, task=task, options=option or (), like=like)
    given = {
        "windows": windows,
        "pack": pack,
        "percentiles": percentiles,
        "display": display,
        "select": select,
        "max_frames": max_frames,
        "burnt_in": burnt_in,
        "for_processing": for_processing,
    }
    wanted = DicomPrediction(
        questions,
        datetime.now().astimezone().replace(microsecond=0),
        {name: value for name, value in given.items() if value is not None},
        settings_of,
        form,
        sr,
        overwrite,
    )
    checkpoint = CheckpointModel(model, AnsweringSettings(device, batch_size, max_new_tokens))
    with training_bar() as progress:
        bar = progress.add_task("answers", total=None)
        result = predict_study(
            source, out, checkpoint, wanted, lambda done, total: progress.update(bar, completed=done, total=total)
        )
    _print(result)
    raise typer.Exit(int(result.exit_code))


def _print(result: DicomResult) -> None:
    files = f"{result.out}" if result.report is None else f"{result.out} and {result.report}"
    counts = dict(result.counts)
    typer.echo(f"{counts.pop('answers')} answers with {counts.pop('boxes')} boxes in {files}")
    for what, reasons in (
        ("answers that say less", counts),
        ("left out", result.left_out),
        ("failed", result.failed),
    ):
        for reason, count in reasons.items():
            typer.echo(f"  {what}: {count} x {reason}")
    if result.report is not None:
        typer.echo(f"  {result.report.name} is marked as preliminary and not verified by a person")
    for note in result.notes:
        typer.echo(f"  note: {note}")
