"""Says what a reject costs, in the same words for all converters."""

from __future__ import annotations


def left_out_with_it(lost: str) -> str:
    """Write the end of a reject's message.

    Args:
        lost: What is left out with the input, such as ``"2 questions"``.
    """
    return f"Left out with it: {lost}."


def counted(count: int, thing: str) -> str:
    """Write a number of things, such as ``"1 question"`` or ``"2 questions"``.

    Args:
        count: How many.
        thing: What, in the singular.
    """
    return f"{count} {thing}{'s' * (count != 1)}"
