"""Stochastic depth on the vision encoder (arXiv 1603.09382), which the native class does not have.

The published full recipes train with it (OpenGVLab/InternVL, internvl_chat/shell/mini_internvl/domain_adaptation,
``drop_path_rate 0.1``). It is put on from outside, as hooks on what the two residual connections add, so the class, its
weights and their names stay as they are.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from domainvl.model.parts import layers_of

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import InternVLForConditionalGeneration


def add_drop_path(model: InternVLForConditionalGeneration, rate: float) -> None:
    """Drop, in training, what the attention or the MLP of a layer of the vision encoder adds, for single tiles.

    The rate rises linearly with depth, from 0 in the first layer to ``rate`` in the last (OpenGVLab/InternVL,
    internvl_chat/internvl/model/internvl_chat/modeling_intern_vit.py). What is kept is divided by the chance of being
    kept, so the expectation is that of the whole layer. In evaluation nothing is changed.

    Args:
        model: The model itself, any adapter in place; called once.
        rate: Of the last layer, in [0, 1); 0 changes nothing.
    """
    layers = layers_of(model, "vision")
    for layer, layer_rate in zip(layers, layer_rates(rate, len(layers)), strict=True):
        if layer_rate > 0:
            layer.attention.register_forward_hook(partial(_drop, layer_rate))
            layer.mlp.register_forward_hook(partial(_drop, layer_rate))


def layer_rates(rate: float, layer_count: int) -> list[float]:
    """Return the rate of each layer, rising linearly from 0 to ``rate``."""
    return [rate * index / max(1, layer_count - 1) for index in range(layer_count)]


def _drop(rate: float, module: nn.Module, _: Any, output: Any) -> Any:
    """Change a module's output, or the first of its outputs.

    The layer scale that follows is the same for all tiles, so dropping before it is dropping after it. The random
    numbers are torch's own, which checkpointing restores when it computes a layer again.
    """
    if not module.training:
        return output
    if isinstance(output, tuple):
        return (_drop_tiles(output[0], rate), *output[1:])
    return _drop_tiles(output, rate)


def _drop_tiles(added: torch.Tensor, rate: float) -> torch.Tensor:
    """Set whole tiles to zero; shape (tiles, tokens, width)."""
    import torch

    kept = torch.rand(len(added), 1, 1, device=added.device) >= rate
    return added * kept.to(added.dtype) / (1 - rate)
