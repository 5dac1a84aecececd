"""torch.compile of a model's layers, for training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from domainvl.model.parts import LayeredPart, layers_of

if TYPE_CHECKING:
    from torch import nn
    from transformers import InternVLForConditionalGeneration


def compile_layers(model: InternVLForConditionalGeneration) -> None:
    """Compile attention, MLP and norms of each transformer layer as they are called in training.

    Layers are alike, so what is compiled for one serves the rest; the whole model would be compiled again for each
    number of tiles. A layer is not compiled as one: transformers puts a hook on its attention that torch cannot
    trace, and under gradient checkpointing nothing of the layer would be compiled then. Generating answers grows a
    cache by one token a step and stays as it was.

    Args:
        model: The model itself, its adapters in place; called once, last of all that changes it.
    """
    import torch

    parts: tuple[LayeredPart, ...] = ("vision", "language_model")
    for part in parts:
        for layer in layers_of(model, part):
            for module in layer.children():
                if next(module.parameters(), None) is not None:
                    compiled = torch.compile(module.forward, dynamic=True)
                    module.forward = _in_training(module, compiled, module.forward)


def _in_training(module: nn.Module, training: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        return (training if module.training else other)(*args, **kwargs)

    return forward
