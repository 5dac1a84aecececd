"""Options that the commands which ask a model about new imagery share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PredictingModel = Annotated[str, typer.Option("--model", help="Checkpoint or run of finetune.")]
OptionTexts = Annotated[
    list[str] | None, typer.Option("--option", help="An option of --ask, for multiple choice; repeatable.")
]
Like = Annotated[Path | None, typer.Option("--like", help="Data set whose kinds of question are asked.")]
SettingsOf = Annotated[
    Path | None,
    typer.Option(
        "--settings-of", help="Data set that was made as the model was trained, where its checkpoint is mute."
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", help="Questions at a time.", min=1)]
LongestAnswer = Annotated[int, typer.Option("--max-new-tokens", help="Longest answer in tokens.", min=1)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
