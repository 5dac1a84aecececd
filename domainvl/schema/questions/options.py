"""The options of a choice: one is right, and neither its place nor the others give it away."""

from __future__ import annotations

from collections.abc import Iterable

from domainvl.schema.sample import ChoiceAnswer
from domainvl.schema.splitting import uniform_from_key

MOST_OPTIONS = 4
"""As many as the published multiple-choice questions have."""


def choose_options(
    right: str,
    wrong: Iterable[str],
    key: str,
    *,
    most: int = MOST_OPTIONS,
    draws: tuple[str, str] = ("option", "order"),
) -> ChoiceAnswer | None:
    """Draw wrong options and an order, in which each place is equally likely to be the right one.

    Args:
        right: The right option.
        wrong: All that would be wrong; the right one among them is passed over.
        key: Names the image and the question; equal keys choose alike.
        most: Largest number of options.
        draws: Names of the two draws: which others are options, and in which order they stand. Another name draws
            otherwise for the same key.

    Returns:
        The options, or None where there is no wrong one.
    """
    choosing, ordering = draws
    others = sorted(set(wrong) - {right}, key=lambda other: (uniform_from_key(f"{key}/{choosing}/{other}"), other))
    if not others:
        return None
    options = [right, *others[: most - 1]]
    options.sort(key=lambda option: (uniform_from_key(f"{key}/{ordering}/{option}"), option))
    return ChoiceAnswer(options=tuple(options), correct=options.index(right))
