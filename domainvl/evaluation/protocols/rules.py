"""The rules by which protocols score, by name.

A rule takes the items of a column and says what each adds to its score. Rules of one field stand in modules of their
own; here they get their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domainvl.evaluation.facts import Facts
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.statistics.scores import BoolArray, FloatArray, Score
from domainvl.schema import Sample


@dataclass(frozen=True)
class Item:
    """A sample with a system's answer to it.

    Attributes:
        sample: The sample.
        prediction: The answer.
        facts: What is known of the sample.
    """

    sample: Sample
    prediction: Prediction
    facts: Facts


@dataclass(frozen=True)
class RuleResult:
    """What a rule made of some items.

    Attributes:
        score: Over the items, in their order.
        metric: Its name as a reader sees it, with threshold or unit, such as ``IoU > 0.5 (+1 px)``.
        right: Whether each item is right, shape (items,), where a rule decides that; it makes McNemar's test possible.
        unreadable: Number of items whose answer could not be read as what was asked for.
        uncounted: Number of items that the rule leaves out, such as those that DriveLM's graph gates.
        higher_is_better: False for errors.
    """

    score: Score
    metric: str
    right: BoolArray | None = None
    unreadable: int = 0
    uncounted: int = 0
    higher_is_better: bool = True


class Rule(Protocol):
    """Scores the items of a column."""

    def __call__(self, items: Sequence[Item], **settings: Any) -> RuleResult:
        """Score items; at least one."""
        ...


RULES: Mapping[str, Rule] = {}

FORMULAS: Mapping[str, Callable[[FloatArray], FloatArray]] = {}
"""Numbers made of columns, by name: values of shape (columns, ...) to shape (...)."""
