"""Cross packing attention: channels attend to each other over blocks of pixels packed into channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PackAttention(nn.Module):
    """Attention among packed channels, without projections: x + gamma A F, with F the packed input.

    Blocks of pixels are packed into channels, F is (channels block², pixels); the energy is E = F Fᵀ, and A the softmax
    of (greatest of the row - E), the inverse form of DANet's channel attention (arXiv 1809.02983), as published in
    MKFMIKU/SDAN models/networks.py. gamma is the one parameter, and begins at 0.

    Args:
        block: Side of the blocks in pixels.
    """

    def __init__(self, block: int) -> None:
        super().__init__()
        if block < 1:
            raise ValueError(f"a block has at least one pixel, got a side of {block}")
        self.block = block
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Attend.

        Args:
            x: (n, channels, rows, columns); rows and columns are multiples of the block.

        Returns:
            The same shape.
        """
        packed = functional.pixel_unshuffle(x, self.block)
        flat = packed.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        weights = torch.softmax(energy.amax(dim=-1, keepdim=True) - energy, dim=-1)
        attended = self.gamma * (weights @ flat) + flat
        return functional.pixel_shuffle(attended.reshape(packed.shape), self.block)
