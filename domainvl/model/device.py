"""Choosing where a model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domainvl.errors import UsageError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """Return a device by name; ``auto`` takes a GPU if there is one.

    Raises:
        UsageError: If there is no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # a CPU build of torch asserts that it has no CUDA
        raise UsageError(
            f"Cannot use the device {name!r}", rule=str(error).splitlines()[0], action="Use auto"
        ) from error
    return device
