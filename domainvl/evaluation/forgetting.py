"""What a model has forgotten: it and its base on a general set, beside the evaluation in its field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domainvl.errors import UsageError
from domainvl.evaluation.contestants import Contestants
from domainvl.evaluation.judging import Judging
from domainvl.evaluation.results import Results
from domainvl.evaluation.run import EvaluationSettings, Further, Progress, evaluate
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
    if not before.exists():  # else a stopped run has done it already
        told = (lambda system, done, total: on_progress(f"{system}, general", done, total)) if on_progress else None
        evaluate(
            Contestants(model=contestants.model, base=contestants.base, baselines=False),
            general,
            before,
            settings=replace(settings, protocol=None, measure_cost=False, save_inputs=False),
            on_progress=told,
        )
    results = evaluate(
        contestants, dataset, out, settings=settings, judging=judging, further=further, on_progress=on_progress
    )
    with output_errors(out):
        before.rename(out / GENERAL_FOLDER)
    return results
