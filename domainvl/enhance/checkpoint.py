"""A trained enhancer on disk: a folder with ``enhancer.json`` and ``weights.safetensors``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import View
from domainvl.errors import CheckpointError
from domainvl.files import write_atomically

CHECKPOINT_FOLDER = "checkpoint"
"""Where a run keeps its checkpoint."""
SETTINGS_NAME = "enhancer.json"
WEIGHTS_NAME = "weights.safetensors"

_ACTION = "Give a folder that domainvl enhance train wrote, or train anew"


class Enhancer(BaseModel):
    """What ``enhancer.json`` holds.

    Attributes:
        network: The network's layers.
        low_view: Bands, type and range of values of what it takes.
        high_view: Bands, type and range of values of what it gives.
        mosaic: Whether it takes raw Bayer mosaics of one band.
        trained: What made it: steps, digest of the pairs, losses, seed, versions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    network: NetworkSettings
    low_view: View
    high_view: View
    mosaic: bool = False
    trained: dict[str, Any] = {}

    @model_validator(mode="after")
    def _views_fit(self) -> Self:
        sides = (("low", self.low_view, self.network.in_bands), ("high", self.high_view, self.network.out_bands))
        for name, view, bands in sides:
            if view.bands != bands:
                raise ValueError(f"the {name} view has {view.bands} bands, the network {bands}")
            if len(view.low) != bands or len(view.high) != bands:
                raise ValueError(
                    f"the {name} view has ranges of {len(view.low)} and {len(view.high)}, not {bands} bands"
                )
            if not all(low < high for low, high in zip(view.low, view.high, strict=True)):
                raise ValueError(f"a band of the {name} view has an empty range")
        return self


def save_checkpoint(folder: Path, network: MisalignedSR, enhancer: Enhancer) -> None:
    """Write a checkpoint, over one that may be there.

    Args:
        folder: Where to; it is made.
        network: The network, on any device.
        enhancer: What it is and was trained on.

    Raises:
        ValueError: If the settings are not the network's.
        OutputError: If it cannot be written.
    """
    if enhancer.network != network.settings:
        raise ValueError("the settings to save are not those of the network")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(folder / WEIGHTS_NAME, save(tensors))
    write_atomically(folder / SETTINGS_NAME, (enhancer.model_dump_json(indent=2) + "\n").encode())


def checkpoint_folder(folder: Path) -> Path:
    """Return where the checkpoint of a folder is: the folder itself, or what a run keeps in it.

    Raises:
        CheckpointError: If there is none.
    """
    for candidate in (folder, folder / CHECKPOINT_FOLDER):
        if (candidate / SETTINGS_NAME).is_file():
            return candidate
    raise CheckpointError("No enhancer", where=folder, rule=f"it has no {SETTINGS_NAME}", action=_ACTION)


def read_enhancer(folder: Path) -> Enhancer:
    """Read what a checkpoint is, without its weights.

    Args:
        folder: A checkpoint, or a run.

    Raises:
        CheckpointError: If it has none, or it breaks the format.
    """
    path = checkpoint_folder(folder) / SETTINGS_NAME
    try:
        return Enhancer.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        rule = ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)
        raise CheckpointError("Not an enhancer", where=path, rule=rule, action=_ACTION) from error
    except OSError as error:
        raise CheckpointError("Cannot read", where=path, rule=error.strerror, action=_ACTION) from error


def load_checkpoint(folder: Path) -> tuple[MisalignedSR, Enhancer]:
    """Read a checkpoint; nothing in it is unpickled or run.

    Args:
        folder: A checkpoint, or a run.

    Returns:
        The network in evaluation mode on the CPU, and what it is.

    Raises:
        CheckpointError: If a part is missing, breaks the format, or the weights are not those of the settings.
    """
    enhancer = read_enhancer(folder)
    path = checkpoint_folder(folder) / WEIGHTS_NAME
    if not path.is_file():
        raise CheckpointError("No weights", where=path.parent, rule=f"it has no {WEIGHTS_NAME}", action=_ACTION)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError("Cannot read the weights", where=path, rule=str(error), action=_ACTION) from error
    with torch.device("meta"):
        network = MisalignedSR(enhancer.network)
    _check_tensors(tensors, network.state_dict(), path)
    network.load_state_dict(tensors, assign=True)
    return network.eval(), enhancer


def _check_tensors(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Refuse weights that are not the network's."""
    missing, left_over = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    rule = None
    if missing:
        rule = f"{len(missing)} tensors of the network are missing, the first is {missing[0]}"
    elif left_over:
        rule = f"{len(left_over)} tensors are none of the network's, the first is {left_over[0]}"
    for name, tensor in found.items():
        if rule is not None:
            break
        if tensor.shape != wanted[name].shape:
            rule = f"{name} is {tuple(tensor.shape)}, the settings say {tuple(wanted[name].shape)}"
        elif tensor.dtype != torch.float32:
            rule = f"{name} is of {tensor.dtype}, not float32"
        elif not bool(torch.isfinite(tensor).all()):
            rule = f"{name} holds values that are not finite"
    if rule is not None:
        raise CheckpointError("Weights do not fit their settings", where=path, rule=rule, action=_ACTION)
