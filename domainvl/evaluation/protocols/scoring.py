"""Scores a system's answers by a protocol: every column and average as a score over all samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from domainvl.errors import DatasetError, NothingToDoError, RecipeError
from domainvl.evaluation.facts import Facts, sample_facts
from domainvl.evaluation.metrics.reading import read_choice
from domainvl.evaluation.pairing import pair_predictions
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.protocols.loading import is_for
from domainvl.evaluation.protocols.protocol import Average, Column, Protocol, Variant, fits
from domainvl.evaluation.protocols.rules import FORMULAS, RULES
from domainvl.evaluation.statistics.scores import (
    BoolArray,
    CompositeScore,
    FloatArray,
    IntArray,
    Score,
    SumScore,
    ratio,
    spread_over,
)
from domainvl.schema import ChoiceAnswer, Sample

NOT_OF_THE_BENCHMARK = "not of the benchmark"
OF_NO_LINE = "of no line of the protocol"

_EXAMPLES = 3
_MOST_VALUES = 5
"""Values of a fact that a reason names."""

LineKey: TypeAlias = tuple[Variant, str]
"""Variant and name of a line."""


@dataclass(frozen=True)
class Selection:
    """The samples that a protocol asks, and what it leaves out.

    Attributes:
        samples: To ask, in their order.
        facts: What is known of each.
        left_out: Ids of the other samples.
        reasons: How many are left out, by reason.
    """

    samples: tuple[Sample, ...]
    facts: tuple[Facts, ...]
    left_out: tuple[str, ...]
    reasons: dict[str, int]


@dataclass(frozen=True)
class ScoredLine:
    """One number of a protocol for one system.

    Attributes:
        name: Of the column or average.
        variant: Whether it follows the official code's flaws.
        average: ``micro``, ``macro`` or the name of a formula; None for a column.
        metric: What is measured, with threshold or unit.
        flaw: What the flaw of the official code is.
        members: Places of the items that it is about, rising, shape (members,).
        score: Over all items.
        right: Whether each of all items is right, shape (items,), False where it is no member; None where the rule does
            not decide that.
        unreadable: Number of answers that could not be read as what was asked for.
        uncounted: Number of items that the rule leaves out.
        higher_is_better: False for errors.
        missing: Of an average, the columns that no sample is of.
    """

    name: str
    variant: Variant
    average: str | None
    metric: str
    flaw: str | None
    members: IntArray
    score: Score
    right: BoolArray | None
    unreadable: int
    uncounted: int
    higher_is_better: bool
    missing: tuple[str, ...] = ()


def select_samples(protocol: Protocol, samples: Iterable[Sample]) -> Selection:
    """Take the samples that a protocol asks: those of its benchmark that it does not exclude and a column is about.

    Args:
        protocol: The protocol.
        samples: All samples of a split.

    Raises:
        NothingToDoError: If there is none, with the reasons.
    """
    taken: list[Sample] = []
    known: list[Facts] = []
    left_out: list[str] = []
    of_no_line: list[tuple[str, Facts]] = []
    reasons: Counter[str] = Counter()
    is_of_a_line = _line_finder(protocol)
    for sample in samples:
        facts = sample_facts(sample)
        reason = _reason_against(protocol, facts)
        if reason is None and not is_of_a_line(facts):
            of_no_line.append((sample.id, facts))
            left_out.append(sample.id)
        elif reason is None:
            taken.append(sample)
            known.append(facts)
        else:
            left_out.append(sample.id)
            reasons[reason] += 1
    if of_no_line:
        reasons[_of_no_line(protocol, of_no_line)] = len(of_no_line)
    if not taken:
        counts = "; ".join(f"{count} {reason}" for reason, count in reasons.items()) or "there is no sample"
        raise NothingToDoError(
            "Nothing to evaluate",
            rule=f"the protocol {protocol.name} asks none of the samples: {counts}",
            action="Name another protocol, or another split",
        )
    return Selection(tuple(taken), tuple(known), tuple(left_out), dict(reasons))


def pair_items(selection: Selection, predictions: Iterable[Prediction]) -> list[Item]:
    """Put each sample together with its answer; answers to samples that are left out are passed over.

    Raises:
        DatasetError: If a prediction is missing, repeated or about no sample at all, or has likelihoods of options that
            its sample does not have; with counts and examples.
    """
    answers = pair_predictions(selection.samples, predictions, not_asked=selection.left_out)
    _check_options(selection.samples, answers)
    return [Item(*parts) for parts in zip(selection.samples, answers, selection.facts, strict=True)]


def score_protocol(protocol: Protocol, items: Sequence[Item]) -> list[ScoredLine]:
    """Compute every number of a protocol that the items allow.

    Columns that no item is of are left out (:func:`empty_columns` names them), as are micro and macro averages of
    none but these; a formula needs all of its columns.

    Args:
        protocol: The protocol.
        items: What it asks with a system's answers (:func:`select_samples`, :func:`pair_items`).

    Returns:
        Columns in the protocol's order, then averages.

    Raises:
        NothingToDoError: If no column has an item.
        RecipeError: If columns of an average cannot be averaged.
    """
    lines: dict[tuple[Variant, str], ScoredLine] = {}
    for column, members in _members(protocol, items):
        if len(members):
            lines[column.variant, column.name] = _score_column(column, members, items)
    if not lines:
        names = ", ".join(empty_columns(protocol, items))
        rule = f"none of {len(items)} samples is of a column of {protocol.name} ({names})"
        raise NothingToDoError("Nothing to score", rule=rule, action="Name another protocol")
    for average in protocol.averages:
        parts = [lines[average.variant, name] for name in average.of if (average.variant, name) in lines]
        missing = tuple(name for name in average.of if (average.variant, name) not in lines)
        if parts and not (missing and average.kind in FORMULAS):
            line = _score_average(protocol, average, parts, len(items))
            lines[average.variant, average.name] = replace(line, missing=missing)
    return list(lines.values())


def empty_columns(protocol: Protocol, items: Sequence[Item]) -> list[str]:
    """Return the names of the columns that no item is of, each once."""
    return list(dict.fromkeys(column.name for column, members in _members(protocol, items) if not len(members)))


def _reason_against(protocol: Protocol, facts: Facts) -> str | None:
    if not is_for(protocol, facts):
        return NOT_OF_THE_BENCHMARK
    return next((exclusion.reason for exclusion in protocol.excluded if fits(facts, exclusion.where)), None)


def _line_finder(protocol: Protocol) -> Callable[[Facts], bool]:
    """Return a function that says whether a column is about a sample; samples of equal facts are looked at once."""
    names = _selecting_facts(protocol)
    known: dict[tuple[str | None, ...], bool] = {}

    def is_of_a_line(facts: Facts) -> bool:
        kind = tuple(facts.get(name) for name in names)
        if kind not in known:
            known[kind] = any(fits(facts, column.where) for column in protocol.columns)
        return known[kind]

    return is_of_a_line


def _of_no_line(protocol: Protocol, samples: Sequence[tuple[str, Facts]]) -> str:
    """Say by which facts columns select, and which values of these samples none selects."""
    told = []
    for name in _selecting_facts(protocol):
        values = list(dict.fromkeys(facts.get(name, "not known") for _, facts in samples))
        told.append(f"{name}: {_some(values, _MOST_VALUES)}")
    return f"{OF_NO_LINE} ({'; '.join(told)}), for example {_some([name for name, _ in samples], _EXAMPLES)}"


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _check_options(samples: Sequence[Sample], answers: Sequence[Prediction]) -> None:
    """Check that likelihoods of a choice are those of its options, each once, by letter or text.

    Raises:
        DatasetError: If one is of no option, or two are of one.
    """
    wrong = [
        f"{sample.id}: {', '.join(answer.options)}"
        for sample, answer in zip(samples, answers, strict=True)
        if isinstance(sample.answer, ChoiceAnswer)
        and answer.options is not None
        and not _are_options(answer.options, sample.answer.options)
    ]
    if wrong:
        examples = "; ".join(wrong[:_EXAMPLES]) + ("; ..." if len(wrong) > _EXAMPLES else "")
        raise DatasetError(
            "Cannot score predictions",
            rule="likelihoods must be of a sample's options, each once by its letter or text; "
            f"{len(wrong)} predictions have others ({examples})",
            action="Name the options as the sample does",
        )


def _are_options(names: Iterable[str], options: Sequence[str]) -> bool:
    places = [read_choice(name, options) for name in names]
    return None not in places and len(set(places)) == len(places)


def _selecting_facts(protocol: Protocol) -> list[str]:
    return sorted({name for column in protocol.columns for name in column.where})


def _members(protocol: Protocol, items: Sequence[Item]) -> Iterator[tuple[Column, IntArray]]:
    """Yield each column with the places of its items; items of equal facts are looked at once."""
    names = _selecting_facts(protocol)
    kinds: dict[tuple[str | None, ...], int] = {}
    kind_of_item = np.array(
        [kinds.setdefault(tuple(item.facts.get(name) for name in names), len(kinds)) for item in items], dtype=np.int64
    )
    known = [{name: value for name, value in zip(names, kind, strict=True) if value is not None} for kind in kinds]
    for column in protocol.columns:
        fitting = np.array([fits(facts, column.where) for facts in known], dtype=np.bool_)
        yield column, np.flatnonzero(fitting[kind_of_item])


def _score_column(column: Column, places: IntArray, items: Sequence[Item]) -> ScoredLine:
    result = RULES[column.rule]([items[place] for place in places], **column.settings)
    right = None
    if result.right is not None:
        right = np.zeros(len(items), dtype=np.bool_)
        right[places] = result.right
    return ScoredLine(
        name=column.name,
        variant=column.variant,
        average=None,
        metric=result.metric,
        flaw=column.flaw,
        members=places if result.counted is None else places[result.counted],
        score=spread_over(result.score, places, len(items)),
        right=right,
        unreadable=result.unreadable,
        uncounted=result.uncounted,
        higher_is_better=result.higher_is_better,
    )


def _score_average(protocol: Protocol, average: Average, parts: Sequence[ScoredLine], item_count: int) -> ScoredLine:
    if average.kind not in FORMULAS and len({part.higher_is_better for part in parts}) > 1:
        raise _not_averaged(protocol, average, "its columns must all be errors or all be none")
    members = np.unique(np.concatenate([part.members for part in parts]))
    score: Score
    right = None
    if average.kind == "micro":
        score = _micro_score(protocol, average, parts)
        known = [part.right for part in parts if part.right is not None]
        right = np.logical_or.reduce(known) if len(known) == len(parts) else None
    elif average.kind == "macro":
        score = CompositeScore(tuple(part.score for part in parts), mean_of_known, _common_bounds(parts))
    else:
        score = CompositeScore(tuple(part.score for part in parts), FORMULAS[average.kind], None)
    return ScoredLine(
        name=average.name,
        variant=average.variant,
        average=average.kind,
        metric=" / ".join(dict.fromkeys(part.metric for part in parts)),
        flaw=None,
        members=members,
        score=score,
        right=right,
        unreadable=sum(part.unreadable for part in parts),
        uncounted=sum(part.uncounted for part in parts),
        higher_is_better=all(part.higher_is_better for part in parts),
    )


def _micro_score(protocol: Protocol, average: Average, parts: Sequence[ScoredLine]) -> SumScore:
    """Return the mean over the items of all parts.

    Raises:
        RecipeError: If a part is no mean over items, or two share an item, which would count twice.
    """
    means = [part.score for part in parts if isinstance(part.score, SumScore) and part.score.combine is ratio]
    if len(means) < len(parts):
        names = [part.name for part in parts if not any(part.score is mean for mean in means)]
        raise _not_averaged(protocol, average, f"a micro average is of means over items; {', '.join(names)} is none")
    if sum(len(part.members) for part in parts) > len(np.unique(np.concatenate([part.members for part in parts]))):
        raise _not_averaged(protocol, average, "its columns share samples, which would count twice")
    return SumScore(np.sum([score.terms for score in means], axis=0), ratio, _common_bounds(parts))


def mean_of_known(values: FloatArray) -> FloatArray:
    """Return the mean of the columns that have a value, shape (columns, ...) to (...); NaN where none has one."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    return ratio(np.stack([np.where(known, values, 0.0).sum(axis=0), count], axis=-1))


def _common_bounds(parts: Sequence[ScoredLine]) -> tuple[float, float] | None:
    bounds = [part.score.bounds for part in parts]
    known = [pair for pair in bounds if pair is not None]
    if len(known) < len(bounds):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _not_averaged(protocol: Protocol, average: Average, rule: str) -> RecipeError:
    return RecipeError("Cannot average columns", where=f"{protocol.name}, average {average.name}", rule=rule)
