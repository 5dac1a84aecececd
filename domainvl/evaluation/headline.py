"""The one number of a protocol that settings are compared by."""

from __future__ import annotations

from collections.abc import Iterable

from domainvl.errors import NothingToDoError
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.protocol import Protocol
from domainvl.evaluation.protocols.scoring import ScoredLine, Selection, pair_items, score_protocol


def headline_of(protocol: Protocol, selection: Selection, predictions: Iterable[Prediction]) -> ScoredLine:
    """Score answers by the headline of a protocol.

    Args:
        protocol: The protocol.
        selection: What is asked.
        predictions: One for each of its samples, in any order.

    Raises:
        DatasetError: If answers are missing, repeated or about no such sample.
        NothingToDoError: If no sample is of the headline.
    """
    lines = score_protocol(protocol, pair_items(selection, predictions))
    for line in lines:
        if line.variant == "strict" and line.name == protocol.headline:
            return line
    raise NothingToDoError(
        "Nothing to compare by",
        rule=f"the protocol {protocol.name} is about {protocol.headline}, of which there is no sample",
        action="Name another protocol, or ask more samples",
    )
