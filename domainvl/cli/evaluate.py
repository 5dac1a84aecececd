"""``domainvl eval``: score systems on held-out samples by a protocol, beside each other."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.cli.options import read_split
from domainvl.errors import StoppedError, UsageError

if TYPE_CHECKING:
    from domainvl.endpoint import EndpointSettings
    from domainvl.evaluation.judging import Judging
    from domainvl.evaluation.results import Results
    from domainvl.evaluation.run import EvaluationSettings, Further, Progress

EPILOG = "Example: domainvl eval --model chest-lora --data chest --out chest-scores"

REPORT_NAME = "report.html"


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the results to make.")],
    model: Annotated[str | None, typer.Option(help="Checkpoint or run of finetune to score.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Checkpoint to compare with; for an adapter its own base, if left out.")
    ] = None,
    specialist: Annotated[
        list[str] | None,
        typer.Option(help="Folder of a specialist (domainvl specialist train), as NAME=FOLDER or FOLDER; repeatable."),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(help="Answers of any other system, as NAME=FILE or FILE; repeatable."),
    ] = None,
    answers_format: Annotated[
        str, typer.Option(help="Of these files: auto, ours, geochat, llava-med, drivelm, plain.")
    ] = "auto",
    pretraining: Annotated[
        list[str] | None,
        typer.Option(help="What a specialist that answered such a file started from, as NAME=TEXT; none for nothing."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="URL of an OpenAI-compatible server that answers, such as http://host:8000/v1.")
    ] = None,
    endpoint_model: Annotated[str | None, typer.Option(help="Name by which the server knows the model.")] = None,
    endpoint_key: Annotated[Path | None, typer.Option(help="File that holds the server's key.")] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Protocol, by name or file; if left out, that of the benchmark, or else the generic one."),
    ] = None,
    general: Annotated[
        Path | None, typer.Option(help="General data set, on which model and base show what was forgotten.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Score only so many samples, evenly spread.", min=1)] = None,
    batch_size: Annotated[int, typer.Option(help="Samples at a time; no answer depends on it.", min=1)] = 32,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest answer in tokens; the protocol's, if left out.", min=1)
    ] = None,
    max_tiles: Annotated[
        int | None, typer.Option(help="Most tiles a sample; those of the checkpoint's recipe, if left out.", min=1)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...; several with commas.")] = "auto",
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="The majority answer and blank images take part.")
    ] = True,
    resamples: Annotated[int, typer.Option(help="Resamples of the groups that intervals are made of.", min=100)] = 2000,
    save_inputs: Annotated[
        bool, typer.Option("--save-inputs", help="Write what the model sees: its tiles and prompts.")
    ] = False,
    sweep_tiles: Annotated[
        str | None, typer.Option(help="Ask the model at these limits of tiles too, as in 1,6,12,24,40.")
    ] = None,
    shots: Annotated[
        str | None, typer.Option(help="Ask the model with so many solved examples too, as in 0,1,2,4,8.")
    ] = None,
    select: Annotated[
        str, typer.Option(help="How examples are chosen: random, or rices for the most similar images.")
    ] = "random",
    judge: Annotated[
        str | None, typer.Option(help="Checkpoint that rates free answers; DriveLM's final score needs a judge.")
    ] = None,
    judge_endpoint: Annotated[
        str | None, typer.Option(help="URL of a server that rates them instead; what is judged is sent there.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Name by which that server knows the judge.")] = None,
    judge_key: Annotated[Path | None, typer.Option(help="File that holds that server's key.")] = None,
    judge_prompt: Annotated[
        Path | None, typer.Option(help="What the judge is told, with {reference} and {answer}; ours, if left out.")
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
) -> None:
    """Score a model on held-out samples beside its base, specialists, the majority answer and blank images.

    A run that was stopped goes on with the same command.
    """
    from domainvl.evaluation.contestants import Contestants
    from domainvl.evaluation.forgetting import evaluate_with_general
    from domainvl.evaluation.run import TABLE_NAME
    from domainvl.model.quiet import quiet_transformers

    quiet_transformers()
    contestants = Contestants(
        model=model,
        base=base,
        endpoint=read_endpoint(endpoint, endpoint_model, endpoint_key),
        specialists=named_paths(specialist or [], "--specialist"),
        predictions=named_paths(predictions or [], "--predictions"),
        pretraining=_named(pretraining or [], "--pretraining"),
        answer_format=answers_format,
        baselines=baselines,
    )
    settings = _settings(
        split=split,
        protocol=protocol,
        limit=limit,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        max_tiles=max_tiles,
        device=device,
        save_inputs=save_inputs,
        resamples=resamples,
    )
    judging = _judging(judge, read_endpoint(judge_endpoint, judge_model, judge_key), judge_prompt, settings.devices[0])
    try:
        with answering_bars() as show:
            further = _further(model, sweep_tiles, shots, select, show)
            results = evaluate_with_general(
                contestants, data, out, general, settings=settings, judging=judging, further=further, on_progress=show
            )
    except KeyboardInterrupt as stop:
        raise StoppedError(
            "Stopped", rule="by Ctrl-C", action="The same command goes on from the answers that are there"
        ) from stop
    typer.echo((out / TABLE_NAME).read_text(encoding="utf-8"))
    _print_verdict(results)
    files = [out / name for name in ("scores.json", "scores.md", "predictions.jsonl")]
    if report:
        from domainvl.evaluation.forgetting import GENERAL_FOLDER
        from domainvl.viewing.verdict.inputs import ReportInput
        from domainvl.viewing.verdict.page import write_report

        inputs = [ReportInput(out)]
        if general is not None:
            inputs.append(ReportInput(out / GENERAL_FOLDER, "general"))
        files.append(write_report(inputs, out / REPORT_NAME, dataset=data).path)
    typer.echo(f"written: {', '.join(map(str, files))}")


def _settings(
    *,
    split: str,
    protocol: str | None,
    limit: int | None,
    batch_size: int,
    max_new_tokens: int | None,
    max_tiles: int | None,
    device: str,
    save_inputs: bool,
    resamples: int,
) -> EvaluationSettings:
    from domainvl.evaluation.run import EvaluationSettings
    from domainvl.evaluation.statistics.resampling import BootstrapSettings

    return EvaluationSettings(
        split=read_split(split, "Cannot evaluate"),
        protocol=protocol,
        limit=limit,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        max_tiles=max_tiles,
        devices=tuple(name.strip() for name in device.split(",")),
        save_inputs=save_inputs,
        bootstrap=BootstrapSettings(resamples=resamples),
        command=shlex.join(["domainvl", *sys.argv[1:]]),
    )


def _judging(
    checkpoint: str | None, endpoint: EndpointSettings | None, prompt: Path | None, device: str
) -> Judging | None:
    from domainvl.evaluation.judge import OUR_PROMPT, CheckpointJudge, EndpointJudge, Judge, read_prompt
    from domainvl.evaluation.judging import Judging
    from domainvl.model.checkpoint import find_checkpoint

    if checkpoint is not None and endpoint is not None:
        raise UsageError("Cannot choose a judge", rule="--judge and --judge-endpoint exclude each other")
    if checkpoint is None and endpoint is None:
        if prompt is not None:
            raise UsageError("Cannot judge", rule="--judge-prompt needs --judge or --judge-endpoint")
        return None
    if checkpoint is not None:
        find_checkpoint(checkpoint)  # before anything is asked
    judge: Judge = EndpointJudge(endpoint) if endpoint else CheckpointJudge(checkpoint or "", device=device)
    return Judging(judge, read_prompt(prompt) if prompt else OUR_PROMPT)


def _further(model: str | None, tiles: str | None, shots: str | None, select: str, show: Progress) -> list[Further]:
    from domainvl.evaluation.further import shot_experiment, tile_experiment

    if model is None:
        if tiles is not None or shots is not None:
            raise UsageError("Cannot run the experiment", rule="--sweep-tiles and --shots need --model")
        return []
    found = []
    if tiles is not None:
        found.append(tile_experiment(model, read_numbers(tiles, "--sweep-tiles"), show))
    if shots is not None:
        found.append(shot_experiment(model, read_numbers(shots, "--shots"), select, show))
    return found


def read_numbers(text: str, option: str) -> list[int]:
    """Read whole numbers with commas between them.

    Raises:
        UsageError: If one is none.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        rule = f"it must be whole numbers with commas, got {text!r}"
        raise UsageError(f"Cannot read {option}", rule=rule) from error


def _print_verdict(results: Results) -> None:
    for leak in results.leaks:
        typer.secho(
            f"LEAK: {leak.samples} of {results.data.samples} held-out samples share {leak.groups} groups and "
            f"{leak.images} images with what {leak.system} was trained on, for example {', '.join(leak.examples)}",
            fg="red",
            err=True,
        )
    for comparison in results.comparisons:
        if comparison.name == results.headline:
            typer.echo(comparison.words)


def named_paths(values: Sequence[str], option: str) -> dict[str, Path]:
    """Read NAME=PATH or PATH, whose name is that of the file or folder.

    Raises:
        UsageError: If two have one name.
    """
    found: dict[str, Path] = {}
    for value in values:
        name, separator, path = value.partition("=")
        # A path may hold "=": then a file of that name is there.
        if not separator or Path(value).exists():
            name, path = Path(value).resolve().stem, value
        if name in found:
            rule = f"each needs a name of its own, {name!r} is given twice"
            raise UsageError(f"Cannot read {option}", rule=rule, action="Say NAME=PATH")
        found[name] = Path(path)
    return found


def _named(values: Sequence[str], option: str) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, separator, text in pairs:
        if not (name and separator and text):
            raise UsageError(f"Cannot read {option}", rule=f"it must be NAME=TEXT, got {name!r}")
    return {name: text for name, _, text in pairs}


def read_endpoint(url: str | None, model: str | None, key: Path | None) -> EndpointSettings | None:
    """Make the settings of a server from options; None where none is named.

    Raises:
        UsageError: If one of the options is missing.
        InputNotFoundError: If there is no such key file.
    """
    from domainvl.endpoint import EndpointSettings, read_key

    if url is None and model is None and key is None:
        return None
    if url is None or model is None:
        rule = f"--endpoint and --endpoint-model go together, got {url!r} and {model!r}"
        raise UsageError("Cannot ask a server", rule=rule)
    return EndpointSettings(url, model, read_key(key))


@contextmanager
def answering_bars() -> Iterator[Progress]:
    """Show a bar for each system on stderr while it answers."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        shown = {}

        def show(system: str, done: int, total: int) -> None:
            if system not in shown:
                shown[system] = bars.add_task(system, total=total)
            bars.update(shown[system], completed=done)

        yield show
