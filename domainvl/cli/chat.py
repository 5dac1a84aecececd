"""``domainvl chat``: questions about a picture, asked and answered in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from domainvl.cli.predict_options import Device, LongestAnswer, PredictingModel, SettingsOf

EPILOG = "Example: domainvl chat photo.jpg --model farms-lora"


def chat(
    image: Annotated[
        str,
        typer.Argument(
            help="PNG or JPEG, a scene with a tile (scene.tif#r2c3), or a DICOM file or folder with a slice "
            "(study#17); the part in the middle where none is named."
        ),
    ],
    model: PredictingModel,
    task: Annotated[
        str,
        typer.Option(help="In whose words questions are asked: conversation as they are, vqa for short answers, ..."),
    ] = "conversation",
    domain: Annotated[
        str | None, typer.Option(help="remote-sensing, medical, driving or general; by the format if left out.")
    ] = None,
    settings_of: SettingsOf = None,
    max_new_tokens: LongestAnswer = 256,
    device: Device = "auto",
) -> None:
    """Ask a model about a picture, line by line; scenes and slices are shown to it as it was trained.

    Without a terminal questions are read from standard input, one a line, until it ends.
    """
    from tempfile import TemporaryDirectory

    from domainvl.errors import ExitCode
    from domainvl.model.quiet import quiet_transformers
    from domainvl.prediction.answering import AnsweringSettings, CheckpointModel
    from domainvl.prediction.conversation import Chat, Conversation, context_of
    from domainvl.prediction.pictures import Picture, open_picture
    from domainvl.schema import ImageStore

    quiet_transformers()
    checkpoint = CheckpointModel(model, AnsweringSettings(device, 1, max_new_tokens))
    with TemporaryDirectory(prefix="domainvl-") as name:
        folder = Path(name)

        def show(picture: str) -> Picture:
            return open_picture(picture, ImageStore(folder), checkpoint.training, settings_of, domain)

        first = show(image)
        conversation = Conversation(checkpoint, folder, first, context_of(checkpoint, max_new_tokens))
        talk = Chat(conversation, show, task)
        typer.echo(talk.introduction())
        for line in _lines():
            if answer := talk.respond(line):
                typer.echo(answer)
            if talk.is_over:
                break
    if talk.error_count and not sys.stdin.isatty():
        raise typer.Exit(int(ExitCode.PARTIAL))


def _lines() -> Iterator[str]:
    """Yield what the user types, or the lines of standard input with a copy of each."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            if line.strip():
                typer.echo(f"> {line.strip()}")
            yield line
        return
    try:
        import readline  # noqa: F401 - gives the line of input its history
    except ImportError:  # not on Windows
        pass
    while True:
        try:
            yield input("> ")
        except (EOFError, KeyboardInterrupt):
            typer.echo("")
            return
