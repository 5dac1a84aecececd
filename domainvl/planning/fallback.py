"""Trying a run once more with a setting that takes less memory, where memory ran out."""

from __future__ import annotations

import gc
from itertools import islice
from pathlib import Path

from domainvl.model.device import choose_device
from domainvl.planning.proposals import Choice, free_changes
from domainvl.training.mixture import MixtureSpec
from domainvl.training.recipe import Recipe
from domainvl.training.run import FinetuneSummary, Reporting, finetune
from domainvl.training.stepping import MemoryExhaustedError


def finetune_within_memory(
    recipe: Recipe,
    spec: MixtureSpec,
    out: Path,
    *,
    resume: bool = False,
    vision_cache: Path | None = None,
    reporting: Reporting | None = None,
) -> FinetuneSummary:
    """Run :func:`domainvl.training.run.finetune`; where memory runs out, once more with the next setting of the plan.

    The setting leaves what is learned as it is, and is said. The run goes on from its last state, if there is one.

    Args:
        recipe: What to do.
        spec: What to train on.
        out: Folder of the run.
        resume: Go on with a run that was stopped.
        vision_cache: Where features of a frozen vision encoder are kept.
        reporting: Whom to tell what.

    Raises:
        MemoryExhaustedError: If memory runs out again, if nothing is left to try, or if the run has several processes.
    """
    reporting = reporting or Reporting()
    try:
        return finetune(recipe, spec, out, resume=resume, vision_cache=vision_cache, reporting=reporting)
    except MemoryExhaustedError as error:
        choice = _next(recipe)
        if choice is None or error.several_processes:
            raise
        reporting.say(f"{error.what}: {error.rule}. Trying once more: {choice.said} ({_as_changes(choice)})")
    _free_memory()
    changed = recipe.changed(dict(choice.changes))
    # Where nothing was saved yet, that begins at the start.
    return finetune(changed, spec, out, resume=True, vision_cache=vision_cache, reporting=reporting)


def _next(recipe: Recipe) -> Choice | None:
    given = Choice(None, recipe.method)
    on_gpu = choose_device(recipe.compute.device).type == "cuda"
    return next(islice(free_changes(given, recipe, on_gpu=on_gpu), 1, None), None)


def _as_changes(choice: Choice) -> str:
    return " ".join(f"--set {key}={value}" for key, value in choice.changes)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
