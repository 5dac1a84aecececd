"""``domainvl enhance apply``: pictures, folders of them and GeoTIFFs of any size, enlarged."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from domainvl.enhance.applying.modes import Enhancement
    from domainvl.enhance.applying.run import ApplyResult

EPILOG = "Example: domainvl enhance apply bicubic-x2 scene.tif --out enlarged"

_FAILURES_SHOWN = 10


class ModeName(enum.StrEnum):
    """How ``--mode`` names what the network aligns its output to."""

    ZERO = "zero"
    SELF = "self"
    GIVEN = "given"


def apply(
    enhancer: Annotated[
        str,
        typer.Argument(help="What domainvl enhance train wrote, or bicubic-x2, bicubic-x4, bicubic-x8."),
    ],
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, GeoTIFFs of any size, and folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder of what is made; a folder's files lie in it as they lay there.")],
    mode: Annotated[
        ModeName,
        typer.Option(
            help="zero: no reference (zero offset). self: the input's own colours are the reference. given: "
            "--reference is. Each output names its mode."
        ),
    ] = ModeName.ZERO,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Reference of --mode given, brought to the input's grid by its georeference or its shape. One as fine "
            "as the output is refused: it would be the truth."
        ),
    ] = None,
    tile_px: Annotated[int, typer.Option(min=32, max=4096, help="Side of the tiles, in pixels of the input.")] = 256,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the network; torch's choice if left out.")] = (
        None
    ),
    force_medical: Annotated[
        bool,
        typer.Option("--force-medical", help="Enhance medical pictures too, for research; every output says so."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that another enhancer or mode made.")
    ] = False,
) -> None:
    """Enlarge pictures, folders of them and GeoTIFFs of any size.

    PNG and JPEG become PNG, turned as their Exif orientation says; everything else becomes a tiled GeoTIFF with the
    place, bands, nodata and tags of the input. enhanced.jsonl lists every input. The same command goes on where a
    stopped one ended.
    """
    from domainvl.cli.progress import training_bar
    from domainvl.enhance.applying.modes import Mode, open_enhancement
    from domainvl.enhance.applying.run import apply as run

    enhancement = open_enhancement(
        enhancer,
        mode=Mode[mode.name],
        reference=reference,
        tile_px=tile_px,
        threads=threads,
        forced=force_medical,
    )
    with training_bar() as progress:
        files = progress.add_task("files", total=None, visible=False)
        tiles = progress.add_task("tiles of this file", total=None, visible=False)
        result = run(
            inputs,
            out,
            enhancement,
            overwrite=overwrite,
            on_file=lambda name, done, total: progress.update(files, completed=done, total=total, visible=True),
            on_tile=lambda done, total: progress.update(tiles, completed=done, total=total, visible=True),
        )
    _print(result, enhancement)
    raise typer.Exit(int(result.exit_code))


def _print(result: ApplyResult, enhancement: Enhancement) -> None:
    from domainvl.enhance.applying.records import RECORDS_NAME

    if result.forced:
        typer.echo(
            f"Warning: {result.forced} medical inputs were let through by --force-medical. Detail in enhanced images "
            "is invented: nothing may be diagnosed from them.",
            err=True,
        )
    by = f"{enhancement.upscaler.name}, {enhancement.mode.value}, x{enhancement.scale}"
    typer.echo(f"{result.enhanced} inputs enhanced in {result.out} ({by}); which: {result.out / RECORDS_NAME}")
    if result.kept:
        typer.echo(f"  kept from an earlier run: {result.kept}")
    if result.ignored:
        typer.echo(f"  files of folders that are no pictures: {result.ignored}")
    for note, count in sorted(result.notes.items()):
        typer.echo(f"  note, {count} outputs: {note}")
    if result.failed:
        typer.echo(f"  failed: {', '.join(f'{count} {reason}' for reason, count in sorted(result.reasons.items()))}")
    for message in list(result.failed.values())[:_FAILURES_SHOWN]:
        typer.echo(f"    {message}", err=True)
    if len(result.failed) > _FAILURES_SHOWN:
        typer.echo(f"    and {len(result.failed) - _FAILURES_SHOWN} more", err=True)
