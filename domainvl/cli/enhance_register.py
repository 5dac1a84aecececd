"""``domainvl enhance register``: makes registered pairs of low and high views that do not line up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.enhance.pairs.register import Registered
    from domainvl.enhance.pairs.settings import RegisterSettings

EPILOG = "Example: domainvl enhance register low high --scale 2 --out pairs"

_ACTION = "See domainvl enhance register --help"
_ALPHA_HINT = "If it is data, such as near infrared, unflag it: gdal_edit.py -colorinterp_4 undefined FILE"
_SHOWN = 40
"""Pairs and rejects that the table lists; the files have all."""
_Chosen = TypeVar("_Chosen", bound=str)


def register(
    first: Annotated[Path, typer.Argument(metavar="LOW", help="Low views, or a folder that holds both.")],
    second: Annotated[Path | None, typer.Argument(metavar="[HIGH]", help="High views, where they lie apart.")] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the registered pairs to make.")],
    scale: Annotated[int, typer.Option(help="2, 4 or 8: times the rows and columns of the low views.")],
    layout: Annotated[
        str | None, typer.Option(help="folders, geotiffs, city100 or sr-raw; by what is there where not given.")
    ] = None,
    method: Annotated[str, typer.Option("--register", help="What to look for: shift, affine or none.")] = "shift",
    shrink_low: Annotated[
        bool | None,
        typer.Option(
            "--shrink-low/--no-shrink-low",
            help="Shrink low views first: they are stored at the high ones' size. So for city100 where not given.",
        ),
    ] = None,
    mosaic: Annotated[bool, typer.Option("--mosaic", help="Low views are raw Bayer mosaics of one band.")] = False,
    largest_shift_px: Annotated[
        float | None,
        typer.Option(help="Reject pairs further apart, in low pixels; a quarter of the low view where not given."),
    ] = None,
    least_similarity: Annotated[
        float, typer.Option(help="Reject pairs whose gradients correlate less after registration.")
    ] = 0.25,
    least_size_px: Annotated[int, typer.Option(help="Reject pairs with fewer low rows or columns left.")] = 32,
    least_valid: Annotated[float, typer.Option(help="Reject pairs with a smaller share of valid pixels.")] = 0.5,
    window_px: Annotated[int, typer.Option(help="Side of a GeoTIFF's windows in low pixels.")] = 128,
    largest_mpx: Annotated[float, typer.Option(help="Reject pictures of more megapixels, read whole.")] = 50.0,
    val_share: Annotated[float, typer.Option(help="Share of the scenes for validation.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Share of the scenes for the test.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Decides which scenes these are.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes; 0 for none but this one. As many as there are cores where not given."),
    ] = None,
    unit_timeout_s: Annotated[float, typer.Option(min=0, help="Seconds that a pair may take; 0 for any time.")] = 600.0,
    force_medical: Annotated[
        bool,
        typer.Option("--force-medical", help="Take medical pictures too, for research; pairs.json says so."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace registered pairs that are there.")] = False,
) -> None:
    """Find the global shift of each pair, take it out, and reject pairs that do not match, with reasons."""
    from domainvl.engine import Execution, usable_cores
    from domainvl.enhance.pairs.layouts import guess_layout
    from domainvl.enhance.pairs.register import register_pairs
    from domainvl.enhance.pairs.settings import LAYOUTS, METHODS

    chosen = guess_layout(first, second) if layout is None else _choose("--layout", layout, LAYOUTS)
    settings = _settings(
        scale=scale,
        layout=chosen,
        method=_choose("--register", method, METHODS),
        shrink_low=chosen == "city100" if shrink_low is None else shrink_low,
        mosaic=mosaic,
        largest_shift_px=largest_shift_px,
        least_similarity=least_similarity,
        least_size_px=least_size_px,
        least_valid=least_valid,
        window_px=window_px,
        largest_mpx=largest_mpx,
        val_share=val_share,
        test_share=test_share,
        seed=seed,
        force_medical=force_medical,
    )
    execution = Execution(
        workers=usable_cores() if workers is None else workers,
        unit_timeout_s=unit_timeout_s if unit_timeout_s > 0 else None,
    )
    progress = _show_progress if sys.stderr.isatty() else None
    result = register_pairs(first, second, out, settings, execution, overwrite=overwrite, on_progress=progress)
    _print(result)
    if result.exit_code:
        raise typer.Exit(int(result.exit_code))


def _choose(option: str, name: str, known: tuple[_Chosen, ...]) -> _Chosen:
    chosen = next((one for one in known if one == name), None)
    if chosen is None:
        raise UsageError(
            "Cannot register", rule=f"{option} must be one of {', '.join(known)}, got {name!r}", action=_ACTION
        )
    return chosen


def _settings(**values: object) -> RegisterSettings:
    """Check options against their bounds and each other.

    Raises:
        UsageError: If one breaks a bound, or two do not go together.
    """
    from pydantic import ValidationError

    from domainvl.enhance.pairs.settings import RegisterSettings

    try:
        return RegisterSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        rule = first["msg"].removeprefix("Value error, ")
        if first["loc"]:
            option = str(first["loc"][0]).replace("_", "-")
            rule = f"--{option}: {rule}, got {first['input']!r}"
        raise UsageError("Cannot register", rule=rule, action=_ACTION) from error


def _show_progress(done: int, planned: int) -> None:
    """Write how far it is over the line before; the line is cleared at the end."""
    typer.echo("\r\x1b[K" if done == planned else f"\r\x1b[K{done} of {planned} pairs", nl=False, err=True)


def _print(result: Registered) -> None:
    """Print a line a pair, what was rejected and why, and the sums."""
    import statistics

    from rich.console import Console
    from rich.table import Table

    from domainvl.enhance.pairs.records import REJECTS_NAME
    from domainvl.enhance.pairs.register import CONTACT_NAME

    table = Table("pair", "split", "shift px (rows, columns)", "left px", "similarity", "before", box=None)
    for record in result.records[:_SHOWN]:
        table.add_row(
            record.id,
            record.split,
            f"{record.shift_px[0]:+.2f}, {record.shift_px[1]:+.2f}",
            f"{record.residual_px:.2f}",
            f"{record.similarity:.2f}",
            f"{record.similarity_before:.2f}",
        )
    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(table)
    if len(result.records) > _SHOWN:
        typer.echo(f"... and {len(result.records) - _SHOWN} more")
    for reject in result.rejects[:_SHOWN]:
        action = "" if reject.action is None else f" {reject.action}."
        typer.echo(f"{reject.severity}: {reject.input}: {reject.reason}: {reject.message.removesuffix('.')}.{action}")
    if len(result.rejects) > _SHOWN:
        typer.echo(f"... and {len(result.rejects) - _SHOWN} more in {result.out / REJECTS_NAME}")
    splits = ", ".join(f"{count} {split}" for split, count in result.index.counts.items())
    left_px = statistics.median(record.residual_px for record in result.records)
    alike = statistics.median(record.similarity for record in result.records)
    typer.echo(f"{result.out}: {len(result.records)} pairs ({splits}) in low pixels at x{result.index.scale}")
    _print_bands(result)
    typer.echo(f"median: {left_px:.2f} px left, similarity {alike:.2f}; look at {result.out / CONTACT_NAME}")
    if result.index.rejected:
        told = ", ".join(f"{count} {reason}" for reason, count in result.index.rejected.items())
        typer.echo(f"left out: {told}")
    empty = [split for split, count in result.index.counts.items() if count == 0]
    if empty:
        typer.echo(f"no pair is in {' or '.join(empty)}: there are too few scenes, or its share is 0")


def _print_bands(result: Registered) -> None:
    """Print how many bands the views have, and what may have taken one from them unseen."""
    low, high = result.index.low_view, result.index.high_view
    told = [f"{side} views: {view.bands} x {view.dtype}" for side, view in (("low", low), ("high", high))]
    typer.echo(f"bands: {', '.join(told)}")
    if result.with_alpha:
        typer.echo(
            f"files with a band flagged as alpha, which is taken for validity and is none of these bands: "
            f"{len(result.with_alpha)}, such as {result.with_alpha[0]}. {_ALPHA_HINT}."
        )
    if low.bands != high.bands and not result.index.mosaic:
        typer.echo(
            f"Warning: low views have {low.bands} bands and high views {high.bands}: bicubic resampling cannot be "
            f"compared with. A band flagged as alpha is taken for validity. {_ALPHA_HINT}.",
            err=True,
        )
