"""What makes a run the same run: for going on with it, for its processes, and for the record of its checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from domainvl.errors import UsageError
from domainvl.model.trained_on import TrainedOn
from domainvl.training.plan import TrainingPlan
from domainvl.training.processes import Processes
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe, values_of
from domainvl.training.sources import Source

_NOT_LEARNED = frozenset(
    {
        "compute",
        "validation",
        "saving",
        "tracking",
        "name",
        "description",
        "model",
        "optimisation.micro_batch_size",
        "mixture.error_budget",
    }
)
"""What of a recipe may differ when a run goes on: it does not change what is learned beyond rounding. The model's
weights are compared, not its name."""


def identity_of(
    recipe: Recipe, sources: Sequence[Source], plan: TrainingPlan, *, weights_sha256: str, held_out: str
) -> dict[str, str]:
    """Return what a run must agree in with its saved state, by name.

    Args:
        recipe: The recipe.
        sources: What is trained on.
        plan: The plan of its packs.
        weights_sha256: Hash of the weights to start from.
        held_out: Says what is held out.
    """
    return {
        "recipe": hashlib.sha256(json.dumps(_learned(recipe), sort_keys=True).encode()).hexdigest(),
        "data": hashlib.sha256(" ".join(source.digest for source in sources).encode()).hexdigest(),
        "held-out data": hashlib.sha256(held_out.encode()).hexdigest(),
        "plan": plan.digest(),
        "model": weights_sha256,
    }


def training_record(recipe: Recipe, sources: Sequence[Source], identity: Mapping[str, str]) -> dict[str, Any]:
    """Say what the model was trained on: bands, windows and stretch of the data sets are in their settings."""
    return {
        "recipe": recipe.name,
        "method": recipe.method,
        **({} if recipe.quantisation == "none" else {"quantisation": recipe.quantisation}),
        "sources": {source.name: source.record for source in sources},
        **{f"{key.replace(' ', '_').replace('-', '_')}_sha256": value for key, value in identity.items()},
    }


def all_trained_on(before: TrainedOn, sources: Sequence[Source]) -> TrainedOn:
    """Return all that a model was trained on when a run is done.

    Samples that turned out too long or unreadable are among it: which those are, another run may see otherwise.

    Args:
        before: What the model that it started from was trained on, as far as that is known.
        sources: What the run trains on.
    """
    found = before
    for source in sources:
        found |= source.trained_on()
    return found


def check_same_everywhere(identity: Mapping[str, str], recipe: Recipe, processes: Processes) -> None:
    """Refuse processes that would not do the same.

    Raises:
        UsageError: If recipe, data or model differ between them, naming which.
    """
    own = {**identity, "whole recipe": recipe.model_dump_json()}
    everywhere = processes.gather_objects(own)
    different = sorted(key for key in own if len({one[key] for one in everywhere}) > 1)
    if different:
        raise UsageError(
            "Cannot train together",
            rule=f"the processes do not agree in: {', '.join(different)}",
            action="Give all of them the same options, data and model",
        )


def check_same_recipe(recipe: Recipe, saved: Path) -> None:
    """Say which values of a recipe were others when the run was begun; all else its identity says.

    Args:
        recipe: The recipe.
        saved: The file in which the run keeps its own.

    Raises:
        UsageError: If any of them changes what is learned.
    """
    if not saved.is_file():
        return
    before = _learned(load_recipe(str(saved)))
    changed = [
        f"{key} was {before.get(key)!r} and is {value!r}"
        for key, value in _learned(recipe).items()
        if before.get(key) != value
    ]
    if changed:
        raise UsageError(
            "Cannot resume",
            where=saved.parent,
            rule=f"the recipe has changed since the run was saved: {', '.join(changed)}",
            action="Use the same values, or start a new run",
        )


def _learned(recipe: Recipe) -> dict[str, Any]:
    return {
        key: value
        for key, value in values_of(recipe).items()
        if key not in _NOT_LEARNED and key.split(".")[0] not in _NOT_LEARNED
    }
