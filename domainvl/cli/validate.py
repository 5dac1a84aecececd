"""``domainvl validate``: every rule of the format, each breach with file, line, rule and fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domainvl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from domainvl.schema.validation import ValidationOptions, ValidationReport

EPILOG = (
    "Example: domainvl validate data --phi --canary names.txt. "
    "Exit codes: 0 no errors, 2 usage or no such data set, 8 faults were found."
)

DEFAULT_MAX_PER_RULE = 20


def _print_rules(wanted: bool) -> None:
    if not wanted:
        return
    from domainvl.schema.validation import RULES

    for rule in RULES.values():
        typer.echo(f"{rule.code} ({rule.severity.value})\n    {rule.demand}\n    Fix: {rule.fix}")
    raise typer.Exit


def validate(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    phi: Annotated[
        bool,
        typer.Option(
            "--phi", help="Look for identifiers of persons too, by their form; what is found is shown masked."
        ),
    ] = False,
    canary: Annotated[
        Path | None,
        typer.Option(
            help="File of strings that must not be left, in any file or name: one a line, or a re-identification map; "
            "implies --phi."
        ),
    ] = None,
    no_pixels: Annotated[
        bool, typer.Option("--no-pixels", help="Do not decode the images; they must exist and hold something.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail too.")] = False,
    max_per_rule: Annotated[
        int, typer.Option(help="Findings of each rule to print; 0 prints all that are kept. All are counted.")
    ] = DEFAULT_MAX_PER_RULE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    rules: Annotated[
        bool, typer.Option("--rules", callback=_print_rules, is_eager=True, help="List the rules and their fixes.")
    ] = False,
) -> None:
    """Check a data set against every rule of the format."""
    from domainvl.schema.validation import Severity, ValidationOptions, read_canaries

    if max_per_rule < 0:
        raise UsageError("Cannot print findings", rule=f"--max-per-rule must be 0 or more, got {max_per_rule}")
    options = ValidationOptions(
        pixels=not no_pixels,
        identifiers=phi or canary is not None,
        canaries=read_canaries(canary) if canary is not None else (),
    )
    report = _run(dataset, options)
    if as_json:
        _print_json(report, options)
    else:
        _print_text(report, options, max_per_rule)
    if report.count(Severity.ERROR) or (strict and report.count(Severity.WARNING)):
        raise typer.Exit(int(ExitCode.PARTIAL))


def _run(dataset: Path, options: ValidationOptions) -> ValidationReport:
    from rich.console import Console
    from rich.progress import Progress

    from domainvl.schema.validation import validate as run_validation

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("Checking", total=None)
        return run_validation(
            dataset,
            options,
            on_progress=lambda what, done, total: progress.update(
                bar, description=f"Checking {what}", completed=done, total=total
            ),
        )


def _print_json(report: ValidationReport, options: ValidationOptions) -> None:
    from domainvl.schema.validation import Severity

    head: dict[str, Any] = {
        "dataset": str(report.dataset),
        "samples": report.samples,
        "errors": report.count(Severity.ERROR),
        "warnings": report.count(Severity.WARNING),
        "checked": {
            "pixels": options.pixels,
            "identifiers": options.identifiers,
            "canaries": len(options.canaries),
        },
        "kept_per_rule": report.kept_per_rule,
        "not_listed": sum(report.counts.values()) - len(report.findings),
        "counts": dict(report.counts),
        "unchecked": dict(report.unchecked),
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.value,
                "file": finding.file,
                "line": finding.line,
                "message": finding.message,
                "fix": finding.fix,
            }
            for finding in report.findings
        ],
    }
    typer.echo(json.dumps(head, indent=1))


def _print_text(report: ValidationReport, options: ValidationOptions, max_per_rule: int) -> None:
    from domainvl.schema.validation import Severity

    printed: dict[str, int] = {}
    for finding in report.findings:
        number = printed.get(finding.rule, 0)
        if max_per_rule and number >= max_per_rule:
            continue
        printed[finding.rule] = number + 1
        place = str(report.dataset / finding.file) + (f":{finding.line}" if finding.line is not None else "")
        typer.echo(_printable(f"{place}: {finding.severity.value} {finding.rule}: {finding.message}. {finding.fix}."))
    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    skipped = "" if options.pixels else ", images not decoded"
    typer.echo(f"{_count(report.samples, 'sample')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}{skipped}")
    for code, count in report.counts.items():
        hidden = count - printed.get(code, 0)
        typer.echo(f"  {code:<28}{count:>8}" + (f"  ({hidden} not printed)" if hidden else ""))
    for what, count in report.unchecked.items():
        typer.echo(f"  not checked: {count} {what}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _printable(text: str) -> str:
    """Keep a finding on one line, and escape what cannot be printed: file names that are not UTF-8."""
    return " ".join(text.splitlines()).encode("utf-8", "backslashreplace").decode("utf-8")
