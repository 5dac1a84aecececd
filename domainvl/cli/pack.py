"""``domainvl pack`` and ``domainvl unpack``: a data set in few large files, and back byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.errors import UsageError

PACK_EPILOG = "Example: domainvl pack chest --to wds --out chest-shards"
UNPACK_EPILOG = "Example: domainvl unpack chest-shards --out chest"


def pack(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    to: Annotated[str, typer.Option(help="wds (tar files for WebDataset) or parquet (for Hugging Face).")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    shard_mb: Annotated[int, typer.Option(help="Size of a shard in megabytes, about.", min=1)] = 1000,
    overwrite: Annotated[bool, typer.Option(help="Replace a packed data set that is there.")] = False,
) -> None:
    """Pack a data set into few large files without re-encoding anything; unpack gives it back."""
    from rich.console import Console
    from rich.progress import Progress

    from domainvl.schema.packing import PackKind, pack_dataset

    if to not in list(PackKind):
        raise UsageError("Cannot pack", rule=f"--to must be one of {', '.join(PackKind)}, got {to!r}")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"Packing to {to}", total=None)
        summary = pack_dataset(
            dataset,
            out,
            to=PackKind(to),
            shard_mb=shard_mb,
            overwrite=overwrite,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    images = summary.index.images
    typer.echo(f"{summary.sample_count} samples in {summary.shard_count} shards in {out}")
    typer.echo(
        f"  {images.distinct_count} images of {images.distinct_bytes / 1e6:.1f} MB; each sample holds its own, "
        f"which makes {images.stored_count} of {images.stored_bytes / 1e6:.1f} MB"
    )


def unpack(
    packed: Annotated[Path, typer.Argument(help="Folder that domainvl pack made.")],
    out: Annotated[Path, typer.Option(help="Folder of the data set to make.")],
    overwrite: Annotated[bool, typer.Option(help="Replace a data set that is there.")] = False,
) -> None:
    """Give back the data set that was packed, byte for byte, or say what is damaged."""
    from rich.console import Console
    from rich.progress import Progress

    from domainvl.schema.packing import unpack_dataset

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("Unpacking", total=None)
        summary = unpack_dataset(
            packed,
            out,
            overwrite=overwrite,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    typer.echo(f"{summary.sample_count} samples in {out}")
