"""``domainvl enhance eval``: whether an enhancer is better than bicubic interpolation, with intervals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from domainvl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from domainvl.enhance.evaluating.contestants import Mode
    from domainvl.enhance.evaluating.results import Evaluation

EPILOG = "Example: domainvl enhance eval pairs --enhancer sdan-run --enhancer plain-run --split test --out verdict"

_MODES = ("zero", "self")
_LISTED = 20


def evaluate(
    pairs: Annotated[Path, typer.Argument(help="Registered pairs, made by domainvl enhance register.")],
    enhancer: Annotated[
        list[str],
        typer.Option(help="Checkpoints or runs, comma-separated or repeated; the verdict is about the first."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make: results.json, pairs.csv, report.html.")],
    split: Annotated[Literal["train", "val", "test", "all"], typer.Option(help="Which pairs.")] = "test",
    modes: Annotated[
        str,
        typer.Option(
            help="What networks with alignment are given as a reference: zero (nothing), self (the low view)."
        ),
    ] = "zero,self",
    lpips: Annotated[
        list[Path] | None,
        typer.Option(help="AlexNet's and LPIPS' weights, .safetensors or .pth; repeatable. Without them no LPIPS."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the resamples that intervals are made from.", min=0)] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of a network; torch chooses else.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an evaluation that is there.")] = False,
) -> None:
    """Compare enhancers with bicubic interpolation and each other on registered pairs.

    PSNR, SSIM, shift-tolerant cPSNR, LPIPS where weights are given, and what was added: consistency, synthesis,
    improvement, omission and hallucination. All with intervals over groups. No enhancer is ever given the high view.
    """
    from domainvl.cli.progress import unstarted_bar
    from domainvl.enhance.evaluating.results import REPORT_NAME, RESULTS_NAME, write_results
    from domainvl.enhance.evaluating.run import FAILED_REASONS, EvaluationSettings
    from domainvl.enhance.evaluating.run import evaluate as run
    from domainvl.enhance.pairs.records import PairSet
    from domainvl.files import check_target, complete_folder
    from domainvl.viewing.enhancement import write_enhancement_report

    settings = EvaluationSettings(
        split=split, modes=_modes(modes), lpips=tuple(lpips or ()), seed=seed, threads=threads
    )
    check_target(out, marker=RESULTS_NAME, overwrite=overwrite)
    found = PairSet(pairs)
    names = [name.strip() for given in enhancer for name in given.split(",") if name.strip()]
    with unstarted_bar() as bar:
        task = bar.add_task("pairs", total=None)

        def show(count: int, total: int) -> None:
            bar.update(task, completed=count, total=total)
            bar.start()

        done = run(found, names, settings, on_pair=show)
    with complete_folder(out) as work:
        write_results(work, done.evaluation, done.measured.figures)
        write_enhancement_report(work / REPORT_NAME, done.evaluation, done.measured.panels)
    _show(done.evaluation, out)
    if any(one.reason in FAILED_REASONS for one in done.evaluation.left_out):
        raise typer.Exit(int(ExitCode.PARTIAL))


def _modes(text: str) -> tuple[Mode, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in _MODES]
    if unknown or not names:
        rule = f"--modes must be zero, self or zero,self, got {text!r}"
        raise UsageError("Cannot choose modes", rule=rule, action="The high view is never a reference: it is the truth")
    return tuple(cast("Mode", name) for name in dict.fromkeys(names))


def _show(evaluation: Evaluation, out: Path) -> None:
    from domainvl.enhance.evaluating.results import REPORT_NAME
    from domainvl.enhance.evaluating.tables import headline_table
    from domainvl.viewing.report import plain

    reasons = Counter(one.reason for one in evaluation.left_out)
    for reason, count in sorted(reasons.items()):
        typer.echo(f"{count:>6} pairs left out: {reason}", err=True)
    for one in evaluation.left_out[:_LISTED]:
        typer.echo(f"  {plain(one.pair)}: {plain(one.message, 200)}", err=True)
    if len(evaluation.left_out) > _LISTED:
        typer.echo(f"  and {len(evaluation.left_out) - _LISTED} more in results.json", err=True)
    typer.echo(headline_table(evaluation))
    for sentence in evaluation.verdict:
        typer.echo(sentence)
    typer.echo(f"report {out / REPORT_NAME}")
