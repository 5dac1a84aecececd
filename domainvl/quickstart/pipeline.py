"""One domain of the quickstart from inputs to scores, by the same functions that the commands call."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.quickstart.domains import (
    GENERATED,
    OWN,
    REAL,
    QuickstartDomain,
    identity_settings,
    split_settings,
)

if TYPE_CHECKING:
    from domainvl.conversion import ConversionSummary
    from domainvl.evaluation.run import EvaluationSummary

TABLE_SYSTEMS = ("base", "adapted", "majority", "blank images")
"""Systems in the order of the table's columns; the gain is left to scores.json."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class DomainResult:
    """What one domain gave.

    Attributes:
        domain: Its name.
        dataset: Its data set.
        run: Its run of finetune.
        scores: Its results.
        head: Head of the table's columns.
        lines: Rows of the table, each with the kind of its input: generated, real or own.
        failed_count: Inputs that could not be used.
    """

    domain: str
    dataset: Path
    run: Path
    scores: Path
    head: list[str]
    lines: list[tuple[str, list[str]]]
    failed_count: int


def run_domain(
    domain: QuickstartDomain, out: Path, *, seed: int, data: Path | None, labels: Path | None, say: Say
) -> DomainResult:
    """Convert, adapt and compare for one domain.

    Args:
        domain: Which.
        out: Folder for all of it.
        seed: Of generated inputs.
        data: The user's own input; generated files where None.
        labels: Labels for it.
        say: Prints a line.
    """
    import torch

    from domainvl.training.recipe import load_recipe
    from domainvl.training.run import finetune

    # One thread: more are slower on a model this small, and the same bits come out on every machine.
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    if data is None:
        source, settings = out / "inputs", domain.generate(out / "inputs", seed)
        say(f"wrote generated inputs to {source}")
    else:
        source, settings = data, {"labels": labels} if labels is not None else {}
    dataset, run, scores = out / "dataset", out / "run", out / "scores"
    summary = _convert(domain, source, dataset, settings | split_settings() | identity_settings(domain, out), say)
    say(_command("finetune", recipe=domain.recipe, data=dataset, out=run))
    trained = finetune(load_recipe(domain.recipe), dataset, run)
    say(f"{trained.steps} steps, loss {trained.final_loss:.3f}, {trained.seconds:.0f} s")
    evaluated = _evaluate(run, dataset, scores, dataset, say)
    kind = GENERATED if data is None else OWN
    lines = [(kind, cells) for cells in _cells(evaluated)]
    if data is None and domain.converter == "dicom":
        lines += [(REAL, cells) for cells in _real_dicom(domain, out, run, dataset, say)]
    return DomainResult(domain.name, dataset, run, scores, _head(), lines, summary.failed_count)


def _convert(
    domain: QuickstartDomain, source: Path, dataset: Path, settings: Mapping[str, Any], say: Say
) -> ConversionSummary:
    from domainvl.conversion import convert, load_converter

    say(_command(f"convert {domain.converter}", source, out=dataset, **settings))
    converter = load_converter(domain.converter)
    summary = convert(converter, source, dataset, converter.settings_type(**settings))
    left_out = sum(row["count"] for row in summary.manifest["rejects"])
    say(f"{summary.sample_count} samples, {left_out} inputs left out, {summary.failed_count} of them failed")
    return summary


def _evaluate(run: Path, dataset: Path, scores: Path, training_data: Path, say: Say) -> EvaluationSummary:
    from domainvl.evaluation.run import EvaluationSettings, evaluate

    say(_command("eval", model=run, data=dataset, out=scores))
    settings = EvaluationSettings(batch_size=64)
    return evaluate(str(run), dataset, scores, training_data=training_data, settings=settings)


def _real_dicom(domain: QuickstartDomain, out: Path, run: Path, training_data: Path, say: Say) -> list[list[str]]:
    """Score the adapted model on the real DICOM files that come with pydicom; it was not trained on any."""
    from domainvl.converters.dicom.generate import wheel_files

    source = out / "real-inputs"
    source.mkdir()
    for path in wheel_files():
        (source / path.name).write_bytes(path.read_bytes())
    settings = {"val_fraction": 0.0, "test_fraction": 0.999} | identity_settings(domain, out)
    _convert(domain, source, out / "real-dataset", settings, say)
    return _cells(_evaluate(run, out / "real-dataset", out / "real-scores", training_data, say))


def _head() -> list[str]:
    return ["domain", "task", "metric", "n", "groups", *TABLE_SYSTEMS]


def _cells(summary: EvaluationSummary) -> list[list[str]]:
    from domainvl.evaluation.report import table_cells

    return table_cells({system: summary.rows[system] for system in TABLE_SYSTEMS})


def _command(name: str, *arguments: object, **options: object) -> str:
    """Write the command that does the same."""
    parts = ["domainvl", *name.split(), *(str(argument) for argument in arguments)]
    for option, value in options.items():
        parts += [f"--{option.replace('_', '-')}", str(value)]
    return "$ " + shlex.join(parts)
