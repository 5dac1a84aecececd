"""What a rule scores and what it makes of it; rules of one field stand in modules of their own, which import this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from domainvl.errors import DatasetError
from domainvl.evaluation.facts import Facts
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.statistics.scores import BoolArray, FloatArray, Score
from domainvl.schema import Sample
from domainvl.schema.sample import ChoiceAnswer, CountAnswer, TextAnswer


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
        counted: Which items the score is about, shape (items,); all where None. Others have no part in it.
        unreadable: Number of items whose answer could not be read as what was asked for.
        uncounted: Number of items that the rule leaves out, such as those that DriveLM's graph gates.
        higher_is_better: False for errors.
    """

    score: Score
    metric: str
    right: BoolArray | None = None
    counted: BoolArray | None = None
    unreadable: int = 0
    uncounted: int = 0
    higher_is_better: bool = True


Rule: TypeAlias = Callable[..., RuleResult]
"""Scores the items of a column, at least one: ``rule(items, **settings)``; its settings are keyword-only arguments."""

Formula: TypeAlias = Callable[[FloatArray], FloatArray]
"""Makes a number of columns: values of shape (columns, ...) to shape (...)."""


def true_text(sample: Sample) -> str:
    """Return a sample's true answer as the benchmarks' files have it.

    Raises:
        DatasetError: If it is boxes or a measure, which have no text of their own.
    """
    match sample.answer:
        case TextAnswer() as answer:
            return answer.text
        case CountAnswer() as answer:
            return str(answer.count)
        case ChoiceAnswer() as answer:
            return answer.options[answer.correct]
        case answer:
            raise wrong_answer(sample, f"its true answer must be a text, a count or an option, got {answer.kind}")


def wrong_answer(sample: Sample, rule: str) -> DatasetError:
    """Make the error of a sample that a rule cannot score."""
    return DatasetError(
        "Cannot score an answer", where=f"sample {sample.id}", rule=rule, action="Name a protocol for such samples"
    )
