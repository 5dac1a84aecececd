"""Reads shares, areas and lengths from answers, and says how far from the truth they may lie."""

from __future__ import annotations

import math
import re

TOLERANCE = 0.1
"""How far a measure may lie from the truth, relative to it, inclusive. Ours; no protocol is followed."""

SHARE_TOLERANCE_POINTS = 1.0
"""How far a share may always lie from the truth, in percentage points: it is written in whole ones. Ours too."""

_SLACK = 1e-9
"""Decimals such as 0.33 are not exact in binary; without it 0.33 would not be within 10 % of 0.3."""

# Each unit with what it stands for: so many percent, so many square metres, or so many millimetres.
_UNITS = {
    "%": ("%", 1.0), "percent": ("%", 1.0), "per cent": ("%", 1.0), "percentage points": ("%", 1.0),
    "m2": ("m2", 1.0), "m²": ("m2", 1.0), "m^2": ("m2", 1.0), "sqm": ("m2", 1.0),
    "square metre": ("m2", 1.0), "square metres": ("m2", 1.0), "square meter": ("m2", 1.0),
    "square meters": ("m2", 1.0), "ha": ("m2", 1e4), "hectare": ("m2", 1e4), "hectares": ("m2", 1e4),
    "km2": ("m2", 1e6), "km²": ("m2", 1e6), "km^2": ("m2", 1e6), "square kilometre": ("m2", 1e6),
    "square kilometres": ("m2", 1e6), "square kilometer": ("m2", 1e6), "square kilometers": ("m2", 1e6),
    "mm2": ("m2", 1e-6), "mm²": ("m2", 1e-6), "mm^2": ("m2", 1e-6), "sq mm": ("m2", 1e-6),
    "square millimetre": ("m2", 1e-6), "square millimetres": ("m2", 1e-6), "square millimeter": ("m2", 1e-6),
    "square millimeters": ("m2", 1e-6), "cm2": ("m2", 1e-4), "cm²": ("m2", 1e-4), "cm^2": ("m2", 1e-4),
    "sq cm": ("m2", 1e-4), "square centimetre": ("m2", 1e-4), "square centimetres": ("m2", 1e-4),
    "square centimeter": ("m2", 1e-4), "square centimeters": ("m2", 1e-4),
    "mm": ("mm", 1.0), "millimetre": ("mm", 1.0), "millimetres": ("mm", 1.0), "millimeter": ("mm", 1.0),
    "millimeters": ("mm", 1.0), "cm": ("mm", 10.0), "centimetre": ("mm", 10.0), "centimetres": ("mm", 10.0),
    "centimeter": ("mm", 10.0), "centimeters": ("mm", 10.0),
    "m": ("mm", 1e3), "metre": ("mm", 1e3), "metres": ("mm", 1e3), "meter": ("mm", 1e3), "meters": ("mm", 1e3),
}  # fmt: skip
# Longest first, so that "m2" is not taken for the whole of a longer name, nor "m" for that of "m/s".
_UNIT = re.compile(rf"\s*\(?({'|'.join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))})(?![\w/])")
# What may follow a number without a unit: nothing, "of the image", or punctuation that ends a clause. Another word may
# be a unit that is not known, another number the rest of this one.
_NO_UNIT = re.compile(r"\s*(?:\Z|(?:of\b|[.,;:!?]+(?=\s|\Z))(?!\s*[0-9]))")
# A number with all that belongs to it: sign, decimals, thousands, ranges, fractions; possessive, as for counts.
_NUMBER = re.compile(r"(?<!\w)[-.]?[0-9]++(?:[.,/-][0-9]++)*+")
_PLAIN = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")


def read_measure(text: str, unit: str) -> float | None:
    """Read a measure: the first number, in the unit that follows it, else in the unit that was asked for.

    "37%", "37 percent", "37" and "about 37.2 %" are shares; "1200 m2", "0.12 ha" and "1200" are areas; "12.5 mm",
    "1.25 cm" and "0.0125 m" are lengths. Nothing is read if the unit is of another kind, if something follows that may
    be another unit ("2 acres", "2x") or the rest of the number ("1 200", "30 to 40", "3 of 4"), or if the number is no
    plain one ("-2", "2-3", "1,200").

    Args:
        text: The answer.
        unit: What was asked for: ``"%"``, ``"m2"``, ``"ha"``, ``"mm"``, ``"mm2"`` or ``"m"``.

    Returns:
        The measure in ``unit``, or None.
    """
    found = _NUMBER.search(text)
    if found is None or not _PLAIN.fullmatch(found[0]):
        return None
    value, rest = float(found[0]), text[found.end() :].lower()
    written = _UNIT.match(rest)
    if written is None:
        return value if _NO_UNIT.match(rest) else None
    kind, size = _UNITS[unit]
    written_kind, written_size = _UNITS[written[1]]
    return value * written_size / size if written_kind == kind else None


def measure_distance(value: float, truth: float, unit: str) -> float:
    """Return how far a measure lies from the truth: shares in percentage points, others relative to it."""
    distance = abs(value - truth)
    if unit == "%" or distance == 0:
        return distance
    return distance / truth if truth > 0 else math.inf


def is_right_measure(value: float, truth: float, unit: str) -> bool:
    """Say whether a measure counts as right: within 10 % of the truth, a share also within one percentage point.

    The tolerance grows with the truth: with one that is the same for all, one constant answer would be right for all
    small shares, which most are.
    """
    least = SHARE_TOLERANCE_POINTS if unit == "%" else 0.0
    return abs(value - truth) <= max(TOLERANCE * truth, least) * (1 + _SLACK)


def tolerance_name(unit: str) -> str:
    """Return what makes a measure right, in words; it is the name of the metric."""
    points = f" or {SHARE_TOLERANCE_POINTS:g} point" if unit == "%" else ""
    return f"within {TOLERANCE:.0%}{points}"
