"""What a model has forgotten: it and its base on a general set, beside the evaluation in its field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domainvl.errors import UsageError
from domainvl.evaluation.contestants import Contestants
from domainvl.evaluation.judging import Judging
from domainvl.evaluation.results import Results, read_results
from domainvl.evaluation.run import EvaluationSettings, Further, Progress, evaluate, expected_identity, identity_of
from domainvl.files import hidden_sibling, output_errors

GENERAL_FOLDER = "general"
"""Folder of the evaluation on the general set, in that of the field."""


def evaluate_with_general(
    contestants: Contestants,
    dataset: Path,
    out: Path,
    general: Path | None = None,
    *,
    settings: EvaluationSettings | None = None,
    judging: Judging | None = None,
    further: Sequence[Further] = (),
    on_progress: Progress | None = None,
) -> Results:
    """Evaluate, and where a general set is named, evaluate the model and its base on that first.

    Args:
        contestants: Who answers.
        dataset: The data set's folder.
        out: Folder to make.
        general: Folder of the general data set.
        settings: How; the protocol of the general set is chosen by itself.
        judging: A model that rates answers to ``dataset``.
        further: Experiments on ``dataset``.
        on_progress: Told how far each system is.

    Returns:
        The results on ``dataset``.

    Raises:
        UsageError: If a general set is named and no model, or as :func:`domainvl.evaluation.run.evaluate` does.
    """
    settings = settings or EvaluationSettings()
    if general is None:
        return evaluate(
            contestants, dataset, out, settings=settings, judging=judging, further=further, on_progress=on_progress
        )
    if contestants.model is None:
        raise UsageError("Cannot see what was forgotten", rule="--general needs --model", action="Leave it out")
    if out.exists():
        raise UsageError("Cannot evaluate", where=out, rule="the folder exists", action="Name another")
    before = hidden_sibling(out, GENERAL_FOLDER)
    if before.exists():  # a stopped run has done it already
        _check_same(before, contestants, general, settings)
    else:
        told = (lambda system, done, total: on_progress(f"{system}, general", done, total)) if on_progress else None
        evaluate(_those(contestants), general, before, settings=_how(settings), on_progress=told)
    results = evaluate(
        contestants, dataset, out, settings=settings, judging=judging, further=further, on_progress=on_progress
    )
    with output_errors(out):
        before.rename(out / GENERAL_FOLDER)
    return results


def _those(contestants: Contestants) -> Contestants:
    return Contestants(model=contestants.model, base=contestants.base, baselines=False)


def _how(settings: EvaluationSettings) -> EvaluationSettings:
    return replace(settings, protocol=None, measure_cost=False, save_inputs=False)


def _check_same(before: Path, contestants: Contestants, general: Path, settings: EvaluationSettings) -> None:
    """Refuse to go on from an evaluation on the general set that was of something else.

    Raises:
        UsageError: Naming what differs.
    """
    found = read_results(before)
    wanted = expected_identity(_those(contestants), general, _how(settings))
    different = [name for name, value in wanted.items() if identity_of(found).get(name) != value]
    if different:
        raise UsageError(
            "Cannot go on",
            where=before,
            rule=f"the evaluation on the general set there is of another {', '.join(different)}",
            action=f"Give the same options, or delete {before} to begin again",
        )
