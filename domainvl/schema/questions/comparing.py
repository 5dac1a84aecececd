"""Two classes, or one class in two images, of which one has more: a question answered yes and one answered no."""

from __future__ import annotations

from collections.abc import Mapping

from domainvl.schema.questions.question import pick


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
    """Keep the classes that are there; to a single one, one that is not there is added.

    Args:
        amounts: How many of each class.
        key: Equal keys choose alike.

    Returns:
        The classes to compare; empty where there are no two, or none is there.
    """
    present = [name for name, amount in amounts.items() if amount > 0]
    absent = [name for name, amount in amounts.items() if amount == 0]
    if len(present) == 1 and absent:
        present.append(pick(absent, f"{key}/absent"))
    return {name: amounts[name] for name in present} if len(present) > 1 else {}


def dominant(amounts: Mapping[str, float | None], margin: float) -> str | None:
    """Return the name that has more than every other, by at least a margin.

    Args:
        amounts: How much each has; None where it is not known.
        margin: The least lead.

    Returns:
        The name, or None if there are not two, one is not known or none leads.
    """
    ranked = sorted(((amount, name) for name, amount in amounts.items() if amount is not None), reverse=True)
    if len(ranked) < max(2, len(amounts)) or ranked[0][0] <= ranked[1][0] or ranked[0][0] - ranked[1][0] < margin:
        return None
    return ranked[0][1]


def _exceeds(amount: float, other: float, margin: float) -> bool:
    return amount > other and amount - other >= margin
