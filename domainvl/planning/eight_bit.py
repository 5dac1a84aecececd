"""Stands for the state of bitsandbytes' AdamW in 8 bits, whose kernels cannot run without real memory.

This module imports torch at its top: it is imported by the rehearsal alone, inside functions.
"""

from __future__ import annotations

from typing import Any

import torch

_BLOCK = 256
"""Values that share one scale (bitsandbytes-foundation/bitsandbytes, bitsandbytes/optim/optimizer.py)."""

_SMALLEST = 4096
"""Tensors of fewer values keep a state in 32 bits (as above, ``min_8bit_size``)."""


def hold_state_in_eight_bits(state: dict[str, Any]) -> None:
    """Put in place of torch's state of one tensor what bitsandbytes holds: a byte a value, and scales.

    Args:
        state: Of one tensor, as ``torch.optim.AdamW`` makes it; it is changed.
    """
    for name in ("exp_avg", "exp_avg_sq"):
        moment: torch.Tensor = state[name]
        if moment.numel() >= _SMALLEST:
            state[name] = moment.new_empty(moment.numel(), dtype=torch.uint8)
            state[f"{name}_scales"] = moment.new_empty(-(-moment.numel() // _BLOCK))
