"""The verdict: the first system against each of the others on the strict lines, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.evaluation.protocols.protocol import Variant
from domainvl.evaluation.results import Comparison, System, Verdict
from domainvl.evaluation.statistics.paired import (
    POWER,
    SIGNIFICANCE,
    Difference,
    difference,
    holm,
    least_p,
    mcnemar_exact,
    smallest_difference,
)
from domainvl.evaluation.statistics.resampling import Estimate, Resamples
from domainvl.evaluation.statistics.scores import BoolArray, Score

FEW_GROUPS = 20
"""With fewer, intervals are too narrow, and words say so.

A percentile interval of the mean of G normal groups reaches about 1.96 sqrt((G - 1) / G) standard errors to each side,
where Student's t with G - 1 degrees of freedom applies: a 95 % interval then covers 93 % at G = 20, 90 % at 10 and
85 % at 5.
"""

FROM_SCRATCH = "none"
"""The pretraining of a system that started from random weights."""


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
    """

    name: str
    variant: Variant
    score: Score
    estimate: Estimate
    right: BoolArray | None = None
    higher_is_better: bool = True


@dataclass(frozen=True)
class ScoredSystem:
    """A system and all its lines."""

    system: System
    lines: Sequence[SystemLine]


@dataclass(frozen=True)
class _Tested:
    """One line of two systems, before the correction."""

    a: SystemLine
    b: SystemLine
    difference: Difference
    resamples: int


def compare(systems: Sequence[ScoredSystem], resamples: Resamples) -> tuple[Comparison, ...]:
    """Compare the first system with each of the others on every strict line that both have.

    P-values are corrected by Holm over the lines of one opponent: lines that are to have no verdict are not given. A
    line is better or worse if its corrected p-value is below ``SIGNIFICANCE``, and not distinguishable otherwise.

    Args:
        systems: The one that the verdict is about first.
        resamples: What the estimates of all of them were made from.

    Returns:
        Opponent by opponent, line by line in the order of the first system.

    Raises:
        ValueError: If a system has two strict lines of one name, or the estimates are from other resamples.
    """
    first, *others = systems
    return tuple(row for other in others for row in _compare_two(first, other, resamples))


def _compare_two(a: ScoredSystem, b: ScoredSystem, resamples: Resamples) -> list[Comparison]:
    of_a, of_b = _strict_lines(a), _strict_lines(b)
    tested = [_test(of_a[name], of_b[name], resamples) for name in of_a if name in of_b]
    corrected = holm([pair.difference.p for pair in tested])
    tests = sum(pair.difference.p is not None for pair in tested)
    return [_row(pair, a.system, b.system, p_holm, tests) for pair, p_holm in zip(tested, corrected, strict=True)]


def _strict_lines(scored: ScoredSystem) -> dict[str, SystemLine]:
    strict = [line for line in scored.lines if line.variant == "strict"]
    by_name = {line.name: line for line in strict}
    if len(by_name) < len(strict):
        raise ValueError(f"strict lines must have different names, got {[line.name for line in strict]}")
    return by_name


def _test(a: SystemLine, b: SystemLine, resamples: Resamples) -> _Tested:
    differing = resamples.count_differing_groups(a.score, b.score)
    found = difference(a.estimate, b.estimate, differing_groups=differing)
    return _Tested(a, b, found, resamples.settings.resamples)


def _row(pair: _Tested, a: System, b: System, p_holm: float | None, tests: int) -> Comparison:
    found = pair.difference
    right_a, right_b = pair.a.right, pair.b.right
    uneven = pair.a.estimate.n != pair.b.estimate.n
    verdict = _verdict(pair, p_holm)
    smallest = _smallest(pair, tests)
    return Comparison(
        name=pair.a.name,
        variant=pair.a.variant,
        a=a.name,
        b=b.name,
        difference=found.value,
        low=found.low,
        high=found.high,
        p_bootstrap=found.p,
        p_mcnemar=None if right_a is None or right_b is None or uneven else mcnemar_exact(right_a, right_b),
        p_holm=p_holm,
        smallest_difference=smallest,
        verdict=verdict,
        words=_words(pair, a, b, verdict, p_holm, tests, smallest),
    )


def _verdict(pair: _Tested, p_holm: float | None) -> Verdict:
    value = pair.difference.value
    if value is None or p_holm is None or p_holm >= SIGNIFICANCE:
        return "not distinguishable"
    return "better" if (value > 0) == pair.a.higher_is_better else "worse"


def _smallest(pair: _Tested, tests: int) -> float | None:
    """Return the smallest difference that would show; None where none would or the set cannot say."""
    error = pair.difference.standard_error
    return None if error is None or _obstacle(pair, tests) else smallest_difference(error, tests=tests)


def _obstacle(pair: _Tested, tests: int) -> str | None:
    """Say why no difference whatever could pass the test; None where one could."""
    of_lines = f"{tests} lines" if tests > 1 else "one line"
    if tests * least_p(pair.difference.groups) >= SIGNIFICANCE:
        return f"{pair.difference.groups} groups are too few to show any difference on {of_lines}"
    if tests * 2 / (pair.resamples + 1) >= SIGNIFICANCE:
        needed = int(tests * 2 / SIGNIFICANCE)
        return f"{pair.resamples} resamples are too few to show any difference on {of_lines}, take more than {needed}"
    return None


def _words(
    pair: _Tested, a: System, b: System, verdict: Verdict, p_holm: float | None, tests: int, smallest: float | None
) -> str:
    found, unit = pair.difference, _Numbers(pair.a.estimate.bounds is not None)
    from_scratch = b.pretraining == FROM_SCRATCH
    opponent = f"a network trained from scratch on this split ({b.name})" if from_scratch else b.name
    size = f"{found.n} samples in {found.groups} groups"
    if found.value is None or p_holm is None:
        return f"{pair.a.name}: {a.name} cannot be compared with {opponent}, as there is no score of both ({size})."
    relation = {"better": "better than", "worse": "worse than"}.get(verdict, "not distinguishable from")
    scores = f"{unit.plain(pair.a.estimate.value)} against {unit.plain(pair.b.estimate.value)}"
    lower = "" if pair.a.higher_is_better else ", lower is better"
    evidence = f"{_interval(pair, unit)}{size}, {_p_value(p_holm, tests)}"
    change = f"{scores}{lower}, a difference of {unit.signed(found.value)} ({evidence})"
    sentences = [f"{pair.a.name}: {a.name} is {relation} {opponent}: {change}"]
    if verdict == "not distinguishable":
        sentences += _what_would_show(pair, tests, smallest, unit)
    if pair.a.estimate.n != pair.b.estimate.n:
        counts = f"{pair.a.estimate.n} answers of {a.name} and {pair.b.estimate.n} of {b.name}"
        sentences.append(f"The scores are not about the same samples but about {counts}, as the others were left out")
    sentences += [f"{one.name} left {one.empty} samples without an answer" for one in (a, b) if one.empty]
    if from_scratch:
        sentences.append("This is no verdict on the specialist that people use")
    if found.groups < FEW_GROUPS:
        sentences.append(f"With only {found.groups} groups the interval is too narrow")
    return ". ".join(sentences) + "."


def _what_would_show(pair: _Tested, tests: int, smallest: float | None, unit: _Numbers) -> list[str]:
    found = pair.difference
    sentences = []
    if found.p is not None and found.p < SIGNIFICANCE:
        sentences.append(f"Alone it would be significant (p = {found.p:.2g}), among {tests} lines it is not")
    obstacle = _obstacle(pair, tests)
    if obstacle is not None:
        sentences.append(obstacle[0].upper() + obstacle[1:])
    elif smallest is not None:
        sentences.append(
            f"A true difference of {unit.plain(smallest)} would show with a probability of {POWER * 100:g} %"
        )
    return sentences


def _interval(pair: _Tested, unit: _Numbers) -> str:
    found = pair.difference
    if found.low is None or found.high is None:
        return ""
    return f"{pair.a.estimate.confidence * 100:g} % interval {unit.signed(found.low)} to {unit.signed(found.high)}, "


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
