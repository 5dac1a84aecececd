"""Orders results for the report's tables: who is compared with whom, on which lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.evaluation.results import (
    Comparison,
    Leak,
    Line,
    PublishedNumber,
    Results,
    System,
    SystemKind,
    Value,
    Verdict,
)
from domainvl.evaluation.verdict import is_from_scratch

KINDS: dict[SystemKind, str] = {
    "adapted": "adapted model",
    "base": "the model it came from",
    "specialist": "specialist",
    "other": "another model",
    "baseline": "baseline",
}
"""What a system is, in words, in the order in which systems are compared."""

_UNITS = frozenset({"m", "mm", "mm2", "m2", "px", "deg", "s", "ha"})

SIGNS: dict[Verdict, str] = {"better": "▲", "worse": "▼", "not distinguishable": "≈"}
"""Beside the words and colours of a verdict, for who cannot tell the colours."""


@dataclass(frozen=True)
class Opponent:
    """All verdicts of the first system against another one.

    Attributes:
        system: The other.
        rows: Each line with its comparison, in the order of the lines.
        headline: The comparison on the headline.
    """

    system: System
    rows: tuple[tuple[Line, Comparison], ...]
    headline: Comparison | None

    @property
    def counts(self) -> list[tuple[Verdict, int]]:
        """How many lines have each verdict; only those that there are."""
        found = Counter(comparison.verdict for _, comparison in self.rows)
        return [(verdict, found[verdict]) for verdict in SIGNS if found[verdict]]


def strict_lines(results: Results) -> list[Line]:
    """Return the lines that are right, the headline first."""
    lines = [line for line in results.lines if line.variant == "strict"]
    return sorted(lines, key=lambda line: line.name != results.headline)


def published_lines(results: Results) -> list[Line]:
    """Return the lines that follow the official code flaw for flaw."""
    return [line for line in results.lines if line.variant == "as-published"]


def opponents(results: Results, lines: Sequence[Line], kinds: Sequence[SystemKind] = tuple(KINDS)) -> list[Opponent]:
    """Return what the first system is compared with: the model it came from first, baselines last.

    Args:
        results: The results.
        lines: Which lines.
        kinds: Which kinds of other systems.
    """
    order = list(KINDS)
    others = sorted(results.systems[1:], key=lambda system: order.index(system.kind))
    found = []
    for system in others:
        by_name = {one.name: one for one in results.comparisons if one.b == system.name and one.variant == "strict"}
        rows = tuple((line, by_name[line.name]) for line in lines if line.name in by_name)
        if rows and system.kind in kinds:
            found.append(Opponent(system, rows, by_name.get(results.headline)))
    return found


def about(system: System) -> str:
    """Say in words what a system is; of a specialist what it was pretrained on."""
    words = KINDS[system.kind]
    if is_from_scratch(system):
        # It had a small training set only: to beat it is not to beat the model that people use.
        own = "a specialist's architecture" if system.kind == "specialist" else words
        return f"{own}, trained from scratch" + (", no stand-in for the specialist" if own != words else "")
    if system.pretraining is not None:
        return f"{words}, pretrained on {system.pretraining}"
    return f"{words}, pretraining not known" if system.kind == "specialist" else words


def factor_words(name: str) -> str:
    """Write the name of a fact as words, with its unit: ``gsd_m`` as ``GSD (m)``."""
    *words, last = [{"gsd": "GSD"}.get(word, word) for word in name.split("_")]
    return f"{' '.join(words)} ({last})" if words and last in _UNITS else " ".join([*words, last])


def average_words(line: Line) -> str | None:
    """Say what kind of average a line is; None for a column."""
    if line.average in ("micro", "macro"):
        return f"{line.average} average"
    return None if line.average is None else f"formula {line.average}"


def leak_words(leak: Leak, results: Results) -> str:
    """Say what a system has seen in training."""
    share = f"{leak.samples:,} of {results.data.samples:,} held-out samples are about"
    return f"{leak.system}: {share} what it was trained on: {leak.groups:,} groups and {leak.images:,} images."


def own_values(number: PublishedNumber, results: Results) -> tuple[Value | None, Value | None]:
    """Return the first system's values of a published number's line, as published and strict; None if not there."""
    first = results.systems[0].name
    lines = {line.variant: line for line in results.lines if line.name == number.name}
    published, strict = (
        lines[kind].values.get(first) if kind in lines else None for kind in ("as-published", "strict")
    )
    return published, strict
