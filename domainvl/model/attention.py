"""Choosing an implementation of attention by what the machine has; flash-attn is never required."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from domainvl.errors import UsageError
from domainvl.model.packed_attention import PACKED_SDPA, register_packed_attention

if TYPE_CHECKING:
    import torch

Attention = Literal["eager", "sdpa", "packed_sdpa", "flex_attention", "flash_attention_2"]
AttentionByPart = dict[str, str]
"""As transformers takes it: an implementation each for ``vision_config`` and ``text_config``."""


def choose_attention(
    device: torch.device, dtype: torch.dtype, *, packs: bool, requested: Attention | None = None
) -> AttentionByPart:
    """Choose an implementation for each part: flash-attn where it can be used, else torch's own, else plain.

    Training gives the language model packs, which hold several samples to a row, and questions that share images.
    ``packed_sdpa`` computes them at the cost of the single samples on every device. flash-attn needs a GPU and half
    precision, and cannot say for each pair of tokens whether one sees the other. The vision encoder has no mask.

    Args:
        device: Where the model runs.
        dtype: Of the arithmetic.
        packs: Whether the language model will be given packs.
        requested: Take this one instead. Those for packs are for the language model, the vision encoder has torch's
            own then. Where there are packs, flash-attn is for the vision encoder.

    Raises:
        UsageError: If flash-attn is asked for and cannot be used.
    """
    obstacle = _obstacle_to_flash(device, dtype)
    if requested == "flash_attention_2" and obstacle is not None:
        raise UsageError("Cannot use flash_attention_2", rule=obstacle, action="Take auto, which uses it where it can")
    flash: Attention | None = "flash_attention_2" if obstacle is None else None
    if requested is None or requested == "flash_attention_2":
        vision = flash or _own()
        text = _for_packs() if packs else vision
    elif requested in ("packed_sdpa", "flex_attention"):
        vision, text = _own(), requested
    else:
        vision = text = requested
    if text == PACKED_SDPA:
        register_packed_attention()
    return {"vision_config": vision, "text_config": text}


def _for_packs() -> Attention:
    return "packed_sdpa" if _own() == "sdpa" else "eager"


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
