"""``domainvl plan``: what a run will take, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.cli.options import Changes, parse_plan_method
from domainvl.tiling import MAX_TILES_LIMIT

EPILOG = "Example: domainvl plan --model 2b --method lora --tiles 12 --gpu 24GB"


def plan(
    model: Annotated[str, typer.Option(help="tiny, 1b, 2b, 4b, or the folder of a checkpoint; no weights are read.")],
    method: Annotated[str | None, typer.Option(help="lora, full or qlora; lora, or the recipe's, if left out.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Name of a recipe, or a .yaml file; else what the shipped ones share.")
    ] = None,
    changes: Changes = None,
    tiles: Annotated[
        int | None, typer.Option(help="Most tiles a sample, the thumbnail not counted.", min=1, max=MAX_TILES_LIMIT)
    ] = None,
    text_tokens: Annotated[int, typer.Option(help="Tokens of a sample besides the visual ones.", min=2)] = 256,
    batch: Annotated[int | None, typer.Option(help="Samples at a time; the recipe's if left out.", min=1)] = None,
    data: Annotated[Path | None, typer.Option(help="Data set whose samples are counted.")] = None,
    samples: Annotated[int | None, typer.Option(help="Number of training samples, without --data.", min=1)] = None,
    gpu: Annotated[str | None, typer.Option(help="Memory of the GPU, such as 24GB, 24GiB or 80000MB.")] = None,
    answer_batch: Annotated[int, typer.Option(help="Prompts at a time when answers are generated.", min=1)] = 32,
    new_tokens: Annotated[int, typer.Option(help="Longest answer that is generated.", min=1)] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict the memory, the tokens and the steps of a run, and say what would fit if it does not."""
    from rich.console import Console

    from domainvl.model.quiet import quiet_transformers
    from domainvl.planning.plan import PlanSettings, make_plan, parse_memory
    from domainvl.planning.report import format_plan, plan_to_json

    settings = PlanSettings(
        model=model,
        method=parse_plan_method(method),
        recipe=recipe,
        overrides=tuple(changes or ()),
        max_tiles=tiles,
        text_tokens=text_tokens,
        micro_batch_size=batch,
        dataset=data,
        sample_count=samples,
        memory_bytes=None if gpu is None else parse_memory(gpu),
        answer_batch_size=answer_batch,
        new_tokens=new_tokens,
    )
    quiet_transformers()
    with Console(stderr=True).status("reading") as status:
        made = make_plan(settings, on_trial=lambda said: status.update(f"rehearsing: {said}"))
    typer.echo(plan_to_json(made) if as_json else format_plan(made))
