"""The state of an unfinished run: saved atomically, restored so that resuming equals never having stopped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

STATE_NAME = "state.pt"


def save_state(
    folder: Path, *, step: int, identity: Mapping[str, str], model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Save what is needed to go on after ``step``.

    Args:
        folder: The run's folder.
        step: Number of steps done.
        identity: What the run must agree in to be the same run.
        model: Its trainable parameters are saved.
        optimizer: Its state is saved.
    """
    import torch

    state = {
        "step": step,
        "identity": dict(identity),
        "parameters": {name: value.detach() for name, value in model.named_parameters() if value.requires_grad},
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    partial = folder / f".{STATE_NAME}.partial"
    torch.save(state, partial)
    os.replace(partial, folder / STATE_NAME)


def restore_state(
    folder: Path, *, identity: Mapping[str, str], model: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Bring a run back to where it was saved.

    Args:
        folder: The run's folder.
        identity: What this run is.
        model: Receives the parameters.
        optimizer: Receives its state.

    Returns:
        Number of steps done.

    Raises:
        UsageError: If there is nothing to resume, or the recipe or the data have changed since.
        CheckpointError: If the saved parameters are not those of this model.
    """
    import torch

    path = folder / STATE_NAME
    if not path.is_file():
        raise UsageError(
            "Cannot resume", where=folder, rule=f"{STATE_NAME} is missing", action="Start without --resume"
        )
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    changed = sorted(key for key, value in identity.items() if state["identity"].get(key) != value)
    if changed:
        raise UsageError(
            "Cannot resume",
            where=folder,
            rule=f"changed since the run was saved: {', '.join(changed)}",
            action="Use the same recipe, data and model, or start a new run",
        )
    trainable = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if trainable.keys() != state["parameters"].keys():
        raise CheckpointError("Cannot resume", where=path, rule="the saved parameters are not those of this model")
    with torch.no_grad():
        for name, value in state["parameters"].items():
            trainable[name].copy_(value)
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
    return int(state["step"])
