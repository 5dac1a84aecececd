"""What was found: counted in full, kept up to a limit a rule, so that memory stays flat however wrong the data is."""

from __future__ import annotations

import bisect
import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from domainvl.schema.validation.rules import RULES, Severity

KEPT_PER_RULE = 1000
"""Findings kept of each rule: the first ones by file and line. All are counted."""

_MAX_VALUE_CHARS = 120

Problem: TypeAlias = tuple[str, str]
"""Code of the rule, and what is wrong: a finding whose place is not known yet."""


@dataclass(frozen=True)
class Finding:
    """One breach of one rule.

    Attributes:
        rule: Code of the rule.
        severity: What it means.
        file: File, relative to the data set's folder.
        line: Line, from 1; None where the file as a whole is meant.
        message: What is wrong, with the value seen.
        fix: What to do.
    """

    rule: str
    severity: Severity
    file: str
    line: int | None
    message: str
    fix: str


class Findings:
    """Collects findings.

    Args:
        kept_per_rule: How many to keep of each rule.
    """

    def __init__(self, kept_per_rule: int = KEPT_PER_RULE) -> None:
        self._kept_per_rule = kept_per_rule
        self._kept: dict[str, list[tuple[str, int, str]]] = {}
        self.counts: Counter[str] = Counter()

    def add(self, rule: str, file: str, line: int | None, message: str | Callable[[], str]) -> None:
        """Record a finding.

        Args:
            rule: Code of the rule.
            file: File, relative to the data set's folder.
            line: Line, from 1; None where the file as a whole is meant.
            message: What is wrong, with the value seen; a function is called only if the finding is kept.
        """
        self.counts[rule] += 1
        kept = self._kept.setdefault(rule, [])
        place = (file, line or 0)
        if len(kept) >= self._kept_per_rule:
            if place >= kept[-1][:2]:
                return
            kept.pop()
        text = message if isinstance(message, str) else message()
        bisect.insort(kept, (*place, text), key=operator.itemgetter(0, 1))

    def in_order(self) -> list[Finding]:
        """Return the kept findings by file, line and rule."""
        rows = [(file, line, rule, message) for rule, kept in self._kept.items() for file, line, message in kept]
        return [
            Finding(rule, RULES[rule].severity, file, line or None, message, RULES[rule].fix)
            for file, line, rule, message in sorted(rows, key=operator.itemgetter(0, 1, 2))
        ]


def show(value: object) -> str:
    """Write a value for a message: escaped, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}..."
