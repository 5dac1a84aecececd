"""``domainvl predict nuscenes``: questions about key frames, and answers to DriveLM as its challenge reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainvl.cli.predict_options import BatchSize, Device, LongestAnswer, PredictingModel, SettingsOf
from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.prediction.answering import CheckpointModel, Progress
    from domainvl.prediction.asking import Asked

EPILOG = "Example: domainvl predict nuscenes nuscenes-root --model driving-lora --detect car --out cars.jsonl"

_FRAMES, _DRIVELM = "With --ask, --detect or --like: key frames", "Without: the questions of DriveLM"
_SHOWN = "How frames are shown; as the model was trained, if left out"


def nuscenes(
    source: Annotated[
        Path,
        typer.Argument(
            help="Data root in the layout of nuScenes; or a file of DriveLM's questions, or their data set."
        ),
    ],
    model: PredictingModel,
    out: Annotated[Path, typer.Option(help="JSONL file to make; for DriveLM's questions a folder with output.json.")],
    detect: Annotated[
        list[str] | None, typer.Option(help="Find this in each view, such as car.", rich_help_panel=_FRAMES)
    ] = None,
    ask: Annotated[str | None, typer.Option(help="Ask this of each key frame.", rich_help_panel=_FRAMES)] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Task of --ask (vqa if left out), or the only one of --like.", rich_help_panel=_FRAMES),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of --ask, for multiple choice.", rich_help_panel=_FRAMES)
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Data set whose kinds of question are asked.", rich_help_panel=_FRAMES)
    ] = None,
    scene: Annotated[
        list[str] | None, typer.Option(help="Name of a scene to ask about; all if left out.", rich_help_panel=_FRAMES)
    ] = None,
    each_view: Annotated[
        bool, typer.Option("--each-view", help="Ask everything of each view alone.", rich_help_panel=_FRAMES)
    ] = False,
    cameras: Annotated[
        str | None, typer.Option(help="Cameras to use, separated by commas.", rich_help_panel=_FRAMES)
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Folder of tables in the data root.", rich_help_panel=_FRAMES)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val or test; test if left out.", rich_help_panel=_DRIVELM)
    ] = None,
    dataroot: Annotated[
        Path | None, typer.Option(help="nuScenes data root with the images.", rich_help_panel=_DRIVELM)
    ] = None,
    challenge_subset: Annotated[
        bool,
        typer.Option("--challenge-subset", help="Only the questions of the challenge.", rich_help_panel=_DRIVELM),
    ] = False,
    team: Annotated[str | None, typer.Option(help="Name of the team that submits.", rich_help_panel=_DRIVELM)] = None,
    layout: Annotated[str | None, typer.Option(help="multi-image or stitched.", rich_help_panel=_SHOWN)] = None,
    settings_of: SettingsOf = None,
    batch_size: BatchSize = 32,
    max_new_tokens: LongestAnswer = 256,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Ask a model about key frames of nuScenes, or answer the questions of DriveLM.

    Answers about key frames are one JSON object a line, with boxes in pixels of each camera's image. Answers to DriveLM
    are output.json and submission.json of its challenge.
    """
    from domainvl.cli.progress import training_bar
    from domainvl.model.quiet import quiet_transformers
    from domainvl.prediction.answering import AnsweringSettings, CheckpointModel
    from domainvl.prediction.asking import choose_questions

    quiet_transformers()
    given = {"layout": layout}
    of_frames = {"cameras": cameras, "version": version, "scene": scene, "each_view": each_view or None}
    of_drivelm = {
        "split": split, "dataroot": dataroot, "challenge_subset": challenge_subset or None, "team": team,
    }  # fmt: skip
    questions: tuple[Asked, ...] = ()
    if detect or ask is not None or like is not None or task is not None or option:
        _refuse(of_drivelm, "is for the questions of DriveLM, and others are asked")
        questions = choose_questions(detect=detect or (), ask=ask, task=task, options=option or (), like=like)
    else:
        _refuse(of_frames, "is for --ask, --detect and --like, of which none is given")
    checkpoint = CheckpointModel(model, AnsweringSettings(device, batch_size, max_new_tokens))
    with training_bar() as progress:
        bar = progress.add_task("key frames" if questions else "answers", total=None)

        def show(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        if questions:
            lines, exit_code = _predict_frames(
                source, out, checkpoint, questions, given | of_frames, settings_of, overwrite, show
            )
        else:
            lines, exit_code = _predict_drivelm(
                source, out, checkpoint, given | of_drivelm, settings_of, overwrite, show
            )
    for line in lines:
        typer.echo(line)
    raise typer.Exit(exit_code)


def _refuse(options: dict[str, Any], why: str) -> None:
    for name, value in options.items():
        if value is not None and value != []:
            raise UsageError("Cannot predict", rule=f"--{name.replace('_', '-')} {why}")


def _set(options: dict[str, Any], *leave_out: str) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None and name not in leave_out}


def _predict_frames(
    source: Path,
    out: Path,
    model: CheckpointModel,
    questions: tuple[Asked, ...],
    options: dict[str, Any],
    settings_of: Path | None,
    overwrite: bool,
    show: Progress,
) -> tuple[list[str], int]:
    from domainvl.prediction.driving import FramePrediction, predict_frames

    wanted = FramePrediction(
        questions,
        _set(options, "scene", "each_view"),
        settings_of,
        tuple(options["scene"] or ()),
        bool(options["each_view"]),
        overwrite,
    )
    result = predict_frames(source, out, model, wanted, show)
    lines = [
        f"{result.answers} answers about {result.frames} key frames, with {result.boxes} boxes, in {result.out}; "
        f"how: {result.record}"
    ]
    lines += [f"  answers that say less: {count} x {reason}" for reason, count in sorted(result.unread.items())]
    lines += [f"  left out: {count} x {reason}" for reason, count in sorted(result.left_out.items())]
    return [*lines, *(f"  note: {note}" for note in result.notes)], int(result.exit_code)


def _predict_drivelm(
    source: Path,
    out: Path,
    model: CheckpointModel,
    options: dict[str, Any],
    settings_of: Path | None,
    overwrite: bool,
    show: Progress,
) -> tuple[list[str], int]:
    from domainvl.prediction.driving import DriveLmPrediction, predict_drivelm
    from domainvl.schema import Split

    split = options["split"] or Split.TEST.value
    if split not in list(Split):
        raise UsageError("Cannot predict", rule=f"--split must be one of {', '.join(Split)}, got {split!r}")
    about = {} if options["team"] is None else {"team": options["team"]}
    wanted = DriveLmPrediction(Split(split), _set(options, "split", "team"), settings_of, about, overwrite)
    summary, notes = predict_drivelm(source, out, model, wanted, show)
    lines = [f"{summary.count} answers in {', '.join(map(str, summary.files))}"]
    for severity, counts in (("failed", summary.failed), ("skipped", summary.skipped)):
        lines += [f"  {severity}: {count} x {reason}" for reason, count in counts.items()]
    return [*lines, *(f"  note: {note}" for note in (*notes, *summary.notes))], int(summary.exit_code)
