"""``domainvl predict geotiff``: questions about a scene of any size, answered on the map.

The options that say how a scene is shown are those of ``domainvl convert geotiff``; the command is made when it is
asked for, so that nothing of the converter is imported to print the help of another.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from domainvl.prediction.geotiff import GeotiffResult

EPILOG = "Example: domainvl predict geotiff scene.tif --model farms-lora --detect greenhouse --out greenhouses.geojson"

_SHOWN = "How the scene is shown; as the model was trained, if left out"


def make_command() -> Callable[..., None]:
    """Build the function of the command; its signature ends with settings of the converter."""
    from rich.markup import escape

    from domainvl.converters.geotiff.settings import GeotiffSettings
    from domainvl.prediction.scene_tiles import LOOK, PLACE

    names = (*LOOK, *PLACE)

    def command(**values: Any) -> None:
        shown = {name: value for name in names if (value := values.pop(name)) not in (None, [])}
        _geotiff(**values, given=shown)

    parameters = list(inspect.signature(_geotiff, eval_str=True).parameters.values())
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters if one.name != "given"]
    for name in names:
        field = GeotiffSettings.model_fields[name]
        annotation: Any = field.annotation
        option = typer.Option(help=escape(field.description or ""), rich_help_panel=_SHOWN)
        optional = Annotated[annotation | None, option]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=optional))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = _geotiff.__doc__
    return command


def _geotiff(
    source: Annotated[Path, typer.Argument(help="The scene: a GeoTIFF, or the folder of a Sentinel-2 or Landsat one.")],
    model: PredictingModel,
    out: Annotated[Path, typer.Option(help="File to make: .geojson or .gpkg.")],
    given: dict[str, Any],
    detect: Annotated[
        list[str] | None, typer.Option(help="Find this, such as greenhouse; give it several times for several things.")
    ] = None,
    ask: Annotated[str | None, typer.Option(help="Ask this of each tile.")] = None,
    task: Annotated[
        str | None, typer.Option(help="Task of --ask (vqa if left out), or the only one of --like: counting, ...")
    ] = None,
    option: OptionTexts = None,
    like: Like = None,
    check_presence: Annotated[
        bool,
        typer.Option(
            "--check-presence", help="Of each --detect ask too whether there is any in the tile, and believe a no."
        ),
    ] = False,
    min_likelihood: Annotated[
        float, typer.Option(help="Leave out answers that are less likely.", min=0.0, max=1.0)
    ] = 0.0,
    sum_counts: Annotated[
        bool, typer.Option("--sum-counts", help="Add up the answers to counting questions; tiles must not overlap.")
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge/--no-merge", help="Make one box of what several tiles say of one object.")
    ] = True,
    out_crs: Annotated[
        str | None,
        typer.Option(help="CRS of the result, such as EPSG:4326 for RFC 7946; the scene's own if left out."),
    ] = None,
    settings_of: SettingsOf = None,
    batch_size: BatchSize = 32,
    max_new_tokens: LongestAnswer = 256,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Ask a model about a scene of any size, tile by tile, and write its answers as polygons on the map."""
    from domainvl.cli.progress import training_bar
    from domainvl.model.quiet import quiet_transformers
    from domainvl.prediction.answering import AnsweringSettings, CheckpointModel
    from domainvl.prediction.asking import choose_questions
    from domainvl.prediction.geotiff import GeotiffPrediction, predict_scene
    from domainvl.prediction.scene_answers import Reading

    quiet_transformers()
    questions = choose_questions(detect=detect or (), ask=ask, task=task, options=option or (), like=like)
    reading = Reading(questions, min_likelihood, check_presence, sum_counts, merge)
    wanted = GeotiffPrediction(reading, given, settings_of, out_crs, overwrite)
    checkpoint = CheckpointModel(model, AnsweringSettings(device, batch_size, max_new_tokens))
    with training_bar() as progress:
        bar = progress.add_task("tiles", total=None)
        result = predict_scene(
            source, out, checkpoint, wanted, lambda done, total: progress.update(bar, completed=done, total=total)
        )
    _print(result)
    raise typer.Exit(int(result.exit_code))


def _print(result: GeotiffResult) -> None:
    from domainvl.prediction.geotiff import counted

    tally = result.tally
    typer.echo(f"{result.features} polygons in {result.out} ({result.crs or 'pixels'}); how: {result.record}")
    typer.echo(f"  tiles: {tally.asked} of {tally.tiles} asked, {tally.answers} answers")
    for what, counts in (
        ("tiles skipped", tally.skipped),
        ("tiles failed", tally.failed),
        ("answers left out", tally.dropped_answers),
        ("boxes left out", tally.dropped_boxes),
        ("boxes by label", tally.by_label),
        ("counts added up", tally.sums),
    ):
        if counts:
            typer.echo(f"  {what}: {counted(counts)}")
    if tally.boxes:
        after = sum(tally.by_label.values())
        typer.echo(f"  boxes: {tally.boxes} in answers, {after} after merging ({tally.joined} were pieces of others)")
    for note in result.notes:
        typer.echo(f"  note: {note}")
