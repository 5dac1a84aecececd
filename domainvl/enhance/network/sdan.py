"""SDAN: super-resolution that learns from pairs that do not line up (arXiv 2104.00848; MKFMIKU/SDAN models/dfs.py)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from domainvl.enhance.network.alignment import Alignment
from domainvl.enhance.network.deformable import PerTapOffsetConv2d, SharedOffsetConv2d
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.network.trunk import PixelShuffleTail, ResidualTrunk

_TAIL_REACH_PX = 2
"""Low pixels that the tail looks beyond one of its input: 1 at the input's size, 1 in all at every finer one."""


class Output(NamedTuple):
    """What the network makes of a batch; the last three are None without alignment.

    Attributes:
        picture: (n, out_bands, scale rows, scale columns), normalised.
        aligned: (n, out_bands, rows, columns), the colours that the aligned features stand for, normalised.
        flow_px: (n, 2, rows, columns), rows and columns in low pixels; 0 where no reference was given.
        inside: (n, 1, rows, columns), 1.0 where p + flow is inside of the picture.
    """

    picture: Tensor
    aligned: Tensor | None
    flow_px: Tensor | None
    inside: Tensor | None


class MisalignedSR(nn.Module):
    """Head, alignment (if any), residual trunk and pixel-shuffle tail.

    Args:
        settings: Its layers.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.head = nn.Conv2d(settings.in_bands, settings.features, 3, padding=1)
        self.alignment = None if settings.alignment == "none" else Alignment(settings)
        self.trunk = ResidualTrunk(settings.features, settings.blocks)
        self.tail = PixelShuffleTail(settings.features, settings.out_bands, settings.scale)

    @property
    def overlap_px(self) -> int:
        """Low pixels around a place beyond which its output does not depend on the input, with zero offsets."""
        aligned_px = 0 if self.alignment is None else 1
        return 1 + aligned_px + 2 * self.settings.blocks + 1 + _TAIL_REACH_PX

    def forward(self, low: Tensor, reference: Tensor | None = None) -> Output:
        """Enlarge pictures.

        Args:
            low: (n, in_bands, rows, columns) of any size, normalised.
            reference: (n, out_bands, rows, columns), normalised; None for zero offsets. A network without alignment
                takes none.

        Raises:
            ValueError: If the reference does not fit, or is given to a network without alignment.
        """
        features = torch.relu(self.head(low))
        if self.alignment is None:
            if reference is not None:
                raise ValueError("a network without alignment takes no reference")
            return Output(self._picture(low, features), None, None, None)
        if reference is not None and reference.shape[-2:] != low.shape[-2:]:
            raise ValueError(f"a reference of {tuple(reference.shape[-2:])} does not fit {tuple(low.shape[-2:])}")
        aligned = self.alignment(features, reference)
        return Output(self._picture(low, aligned.features), aligned.colours, aligned.flow_px, aligned.inside)

    def initialise(self, seed: int, *, zero_first_offsets: bool = False) -> None:
        """Draw all weights anew, without touching torch's global generator.

        The offset network's are Kaiming-normal with slope 0.02 as published, all others torch's own default. With a
        bicubic skip the last layer begins at 0: the network starts as bicubic.

        Args:
            seed: What the weights are drawn from.
            zero_first_offsets: Whether offsets begin at zero, for pairs that are registered already.
        """
        generator = torch.Generator().manual_seed(seed)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | SharedOffsetConv2d | PerTapOffsetConv2d):
                _draw(layer.weight, layer.bias, generator)
        if self.alignment is not None:
            self.alignment.offsets.initialise(generator, zero_first_offsets=zero_first_offsets)
        if self.settings.bicubic_skip:
            nn.init.zeros_(self.tail.last.weight)
            nn.init.zeros_(self.tail.last.bias)  # type: ignore[arg-type]

    def _picture(self, low: Tensor, features: Tensor) -> Tensor:
        picture: Tensor = self.tail(self.trunk(features))
        if not self.settings.bicubic_skip:
            return picture
        size = (low.shape[-2] * self.settings.scale, low.shape[-1] * self.settings.scale)
        # antialias changes nothing when enlarging but the kernel: a = -0.5, as everywhere in this package.
        return picture + functional.interpolate(low, size, mode="bicubic", align_corners=False, antialias=True)


@torch.no_grad()
def _draw(weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    """Draw a convolution's parameters as torch does by default."""
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    if bias is not None:
        bound = 1 / math.sqrt(weight[0].numel())
        nn.init.uniform_(bias, -bound, bound, generator=generator)
