"""What comes after alignment: residual blocks at the input's size, and the tail that makes the output's pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), without normalisation and bias.

    Args:
        features: Channels.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.second = nn.Conv2d(features, features, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape, (n, features, rows, columns)."""
        found: Tensor = self.second(torch.relu(self.first(x)))
        return x + found


class ResidualTrunk(nn.Module):
    """Residual blocks and a convolution, with a skip around all of them (MKFMIKU/SDAN models/dfs.py).

    Args:
        features: Channels.
        blocks: How many blocks.
    """

    def __init__(self, features: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.last = nn.Conv2d(features, features, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape, (n, features, rows, columns)."""
        found: Tensor = self.last(self.blocks(x))
        return x + found


class PixelShuffleTail(nn.Module):
    """Doubles rows and columns as often as the scale asks for, then makes bands of the features.

    Args:
        features: Channels of the input.
        out_bands: Bands of the output.
        scale: A power of two.
    """

    def __init__(self, features: int, out_bands: int, scale: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(round(math.log2(scale))):
            layers += [nn.Conv2d(features, 4 * features, 3, padding=1), nn.PixelShuffle(2), nn.ReLU()]
        self.doubling = nn.Sequential(*layers)
        self.last = nn.Conv2d(features, out_bands, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (n, features, rows, columns) into (n, out_bands, scale rows, scale columns)."""
        found: Tensor = self.last(self.doubling(x))
        return found
