"""SDAN's losses: Charbonnier of the picture and of the aligned colours, where both are known."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from domainvl.enhance.network.sdan import Output

_EPSILON = 1e-12
"""MKFMIKU/SDAN losses.py."""


def charbonnier(difference: Tensor, epsilon: float = _EPSILON) -> Tensor:
    """Return sqrt(difference² + epsilon), element by element."""
    return torch.sqrt(difference * difference + epsilon)


def pair_losses(
    output: Output, high: Tensor, low_reference: Tensor, valid_high: Tensor, *, border_px: int
) -> dict[str, Tensor]:
    """Compare an output with the high view of its pair; the published total is the sum of the two.

    A place counts where the high view is valid, where its flow stays inside of the picture, and away from the border.
    Each loss is the mean over the places that count; it is 0 where none does.

    Args:
        output: What the network made.
        high: (n, out_bands, rows, columns), normalised.
        low_reference: (n, out_bands, rows / scale, columns / scale): the high view shrunk, which the aligned colours
            are compared with.
        valid_high: (n, 1, rows, columns) or (n, rows, columns), true where the high view holds a value.
        border_px: How many high pixels at each side do not count.

    Returns:
        "picture", and "alignment" if the network has one.
    """
    valid = (valid_high if valid_high.ndim == 4 else valid_high[:, None]).to(output.picture.dtype)
    valid = _without_border(valid, border_px)
    scale = high.shape[-1] // low_reference.shape[-1]
    if output.inside is None or output.aligned is None:
        return {"picture": _masked_mean(output.picture - high, valid)}
    valid_low = -functional.max_pool2d(-valid, scale)
    inside_high = output.inside.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)
    return {
        "picture": _masked_mean(output.picture - high, valid * inside_high),
        "alignment": _masked_mean(output.aligned - low_reference, valid_low * output.inside),
    }


def _without_border(valid: Tensor, border_px: int) -> Tensor:
    if border_px <= 0:
        return valid
    rows, columns = valid.shape[-2:]
    kept = torch.zeros_like(valid)
    inner = (..., slice(border_px, max(rows - border_px, 0)), slice(border_px, max(columns - border_px, 0)))
    kept[inner] = valid[inner]
    return kept


def _masked_mean(difference: Tensor, mask: Tensor) -> Tensor:
    """Mean over places where the mask is 1; what stands elsewhere may be anything, without reaching a gradient."""
    counted = charbonnier(torch.where(mask > 0, difference, 0.0)) * mask
    return counted.sum() / (mask.sum() * difference.shape[1]).clamp(min=1.0)
