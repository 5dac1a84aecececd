"""Choosing where a model runs and in which types of number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from domainvl.errors import UsageError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16"]


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


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type of the arithmetic; ``auto`` is bf16 on a GPU that has it, else fp32."""
    import torch

    if precision == "auto":
        on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if on_gpu else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def choose_frozen_weights(weights: Precision, arithmetic: torch.dtype, *, adapters: bool) -> torch.dtype:
    """Return the type in which weights that are not trained are held; those that are trained are always fp32.

    ``auto`` is the type of the arithmetic under adapters: half the memory of a base that is never written. Where
    weights are trained in full it is fp32.

    Args:
        weights: What is asked for.
        arithmetic: As :func:`choose_precision` gives it.
        adapters: Whether adapters are trained.

    Raises:
        UsageError: If bf16 is asked for and the arithmetic is fp32, which cannot mix them.
    """
    import torch

    if weights == "auto":
        return arithmetic if adapters else torch.float32
    if weights == "bf16" and arithmetic != torch.bfloat16:
        raise UsageError(
            "Cannot hold the frozen weights in bf16",
            rule="compute.weights is bf16, but the arithmetic is fp32",
            action="Set compute.precision to bf16 too, or compute.weights to fp32",
        )
    return torch.bfloat16 if weights == "bf16" else torch.float32
