"""Identifiers left in: values that have the form of what names a person.

A plain name in a sentence has no form; list the names of the source as canaries. What is found is shown masked, so that
a report can be passed on.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterator
from typing import Any

from domainvl.schema.identifying import find_identifiers
from domainvl.schema.validation.findings import Problem

_MEDICAL = "medical"
_SHOWN_CHARS = 2
_MAX_KEY_CHARS = 100
# Separates the lines of one value, so that a pattern cannot reach from one value into the next.
_INNER_LINE_BREAK = "\0"

# Whose values are names of files, samples and groups, not sentences.
_NAME_KEYS = frozenset({"id", "group", "uri", "image"})
_LABEL_KEY = re.compile(
    r"patient|birth|mrn|medical.?record|accession|phone|(?<![a-z])ssn(?![a-z])|social.?security", re.IGNORECASE
)


class Scanner:
    """Looks for what has the form of an identifier in records, lines and metadata.

    Outside medicine the names of files, samples and groups may hold a date: satellites and cars name what they record
    by its time. Everywhere in medical data, and everywhere in sentences, a full date is a finding.

    Attributes:
        medical: Whether medical samples were seen; it decides about dates in files that belong to no one sample.
    """

    def __init__(self) -> None:
        self.medical = False

    def scan_record(self, record: dict[str, Any]) -> list[Problem]:
        """Look through one record."""
        truth = record.get("domainvl")
        medical = isinstance(truth, dict) and truth.get("domain") == _MEDICAL
        self.medical |= medical
        names: list[str] = []
        texts: list[str] = []
        for key, value in _leaves(record):
            (names if key in _NAME_KEYS else texts).append(f"{key}: {value}")
        problems = _find("\n".join(texts), dates=True) + _find("\n".join(names), dates=medical)
        return list(dict.fromkeys(problems))

    def scan_text(self, text: str) -> list[Problem]:
        """Look through text that stands for itself: a line of a file, or metadata of an image."""
        return _find(text.replace("\\\\", "\\").replace("\\/", "/"), dates=self.medical)


def mask(value: str) -> str:
    """Show the form of a value and its first two characters only."""
    return value[:_SHOWN_CHARS] + re.sub(r"[^\W_]", "*", value[_SHOWN_CHARS:])


def _find(text: str, *, dates: bool) -> list[Problem]:
    problems: dict[Problem, None] = {}
    # A line may be long and hold many: its start is not sought anew for each, and no key is longer than its bound.
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    for code, start, value in find_identifiers(text, dates=dates):
        line = starts[bisect.bisect_right(starts, start) - 1]
        place, colon, _ = text[line : min(start, line + _MAX_KEY_CHARS)].partition(": ")
        where = f"{place}: " if colon and place.isidentifier() else ""
        problems[code, f"{where}{mask(value.replace(_INNER_LINE_BREAK, ' ').strip())}"] = None
    return list(problems)


def _leaves(value: object) -> Iterator[tuple[str, str]]:
    """Yield the strings in a JSON value with their keys, and numbers under keys that label an identifier."""
    stack: list[tuple[str, object]] = [("", value)]
    while stack:
        key, item = stack.pop()
        if isinstance(item, str):
            yield key, item.replace("\n", _INNER_LINE_BREAK)
        elif isinstance(item, dict):
            stack += reversed(item.items())
        elif isinstance(item, list):
            stack += [(key, part) for part in reversed(item)]
        elif isinstance(item, int) and _labels_identifier(key):
            yield key, str(item)


@functools.lru_cache(maxsize=1024)
def _labels_identifier(key: str) -> bool:
    return _LABEL_KEY.search(key) is not None
