"""What a prediction of memory consists of, in bytes, and what is added for a GPU."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

GIB = 1 << 30

GPU_CONTEXT_BYTES = 7 * GIB // 8
"""Held by the driver and by the workspaces of the matrix kernels before the first tensor: 0.81 and 0.08 to 0.11 GB on
an H100 with torch 2.11 for CUDA 13 (tests/gpu/models.py)."""

GPU_FRAGMENTATION = 0.25
"""Share of what comes and goes in a step that the caching allocator holds and cannot use, because blocks do not fit.
On an H100 it was 6 to 11 % under LoRA and QLoRA and 23 % where all of the 1B was trained, where 10 % ended in an
error (tests/gpu/models.py)."""


class Kind(enum.StrEnum):
    """What memory is used for."""

    WEIGHTS = "weights"
    GRADIENTS = "gradients"
    OPTIMIZER = "optimizer state"
    ACTIVATIONS = "activations"
    LOGITS = "logits and loss"
    WORKING = "working memory"
    CACHE = "key/value cache"


_STAYING = (Kind.WEIGHTS, Kind.OPTIMIZER)


@dataclass(frozen=True)
class Footprint:
    """What is held at the moment at which most is held.

    Attributes:
        bytes_by_kind: Bytes of tensors, by what they are for.
    """

    bytes_by_kind: Mapping[Kind, int]

    @property
    def total_bytes(self) -> int:
        """All tensors."""
        return sum(self.bytes_by_kind.values())

    @property
    def allowance_bytes(self) -> int:
        """What a GPU needs beside the tensors: an allowance."""
        staying = sum(self.bytes_by_kind.get(kind, 0) for kind in _STAYING)
        return GPU_CONTEXT_BYTES + round(GPU_FRAGMENTATION * (self.total_bytes - staying))

    def needed_bytes(self, *, on_gpu: bool) -> int:
        """All tensors, on a GPU with the allowance."""
        return self.total_bytes + (self.allowance_bytes if on_gpu else 0)
