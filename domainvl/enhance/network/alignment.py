"""SDAN's alignment: offsets found from the input's features and a reference, and features sampled at them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from domainvl.enhance.network.attention import PackAttention
from domainvl.enhance.network.deformable import PerTapOffsetConv2d, SharedOffsetConv2d
from domainvl.enhance.network.settings import NetworkSettings

_OFFSET_SLOPE = 0.02
"""Slope of the Kaiming initialisation of the offset network, MKFMIKU/SDAN models/common.py."""


class Aligned(NamedTuple):
    """What alignment gives.

    Attributes:
        features: (n, features, rows, columns).
        colours: (n, out_bands, rows, columns), what the features look like; trained to equal the reference.
        flow_px: (n, 2, rows, columns), rows and columns in low pixels; with an offset a tap, the mean of the taps.
        inside: (n, 1, rows, columns), 1.0 where p + flow is inside of the picture.
    """

    features: Tensor
    colours: Tensor
    flow_px: Tensor
    inside: Tensor


class OffsetNet(nn.Module):
    """Finds offsets from features of the input and a reference picture.

    Args:
        settings: The network's layers.
        offset_channels: How many numbers a place has: 2 for one offset.
    """

    def __init__(self, settings: NetworkSettings, offset_channels: int) -> None:
        super().__init__()
        features, views = settings.features, 4 if settings.flips else 1
        self.flips = settings.flips
        self.block = max(settings.pack_block, 1)
        self.largest_px = settings.largest_offset_px
        self.reference = nn.Conv2d(views * settings.out_bands, features, 3, padding=1)
        self.first = nn.Conv2d(2 * features, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)
        self.last = nn.Conv2d(features, offset_channels, 3, padding=1)
        self.attentions = nn.ModuleList(PackAttention(settings.pack_block) for _ in range(2) if settings.pack_block)

    def forward(self, features: Tensor, reference: Tensor) -> Tensor:
        """Find the offsets.

        Args:
            features: (n, features, rows, columns).
            reference: (n, out_bands, rows, columns).

        Returns:
            (n, offset_channels, rows, columns) in low pixels.
        """
        views = [reference]
        if self.flips:
            views += [reference.flip(-2), reference.flip(-1), reference.flip(-2, -1)]
        seen = torch.relu(self.reference(torch.cat(views, dim=1)))
        rows, columns = features.shape[-2:]
        x = torch.cat((features, seen), dim=1)
        x = functional.pad(x, (0, -columns % self.block, 0, -rows % self.block), mode="replicate")
        for index, layer in enumerate((self.first, self.second)):
            x = layer(x)
            if self.attentions:
                x = self.attentions[index](x)
            x = torch.relu(x)
        offset_px = self.last(x)[..., :rows, :columns]
        return offset_px if self.largest_px is None else self.largest_px * torch.tanh(offset_px / self.largest_px)

    def initialise(self, generator: torch.Generator, *, zero_first_offsets: bool) -> None:
        """Draw the weights as published, or let the offsets begin at zero."""
        for layer in (self.first, self.second, self.last):
            nn.init.kaiming_normal_(layer.weight, a=_OFFSET_SLOPE, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if zero_first_offsets:
            nn.init.zeros_(self.last.weight)


class Alignment(nn.Module):
    """Offset network, deformable convolution, and the head that shows the aligned colours.

    Args:
        settings: The network's layers; their alignment is not "none".
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        kind = SharedOffsetConv2d if settings.alignment == "shared" else PerTapOffsetConv2d
        self.deformable = kind(settings.features, settings.features, 3)
        self.offsets = OffsetNet(settings, self.deformable.offset_channels)
        self.colours = nn.Conv2d(settings.features, settings.out_bands, 3, padding=1)

    def forward(self, features: Tensor, reference: Tensor | None) -> Aligned:
        """Align features.

        Args:
            features: (n, features, rows, columns).
            reference: (n, out_bands, rows, columns); None for zero offsets: the offset network is not run.
        """
        n, _, rows, columns = features.shape
        offset_px = None if reference is None else self.offsets(features, reference)
        moved = torch.relu(self.deformable(features, offset_px))
        if offset_px is None:
            flow_px = features.new_zeros(n, 2, rows, columns)
        else:
            flow_px = offset_px.reshape(n, -1, 2, rows, columns).mean(dim=1)
        return Aligned(moved, self.colours(moved), flow_px, inside(flow_px))


def inside(flow_px: Tensor) -> Tensor:
    """Say where p + flow(p) is inside of the picture: 1.0 there, 0.0 elsewhere.

    Args:
        flow_px: (n, 2, rows, columns).

    Returns:
        (n, 1, rows, columns), without gradient.
    """
    rows, columns = flow_px.shape[-2:]
    flow_px = flow_px.detach()
    row = flow_px[:, 0] + torch.arange(rows, device=flow_px.device)[:, None]
    column = flow_px[:, 1] + torch.arange(columns, device=flow_px.device)
    found = (row >= 0) & (row <= rows - 1) & (column >= 0) & (column <= columns - 1)
    return found[:, None].to(flow_px.dtype)
