"""How numbers are written on the report: each as an HTML ``data`` element that holds the whole number besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

NONE = "–"


def decimals(value: float) -> int:
    """Return how many decimals a number is written with: three up to 10, so that a share has a tenth of a percent."""
    return 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1 if abs(value) < 1000 else 0


def number(value: float | None) -> Markup:
    """Write a number; a dash where there is none."""
    return _written(value, "")


def signed(value: float | None) -> Markup:
    """Write a difference, with its sign."""
    return _written(value, "+")


def _written(value: float | None, sign: str) -> Markup:
    from markupsafe import Markup

    if value is None:
        return Markup("{}").format(NONE)
    text = f"{value:{sign},.{decimals(value)}f}".replace("-", "−")
    return Markup('<data value="{}">{}</data>').format(repr(value), text)


def probability(value: float | None) -> Markup:
    """Write a p value."""
    from markupsafe import Markup

    if value is None:
        return Markup("{}").format(NONE)
    text = "< 0.001" if value < 0.001 else f"{value:.3f}"
    return Markup('<data value="{}">{}</data>').format(repr(value), text)


def count(value: int | None) -> str:
    """Write a whole number."""
    return NONE if value is None else f"{value:,}"
