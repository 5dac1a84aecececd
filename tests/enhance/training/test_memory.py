"""Want of memory is told with what to make smaller; any other error stays what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from domainvl.enhance.training.memory import memory_errors
from domainvl.errors import StoppedError


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_want_of_memory_says_what_was_computed(error: Exception) -> None:
    with pytest.raises(StoppedError) as caught, memory_errors(8, 144, Path("run")):
        raise error
    message = str(caught.value)
    assert message.startswith("Memory ran out in run: 8 crops of 144 low px were computed at a time; ")
    assert "smaller --batch" in message
    assert "more" not in message


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors(8, 144, Path("run")):
        raise RuntimeError("shapes do not fit")
