"""Says of a step that does not fit into memory what to make smaller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from domainvl.errors import StoppedError

_CPU_MEMORY_ERRORS = ("can't allocate memory", "could not create a primitive")
"""On a CPU torch raises a plain RuntimeError (c10/core/impl/alloc_cpu.cpp), oneDNN one of its own."""


@contextmanager
def memory_errors(batch: int, crop_px: int, out: Path) -> Iterator[None]:
    """Turn an error for want of memory into one of ours.

    Args:
        batch: Crops in a step.
        crop_px: Their side in low pixels.
        out: The run's folder.

    Raises:
        StoppedError: If memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not known and not any(text in str(error) for text in _CPU_MEMORY_ERRORS):
            raise
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoppedError(
            "Memory ran out",
            where=out,
            rule=f"{batch} crops of {crop_px} low px were computed at a time; {said}",
            action="Start a run with a smaller --batch, --crop-px, --features or --pack-block",
        ) from error
