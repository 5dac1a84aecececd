"""Scores answers while a model is being trained, by the metrics with which it is evaluated later."""

from __future__ import annotations

from collections.abc import Sequence

from domainvl.evaluation.items import FREE_TEXT_TASKS, score
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import Sample


def share_right(answered: Sequence[tuple[Sample, str]]) -> float | None:
    """Return the share of right answers, the tasks whose answers are free text left aside.

    Args:
        answered: What was asked, each with its answer.

    Returns:
        Between 0 and 1; None where there is nothing to score.
    """
    scored = [
        score(sample, Prediction(sample_id=sample.id, text=text, likelihood=0.0))
        for sample, text in answered
        if sample.task not in FREE_TEXT_TASKS
    ]
    return sum(item.correct for item in scored) / len(scored) if scored else None
