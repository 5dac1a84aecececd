"""``domainvl export``: a data set in the format of another trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.schema.exchange import ExportSummary, ImageMode
    from domainvl.schema.sample import Split

EPILOG = "Example: domainvl export chest --format ms-swift --out chest-swift"


def export(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="hub (Hugging Face), internvl, llava, ms-swift, openai, sharegpt; vlmevalkit (multiple choice only)",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    images: Annotated[
        str | None,
        typer.Option(
            help="Where the images are to be: link or copy (beside the rows), reference (where they are, by absolute "
            "path) or embed (in the rows; openai, hub, vlmevalkit). Left out: embed for hub and vlmevalkit, else link.",
        ),
    ] = None,
    splits: Annotated[str, typer.Option(help="Which splits, separated by commas.")] = "train,val,test",
    overwrite: Annotated[bool, typer.Option(help="Replace an export that is there.")] = False,
) -> None:
    """Write a data set for another trainer; what its format cannot express is left out, counted and listed."""
    from rich.console import Console
    from rich.progress import Progress

    from domainvl.schema.exchange import export_dataset

    mode, wanted = _image_mode(images), _splits(splits)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"Exporting to {format_name}", total=None)
        summary = export_dataset(
            dataset,
            out,
            format_name=format_name,
            images=mode,
            splits=wanted,
            overwrite=overwrite,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    _print_export(summary)
    raise typer.Exit(int(summary.exit_code))


def _image_mode(name: str | None) -> ImageMode | None:
    from domainvl.schema.exchange import ImageMode

    if name is None:
        return None
    if name not in list(ImageMode):
        raise UsageError("Cannot export", rule=f"--images must be one of {', '.join(ImageMode)}, got {name!r}")
    return ImageMode(name)


def _splits(names: str) -> Sequence[Split]:
    from domainvl.schema.sample import Split

    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in list(Split)]
    if unknown:
        raise UsageError("Cannot export", rule=f"--splits must be among {', '.join(Split)}, got {unknown[0]!r}")
    return [split for split in Split if split in wanted]


def _print_export(summary: ExportSummary) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in summary.counts.items())
    typer.echo(f"{sum(summary.counts.values())} samples in {summary.out} ({counts})")
    if summary.several_images and summary.several_images_note:
        typer.echo(f"  {summary.several_images} of them show several images: {summary.several_images_note}")
    for reason, count in summary.left_out.items():
        typer.echo(f"  failed: {count} x {reason}")
    if summary.left_out:
        typer.echo(f"  each is listed in {summary.out / 'rejects.jsonl'}")
