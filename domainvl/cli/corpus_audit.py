"""``domainvl corpus audit``: how often each rule of a filter is wrong, by a reviewer's marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domainvl.errors import ExitCode, NothingToDoError, UsageError

if TYPE_CHECKING:
    from domainvl.corpus.auditing.marks import MarksFile
    from domainvl.corpus.filtering.filtered import FilteredCorpus

EPILOG = "Example: domainvl corpus audit filtered --sample 50 --out audit"

_LISTED = 20
_SAMPLE, _MIN_MARKS = 50, 20
"""Where nobody says it."""


def audit(
    corpus: Annotated[Path, typer.Argument(help="A corpus made by domainvl corpus filter.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to make, with a page to read and marks.csv to fill in.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Most things of each rule, and of kept documents, paragraphs and images; 50."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed draws others; 0.")] = None,
    marks: Annotated[Path | None, typer.Option(help="The marks.csv, filled in: print what it says.")] = None,
    min_marks: Annotated[int | None, typer.Option(min=1, help="No cut-off is proposed by fewer marks; 20.")] = None,
    profile_out: Annotated[
        Path | None, typer.Option(help="YAML file to write: the profile with the proposed cut-offs.")
    ] = None,
) -> None:
    """Draw what a reviewer should mark as keep or drop, or say what the marks say of each rule.

    With --marks: how much of what each rule removed should have been kept, how much of what was kept it should have
    removed, both with 95 % intervals, and cut-offs that fit the marks better.
    """
    from domainvl.corpus.filtering.filtered import FilteredCorpus
    from domainvl.viewing.corpus.audit import write_audit

    if (out is None) == (marks is None):
        rule = "give either --out, to draw what is to be marked, or --marks, to read what was marked"
        raise UsageError("Cannot audit a corpus", rule=rule)
    if marks is None:
        _refuse({"--min-marks": min_marks, "--profile-out": profile_out}, needed="--marks")
    else:
        _refuse({"--sample": sample, "--seed": seed}, needed="--out")
    filtered = FilteredCorpus.open(corpus)
    if out is not None:
        strata = write_audit(filtered, out, sample=sample or _SAMPLE, seed=seed or 0)
        for stratum in strata:
            name = f"{stratum.level.value}, {stratum.rule or 'kept'}"
            typer.echo(f"  {len(stratum.things):>6} of {stratum.size:>8,}  {name}")
        typer.echo(f"{sum(len(stratum.things) for stratum in strata):,} things to mark in {out}")
    elif marks is not None:
        _read(filtered, marks, min_marks or _MIN_MARKS, profile_out)


def _refuse(options: Mapping[str, object], *, needed: str) -> None:
    """Refuse options that would do nothing."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError("Cannot audit a corpus", rule=f"{', '.join(given)} goes with {needed} alone")


def _read(corpus: FilteredCorpus, marks: Path, min_marks: int, profile_out: Path | None) -> None:
    from domainvl.corpus.auditing.marks import read_marks
    from domainvl.corpus.auditing.proposing import propose, write_profile
    from domainvl.corpus.auditing.rates import measure_rates
    from domainvl.corpus.auditing.things import draw_sample
    from domainvl.viewing.corpus.audit import format_proposals, format_rates

    read = read_marks(marks, corpus.documents())
    _print_rejects(read)
    if not read.marked:
        rule = f"no row has a mark that can be used; {read.unmarked:,} have none"
        raise NothingToDoError("Nothing to count", where=marks, rule=rule, action="Write keep or drop into mark")
    strata = draw_sample(corpus.documents(), sample=0, seed=0)  # for the sizes
    typer.echo(f"{len(read.marked):,} marks, {read.unmarked:,} rows without\n")
    typer.echo(format_rates(measure_rates(strata, read.marked)))
    proposals = propose(corpus.profile, strata, read.marked, corpus.documents(), min_marks=min_marks)
    if proposals:
        typer.echo(
            f"\ncut-offs; errors are those that the marks stand for in the corpus\n{format_proposals(proposals)}"
        )
    else:
        typer.echo(f"\nno cut-off is proposed: no rule with a number has {min_marks} marks or more")
    if profile_out is not None:
        write_profile(profile_out, corpus.profile, proposals)
        typer.echo(f"\nthe profile with them: {profile_out}")
    if read.rejects:
        raise typer.Exit(ExitCode.PARTIAL)


def _print_rejects(read: MarksFile) -> None:
    for reason, count in sorted(Counter(reject.reason for reject in read.rejects).items()):
        typer.echo(f"{count:>6} rows left out: {reason}", err=True)
    for reject in read.rejects[:_LISTED]:
        typer.echo(f"  {reject.input}: {reject.message}. {reject.action}", err=True)
    if len(read.rejects) > _LISTED:
        typer.echo(f"  and {len(read.rejects) - _LISTED} more", err=True)
