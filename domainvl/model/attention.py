"""Choosing an implementation of attention by what the machine has; flash-attn is never required."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from domainvl.errors import UsageError

if TYPE_CHECKING:
    import torch

Attention = Literal["eager", "sdpa", "flash_attention_2"]
AttentionByPart = dict[str, str]
"""As transformers takes it: an implementation each for ``vision_config`` and ``text_config``."""


def choose_attention(
    device: torch.device, dtype: torch.dtype, *, dense_mask: bool, requested: Attention | None = None
) -> AttentionByPart:
    """Choose an implementation for each part: flash-attn where it can be used, else torch's own, else plain.

    flash-attn needs a GPU and half precision, and takes no mask that says for each pair of tokens whether one
    sees the other. Training has such a mask for the language model; the vision encoder has none.

    Args:
        device: Where the model runs.
        dtype: Of the arithmetic.
        dense_mask: Whether the language model will be given a mask of shape (rows, 1, tokens, tokens).
        requested: Take this one instead; for the language model torch's own where the mask is dense and flash-attn
            was asked for.

    Raises:
        UsageError: If flash-attn is asked for and cannot be used.
    """
    obstacle = _obstacle_to_flash(device, dtype)
    if requested == "flash_attention_2" and obstacle is not None:
        raise UsageError("Cannot use flash_attention_2", rule=obstacle, action="Take auto, which uses it where it can")
    if requested == "flash_attention_2" or (requested is None and obstacle is None):
        return {"vision_config": "flash_attention_2", "text_config": _own() if dense_mask else "flash_attention_2"}
    chosen = requested or _own()
    return {"vision_config": chosen, "text_config": chosen}


def _own() -> Attention:
    from torch.nn import functional

    return "sdpa" if hasattr(functional, "scaled_dot_product_attention") else "eager"


def _obstacle_to_flash(device: torch.device, dtype: torch.dtype) -> str | None:
    import torch

    if device.type != "cuda":
        return f"it needs a GPU, the device is {device.type}"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"it needs half precision, the arithmetic is in {str(dtype).removeprefix('torch.')}"
    if find_spec("flash_attn") is None:
        return "the package flash_attn is not installed"
    return None
