"""One domain of the quickstart from inputs to scores, by the same functions that the commands call."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.quickstart.domains import (
    GENERATED,
    MEDICAL_TASKS,
    MIN_GROUPS,
    OWN,
    REAL,
    QuickstartDomain,
    identity_settings,
    split_settings,
)

if TYPE_CHECKING:
    from domainvl.conversion import ConversionSummary
    from domainvl.evaluation.results import Results

Say = Callable[[str], object]

_LONGEST_ANSWER = 64
"""Tokens; a system that has not learned to end its answer would go on for long."""


@dataclass(frozen=True)
class OwnInput:
    """The user's own input for one domain.

    Attributes:
        data: File or folder.
        labels: Labels, in the form that the domain's converter takes.
        deid_key: Key for identifiers, where the input has any.
    """

    data: Path
    labels: Path | None = None
    deid_key: Path | None = None


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
    domain: QuickstartDomain, out: Path, *, seed: int, size: float, own: OwnInput | None, say: Say
) -> DomainResult:
    """Convert, adapt and compare for one domain.

    Args:
        domain: Which.
        out: Folder for all of it.
        seed: Of generated inputs.
        size: Share of the full number of generated inputs and of training steps.
        own: The user's own input; generated files where None.
        say: Prints a line.
    """
    import torch

    # One thread: more are slower on a model this small, and the same bits come out for any number of cores.
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    dataset, run, scores = out / "dataset", out / "run", out / "scores"
    source, settings = _inputs(domain, out, seed, size, own)
    say(f"inputs in {source}")
    summary = _convert(domain, source, dataset, settings, say)
    _adapt(domain, dataset, run, size, say)
    kind = GENERATED if own is None else OWN
    lines = [(kind, cells) for cells in _cells(domain, _evaluate(run, dataset, scores, dataset, say))]
    if own is None and domain.converter == "dicom":
        lines += [(REAL, cells) for cells in _score_real_dicom(domain, out, seed, run, dataset, say)]
    return DomainResult(domain.name, dataset, run, scores, _head(), lines, summary.failed_count)


def _inputs(
    domain: QuickstartDomain, out: Path, seed: int, size: float, own: OwnInput | None
) -> tuple[Path, dict[str, Any]]:
    """Find or make the inputs; return where they are and the converter's settings for them."""
    if own is not None:
        labels = {"labels": own.labels} if own.labels is not None else {}
        return own.data, labels | split_settings() | identity_settings(domain, out, own.deid_key, None)
    source = out / "inputs"
    settings = domain.generate(source, max(MIN_GROUPS, round(domain.group_count * size)), seed)
    return source, settings | split_settings() | identity_settings(domain, out, None, seed)


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


def _adapt(domain: QuickstartDomain, dataset: Path, run: Path, size: float, say: Say) -> None:
    from domainvl.training.recipe_files import load_recipe
    from domainvl.training.run import finetune

    steps = load_recipe(domain.recipe).optimisation.max_steps or 0
    change = f"optimisation.max_steps={max(1, round(steps * size))}"
    say(_command("finetune", recipe=domain.recipe, data=dataset, out=run, set=change))
    trained = finetune(load_recipe(domain.recipe, overrides=[change]), dataset, run)
    say(f"{trained.steps} steps, loss {trained.final_loss:.3f}, {trained.seconds:.0f} s")


def _evaluate(run: Path, dataset: Path, scores: Path, training_data: Path, say: Say) -> Results:
    from domainvl.evaluation.contestants import Contestants
    from domainvl.evaluation.run import EvaluationSettings, evaluate

    say(_command("eval", model=run, data=dataset, out=scores, max_new_tokens=_LONGEST_ANSWER))
    settings = EvaluationSettings(batch_size=64, max_new_tokens=_LONGEST_ANSWER)
    return evaluate(Contestants(model=str(run), training_data=training_data), dataset, scores, settings=settings)


def _score_real_dicom(
    domain: QuickstartDomain, out: Path, seed: int, run: Path, training_data: Path, say: Say
) -> list[list[str]]:
    """Score the adapted model on the real DICOM files that come with pydicom; it was not trained on any."""
    from domainvl.converters.dicom.wheel import wheel_files

    source = out / "real-inputs"
    source.mkdir()
    for path in wheel_files():
        (source / path.name).write_bytes(path.read_bytes())
    # Public test files: what is burnt into their pixels names nobody.
    settings = {"val_fraction": 0.0, "test_fraction": 0.999, "tasks": MEDICAL_TASKS, "burnt_in": "allow"}
    settings |= identity_settings(domain, out, None, seed)
    _convert(domain, source, out / "real-dataset", settings, say)
    return _cells(domain, _evaluate(run, out / "real-dataset", out / "real-scores", training_data, say))


def _head() -> list[str]:
    from domainvl.evaluation.contestants import ADAPTED, BASE, BLANK, MAJORITY

    return ["domain", "line", "metric", "n", "groups", ADAPTED, BASE, BLANK, MAJORITY]


def _cells(domain: QuickstartDomain, results: Results) -> list[list[str]]:
    """Return the table's rows: the lines that get a verdict; the others are in scores.json."""
    from domainvl.evaluation.tables import score_cells

    judged = {comparison.name for comparison in results.comparisons}
    return [[domain.name, *cells] for cells in score_cells(results, names=judged)]


def _command(name: str, *arguments: object, **options: object) -> str:
    """Write the command that does the same."""
    parts = ["domainvl", *name.split(), *(str(argument) for argument in arguments)]
    for option, value in options.items():
        parts += [f"--{option.replace('_', '-')}", str(value)]
    return "$ " + shlex.join(parts)
