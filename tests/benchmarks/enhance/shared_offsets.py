"""What a convolution with one offset a place costs: by the identity, by gathering every tap, and by torchvision.

    python tests/benchmarks/enhance/shared_offsets.py [--channels 64] [--side 144] [--repeats 9] [--threads 1]

All compute the same, which is checked first. ``identity`` is SharedOffsetConv2d: one convolution and one warp. The
others sample the input once for each of the k² taps and multiply by the weights: ``gather, by index`` takes the four
pixels around every sample with an index, as the definition says; ``gather, by grid_sample`` is the package's vanilla
layer, PerTapOffsetConv2d, with its offsets repeated; ``torchvision`` is its deform_conv2d, where torchvision is
installed. Rounds take turns, so that a busy machine is unfair to none; times are medians of the CPU's (not the
clock's), in ms, with how many times as long as the identity that is.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from domainvl.enhance.network.deformable import PerTapOffsetConv2d, SharedOffsetConv2d

SIGMA_PX = 2.0
Operator = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def taps_of(offset_px: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Rows and columns that each tap sees: (n, taps, rows, columns)."""
    rows, columns = offset_px.shape[-2:]
    own = torch.arange(side) - side // 2
    row = own.repeat_interleave(side)[:, None, None] + torch.arange(rows)[:, None] + offset_px[:, :1]
    column = own.repeat(side)[:, None, None] + torch.arange(columns) + offset_px[:, 1:]
    return row, column


def product(weight: Tensor, sampled: Tensor, bias: Tensor, shape: torch.Size) -> Tensor:
    """The weights times what was gathered: (n, channels taps, places)."""
    return (weight.flatten(1) @ sampled).reshape(shape[0], -1, *shape[-2:]) + bias[:, None, None]


def gather_by_index(x: Tensor, weight: Tensor, bias: Tensor, offset_px: Tensor) -> Tensor:
    n, channels, rows, columns = x.shape
    row, column = taps_of(offset_px, weight.shape[-1])
    top, left = row.detach().floor(), column.detach().floor()
    flat = x.flatten(2)
    sampled: Tensor | float = 0.0
    for near_row in (top, top + 1):
        for near_column in (left, left + 1):
            share = (1 - (row - near_row).abs()) * (1 - (column - near_column).abs())
            inside = (near_row >= 0) & (near_row < rows) & (near_column >= 0) & (near_column < columns)
            place = near_row.clamp(0, rows - 1).long() * columns + near_column.clamp(0, columns - 1).long()
            values = flat.gather(2, place.reshape(n, 1, -1).expand(-1, channels, -1))
            sampled = sampled + values * (share * inside).reshape(n, 1, -1)
    return product(weight, sampled.reshape(n, -1, rows * columns), bias, x.shape)


def of_layer(layer: SharedOffsetConv2d | PerTapOffsetConv2d) -> Operator:
    def run(x: Tensor, weight: Tensor, bias: Tensor, offset_px: Tensor) -> Tensor:
        repeated = offset_px.repeat(1, layer.offset_channels // 2, 1, 1)
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x, repeated))

    return run


def by_torchvision(x: Tensor, weight: Tensor, bias: Tensor, offset_px: Tensor) -> Tensor:
    from torchvision.ops import deform_conv2d

    side = weight.shape[-1]
    return deform_conv2d(x, offset_px.repeat(1, side * side, 1, 1), weight, bias, padding=side // 2)


def operators(channels: int, side: int) -> dict[str, Operator]:
    found = {
        "identity": of_layer(SharedOffsetConv2d(channels, channels, side)),
        "gather, by index": gather_by_index,
        "gather, by grid_sample": of_layer(PerTapOffsetConv2d(channels, channels, side)),
    }
    if importlib.util.find_spec("torchvision") is not None:
        found["torchvision deform_conv2d"] = by_torchvision
    return found


def inputs(channels: int, picture_side: int, side: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(0)
    x = torch.randn(1, channels, picture_side, picture_side, dtype=dtype)
    weight = torch.randn(channels, channels, side, side, dtype=dtype) / (side * channels**0.5)
    offset_px = SIGMA_PX * torch.randn(1, 2, picture_side, picture_side, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (x, weight, torch.randn(channels, dtype=dtype), offset_px)]


def check(side: int) -> None:
    """All give the same output and the same gradients, in float64."""
    given = inputs(8, 20, side, torch.float64)
    expected: list[Tensor] = []
    for name, operator in operators(8, side).items():
        output = operator(*given)
        found = [output, *torch.autograd.grad(output.square().sum(), given)]
        expected = expected or found
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=f"{name} computes something else")


def forward(operator: Operator, given: list[Tensor], _: Tensor) -> None:
    with torch.no_grad():
        operator(*given)


def both(operator: Operator, given: list[Tensor], gradient: Tensor) -> None:
    torch.autograd.grad(operator(*given), given, gradient)


def milliseconds(
    run: Callable[[Operator, list[Tensor], Tensor], None], given: list[Tensor], side: int, repeats: int
) -> dict[str, float]:
    gradient = torch.randn_like(given[0])
    found = operators(given[0].shape[1], side)
    taken: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(repeats + 1):
        for name, operator in found.items():
            started = time.process_time()
            run(operator, given, gradient)
            taken[name].append(time.process_time() - started)
    return {name: 1000 * statistics.median(times[1:]) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--side", type=int, default=144, help="of the picture in pixels")
    parser.add_argument("--kernel", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    check(options.kernel)
    given = inputs(options.channels, options.side, options.kernel, torch.float32)
    print(
        f"torch {torch.__version__}, {options.threads} threads, {options.channels} channels, "
        f"{options.side} x {options.side} pixels, {options.kernel} x {options.kernel} taps, "
        f"medians of {options.repeats}"
    )
    ahead = milliseconds(forward, given, options.kernel, options.repeats)
    whole = milliseconds(both, given, options.kernel, options.repeats)
    print(f"{'':28}{'forward':>12}{'':9}{'with backward':>15}")
    for name in ahead:
        times = f"{ahead[name]:9.1f} ms{ahead[name] / ahead['identity']:8.1f}x"
        print(f"{name:28}{times}{whole[name]:12.1f} ms{whole[name] / whole['identity']:8.1f}x")


if __name__ == "__main__":
    main()
