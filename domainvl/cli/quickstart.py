"""``domainvl quickstart``: the whole line on small inputs, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domainvl.errors import UsageError

EPILOG = "Example: domainvl quickstart --domain medical"


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("quickstart"),
    domain: Annotated[
        list[str] | None, typer.Option(help="remote-sensing, medical or driving; repeatable; all where left out.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Your own folder instead of generated inputs; needs one --domain.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels for --data, in the form that the domain's converter takes.")
    ] = None,
    deid_key: Annotated[
        Path | None, typer.Option(help="Key file for the identifiers in --data; made at random where left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the generated inputs.")] = 0,
    size: Annotated[
        float, typer.Option(help="Share of the full number of inputs and steps, to try it out.", min=0.01, max=1.0)
    ] = 1.0,
    jobs: Annotated[int | None, typer.Option(help="Domains at a time; one a core where left out.", min=1)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")] = False,
) -> None:
    """Convert, adapt and compare for each domain, on a CPU, in minutes.

    The inputs are generated in the fields' own formats with known truth; real DICOM files that come with
    pydicom are scored beside them.
    """
    from domainvl.quickstart.pipeline import OwnInput
    from domainvl.quickstart.run import run_quickstart

    if data is None and (labels is not None or deid_key is not None):
        raise UsageError("Cannot run the quickstart", rule="--labels and --deid-key belong to --data")
    exit_code = run_quickstart(
        out,
        domains=domain,
        own=OwnInput(data, labels, deid_key) if data is not None else None,
        seed=seed,
        size=size,
        jobs=jobs,
        overwrite=overwrite,
        say=typer.echo,
    )
    raise typer.Exit(int(exit_code))
