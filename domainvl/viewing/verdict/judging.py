"""Says of single answers whether they are right, by the protocol that scored them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.protocols.protocol import Protocol, fits
from domainvl.evaluation.protocols.rules import RULES
from domainvl.evaluation.protocols.scoring import Selection


@dataclass(frozen=True)
class Judgement:
    """What became of one answer.

    Attributes:
        line: Name of the column that judges it; of the first one that it is in where none does.
        right: Whether it is right; None where no column says that of single answers.
    """

    line: str
    right: bool | None


def judge(protocol: Protocol, selection: Selection, answers: Mapping[str, Prediction]) -> dict[str, Judgement]:
    """Judge a system's answers, each by the first strict column that says of single answers whether they are right.

    Args:
        protocol: The protocol.
        selection: The samples that it asks.
        answers: By id of the sample; samples without one are passed over.

    Returns:
        By id of the sample.
    """
    items = [
        Item(sample, answers[sample.id], facts)
        for sample, facts in zip(selection.samples, selection.facts, strict=True)
        if sample.id in answers
    ]
    judged: dict[str, Judgement] = {}
    unjudged: dict[str, Judgement] = {}
    for column in protocol.columns:
        members = [item for item in items if fits(item.facts, column.where)]
        if column.variant != "strict" or not members:
            continue
        for item in members:
            unjudged.setdefault(item.sample.id, Judgement(column.name, None))
        # Asked about one answer first: rules over whole texts or detections take long and judge none.
        if RULES[column.rule](members[:1], **column.settings).right is not None:
            for sample_id, right in _apply(column.rule, column.settings, members).items():
                judged.setdefault(sample_id, Judgement(column.name, right))
    return unjudged | judged


def _apply(rule: str, settings: Mapping[str, object], members: Sequence[Item]) -> dict[str, bool]:
    """Return whether each answer that the rule counts is right, by id of the sample."""
    result = RULES[rule](members, **settings)
    if result.right is None:
        return {}
    counted = [True] * len(members) if result.counted is None else result.counted
    return {
        item.sample.id: bool(right)
        for item, right, is_counted in zip(members, result.right, counted, strict=True)
        if is_counted
    }
