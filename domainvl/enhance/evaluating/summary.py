"""From figures of pairs to means with intervals, paired differences, and a verdict in words.

Pairs of one scene are not independent: groups are resampled, never pairs (:mod:`domainvl.evaluation.statistics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domainvl.enhance.evaluating.digits import short, signed
from domainvl.enhance.evaluating.measures import MEASURES, Measure
from domainvl.enhance.evaluating.results import Comparison, Estimate, Line, PairFigures, Verdict
from domainvl.evaluation.statistics.paired import (
    SIGNIFICANCE,
    Difference,
    difference,
    holm,
    least_p,
    smallest_difference,
)
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Resamples
from domainvl.evaluation.statistics.resampling import Estimate as Resampled
from domainvl.evaluation.statistics.scores import SumScore, mean_score
from domainvl.evaluation.statistics.student import two_sided_p

RESAMPLES = 20_000
"""Of few groups, more resamples than these would not lower a p-value further; fewer could show nothing."""

FEW_GROUPS = 10
"""With fewer groups a 95 % interval covers less than 93 %, as :mod:`domainvl.evaluation.verdict` has measured."""


@dataclass(frozen=True)
class Summary:
    """What figures come to.

    Attributes:
        lines: A measure each, of those that have figures.
        comparisons: The headline with every other; every other with bicubic.
        verdict: Sentences, an opponent of the headline each, then the others against bicubic.
    """

    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...]
    verdict: tuple[str, ...]


def summarise(
    figures: Sequence[PairFigures],
    contestants: Sequence[str],
    *,
    headline: str,
    bicubic: str | None,
    bootstrap: BootstrapSettings | None = None,
) -> Summary:
    """Estimate every measure of every contestant, and compare them.

    Compared are the headline with every other contestant, and every other with bicubic; p-values are corrected by Holm
    over these within each measure. What is about the detail that was added to bicubic interpolation is not compared
    with bicubic, whose value is given by definition.

    Args:
        figures: At least one pair.
        contestants: Names in the order of tables.
        headline: Whom the verdict is about.
        bicubic: Name of bicubic interpolation; None where it does not take part.
        bootstrap: Resamples, confidence and seed.
    """
    tables = _tables(figures, contestants, bootstrap or BootstrapSettings(resamples=RESAMPLES))
    lines = [table.line() for table in tables]
    comparisons = [
        one for table in tables for one in table.compare(_opponents(contestants, headline, bicubic, table.measure))
    ]
    others = [name for name in contestants if name != headline]
    told = [(headline, other) for other in others]
    told += [(a, b) for a, b in dict.fromkeys((one.a, one.b) for one in comparisons) if a != headline and b == bicubic]
    verdict = tuple(_sentence(a, b, [one for one in comparisons if (one.a, one.b) == (a, b)]) for a, b in told)
    return Summary(tuple(lines), tuple(comparisons), verdict)


def _tables(figures: Sequence[PairFigures], contestants: Sequence[str], settings: BootstrapSettings) -> list[_Table]:
    """Estimate all measures, those of the same pairs at once: what is costly is to draw the resamples."""
    of_pairs: dict[tuple[int, ...], list[Measure]] = {}
    for measure in MEASURES:
        places = range(len(figures))
        counted = tuple(n for n in places if all(_value(figures[n], name, measure) is not None for name in contestants))
        if counted:
            of_pairs.setdefault(counted, []).append(measure)
    tables: list[_Table] = []
    for counted, measures in of_pairs.items():
        pairs = [figures[n] for n in counted]
        resamples = Resamples([pair.group for pair in pairs], settings)
        scores = [
            mean_score([float(_value(pair, name, measure) or 0.0) for pair in pairs], bounds=None)
            for measure in measures
            for name in contestants
        ]
        found = iter(zip(scores, resamples.estimates(scores), strict=True))
        tables += [_Table(measure, resamples, {name: next(found) for name in contestants}) for measure in measures]
    return sorted(tables, key=lambda table: MEASURES.index(table.measure))


def _value(pair: PairFigures, name: str, measure: Measure) -> float | None:
    return pair.of[name].values.get(measure.key)


def _opponents(
    contestants: Sequence[str], headline: str, bicubic: str | None, measure: Measure
) -> list[tuple[str, str]]:
    """Return who is compared with whom, whom the verdict is about first."""
    if measure.better is None:
        return []
    others = [name for name in contestants if name != headline]
    pairs = [(headline, other) for other in others]
    pairs += [(other, bicubic) for other in others if bicubic is not None and other != bicubic != headline]
    return [pair for pair in pairs if not (measure.of_added and bicubic in pair)]


class _Table:
    """One measure of all contestants over the pairs that have it of all.

    Args:
        measure: The measure.
        resamples: Of the pairs' groups.
        found: Mean and estimate of each contestant.
    """

    def __init__(self, measure: Measure, resamples: Resamples, found: Mapping[str, tuple[SumScore, Resampled]]) -> None:
        self.measure = measure
        self._resamples = resamples
        self._scores = {name: score for name, (score, _) in found.items()}
        self._estimates = {name: estimate for name, (_, estimate) in found.items()}

    def line(self) -> Line:
        first = next(iter(self._estimates.values()))
        values = {
            name: Estimate(value=float(one.value or 0.0), low=one.low, high=one.high)
            for name, one in self._estimates.items()
        }
        return Line(measure=self.measure.key, pairs=first.n, groups=first.groups, values=values)

    def compare(self, opponents: Sequence[tuple[str, str]]) -> list[Comparison]:
        found = [self._difference(a, b) for a, b in opponents]
        corrected = holm([one.p for one in found])
        return [
            self._comparison(a, b, one, p_holm, len(opponents))
            for (a, b), one, p_holm in zip(opponents, found, corrected, strict=True)
        ]

    def _difference(self, a: str, b: str) -> Difference:
        differing = self._resamples.count_differing_groups(self._scores[a], self._scores[b])
        return difference(self._estimates[a], self._estimates[b], differing_groups=differing)

    def _comparison(self, a: str, b: str, found: Difference, p_holm: float | None, tests: int) -> Comparison:
        value, p, corrected = float(found.value or 0.0), _or_one(found.p), _or_one(p_holm)
        smallest = None
        can_show = self._can_show(tests)
        if can_show and found.standard_error is not None:
            smallest = smallest_difference(found.standard_error, found.groups, tests=tests)
        verdict: Verdict = "no difference shown"
        if not can_show:
            verdict = "too few groups to show any"
        elif corrected < SIGNIFICANCE:
            verdict = "better" if (value > 0) == (self.measure.better == "higher") else "worse"
        return Comparison(
            measure=self.measure.key,
            a=a,
            b=b,
            difference=value,
            low=found.low,
            high=found.high,
            p=p,
            p_holm=corrected,
            smallest_difference=smallest,
            verdict=verdict,
            words=self._words(a, b, found, corrected, verdict, tests, smallest),
        )

    def _can_show(self, tests: int) -> bool:
        """Say whether any difference could pass the test; see :func:`domainvl.evaluation.statistics.paired.least_p`."""
        groups, resamples = self._resamples.count_groups(), self._resamples.settings.resamples
        return tests * max(least_p(groups), two_sided_p(1 / (resamples + 1), groups)) < SIGNIFICANCE

    def _words(
        self, a: str, b: str, found: Difference, p_holm: float, verdict: Verdict, tests: int, smallest: float | None
    ) -> str:
        measure = self.measure
        unit = f" {measure.unit}" if measure.unit else ""
        relation = {"better": f"is better than {b}", "worse": f"is worse than {b}"}.get(
            verdict, f"is not shown to differ from {b}"
        )
        value, *ends = signed(found.value or 0.0, found.low, found.high, decimals=measure.difference_decimals)
        interval = f"95 % interval {' to '.join(ends)}, " if ends else ""
        amount = "one comparison" if tests == 1 else f"{tests} comparisons"
        size = f"{found.n} pairs of {found.groups} groups"
        evidence = f"{value}{unit} ({interval}{size}, p = {p_holm:.2g} for {amount})"
        sentences = [f"{measure.title}: {a} {relation}: {evidence}"]
        if verdict == "too few groups to show any":
            sentences.append(f"{found.groups} groups are too few to show any difference in {amount}")
        elif verdict == "no difference shown" and smallest is not None:
            sentences.append(f"A true difference of {short(smallest)}{unit} would show with a probability of 80 %")
        if found.groups < FEW_GROUPS:
            sentences.append(f"With {found.groups} groups the interval is too narrow")
        return ". ".join(sentences) + "."


def _or_one(p: float | None) -> float:
    return 1.0 if p is None else p


def _sentence(a: str, b: str, comparisons: Sequence[Comparison]) -> str:
    """Say in a sentence how two contestants compare by the measures that a verdict rests on."""
    titles = {measure.key: measure.title for measure in MEASURES if measure.decides}
    orders: tuple[Verdict, ...] = ("better", "worse", "no difference shown", "too few groups to show any")
    told = [one for one in comparisons if one.measure in titles]
    named = {verdict: [titles[one.measure] for one in told if one.verdict == verdict] for verdict in orders}
    parts = [f"{verdict} by {', '.join(found)}" for verdict, found in named.items() if found]
    return f"{a} against {b}: {'; '.join(parts) or 'no measure compares them'}."
