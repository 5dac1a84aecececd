"""Which classes are compared and counted, so that no answer can be guessed from how often it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domainvl.schema.questions.question import pick
from domainvl.schema.splitting import uniform_from_key

ZERO_SHARE = 0.25
"""Share of images of which a count is asked for whose answer is 0, where there is such a class."""


def pick_to_count(some: Sequence[str], none: Sequence[str], key: str) -> str | None:
    """Choose a class to count: in one of four images (``ZERO_SHARE``) one of which there is none.

    Most of the annotated classes are absent from most images: drawn among all, nearly every answer would be 0.

    Args:
        some: Classes whose count is not 0.
        none: Classes whose count is 0.
        key: Names the image; equal keys choose alike.

    Returns:
        The class; None where only absent ones are there and this is not one of the images where they are counted.
    """
    wants_zero = uniform_from_key(f"{key}/zero") < ZERO_SHARE
    labels = none if wants_zero and none else some
    return pick(labels, key) if labels else None


def pick_more(amounts: Mapping[str, float], key: str, *, margin: float = 0.0) -> tuple[str, str] | None:
    """Choose two names of which the first has more.

    Args:
        amounts: How much each has.
        key: Equal keys choose alike.
        margin: How much more it must be, at least; 0 asks for any more.

    Returns:
        The one with more and the one with less, or None if there are no such two.
    """
    least = min(amounts.values(), default=0.0)
    more = [name for name, amount in amounts.items() if _exceeds(amount, least, margin)]
    if not more:
        return None
    first = pick(more, f"{key}/more")
    return first, pick(
        [name for name, amount in amounts.items() if _exceeds(amounts[first], amount, margin)], f"{key}/than"
    )


def pick_not_more(amounts: Mapping[str, int], key: str) -> tuple[str, str] | None:
    """Choose two names of which the first has not more: less, or equally many.

    Args:
        amounts: How much each has.
        key: Equal keys choose alike.

    Returns:
        The two, or None if there are none.
    """
    most = max(amounts.values(), default=0)
    at_top = sum(amount == most for amount in amounts.values())
    candidates = [name for name, amount in amounts.items() if amount < most or at_top > 1]
    if not candidates:
        return None
    first = pick(candidates, f"{key}/not-more")
    others = [name for name, amount in amounts.items() if name != first and amount >= amounts[first]]
    return first, pick(others, f"{key}/than")


def worth_comparing(amounts: Mapping[str, int], key: str) -> dict[str, int]:
    """Keep the classes that are there; to a single one, or equally many of all, one that is not there is added.

    Args:
        amounts: How many of each class.
        key: Equal keys choose alike.

    Returns:
        The classes to compare; empty where none of them has more than another.
    """
    present = [name for name, amount in amounts.items() if amount > 0]
    absent = [name for name, amount in amounts.items() if amount == 0]
    if len({amounts[name] for name in present}) == 1:
        if not absent:
            return {}
        present.append(pick(absent, f"{key}/absent"))
    return {name: amounts[name] for name in present}


def dominant(amounts: Mapping[str, float], margin: float = 0.0) -> str | None:
    """Return the name that has more than every other, by at least a margin.

    Args:
        amounts: How much each has.
        margin: The least lead.

    Returns:
        The name, or None if there are not two or none leads.
    """
    ranked = sorted(((amount, name) for name, amount in amounts.items()), reverse=True)
    if len(ranked) < 2 or not _exceeds(ranked[0][0], ranked[1][0], margin):
        return None
    return ranked[0][1]


def _exceeds(amount: float, other: float, margin: float) -> bool:
    return amount > other and amount - other >= margin
