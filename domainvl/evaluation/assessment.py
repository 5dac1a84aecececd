"""From the answers of several systems to what an evaluation found: every number, comparison and breakdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from domainvl.evaluation.confusion import confusion_matrices
from domainvl.evaluation.facts import BREAKDOWN_FACTS
from domainvl.evaluation.generating.options import true_option
from domainvl.evaluation.metrics.calibration import ece_score, reliability_bins
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.protocols.protocol import Protocol
from domainvl.evaluation.protocols.scoring import (
    LineKey,
    ScoredLine,
    Selection,
    empty_columns,
    pair_items,
    score_protocol,
)
from domainvl.evaluation.results import (
    Breakdown,
    Calibration,
    Comparison,
    Confusion,
    Line,
    System,
    Value,
)
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Estimate, Resamples
from domainvl.evaluation.statistics.scores import IntArray, restrict, spread_over
from domainvl.evaluation.verdict import ScoredSystem, SystemLine, compare

MOST_LEVELS = 20
"""Levels of a breakdown that are shown, the largest ones; how many there are besides is said."""

_FEWEST_LEVELS = 2


@dataclass(frozen=True)
class Answers:
    """A system with its answers.

    Attributes:
        system: The system.
        predictions: One to each selected sample, in any order.
        further: Makes lines beyond the protocol's, such as those of a judge, from the protocol's.
    """

    system: System
    predictions: Sequence[Prediction]
    further: Callable[[Mapping[LineKey, ScoredLine]], Sequence[ScoredLine]] | None = None


@dataclass(frozen=True)
class Assessment:
    """What was found; each part as :class:`domainvl.evaluation.results.Results` has it."""

    systems: tuple[System, ...]
    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...]
    breakdowns: tuple[Breakdown, ...]
    calibration: tuple[Calibration, ...]
    confusion: tuple[Confusion, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Scored:
    """A system whose answers were scored; further lines are those beyond the protocol's."""

    system: System
    items: Sequence[Item]
    lines: Mapping[LineKey, ScoredLine]
    further: frozenset[LineKey] = frozenset()
    values: dict[LineKey, Estimate] = field(default_factory=dict)


def assess(
    protocol: Protocol, selection: Selection, answers: Sequence[Answers], settings: BootstrapSettings
) -> Assessment:
    """Score the answers of systems by a protocol and compare the first with each of the others.

    All numbers of all systems come from the same resamples of the groups.

    Args:
        protocol: The protocol.
        selection: What it asks.
        answers: Of each system; the one that the verdict is about first.
        settings: How intervals are made.

    Raises:
        DatasetError: If answers are missing, repeated or about no such sample; with counts and examples.
        NothingToDoError: If there is nothing to score.
    """
    scored = []
    for one in answers:
        items = pair_items(selection, one.predictions)
        lines: dict[LineKey, ScoredLine] = {(line.variant, line.name): line for line in score_protocol(protocol, items)}
        further = {(line.variant, line.name): line for line in (one.further(lines) if one.further else ())}
        scored.append(_Scored(_counted(one.system, items), items, lines | further, frozenset(further)))
    resamples = Resamples([sample.group for sample in selection.samples], settings)
    members = _members(scored)
    _estimate(scored, resamples)
    notes = _gaps(protocol, scored[0]) if protocol.converters else []
    breakdowns, more = _break_down(protocol, scored, selection, resamples)
    return Assessment(
        systems=tuple(one.system for one in scored),
        lines=tuple(_line(key, scored, members[key], resamples) for key in members),
        comparisons=compare([_compared(protocol, one) for one in scored], resamples) if len(scored) > 1 else (),
        breakdowns=tuple(breakdowns),
        calibration=tuple(_calibrate(scored, resamples)),
        confusion=tuple(matrix for one in scored for matrix in confusion_matrices(one.system.name, one.items)),
        notes=(*notes, *more),
    )


def _gaps(protocol: Protocol, first: _Scored) -> list[str]:
    """Say what of a benchmark the samples are not about; a generic protocol has lines for any data set."""
    empty = empty_columns(protocol, first.items)
    notes = [f"No sample is about {', '.join(empty)}: these lines are left out"] if empty else []
    return notes + [
        f"{line.name} ({line.average}, {line.variant}) is without {', '.join(line.missing)}: there is no sample"
        for line in first.lines.values()
        if line.missing
    ]


def _counted(system: System, items: Sequence[Item]) -> System:
    return system.model_copy(
        update={
            "empty": sum(map(_is_empty, items)),
            "cut_off": sum(item.prediction.cut_off for item in items),
        }
    )


def _is_empty(item: Item) -> bool:
    return not item.prediction.text.strip()


def _members(scored: Sequence[_Scored]) -> dict[LineKey, IntArray]:
    """Return the items that each line is about: those that count for any system; DriveLM's graph gates each its own."""
    return {
        key: np.unique(np.concatenate([one.lines[key].members for one in scored if key in one.lines]))
        for key in scored[0].lines
    }


def _estimate(scored: Sequence[_Scored], resamples: Resamples) -> None:
    """Estimate every line of every system at once: what is costly is to draw the resamples."""
    lines = [(one, key, line) for one in scored for key, line in one.lines.items()]
    found = resamples.estimates([line.score for _, _, line in lines], [line.members for _, _, line in lines])
    for (one, key, _), estimate in zip(lines, found, strict=True):
        one.values[key] = estimate


def _line(key: LineKey, scored: Sequence[_Scored], members: IntArray, resamples: Resamples) -> Line:
    first = scored[0].lines[key]
    return Line(
        name=first.name,
        metric=first.metric,
        variant=first.variant,
        average=first.average,
        flaw=first.flaw,
        n=len(members),
        groups=resamples.count_groups(members),
        uncounted=first.uncounted,
        higher_is_better=first.higher_is_better,
        values={
            one.system.name: _value(one.values[key], one.lines[key].unreadable, one.lines[key].uncounted)
            for one in scored
            if key in one.lines
        },
    )


def _value(estimate: Estimate, unreadable: int = 0, uncounted: int = 0) -> Value:
    return Value(value=estimate.value, low=estimate.low, high=estimate.high, unreadable=unreadable, uncounted=uncounted)


def _compared(protocol: Protocol, one: _Scored) -> ScoredSystem:
    """Return the lines that get a verdict: one a task, so that the correction is for as many, and all further ones."""
    return ScoredSystem(
        one.system,
        [
            SystemLine(
                name=line.name,
                variant=line.variant,
                score=line.score,
                estimate=one.values[key],
                right=line.right,
                higher_is_better=line.higher_is_better,
                members=line.members,
            )
            for key, line in one.lines.items()
            if line.variant == "strict" and (key in one.further or line.name in (protocol.verdicts or (line.name,)))
        ],
        np.array([_is_empty(item) for item in one.items], dtype=np.bool_),
    )


def _break_down(
    protocol: Protocol, scored: Sequence[_Scored], selection: Selection, resamples: Resamples
) -> tuple[list[Breakdown], list[str]]:
    """Score the headline for the samples that share a fact, for each fact that tells samples apart."""
    key: LineKey = ("strict", protocol.breakdown_of or protocol.headline)
    if key not in scored[0].lines:
        return [], [f"{key[1]}, which would be broken down, has no sample"]
    members = scored[0].lines[key].members
    wanted: list[tuple[str, str, IntArray]] = []
    notes = []
    for factor in dict.fromkeys((*protocol.breakdowns, *BREAKDOWN_FACTS)):
        counts = Counter(
            selection.facts[place][factor] for place in members.tolist() if factor in selection.facts[place]
        )
        if len(counts) < _FEWEST_LEVELS:
            continue
        levels = sorted(counts, key=lambda level: (-counts[level], level))
        if len(levels) > MOST_LEVELS:
            notes.append(f"{factor} has {len(levels) - MOST_LEVELS} more levels, each of fewer samples")
        for level in levels[:MOST_LEVELS]:
            inside = [place for place in members.tolist() if selection.facts[place].get(factor) == level]
            wanted.append((factor, level, np.array(inside, dtype=np.int64)))
    scores = [restrict(one.lines[key].score, inside) for _, _, inside in wanted for one in scored]
    found = iter(resamples.estimates(scores, [inside for _, _, inside in wanted for _ in scored]) if scores else ())
    rows = [
        Breakdown(
            line=key[1],
            factor=factor,
            level=level,
            n=len(inside),
            groups=resamples.count_groups(inside),
            values={one.system.name: _value(next(found)) for one in scored},
        )
        for factor, level, inside in wanted
    ]
    return rows, notes


def _calibrate(scored: Sequence[_Scored], resamples: Resamples) -> Iterator[Calibration]:
    for one in scored:
        sure: list[float] = []
        right: list[bool] = []
        places: list[int] = []
        for place, item in enumerate(one.items):
            options = item.prediction.options
            true = true_option(item.sample, options) if options else None
            if options and true is not None:
                best = max(options, key=lambda option: options[option])
                sure.append(options[best])
                right.append(normalise_text(best) == normalise_text(true))
                places.append(place)
        if places:
            spread = spread_over(ece_score(sure, right), places, len(one.items))
            estimate = resamples.estimate(spread, places)
            yield Calibration(
                system=one.system.name,
                ece=_value(estimate),
                n=len(places),
                bins=reliability_bins(sure, right),
            )
