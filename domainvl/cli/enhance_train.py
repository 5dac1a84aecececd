"""``domainvl enhance train``: train an enhancer on registered pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from domainvl.cli.progress import unstarted_bar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from domainvl.enhance.training.reporting import TrainingSummary
    from domainvl.training.log import LogRow

EPILOG = "Example: domainvl enhance train pairs --out enhancer --size small --steps 500"

NetworkName = Literal["sdan", "plain", "per-tap"]
_ALIGNMENTS = {"sdan": "shared", "plain": "none", "per-tap": "per-tap"}


def train(
    pairs: Annotated[Path, typer.Argument(help="Folder that enhance register wrote.")],
    out: Annotated[Path, typer.Option(help="Folder of the run to make.")],
    network: Annotated[
        NetworkName,
        typer.Option(help="sdan; plain: the same without alignment; per-tap: an offset for each tap of the kernel."),
    ] = "sdan",
    size: Annotated[
        Literal["published", "small"],
        typer.Option(help="What is not given below: as published, or for minutes on a CPU (32 features, 8 blocks)."),
    ] = "published",
    features: Annotated[int | None, typer.Option(help="Channels between the layers.", min=4)] = None,
    blocks: Annotated[int | None, typer.Option(help="Residual blocks.", min=1)] = None,
    pack_block: Annotated[
        int | None, typer.Option(help="Side of the blocks of the packing attention in pixels; 0 leaves it out.", min=0)
    ] = None,
    no_reference_flips: Annotated[
        bool, typer.Option("--no-reference-flips", help="Do not show the offset network the reference's flips.")
    ] = False,
    largest_offset_px: Annotated[
        float | None, typer.Option(help="Bound of the offsets in low pixels; none if left out.")
    ] = None,
    zero_first_offsets: Annotated[
        bool, typer.Option("--zero-first-offsets", help="Begin with offsets of zero instead of random ones.")
    ] = False,
    bicubic_skip: Annotated[
        bool | None,
        typer.Option(
            "--bicubic-skip/--no-bicubic-skip",
            help="Whether the network only adds to the bicubic enlargement; small ones do where the bands allow it.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the run.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Crops in a step.", min=1)] = None,
    crop_px: Annotated[
        int | None, typer.Option(help="Side of a crop in low pixels, a multiple of the packing block.", min=4)
    ] = None,
    border_px: Annotated[
        int | None,
        typer.Option(help="High pixels at each side of a crop that the loss leaves out; 1/18 of the crop.", min=0),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Adam's learning rate; 2e-4 as published, 1e-3 for --size small.")
    ] = None,
    restart_every: Annotated[
        int | None, typer.Option(help="Steps of the rate's first cycle; each is twice as long as the last.", min=1)
    ] = None,
    alignment_weight: Annotated[
        float, typer.Option(help="Weight of the alignment loss against the picture's.", min=0)
    ] = 1.0,
    least_valid: Annotated[
        float, typer.Option(help="Share of a crop that must be valid, or another is drawn.", min=0, max=1)
    ] = 0.5,
    no_augmentation: Annotated[
        bool, typer.Option("--no-augmentation", help="Do not flip and transpose crops.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of weights and crops.", min=0)] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads of torch.", min=1)] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between looks at held-out pairs.", min=1)] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between saved states.", min=1)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")] = "auto",
    tracking: Annotated[
        Literal["tensorboard", "none"], typer.Option(help="Where numbers and pictures go besides the run's folder.")
    ] = "tensorboard",
) -> None:
    """Train an enhancer on registered pairs, on a GPU if there is one.

    A run that is done goes on with --resume and more --steps.
    """
    from domainvl.enhance.pairs.records import PairSet
    from domainvl.enhance.training.reporting import Reporting
    from domainvl.enhance.training.run import train_enhancer
    from domainvl.enhance.training.settings import make_settings
    from domainvl.training.stopping import announce

    pair_set = PairSet(pairs)
    layers = {
        "alignment": _ALIGNMENTS[network],
        "features": features,
        "blocks": blocks,
        "pack_block": pack_block,
        "flips": not no_reference_flips,
        "largest_offset_px": largest_offset_px,
        "bicubic_skip": bicubic_skip,
    }
    asked = {
        "zero_first_offsets": zero_first_offsets,
        "steps": steps,
        "batch": batch,
        "crop_px": crop_px,
        "border_px": border_px,
        "learning_rate": lr,
        "restart_every": restart_every,
        "alignment_weight": alignment_weight,
        "least_valid": least_valid,
        "augment": not no_augmentation,
        "seed": seed,
        "validate_every": validate_every,
        "save_every": save_every,
    }
    settings = make_settings(size, pair_set.index, layers, asked)
    if network == "plain":
        _say_what_is_idle(
            {
                "--pack-block": pack_block is not None,
                "--no-reference-flips": no_reference_flips,
                "--largest-offset-px": largest_offset_px is not None,
                "--zero-first-offsets": zero_first_offsets,
                "--alignment-weight": alignment_weight != 1.0,
            }
        )
    with unstarted_bar() as progress:
        bar = progress.add_task(network, total=settings.steps)

        def show(row: LogRow) -> None:
            progress.start()
            _show(progress, bar, row)

        def say(line: str) -> None:
            progress.console.print(line, markup=False, highlight=False)

        summary = train_enhancer(
            pair_set,
            out,
            settings,
            resume=resume,
            device=device,
            threads=threads,
            tracking=tracking,
            reporting=Reporting(show, say, announce),
        )
    _print(summary)


def _say_what_is_idle(given: dict[str, bool]) -> None:
    names = [name for name, is_given in given.items() if is_given]
    if names:
        typer.echo(f"{', '.join(names)}: without effect, since a plain network has no alignment", err=True)


def _show(progress: Progress, bar: TaskID, row: LogRow) -> None:
    if row["kind"] == "train":
        progress.update(bar, completed=row["step"], description=f"loss {row['loss']:.4f}")
    else:
        progress.console.print(f"step {row['step']}: {_look(row)}", markup=False, highlight=False)


def _look(row: LogRow) -> str:
    said = f"held-out PSNR {_number(row['psnr_db'], 'z.2f')} dB"
    if "bicubic_psnr_db" in row:
        said += f", {_number(row['gain_db'], '+z.2f')} dB against bicubic"
    if "mean_flow_px" in row:
        said += f"; mean flow {_number(row['mean_flow_px'], '.2f')} low px, alignment loss "
        said += f"{_number(row['alignment_loss'], '.4f')} against "
        said += f"{_number(row['zero_offset_alignment_loss'], '.4f')} without"
    return said


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)


def _print(summary: TrainingSummary) -> None:
    if summary.steps_here == 0:
        typer.echo(f"the run was done before: it has its {summary.steps} steps; more --steps would go on")
    typer.echo(
        f"{summary.steps} steps on {summary.pairs} pairs, {summary.parameters:,} weights, mean loss of the last steps "
        f"{summary.loss:.4f}, {summary.seconds:.0f} s"
    )
    if summary.left_out:
        first = summary.left_out[0].message
        typer.echo(f"left out: {len(summary.left_out)} pairs; {first}; each is listed in {summary.out}/left-out.jsonl")
    if summary.redrawn:
        typer.echo(
            f"crops with too few valid pixels: {summary.redrawn} drawn anew, {summary.few_valid} taken all the same"
        )
    if summary.look:
        typer.echo(f"last look at {summary.held_out} held-out pairs: {_look(dict(summary.look))}")
    typer.echo(
        f"checkpoint {summary.out / 'checkpoint'}, log {summary.out / 'log.jsonl'}, pictures {summary.out / 'pictures'}"
    )
