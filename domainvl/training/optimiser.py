"""The optimizer: which weights move at which rate, and the course of the rates over a run."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from domainvl.errors import UsageError, install_hint
from domainvl.model.parts import PARTS, Part, part_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from domainvl.training.recipe import Optimisation


def build_optimizer(model: nn.Module, settings: Optimisation) -> torch.optim.Optimizer:
    """Return AdamW over what is trained, in groups of one part each, decayed or not.

    Matrices are decayed, norms and biases are not. Each group has, besides what AdamW reads, its ``part`` and its
    ``peak``, the highest learning rate.

    With ``adamw-8bit`` both moments are held in 8 bits with a scale for each 256 values (arXiv 2110.02861), but for
    tensors of less than 4096 values, where little would be saved. The trained weights stay as they are.

    Args:
        model: The model, with adapters or without.
        settings: Rates, decay, betas and in how many bits the state is held.

    Raises:
        UsageError: If bitsandbytes is asked for and not installed.
    """
    rates = settings.learning_rates.named()
    groups = [
        {
            "params": values,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "lr": rates.get(part, settings.learning_rate),
            "part": part,
            "peak": rates.get(part, settings.learning_rate),
        }
        for (part, decayed), values in _groups(model).items()
        if values
    ]
    optimizer: torch.optim.Optimizer = _adamw_class(settings)(groups, lr=settings.learning_rate, betas=settings.betas)
    return optimizer


def _adamw_class(settings: Optimisation) -> Any:
    if settings.optimizer == "adamw":
        from torch.optim import AdamW

        return AdamW
    if find_spec("bitsandbytes") is None:
        raise UsageError(
            "Cannot make the optimizer",
            rule="optimisation.optimizer adamw-8bit needs the package bitsandbytes, which is missing",
            action=f"{install_hint('quant')}, or set optimisation.optimizer to adamw",
        )
    from bitsandbytes.optim.adamw import AdamW8bit

    return AdamW8bit


def _groups(model: nn.Module) -> dict[tuple[Part, bool], list[nn.Parameter]]:
    groups: dict[tuple[Part, bool], list[nn.Parameter]] = {
        (part, decayed): [] for part in PARTS for decayed in (True, False)
    }
    for name, value in model.named_parameters():
        if value.requires_grad:
            groups[part_of(name), value.ndim > 1].append(value)
    return groups


def set_learning_rates(optimizer: torch.optim.Optimizer, step: int, step_count: int, warmup_ratio: float) -> None:
    """Give each group the rate of a step.

    Args:
        optimizer: As :func:`build_optimizer` makes it.
        step: From 1.
        step_count: Of the whole run.
        warmup_ratio: Share of the steps in which the rates rise.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(group["peak"], step, step_count, warmup_ratio)


def learning_rate(peak: float, step: int, step_count: int, warmup_ratio: float) -> float:
    """Rise linearly to ``peak``, then fall to zero along a half cosine.

    Args:
        peak: The highest rate.
        step: From 1.
        step_count: Of the whole run.
        warmup_ratio: Share of the steps in which the rate rises.
    """
    warmup = round(step_count * warmup_ratio)
    if step <= warmup:
        return peak * step / warmup
    progress = (step - 1 - warmup) / max(1, step_count - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def rates_by_part(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the present rate of each part that is trained."""
    return {group["part"]: group["lr"] for group in optimizer.param_groups}
