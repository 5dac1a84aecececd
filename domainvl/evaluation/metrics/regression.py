"""How far numbers in answers are from the truth: speed in m/s, turning angle in degrees.

The measures are those of BDD-X's control signals: RMSE and A_tau, the share of answers within tau.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from domainvl.evaluation.statistics.scores import FloatArray, SumScore, mean_score, ratio

TOLERANCES = (0.1, 0.5, 1.0, 5.0)
"""The taus of A_tau, in the unit of the number (DriveGPT4, arXiv 2310.01412, and Mini-InternVL, arXiv 2410.16261)."""

_SLACK = 1e-9
"""Decimals are not exact in binary: 6.4 - 6.3 is more than 0.1, 6.3 - 6.2 less."""

# Each way to write a unit, with how many of the unit asked for it stands for.
_UNITS = {
    "m/s": {
        "m/s": 1.0, "mps": 1.0, "metres per second": 1.0, "meters per second": 1.0, "metre per second": 1.0,
        "meter per second": 1.0, "km/h": 1 / 3.6, "kph": 1 / 3.6, "kmh": 1 / 3.6, "kilometres per hour": 1 / 3.6,
        "kilometers per hour": 1 / 3.6, "mph": 0.44704, "miles per hour": 0.44704,
    },
    "degrees": {"degrees": 1.0, "degree": 1.0, "deg": 1.0, "°": 1.0},
}  # fmt: skip
# A number with all that belongs to it: sign, decimals, thousands, ranges, fractions; digits inside a word are none.
_NUMBER = re.compile(r"(?<![\w.+−-])[-+−]?\.?[0-9]++(?:[.,/-]+[0-9]++)*+")
_PLAIN = re.compile(r"[-+−]?[0-9]{1,9}(?:\.[0-9]{1,12})?")
# What may follow a number, or its unit: nothing or a mark that ends a clause, but no further number.
_END = re.compile(r"\s*(?:\Z|[.,;:!?)]+(?=\s|\Z)(?!\s*[-+−]?[0-9]))")
_SIDE_AFTER = re.compile(r"\s*(?:to the )?(left|right)\b")
_SIDE_BEFORE = re.compile(r"\b(left|right)(?: by)?\s*\Z")
_SIDE = re.compile(r"\b(?:left|right)\b")
# What makes a unit another one: m/s2, m/s^2, degrees per second.
_UNIT_GOES_ON = re.compile(r"[\w/^]|\s*per\b")


def read_quantity(text: str, unit: str) -> float | None:
    """Read the first number of an answer in a unit; without one it is in the unit that was asked for.

    "6.3 m/s", "about 6.3" and "22.68 km/h" are speeds; "-3.2 degrees", "3.2°" and "3.2 degrees to the right" (negative)
    are angles. Nothing is read if the number is no plain one ("2-3", "1,200", "1e3"), if something follows it that is
    neither the unit nor the end of a clause ("5 to 6", "3 cars"), or if a side is named that disagrees with the sign
    ("-3 degrees to the left") or does not stand beside the number.

    Args:
        text: The answer.
        unit: ``"m/s"`` or ``"degrees"``; of degrees, left is positive, as domainvl's BDD-X asks for them.

    Raises:
        ValueError: If the unit is another.
    """
    if unit not in _UNITS:
        raise ValueError(f"unit must be one of {', '.join(_UNITS)}, got {unit!r}")
    found = _NUMBER.search(text)
    if found is None or not _PLAIN.fullmatch(found[0]):
        return None
    value, before, rest = float(found[0].replace("−", "-")), text[: found.start()].lower(), text[found.end() :].lower()
    scale, rest = _unit_size(rest, _UNITS[unit])
    if scale is None:
        return None
    if unit == "degrees" and _SIDE.search(before + rest):
        side = _SIDE_AFTER.match(rest) or _SIDE_BEFORE.search(before)
        return None if side is None else _towards(value, found[0][0] in "+-−", side[1])
    return value * scale


def rmse_score(values: Sequence[float | None], truths: Sequence[float], *, leave_out_unread: bool = False) -> SumScore:
    """Return the root of the mean of the squared errors, in the unit of the values.

    A number that could not be read counts as the worst answer within the range of the true numbers, and as being off
    by the largest of ``TOLERANCES`` at least, as A_tau has it wrong for every tau: no answer within the range is worse
    off than none. Left out, it would better the score of a system that does not answer what is hard.

    Args:
        values: What was read of each answer; None where nothing was.
        truths: What is true, as many.
        leave_out_unread: Leave out what could not be read. Give its number (``values.count(None)``) beside the score.

    Raises:
        ValueError: If the lengths differ.
    """
    errors = _errors(values, truths)
    read = np.isfinite(errors)
    instead, counts = (0.0, read) if leave_out_unread else (_worst_errors(truths), np.ones_like(read))
    terms = np.stack([np.where(read, errors, instead) ** 2, counts.astype(np.float64)], axis=1)
    return SumScore(terms, lambda sums: np.sqrt(ratio(sums)), None)


def within_score(values: Sequence[float | None], truths: Sequence[float], tolerance: float) -> SumScore:
    """Return A_tau: the share of answers that are less than tau from the truth.

    A distance of exactly tau is not within it, as in the evaluation of ADAPT (``src/tasks/run_signal.py``), which these
    numbers come from. With truth and answer in one decimal, A_0.1 is thus the share of exact answers. A number that
    could not be read is wrong.

    Args:
        values: What was read of each answer; None where nothing was.
        truths: What is true, as many.
        tolerance: tau, in the unit of the values.

    Raises:
        ValueError: If the lengths differ.
    """
    return mean_score(_errors(values, truths) < tolerance - _SLACK)


def _errors(values: Sequence[float | None], truths: Sequence[float]) -> FloatArray:
    """Return the distance of each value from the truth; infinite where there is no value."""
    if len(values) != len(truths):
        raise ValueError(f"values and truths must be equally many, got {len(values)} and {len(truths)}")
    read = np.array([np.inf if value is None else value for value in values], dtype=np.float64)
    return np.abs(read - np.asarray(truths, dtype=np.float64))


def _worst_errors(truths: Sequence[float]) -> FloatArray:
    """Return how far the farthest true number is from each, and the largest tolerance where that is more."""
    lowest, highest = min(truths, default=0.0), max(truths, default=0.0)
    return np.array([max(true - lowest, highest - true, TOLERANCES[-1]) for true in truths], dtype=np.float64)


def _unit_size(rest: str, units: dict[str, float]) -> tuple[float | None, str]:
    """Return what the unit at the start of a text stands for, and the text after it; None where it is none of them."""
    start = rest.lstrip()
    for name in sorted(units, key=len, reverse=True):
        after = start.removeprefix(name)
        if after != start and not _UNIT_GOES_ON.match(after):
            return units[name], after
    side = _SIDE_AFTER.match(rest)
    return (1.0 if _END.match(rest, side.end() if side else 0) else None), rest


def _towards(value: float, signed: bool, side: str) -> float | None:
    """Return an angle with the sign of its side; None where it was written with the other sign."""
    if not signed:
        return value if side == "left" else -value
    return value if value == 0 or (value > 0) == (side == "left") else None
