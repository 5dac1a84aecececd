"""Shares that a reviewer's marks show, with exact intervals: how often a rule is wrong, and how often it misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domainvl.corpus.auditing.things import Marked, Stratum
from domainvl.corpus.filtering.removals import Level
from domainvl.corpus.filtering.rules import rule_of

CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True)
class Share:
    """So many of so many.

    Attributes:
        count: How many; a weighted share has no whole number.
        total: Of how many; an effective size where weighted.
        low: Lower limit of the interval.
        high: Upper limit of the interval.
    """

    count: float
    total: float
    low: float
    high: float

    @classmethod
    def of(cls, count: float, total: float) -> Share:
        """Add the interval of :func:`clopper_pearson`."""
        return cls(count, total, *clopper_pearson(count, total))

    @property
    def value(self) -> float:
        """The share itself; 0 of none."""
        return self.count / self.total if self.total else 0.0


def clopper_pearson(count: float, total: float) -> tuple[float, float]:
    """Return the exact interval of a share, at :data:`CONFIDENCE`.

    The limits are quantiles of beta distributions (Clopper and Pearson, Biometrika 26, 1934; in this form Brown, Cai
    and DasGupta, Statistical Science 16, 2001), so that the interval holds the true share at least that often.

    Args:
        count: Number of hits.
        total: Number of trials; (0, 1) where there was none.
    """
    from scipy import special  # type: ignore[import-untyped]

    tail = (1 - CONFIDENCE) / 2
    low = float(special.betaincinv(count, total - count + 1, tail)) if count > 0 else 0.0
    high = float(special.betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0
    return low, high


def weighted_share(parts: Sequence[tuple[int, int, int]]) -> Share:
    """Join the shares of strata that were sampled at different rates.

    The share is weighted by how many things each stratum has in the corpus. The interval is that of a simple sample of
    Kish's effective size, (sum of weights) ** 2 / sum of squared weights (Kish, Survey Sampling, 1965, section 11.7);
    Korn and Graubard propose an exact interval at an effective size for surveys (Survey Methodology 24, 1998).

    Args:
        parts: For each stratum its size in the corpus, how many of it were marked, at least one, and how many of those
            are hits.
    """
    whole = sum(size for size, _, _ in parts)
    value = sum(size * hits / marked for size, marked, hits in parts) / whole
    effective = whole**2 / sum(size**2 / marked for size, marked, _ in parts)
    return Share.of(value * effective, effective)


@dataclass(frozen=True)
class RuleRates:
    """What the marks say of a rule.

    Attributes:
        level: What it takes away.
        rule: Its code.
        removed: How many things it took away in the corpus.
        false_positives: Share of the marked ones among them that should have been kept.
        published: Share that OmniCorpus' reviewers found; None where it is not published.
        misses: Share of what was kept and marked, of the rule's level, that should have been dropped by this rule.
        missed: How many things that is in the corpus.
    """

    level: Level
    rule: str
    removed: int
    false_positives: Share
    published: float | None
    misses: Share
    missed: float


@dataclass(frozen=True)
class AuditRates:
    """What the marks say.

    Attributes:
        rules: Of each rule that took something away or is said to have missed something, in the order of the levels.
        false_positives: Of all that was removed, by level, weighted by how many things each rule removed.
        misses: Of all that was kept, by level, for whatever reason.
        problems: What was written beside kept things, by level, with how often.
    """

    rules: tuple[RuleRates, ...]
    false_positives: dict[Level, Share]
    misses: dict[Level, Share]
    problems: dict[tuple[Level, str], int]


def kept_level(level: Level) -> Level:
    """Return the level of the kept things that show what a rule misses: stretches are missed in paragraphs."""
    return Level.PARAGRAPH if level is Level.SPAN else level


def measure_rates(strata: Iterable[Stratum], marked: Sequence[Marked]) -> AuditRates:
    """Count marks.

    Args:
        strata: How many things there are in the corpus to be marked.
        marked: Things with their marks, each drawn at random from its stratum.
    """
    sizes = {(one.level, one.rule): one.size for one in strata}
    removed: dict[tuple[Level, str], list[Marked]] = {}
    kept: dict[Level, list[Marked]] = {}
    for one in marked:
        if one.thing.rule is None:
            kept.setdefault(one.thing.level, []).append(one)
        else:
            removed.setdefault((one.thing.level, one.thing.rule), []).append(one)
    named = {(rule_of(code).level, code) for one in marked if (code := one.missed_rule) is not None}
    keys = {(level, rule) for level, rule in sizes if rule is not None} | named
    order = list(Level)
    rules = [
        _rule_rates(level, rule, sizes, removed.get((level, rule), ()), kept.get(kept_level(level), ()))
        for level, rule in sorted(keys, key=lambda key: (order.index(key[0]), key[1]))
    ]
    problems = Counter((one.thing.level, one.problem) for own in kept.values() for one in own if one.problem)
    return AuditRates(
        rules=tuple(rules),
        false_positives=_by_level(sizes, removed),
        misses={level: Share.of(_hits(kept[level], keep=False), len(kept[level])) for level in Level if level in kept},
        problems=dict(sorted(problems.items())),
    )


def _by_level(
    sizes: dict[tuple[Level, str | None], int], removed: dict[tuple[Level, str], list[Marked]]
) -> dict[Level, Share]:
    parts: dict[Level, list[tuple[int, int, int]]] = {}
    for key, own in removed.items():
        parts.setdefault(key[0], []).append((sizes[key], len(own), _hits(own, keep=True)))
    return {level: weighted_share(parts[level]) for level in Level if level in parts}


def _hits(marked: Sequence[Marked], *, keep: bool) -> int:
    return sum(one.keep == keep for one in marked)


def _rule_rates(
    level: Level,
    rule: str,
    sizes: dict[tuple[Level, str | None], int],
    removed: Sequence[Marked],
    kept: Sequence[Marked],
) -> RuleRates:
    misses = Share.of(sum(one.missed_rule == rule for one in kept), len(kept))
    return RuleRates(
        level=level,
        rule=rule,
        removed=sizes.get((level, rule), 0),
        false_positives=Share.of(_hits(removed, keep=True), len(removed)),
        published=rule_of(rule).false_positive_rate,
        misses=misses,
        missed=misses.value * sizes.get((kept_level(level), None), 0),
    )
