"""Shrinking and enlarging by whole factors, bicubic with a = -0.5, with the mask of what is valid taken into account.

The kernel is Keys' cubic, stretched over the source when shrinking, as Pillow's ``Resampling.BICUBIC`` has it.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional

from domainvl.enhance.rasters import Mask, Pixels

_LEAST_WEIGHT = 0.499
"""A shrunk pixel is valid if at least this share of its kernel fell on valid ones: half, but for rounding."""


@overload
def shrink(pixels: Pixels, valid: Mask, scale: int) -> tuple[Pixels, Mask]: ...
@overload
def shrink(pixels: Tensor, valid: Tensor, scale: int) -> tuple[Tensor, Tensor]: ...
def shrink(pixels: Pixels | Tensor, valid: Mask | Tensor, scale: int) -> tuple[Pixels | Tensor, Mask | Tensor]:
    """Shrink by a whole factor; pixels that are not valid take no part.

    Args:
        pixels: (bands, rows, columns), float32, of numpy or torch; torch's may have a batch in front.
        valid: (rows, columns), bool; torch's is (n, 1, rows, columns) or (n, rows, columns) for a batch.
        scale: Rows and columns are multiples of it.

    Returns:
        The pixels at the new size, 0 where they are not valid, and which are valid: those with half of the kernel's
        weight or more on valid ones.

    Raises:
        ValueError: If rows or columns are no multiple of the scale.
    """
    rows, columns = pixels.shape[-2:]
    if rows % scale or columns % scale:
        raise ValueError(f"{rows} x {columns} pixels are no multiple of {scale}")
    size_px = (rows // scale, columns // scale)
    if isinstance(pixels, Tensor):
        return _resize_valid(pixels, torch.as_tensor(valid), size_px)
    return resize(pixels, np.asarray(valid), size_px)


def resize(pixels: Pixels, valid: Mask, size_px: tuple[int, int]) -> tuple[Pixels, Mask]:
    """Resample to any size, as :func:`shrink` does to a fraction.

    Args:
        pixels: (bands, rows, columns), float32.
        valid: (rows, columns).
        size_px: Rows and columns of the result.

    Returns:
        The pixels at the new size, 0 where they are not valid, and which are valid.
    """
    small, kept = _resize_valid(torch.from_numpy(pixels), torch.from_numpy(valid), size_px)
    return small.numpy(), kept.numpy()


def enlarge(pixels: Pixels, valid: Mask, scale: int) -> Pixels:
    """Enlarge by a whole factor; what is not valid is filled from its nearest valid neighbour first.

    Args:
        pixels: (bands, rows, columns), float32.
        valid: (rows, columns).
        scale: How many times the rows and columns.
    """
    filled = torch.from_numpy(fill_invalid(pixels, valid))
    size = (filled.shape[-2] * scale, filled.shape[-1] * scale)
    return np.asarray(_resize(filled[None], size)[0].numpy(), dtype=np.float32)


def fill_invalid(pixels: Pixels, valid: Mask, *, reach_px: float | None = None, beyond: float = 0.0) -> Pixels:
    """Give pixels that are not valid the values of the nearest valid one.

    Args:
        pixels: (bands, rows, columns).
        valid: (rows, columns).
        reach_px: How far the nearest one may be; None for any distance.
        beyond: The value of pixels with no valid one within reach.

    Returns:
        The same array if all is valid, else a new one.
    """
    if valid.all():
        return pixels
    if not valid.any():
        return np.full_like(pixels, beyond)
    found = ndimage.distance_transform_edt(~valid, return_indices=True)
    distance_px, (row, column) = found
    filled = pixels[:, row, column]
    if reach_px is not None:
        filled[:, distance_px > reach_px] = beyond
    return filled


def enlarge_mask(valid: Mask, scale: int) -> Mask:
    """Repeat each pixel of a mask ``scale`` times along rows and columns."""
    repeated: npt.NDArray[np.bool_] = valid.repeat(scale, axis=0).repeat(scale, axis=1)
    return repeated


def _resize_valid(pixels: Tensor, valid: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    batch = pixels.reshape(-1, *pixels.shape[-3:])
    mask = valid.reshape(batch.shape[0], 1, *pixels.shape[-2:])
    if mask.all():
        return _resize(batch, size).reshape(*pixels.shape[:-2], *size), valid.new_ones((*valid.shape[:-2], *size))
    weight = _resize(mask.to(batch.dtype), size)
    kept = weight >= _LEAST_WEIGHT
    # Where the weight is too small the quotient is dropped; a weight of 1 there keeps it finite.
    small = _resize(torch.where(mask > 0, batch, 0.0), size) / torch.where(kept, weight, 1.0)
    small = torch.where(kept, small, 0.0)
    return small.reshape(*pixels.shape[:-2], *size), kept.reshape(*valid.shape[:-2], *size).to(valid.dtype)


def _resize(batch: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(batch, size, mode="bicubic", align_corners=False, antialias=True)
