"""Draws what is asked about: things in an order of their own, and answers in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from domainvl.schema.splitting import uniform_from_key

T = TypeVar("T")


def drawn_order(items: Sequence[T], names: Sequence[str], key: str) -> list[T]:
    """Return items in an order that is drawn from their names; equal keys draw alike, whatever order they come in.

    Args:
        items: The items.
        names: The name of each.
        key: Names what is drawn for.
    """
    drawn = sorted((uniform_from_key(f"{key}/{name}"), name, place) for place, name in enumerate(names))
    return [items[place] for _, _, place in drawn]


def take_turns(sides: Sequence[Sequence[T]], key: str) -> Iterator[T]:
    """Give an item of each side in turn, beginning with a side that is drawn; the first side without one is the end.

    Where each side has an answer of its own, no answer is right more often because there is more of it.

    Args:
        sides: The items of each side, in the order in which they are taken.
        key: Names what is drawn for.
    """
    first = int(uniform_from_key(f"{key}/first") * len(sides))
    taken = 0
    while True:
        side = sides[(first + taken) % len(sides)]
        place = taken // len(sides)
        if place == len(side):
            return
        yield side[place]
        taken += 1
