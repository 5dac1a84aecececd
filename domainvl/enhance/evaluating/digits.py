"""Numbers as text: enough digits that a small difference does not read as none."""

from __future__ import annotations

import math

_SIGNIFICANT = 2
_MOST_DECIMALS = 7


def signed(value: float, low: float | None, high: float | None, *, decimals: int) -> tuple[str, ...]:
    """Write a difference and the ends of its interval with their signs.

    The difference has as many digits after the point as show two significant ones, and the ends have the same; an end
    that would read as zero shows a significant one. What needs more than seven is a power of ten. Zero has no sign.

    Args:
        value: The difference.
        low: Lower end of its interval; None without one.
        high: Upper end.
        decimals: Fewest digits after the point.

    Returns:
        The difference, or the difference and both ends.
    """
    shared = max(decimals, min(_MOST_DECIMALS, _needed(value, _SIGNIFICANT)))
    ends = () if low is None or high is None else (low, high)
    return (_signed(value, shared, _SIGNIFICANT), *(_signed(end, shared, 1) for end in ends))


def short(value: float) -> str:
    """Write a number from 0 up with two significant digits after its leading zeros, or all before the point."""
    decimals = _needed(value, _SIGNIFICANT)
    return f"{value:.{_SIGNIFICANT - 1}e}" if decimals > _MOST_DECIMALS else f"{value:.{decimals}f}"


def fixed(value: float, decimals: int) -> str:
    """Write a number with digits after the point; what rounds to zero has no sign."""
    return format(value, f"z.{decimals}f")


def _signed(value: float, decimals: int, significant: int) -> str:
    text = f"{value:+.{decimals}f}"
    if not value:
        return fixed(value, decimals)
    if float(text):
        return text
    needed = _needed(value, significant)
    return f"{value:+.{significant - 1}e}" if needed > _MOST_DECIMALS else f"{value:+.{needed}f}"


def _needed(value: float, significant: int) -> int:
    """Return the digits after the point that show as many significant ones of a number."""
    if not value or not math.isfinite(value):
        return 0
    # Through rounded text: two digits of 0.0999 are 0.10.
    exponent = int(f"{abs(value):.{significant - 1}e}".partition("e")[2])
    return max(0, significant - 1 - exponent)
