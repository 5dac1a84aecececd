"""Finds the answer to each sample, or says why the answers are not those of the data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from domainvl.errors import DatasetError
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import Sample

_EXAMPLES = 3


def pair_predictions(
    samples: Sequence[Sample],
    predictions: Iterable[Prediction],
    *,
    not_asked: Collection[str] = (),
    where: str | None = None,
) -> list[Prediction]:
    """Return the prediction of each sample, in their order.

    Args:
        samples: The samples, ids unique.
        predictions: Exactly one for each, in any order.
        not_asked: Ids of other samples of the data set, such as those that a protocol leaves out; predictions of them
            are passed over.
        where: File of the predictions, for messages.

    Raises:
        DatasetError: If a prediction is missing, repeated or about no such sample; with counts and examples.
    """
    predictions = list(predictions)
    known = {sample.id for sample in samples}.union(not_asked)
    counts = Counter(prediction.sample_id for prediction in predictions)
    faults = {
        "missing": [sample.id for sample in samples if sample.id not in counts],
        "repeated": [sample_id for sample_id, count in counts.items() if count > 1],
        "unknown": [sample_id for sample_id in counts if sample_id not in known],
    }
    found = [f"{len(ids)} {fault} ({_examples(ids)})" for fault, ids in faults.items() if ids]
    if found:
        raise DatasetError(
            "Cannot score predictions",
            where=where,
            rule=f"there must be one for each of {len(samples)} samples, got {'; '.join(found)}",
            action="Make the predictions again on this data set",
        )
    by_id = {prediction.sample_id: prediction for prediction in predictions}
    return [by_id[sample.id] for sample in samples]


def _examples(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_EXAMPLES]) + (", ..." if len(ids) > _EXAMPLES else "")
