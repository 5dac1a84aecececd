"""Deformable convolutions: one offset a place (SDAN's), or one offset a tap (the vanilla one).

Offsets are (rows, columns) in pixels, as everywhere in the package; where a sample falls between pixels it is bilinear,
and outside of the picture everything is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from domainvl.enhance.network.sampling import convolve, sample, sample_by_grid


def warp(picture: Tensor, offset_px: Tensor, margin_px: int = 0) -> Tensor:
    """Sample a picture bilinearly at each place moved by its offset.

    Args:
        picture: (n, channels, rows + 2 margin, columns + 2 margin).
        offset_px: (n, 2, rows, columns): rows, then columns.
        margin_px: How many pixels the picture is grown at each side against the offsets' grid.

    Returns:
        (n, channels, rows, columns): ``picture`` at p + margin + offset(p), 0 beyond its edge.
    """
    rows, columns = offset_px.shape[-2:]
    row = torch.arange(rows, dtype=offset_px.dtype, device=offset_px.device)[:, None] + offset_px[:, 0]
    column = torch.arange(columns, dtype=offset_px.dtype, device=offset_px.device) + offset_px[:, 1]
    return sample(picture, row + margin_px, column + margin_px)


class SharedOffsetConv2d(nn.Module):
    """A convolution whose window moves as a whole: y(p) = b + sum over taps k of w_k x(p + p_k + offset(p)).

    All taps share the offset, and bilinear interpolation commutes with moves by whole pixels, so that this equals an
    ordinary convolution followed by one bilinear warp of its result: exactly, borders included, if the convolution runs
    over the picture grown by as much as its window reaches. It is SDAN's "squared" deformable convolution
    (arXiv 2104.00848; MKFMIKU/SDAN models/common.py).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the window, odd.
    """

    offset_channels = 2

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.kernel = _odd(kernel)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor, offset_px: Tensor | None) -> Tensor:
        """Convolve.

        Args:
            x: (n, in_channels, rows, columns).
            offset_px: (n, 2, rows, columns); None for no offset, which is an ordinary convolution.

        Returns:
            (n, out_channels, rows, columns).
        """
        reach = self.kernel // 2
        if offset_px is None:
            return functional.conv2d(x, self.weight, self.bias, padding=reach)
        grown = convolve(x, self.weight, 2 * reach)
        return warp(grown, offset_px, reach) + self.bias[:, None, None]


class PerTapOffsetConv2d(nn.Module):
    """A convolution whose taps move each by its own: y(p) = b + sum over taps k of w_k x(p + p_k + offset_k(p)).

    The vanilla deformable convolution (Dai et al., ICCV 2017) without groups and modulation. It gathers every tap.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the window, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.kernel = _odd(kernel)
        self.offset_channels = 2 * kernel * kernel
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor, offset_px: Tensor | None) -> Tensor:
        """Convolve.

        Args:
            x: (n, in_channels, rows, columns).
            offset_px: (n, 2 kernel², rows, columns): rows and columns of the first tap, of the second one, and so on,
                taps row by row; None for no offset, which is an ordinary convolution.

        Returns:
            (n, out_channels, rows, columns).
        """
        reach = self.kernel // 2
        if offset_px is None:
            return functional.conv2d(x, self.weight, self.bias, padding=reach)
        n, _, rows, columns = x.shape
        taps = self.kernel * self.kernel
        offset_px = offset_px.reshape(n, taps, 2, rows, columns)
        own = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
        row = own.repeat_interleave(self.kernel)[:, None, None] + torch.arange(rows, device=x.device)[:, None]
        column = own.repeat(self.kernel)[:, None, None] + torch.arange(columns, device=x.device)
        row, column = row + offset_px[:, :, 0], column + offset_px[:, :, 1]
        sampled = sample_by_grid(x, row.reshape(n, taps * rows, columns), column.reshape(n, taps * rows, columns))
        gathered = sampled.reshape(n, -1, rows * columns)
        return (self.weight.flatten(1) @ gathered).reshape(n, -1, rows, columns) + self.bias[:, None, None]


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"a window of side {kernel} has no middle")
    return kernel
