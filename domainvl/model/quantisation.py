"""Holding the frozen language model in 4 bits a weight (QLoRA, arXiv 2305.14314), by bitsandbytes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from domainvl.errors import UsageError, install_hint

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import BitsAndBytesConfig

Quantisation = Literal["nf4", "nf4-double"]
"""4-bit NormalFloat; ``nf4-double`` quantises the scales of the blocks too, which saves another 0.37 bits a weight
(arXiv 2305.14314, section 3)."""

KEPT_WHOLE = ("model.vision_tower", "model.multi_modal_projector", "lm_head")
"""Modules that are not quantised. The names must be whole: transformers compares them from the start."""


def quantisation_config(quantisation: Quantisation, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Say to transformers how to quantise the linear layers of the language model, and nothing else.

    Args:
        quantisation: Which kind.
        dtype: Of the arithmetic; weights are expanded to it layer by layer.

    Raises:
        UsageError: If bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise UsageError(
            "Cannot quantise a model",
            rule=f"quantisation {quantisation} needs the package bitsandbytes, which is missing",
            action=install_hint("quant"),
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=quantisation == "nf4-double",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(KEPT_WHOLE),
    )


def keep_gradients(model: nn.Module) -> None:
    """Keep bitsandbytes from laying out quantised weights anew on a CPU with bf16 instructions.

    It does so when a layer is first called outside training, and a layer so laid out passes no gradient on: after
    the first validation, training would fail or, where layers have no bias, go on without what lies before them
    (seen with bitsandbytes 0.50.2, ``bitsandbytes/nn/modules.py``, ``Linear4bit.forward``).
    """
    for module in model.modules():
        linear: Any = module
        if hasattr(linear, "support_avx512bf16_for_cpu"):
            linear.support_avx512bf16_for_cpu = False
