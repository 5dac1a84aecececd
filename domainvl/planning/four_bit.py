"""Stands for bitsandbytes' 4-bit linear layers, which cannot be made without real weights.

This module imports torch at its top: it is imported by the rehearsal alone, inside functions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from domainvl.model.quantisation import Quantisation

_BLOCK = 64
"""Weights that share one scale (QLoRA, arXiv 2305.14314, section 3)."""

_OUTER_BLOCK = 256
"""Scales that share one scale of scales, with double quantisation (as above)."""


def four_bit_bytes(weight_count: int, quantisation: Quantisation) -> int:
    """Return the bytes of a matrix of 4-bit weights with its scales.

    Half a byte a weight; a scale of 4 bytes for each 64 weights, 0.5625 bytes a weight in all, or with double
    quantisation one byte for each scale and 4 bytes for each 256 scales, 0.516 bytes a weight in all (QLoRA, arXiv
    2305.14314, section 3).
    """
    blocks = -(-weight_count // _BLOCK)
    scales = 4 * blocks if quantisation == "nf4" else blocks + 4 * -(-blocks // _OUTER_BLOCK)
    return -(-weight_count // 2) + scales


class FourBitLinear(nn.Module):
    """A frozen linear layer whose weights are expanded for each use, forward and backward, and kept by neither.

    Args:
        linear: What it stands for.
        quantisation: Of its weights.
        dtype: Of the arithmetic, to which weights are expanded.
    """

    def __init__(self, linear: nn.Linear, quantisation: Quantisation, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.dtype = dtype
        size = four_bit_bytes(linear.weight.numel(), quantisation)
        self.packed = nn.Parameter(
            torch.empty(size, dtype=torch.uint8, device=linear.weight.device), requires_grad=False
        )
        self.bias = linear.bias

    @property
    def weight(self) -> torch.Tensor:
        """The expanded weights: new memory at each call."""
        return self.packed.new_empty(self.out_features, self.in_features, dtype=self.dtype)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply, in the type of the arithmetic."""
        product: torch.Tensor = _Multiply.apply(inputs.to(self.dtype), self)  # type: ignore[no-untyped-call]
        product = product if self.bias is None else product + self.bias.to(self.dtype)
        return product.to(inputs.dtype)


class _Multiply(torch.autograd.Function):
    """Like bitsandbytes' MatMul4Bit: the backward pass expands the weights again and needs no input."""

    @staticmethod
    def forward(context: Any, inputs: torch.Tensor, layer: FourBitLinear) -> torch.Tensor:
        context.layer = layer
        return inputs @ layer.weight.T

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient @ context.layer.weight, None


def hold_in_four_bits(module: nn.Module, quantisation: Quantisation, dtype: torch.dtype) -> None:
    """Put stand-ins in place of the frozen linear layers below a module, those inside adapters too.

    Args:
        module: The layers of the language model.
        quantisation: Of their weights.
        dtype: Of the arithmetic.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and not child.weight.requires_grad:
                setattr(parent, name, FourBitLinear(child, quantisation, dtype))
