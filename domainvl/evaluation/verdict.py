"""The verdict: the first system against each of the others on the strict lines, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domainvl.evaluation.protocols.protocol import Variant
from domainvl.evaluation.results import FROM_SCRATCH, Comparison, System, Verdict
from domainvl.evaluation.statistics.paired import (
    POWER,
    SIGNIFICANCE,
    Counted,
    Pair,
    compare_pairs,
    holm,
    least_p,
    mcnemar_exact,
    smallest_difference,
)
from domainvl.evaluation.statistics.resampling import Estimate, Resamples
from domainvl.evaluation.statistics.scores import BoolArray, IntArray, Score
from domainvl.evaluation.statistics.student import tail_of_p, two_sided_p

FEW_GROUPS, FEW_GROUPS_OF_ERRORS = 10, 50
"""With fewer groups, of a score within bounds and of one without, a 95 % interval covers less than 93 %; words say so.

Measured in 3000 trials a case, 1 to 9 items a group: intervals of means, ratios and F1 cover 92 to 94 % at 6 to 8
groups, 93 to 96 % from 10 on. Squares of errors have long tails: differences of an RMSE cover 93 % from 50 on.
"""


@dataclass(frozen=True)
class SystemLine:
    """One line of the protocol for one system.

    Attributes:
        name: Name of the line.
        variant: Whether it follows the official code's flaws; only strict ones are compared.
        score: Over all items of the resamples.
        estimate: Of the score, from the resamples that all systems share.
        right: Whether each item is right, shape (items,), False where an item takes no part; None where answers are not
            simply right or wrong.
        higher_is_better: False for errors.
        members: Indices of the items that count for it, rising, shape (members,); all where None.
    """

    name: str
    variant: Variant
    score: Score
    estimate: Estimate
    right: BoolArray | None = None
    higher_is_better: bool = True
    members: IntArray | None = None


@dataclass(frozen=True)
class ScoredSystem:
    """A system and all its lines.

    Attributes:
        system: The system.
        lines: Its lines.
        empty: Whether each of its answers is empty, shape (items,); None where that is not to be told.
    """

    system: System
    lines: Sequence[SystemLine]
    empty: BoolArray | None = None


@dataclass(frozen=True)
class _Tested:
    """One line of two systems, before the correction; without an answer are items that count for either of them."""

    a: SystemLine
    b: SystemLine
    pair: Pair
    resamples: int
    without_answer_a: int
    without_answer_b: int


def is_from_scratch(system: System) -> bool:
    """Say whether a system started from random weights."""
    return system.pretraining is not None and system.pretraining.strip().casefold() == FROM_SCRATCH


def compare(systems: Sequence[ScoredSystem], resamples: Resamples) -> tuple[Comparison, ...]:
    """Compare the first system with each of the others on every strict line that both have.

    Each line is compared over the items that count for both. P-values are corrected by Holm over the lines of one
    opponent: lines that are to have no verdict are not given. A line is better or worse if its corrected p-value is
    below ``SIGNIFICANCE``, and not distinguishable otherwise.

    Args:
        systems: The one that the verdict is about first.
        resamples: What the estimates of all of them were made from.

    Returns:
        Opponent by opponent, line by line in the order of the first system.

    Raises:
        ValueError: If a system has two strict lines of one name, or the estimates are from other resamples.
    """
    first, *others = systems
    of_first = _strict_lines(first)
    lines = [
        [(of_first[name], of_other[name]) for name in of_first if name in of_other]
        for of_other in map(_strict_lines, others)
    ]
    # All at once: what is costly is to draw the resamples.
    pairs = [(_counted(a, resamples), _counted(b, resamples)) for of_two in lines for a, b in of_two]
    compared = iter(compare_pairs(pairs, resamples))
    rows: list[Comparison] = []
    for other, of_two in zip(others, lines, strict=True):
        tested = [_tested(first, other, a, b, next(compared), resamples) for a, b in of_two]
        p_values = [one.pair.difference.p for one in tested]
        tests = sum(p is not None for p in p_values)
        rows += [
            _row(one, first.system, other.system, p_holm, tests)
            for one, p_holm in zip(tested, holm(p_values), strict=True)
        ]
    return tuple(rows)


def _strict_lines(scored: ScoredSystem) -> dict[str, SystemLine]:
    strict = [line for line in scored.lines if line.variant == "strict"]
    by_name = {line.name: line for line in strict}
    if len(by_name) < len(strict):
        raise ValueError(f"strict lines must have different names, got {[line.name for line in strict]}")
    return by_name


def _counted(line: SystemLine, resamples: Resamples) -> Counted:
    members = np.arange(resamples.item_count) if line.members is None else line.members
    return Counted(line.score, members, line.estimate)


def _tested(
    of_a: ScoredSystem, of_b: ScoredSystem, a: SystemLine, b: SystemLine, pair: Pair, resamples: Resamples
) -> _Tested:
    members = np.union1d(_counted(a, resamples).members, _counted(b, resamples).members)
    without = [0 if one.empty is None else int(one.empty[members].sum()) for one in (of_a, of_b)]
    return _Tested(a, b, pair, resamples.settings.resamples, *without)


def _row(tested: _Tested, a: System, b: System, p_holm: float | None, tests: int) -> Comparison:
    found = tested.pair.difference
    verdict = _verdict(tested, p_holm)
    smallest = _smallest(tested, tests)
    return Comparison(
        name=tested.a.name,
        variant=tested.a.variant,
        a=a.name,
        b=b.name,
        difference=found.value,
        low=found.low,
        high=found.high,
        p_bootstrap=found.p,
        p_mcnemar=_mcnemar(tested),
        p_holm=p_holm,
        smallest_difference=None if smallest is None or _is_impossible(tested, smallest) else smallest,
        verdict=verdict,
        words=_words(tested, a, b, verdict, p_holm, tests, smallest),
    )


def _mcnemar(tested: _Tested) -> float | None:
    right_a, right_b, shared = tested.a.right, tested.b.right, tested.pair.a.members
    if right_a is None or right_b is None or not len(shared):
        return None
    return mcnemar_exact(right_a[shared], right_b[shared])


def _verdict(tested: _Tested, p_holm: float | None) -> Verdict:
    value = tested.pair.difference.value
    if value is None or p_holm is None or p_holm >= SIGNIFICANCE:
        return "not distinguishable"
    return "better" if (value > 0) == tested.a.higher_is_better else "worse"


def _smallest(tested: _Tested, tests: int) -> float | None:
    """Return the smallest difference that would show; None where none would or the set cannot say."""
    found = tested.pair.difference
    if found.standard_error is None or _obstacle(tested, tests):
        return None
    return smallest_difference(found.standard_error, found.groups, tests=tests)


def _is_impossible(tested: _Tested, difference: float) -> bool:
    """Say whether no two scores can differ by so much."""
    bounds = tested.pair.a.estimate.bounds
    return bounds is not None and difference >= bounds[1] - bounds[0]


def _obstacle(tested: _Tested, tests: int) -> str | None:
    """Say why no difference whatever could pass the test; None where one could."""
    groups, resamples = tested.pair.difference.groups, tested.resamples
    of_lines = f"{tests} lines" if tests > 1 else "one line"
    if tests * least_p(groups) >= SIGNIFICANCE:
        return f"{groups} groups are too few to show any difference on {of_lines}"
    if tests * two_sided_p(1 / (resamples + 1), groups) >= SIGNIFICANCE:
        needed = int(1 / tail_of_p(SIGNIFICANCE / tests, groups))
        return f"{resamples} resamples are too few to show any difference on {of_lines}, take more than {needed}"
    return None


def _words(
    tested: _Tested, a: System, b: System, verdict: Verdict, p_holm: float | None, tests: int, smallest: float | None
) -> str:
    found, unit = tested.pair.difference, _Numbers(tested.pair.a.estimate.bounds is not None)
    from_scratch = is_from_scratch(b)
    opponent = f"a network trained from scratch on this split ({b.name})" if from_scratch else b.name
    size = f"{found.n} samples in {found.groups} groups"
    if found.value is None or p_holm is None:
        reason = f"there is no score of both ({size})" if found.n else "no sample counts for both"
        return f"{tested.a.name}: {a.name} cannot be compared with {opponent}, as {reason}."
    relation = {"better": "better than", "worse": "worse than"}.get(verdict, "not distinguishable from")
    scores = f"{unit.plain(tested.pair.a.estimate.value)} against {unit.plain(tested.pair.b.estimate.value)}"
    lower = "" if tested.a.higher_is_better else ", lower is better"
    evidence = f"{_interval(tested, unit)}{size}, {_p_value(p_holm, tests)}"
    change = f"{scores}{lower}, a difference of {unit.signed(found.value)} ({evidence})"
    sentences = [f"{tested.a.name}: {a.name} is {relation} {opponent}: {change}"]
    if verdict == "not distinguishable":
        sentences += _what_would_show(tested, tests, smallest, unit)
    sentences += _what_is_missing(tested, a, b)
    if from_scratch:
        sentences.append("This is no verdict on the specialist that people use")
    if found.groups < (FEW_GROUPS if unit.bounded else FEW_GROUPS_OF_ERRORS):
        sentences.append(f"With only {found.groups} groups the interval is too narrow")
    return ". ".join(sentences) + "."


def _what_would_show(tested: _Tested, tests: int, smallest: float | None, unit: _Numbers) -> list[str]:
    p = tested.pair.difference.p
    sentences = []
    if p is not None and p < SIGNIFICANCE:
        sentences.append(f"Alone it would be significant (p = {p:.2g}), among {tests} lines it is not")
    obstacle = _obstacle(tested, tests)
    likely = f"would show with a probability of {POWER * 100:g} %"
    if obstacle is not None:
        sentences.append(obstacle[0].upper() + obstacle[1:])
    elif smallest is not None and _is_impossible(tested, smallest):
        sentences.append(f"Not even the largest possible difference {likely}")
    elif smallest is not None:
        sentences.append(f"A true difference of {unit.plain(smallest)} {likely}")
    return sentences


def _what_is_missing(tested: _Tested, a: System, b: System) -> list[str]:
    """Say which samples count for one system alone, and who left samples without an answer."""
    alone = [
        f"{count} more count for {one.name} alone"
        for one, count in ((a, tested.pair.only_a), (b, tested.pair.only_b))
        if count
    ]
    compared = f"Only the {tested.pair.difference.n} samples that count for both are compared"
    sentences = [f"{compared}, {' and '.join(alone)}"] if alone else []
    return sentences + [
        f"{one.name} left {count} samples without an answer"
        for one, count in ((a, tested.without_answer_a), (b, tested.without_answer_b))
        if count
    ]


def _interval(tested: _Tested, unit: _Numbers) -> str:
    found = tested.pair.difference
    if found.low is None or found.high is None:
        return ""
    confidence = tested.pair.a.estimate.confidence
    return f"{confidence * 100:g} % interval {unit.signed(found.low)} to {unit.signed(found.high)}, "


def _p_value(p_holm: float, tests: int) -> str:
    return f"p = {p_holm:.2g}" + (f" corrected for {tests} lines" if tests > 1 else "")


@dataclass(frozen=True)
class _Numbers:
    """How numbers are written: shares with three decimals, others with four digits."""

    bounded: bool

    def plain(self, value: float | None) -> str:
        if value is None:
            return "no score"
        return f"{value:.3f}" if self.bounded else f"{value:.4g}"

    def signed(self, value: float) -> str:
        return f"{value:+.3f}" if self.bounded else f"{value:+.4g}"
