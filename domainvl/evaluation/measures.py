"""Reads shares and areas from answers, and says how far from the truth they may lie."""

from __future__ import annotations

import math
import re

SHARE_TOLERANCE_POINTS = 5.0
"""How far a share may lie from the truth, in percentage points, inclusive. Ours; no protocol is followed."""

AREA_TOLERANCE = 0.1
"""How far an area may lie from the truth, relative to it, inclusive. Ours; no protocol is followed."""

# Each unit with what it stands for: so many percent, or so many square metres.
_UNITS = {
    "%": ("%", 1.0), "percent": ("%", 1.0), "per cent": ("%", 1.0), "percentage points": ("%", 1.0),
    "m2": ("m2", 1.0), "m²": ("m2", 1.0), "m^2": ("m2", 1.0), "sqm": ("m2", 1.0),
    "square metre": ("m2", 1.0), "square metres": ("m2", 1.0), "square meter": ("m2", 1.0),
    "square meters": ("m2", 1.0), "ha": ("m2", 1e4), "hectare": ("m2", 1e4), "hectares": ("m2", 1e4),
    "km2": ("m2", 1e6), "km²": ("m2", 1e6), "km^2": ("m2", 1e6), "square kilometre": ("m2", 1e6),
    "square kilometres": ("m2", 1e6), "square kilometer": ("m2", 1e6), "square kilometers": ("m2", 1e6),
}  # fmt: skip
# Longest first, so that "m2" is not taken for the whole of a longer name.
_UNIT = re.compile(rf"\s*({'|'.join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))})(?!\w)")
# A number with all that belongs to it: sign, decimals, thousands, ranges, fractions; possessive, as for counts.
_NUMBER = re.compile(r"(?<!\w)[-.]?[0-9]++(?:[.,/-][0-9]++)*+")
_PLAIN = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")


def read_measure(text: str, unit: str) -> float | None:
    """Read a measure: the first number, in the unit that follows it, else in the unit that was asked for.

    "37%", "37 percent", "37" and "about 37.2 %" are shares; "1200 m2", "0.12 ha" and "1200" are areas. Nothing is
    read if the unit is of the other kind, if other letters follow the number at once ("2x"), or if the number is no
    plain one ("-2", "2-3", "1,200").

    Args:
        text: The answer.
        unit: What was asked for: ``"%"``, ``"m2"`` or ``"ha"``.

    Returns:
        The measure in ``unit``, or None.
    """
    found = _NUMBER.search(text)
    if found is None or not _PLAIN.fullmatch(found[0]):
        return None
    value, rest = float(found[0]), text[found.end() :].lower()
    written = _UNIT.match(rest)
    if written is None:
        return None if rest[:1].isalnum() or rest[:1] == "_" else value
    kind, size = _UNITS[unit]
    written_kind, written_size = _UNITS[written[1]]
    return value * written_size / size if written_kind == kind else None


def measure_distance(value: float, truth: float, unit: str) -> float:
    """Return how far a measure lies from the truth: shares in percentage points, areas relative to the true one."""
    distance = abs(value - truth)
    if unit == "%" or distance == 0:
        return distance
    return distance / truth if truth > 0 else math.inf


def tolerance_of(unit: str) -> float:
    """Return the largest distance of a right answer, as :func:`measure_distance` measures it."""
    return SHARE_TOLERANCE_POINTS if unit == "%" else AREA_TOLERANCE


def tolerance_name(unit: str) -> str:
    """Return what makes a measure right, in words; it is the name of the metric."""
    return f"within {SHARE_TOLERANCE_POINTS:g} points" if unit == "%" else f"within {AREA_TOLERANCE:.0%}"
