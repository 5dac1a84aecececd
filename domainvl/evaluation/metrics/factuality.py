"""A place for a scorer that says how factual a report is, such as one of RadGraph or CheXbert; none is shipped.

Such scorers need weights with licences of their own. A package that has one names a class without arguments in its
entry-point group ``domainvl.factuality``; it is then known by the name of the entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Protocol, runtime_checkable

import numpy as np

from domainvl.errors import UsageError
from domainvl.evaluation.statistics.scores import SumScore, mean_score

ENTRY_POINT_GROUP = "domainvl.factuality"


@runtime_checkable
class FactualityScorer(Protocol):
    """Says how much of each report is true.

    Attributes:
        name: What the metric is called in a report, with its version.
    """

    name: str

    def score(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Sequence[float]:
        """Score reports.

        Args:
            candidates: The reports, one an item; may be empty texts.
            references: What is true of each, at least one text an item.

        Returns:
            One value an item, within 0..1, 1 the best; of an item alone, whatever the others are.
        """
        ...


def factuality_scorers() -> list[str]:
    """Return the names of the installed scorers, sorted."""
    return sorted(entry.name for entry in metadata.entry_points(group=ENTRY_POINT_GROUP))


def load_factuality_scorer(name: str) -> FactualityScorer:
    """Load a scorer by the name of its entry.

    Raises:
        UsageError: If there is none of that name, it cannot be imported, or it is no scorer.
    """
    entries = [entry for entry in metadata.entry_points(group=ENTRY_POINT_GROUP) if entry.name == name]
    if not entries:
        known = ", ".join(factuality_scorers()) or "none"
        raise UsageError(
            f"There is no factuality scorer {name!r}",
            rule=f"a package must offer it in its entry-point group {ENTRY_POINT_GROUP}, installed are: {known}",
            action="Install the package that has it",
        )
    entry = entries[0]
    try:
        make = entry.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"Cannot load the factuality scorer {name!r}",
            where=entry.value,
            rule=str(error),
            action="Install what it needs",
        ) from error
    scorer = make()
    if not isinstance(scorer, FactualityScorer):
        raise UsageError(
            f"{name!r} is no factuality scorer",
            where=entry.value,
            rule=f"it must have a name and a method score, got {type(scorer).__name__}",
            action="Ask the maker of that package",
        )
    return scorer


def factuality_score(
    scorer: FactualityScorer, candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> SumScore:
    """Return the mean over items of what a scorer says.

    Args:
        scorer: The scorer.
        candidates: The reports, one an item.
        references: What is true of each, at least one text an item.

    Raises:
        ValueError: If the lengths differ.
        UsageError: If the scorer does not give one value within 0..1 an item.
    """
    if len(candidates) != len(references):
        raise ValueError(f"each item needs references, got {len(candidates)} answers and {len(references)} of them")
    values = np.asarray(scorer.score(candidates, references), dtype=np.float64)
    inside = (values >= 0) & (values <= 1)
    if values.shape != (len(candidates),) or not inside.all():
        raise UsageError(
            f"The factuality scorer {scorer.name!r} is wrong",
            rule=f"it must give a value within 0..1 for each of {len(candidates)} items, "
            f"got {values.shape} with {int((~inside).sum())} outside",
            action="Ask its maker",
        )
    return mean_score(values)
