"""What a GPU does otherwise than the CPU whose operations are rehearsed: attention, dropout, types under autocast.

This module imports torch at its top: it is imported by the rehearsal alone, inside functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from domainvl.model import packed_attention

_MASK_ALIGNMENT = 8
"""Elements (pytorch/pytorch, aten/src/ATen/native/transformers/attention.cpp, mem_eff_alignment)."""


@contextmanager
def gpu_kernels() -> Iterator[None]:
    """Let three functions of torch, and attention over packs, do on the CPU what they do on a GPU.

    Attention calls the operators that CUDA would take; their shapes, and what they keep for the backward pass, are
    known to torch without a GPU: flash attention where there is no mask, memory-efficient attention where there is
    one. Neither holds scores of tokens by tokens. Packs of plain samples go to flash attention of several lengths, as
    on a card of compute capability 8.0 or more. Layer norm is done in float32 under autocast. Dropout keeps a byte an
    element, the CPU's a number of the input's type.

    The functions are exchanged, because a TorchFunctionMode is not there when checkpointing computes a layer again.
    """
    attention, norm = functional.scaled_dot_product_attention, functional.layer_norm
    dropout, has_flash = functional.dropout, packed_attention.has_flash

    def norm_in_float32(*args: Any, **kwargs: Any) -> torch.Tensor:
        # On the list of what CUDA's autocast does in float32; not on that of the CPU.
        if torch.is_autocast_enabled("cpu"):
            args, kwargs = tree_map_only(torch.Tensor, torch.Tensor.float, (args, kwargs))
        return norm(*args, **kwargs)

    def fused_dropout(
        input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        # pytorch/pytorch, aten/src/ATen/native/Dropout.cpp, is_fused_kernel_acceptable: on CUDA, not on the CPU
        if inplace or not training or not 0 < p < 1:
            return dropout(input, p, training, inplace)
        dropped: torch.Tensor = torch.native_dropout(input, p, True)[0]
        return dropped

    functional.scaled_dot_product_attention = fused_attention
    functional.layer_norm = norm_in_float32
    functional.dropout = fused_dropout
    packed_attention.has_flash = _would_have_flash
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = attention
        functional.layer_norm = norm
        functional.dropout = dropout
        packed_attention.has_flash = has_flash


def _would_have_flash(query: torch.Tensor) -> bool:
    """Stand for the question whether flash attention of several lengths takes these queries, on a GPU that has it."""
    width = query.shape[-1]
    return (
        query.dtype in (torch.float16, torch.bfloat16)
        and packed_attention.knows_windows()
        and width % 8 == 0
        and width <= packed_attention.LARGEST_FLASH_HEAD
    )


def fused_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Stand for scaled_dot_product_attention on a GPU; arguments and result as there."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        attn_mask = attn_mask.to(dtype) if attn_mask is not None and attn_mask.is_floating_point() else attn_mask
    half = query.dtype in (torch.bfloat16, torch.float16)
    if attn_mask is None and half:
        flash = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, False, scale=scale
        )
        attended: torch.Tensor = flash[0]
        return attended
    if enable_gqa:  # memory-efficient attention has no grouped heads
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    bias = None if attn_mask is None else _as_bias(attn_mask, query, key)
    keep_for_backward = torch.is_grad_enabled() and any(part.requires_grad for part in (query, key, value))
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, keep_for_backward, dropout_p, is_causal, scale=scale
    )
    attended = efficient[0]
    return attended


def _as_bias(mask: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Make of a mask what the kernel takes: a bias in the query's type, its rows aligned, expanded without a copy."""
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill(~mask, -torch.inf)
    missing = -mask.shape[-1] % _MASK_ALIGNMENT
    if missing:
        mask = functional.pad(mask, (0, missing))[..., : key.shape[-2]]
    return mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
