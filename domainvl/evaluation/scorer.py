"""Scores answers while a model is being trained, by the metrics with which it is evaluated later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domainvl.evaluation.metrics import FREE_TEXT_TASKS, score
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import Sample


def share_right(samples: Sequence[Sample], answers: Mapping[str, str]) -> float | None:
    """Return the share of right answers, the tasks whose answers are free text left aside.

    Args:
        samples: What was asked.
        answers: What was answered, by the sample's id.

    Returns:
        Between 0 and 1; None where there is nothing to score.
    """
    scored = [
        score(sample, Prediction(sample_id=sample.id, text=answers[sample.id], likelihood=0.0))
        for sample in samples
        if sample.task not in FREE_TEXT_TASKS
    ]
    return sum(item.correct for item in scored) / len(scored) if scored else None
