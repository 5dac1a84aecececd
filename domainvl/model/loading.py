"""What transformers is told when it loads a model: type, place, attention, quantisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domainvl.model.attention import AttentionByPart, choose_attention
from domainvl.model.quantisation import Quantisation, quantisation_config

if TYPE_CHECKING:
    import torch


def loading_options(
    device: torch.device | str,
    dtype: torch.dtype,
    attention: AttentionByPart | None,
    quantisation: Quantisation | None,
) -> dict[str, Any]:
    """Return arguments of transformers' ``from_pretrained``.

    Args:
        device: Where the model will be; quantised weights are put there while they are read.
        dtype: Of the weights that are not quantised, and of the arithmetic with those that are.
        attention: Implementation by part; by :func:`choose_attention` where None.
        quantisation: Of the language model.

    Raises:
        UsageError: If a package for the quantisation is missing.
    """
    import torch

    device = torch.device(device)
    options: dict[str, Any] = {
        "dtype": dtype,
        "attn_implementation": attention or choose_attention(device, dtype, packs=False),
    }
    if quantisation is not None:
        options["quantization_config"] = quantisation_config(quantisation, dtype)
        options["device_map"] = {"": device}
    return options
