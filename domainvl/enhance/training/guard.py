"""Ends a run whose numbers are no longer finite, and says where it began."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from domainvl.training.stopping import DivergedError

_SHOWN_IDS = 8


def gradient_norm(model: nn.Module) -> float:
    """Return the norm of all gradients; not finite if one of them is not."""
    gradients = [value.grad for value in model.parameters() if value.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0


@dataclass(frozen=True)
class Guard:
    """Looks at the numbers of one step.

    Attributes:
        model: What is trained.
        step: Which step it is.
        ids: The step's pairs.
        out: The run's folder.
        kept: Says what is left that can be used; asked only where the run ends.
    """

    model: nn.Module
    step: int
    ids: Sequence[str]
    out: Path
    kept: Callable[[], str]

    def check_losses(self, losses: Mapping[str, float], inputs: Mapping[str, Tensor]) -> None:
        """Refuse to go on where a loss is not finite; to be called before the optimizer moves.

        Args:
            losses: By name.
            inputs: What the model made them of, by the name of its argument; it is given them once more, to find its
                first layer that is not finite.

        Raises:
            DivergedError: Naming the first tensor that is not finite.
        """
        bad = next((name for name, value in losses.items() if not math.isfinite(value)), None)
        if bad is not None:
            raise self._diverged(_first_layer(self.model, inputs) or f"{bad} itself, {losses[bad]}")

    def check_gradients(self, norm: float) -> None:
        """Refuse to go on where a gradient is not finite; to be called before the optimizer moves.

        Args:
            norm: Of all gradients, as :func:`gradient_norm` gives it.

        Raises:
            DivergedError: Naming the gradient nearest to the output that is not finite.
        """
        if math.isfinite(norm):
            return
        bad = [name for name, one in self.model.named_parameters() if one.grad is not None and not _finite(one.grad)]
        raise self._diverged(f"the gradient of {bad[-1]}" if bad else f"the norm of all gradients, {norm}")

    def check_weights(self) -> None:
        """Refuse to go on where a weight is not finite; to be called after the optimizer moved.

        Raises:
            DivergedError: Naming the first one.
        """
        first = _first_weight(self.model)
        if first is not None:
            raise self._diverged(first)

    def _diverged(self, first: str) -> DivergedError:
        shown = ", ".join(self.ids[:_SHOWN_IDS]) + (", ..." if len(self.ids) > _SHOWN_IDS else "")
        return DivergedError(
            f"The run diverged at step {self.step}",
            where=self.out,
            rule=f"all numbers must be finite, but the first that is not is {first}; pairs of the step: {shown}; "
            f"{self.kept()}",
            action="Start a new run with a lower --lr; --resume would meet the same numbers again",
        )


def _first_weight(model: nn.Module) -> str | None:
    largest = [value.detach().abs().amax() for value in model.parameters()]
    if not largest or _finite(torch.stack(largest)):
        return None
    return next(f"the weight {name}" for name, value in model.named_parameters() if not _finite(value))


def _first_layer(model: nn.Module, inputs: Mapping[str, Tensor]) -> str | None:
    """Compute once more and return what is not finite first: an input, a weight, or a layer's output."""
    for name, value in inputs.items():
        if not _finite(value):
            return f"the input {name}"
    weight = _first_weight(model)
    if weight is not None:
        return weight
    found: list[str] = []

    def look(name: str, output: Any) -> None:
        tensors = [output] if isinstance(output, Tensor) else [one for one in output if isinstance(one, Tensor)]
        if not all(_finite(one) for one in tensors):
            found.append(f"the output of {name or 'the network'}")

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: look(name, output))
        for name, module in model.named_modules()
    ]
    try:
        with torch.no_grad():
            model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())
