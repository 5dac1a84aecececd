"""Running a checkpoint once: one image, one question, a few tokens; and what that took."""

from __future__ import annotations

import contextlib
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.generation import pixel_values
from domainvl.schema import Turn
from domainvl.schema.sample import IMAGE_PLACEHOLDER

if TYPE_CHECKING:
    import torch

_QUESTION = f"{IMAGE_PLACEHOLDER}\nDescribe the image shortly."


@dataclass(frozen=True)
class Trial:
    """What one forward pass came to.

    Attributes:
        prompt_tokens: Length of the prompt, the visual tokens included.
        next_token: The most probable first token of the answer.
        load_seconds: Time to load the model.
        forward_seconds: Time of the forward pass.
        peak_bytes: Most memory that this process has had resident, whatever it did before included.
    """

    prompt_tokens: int
    next_token: str
    load_seconds: float
    forward_seconds: float
    peak_bytes: int


def try_model(folder: Path, dtype: torch.dtype) -> Trial:
    """Load a checkpoint on the CPU and run it on one tile of noise and one question.

    Args:
        folder: The checkpoint.
        dtype: Of the weights in memory.

    Raises:
        CheckpointError: If it cannot be loaded, or a logit is no finite number.
    """
    started = time.perf_counter()
    loaded = load_model(str(folder), dtype=dtype)
    load_seconds = time.perf_counter() - started
    side = loaded.spec.preprocessing.tile_side_px
    tile = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    input_ids = loaded.encoder().encode([Turn(role="human", text=_QUESTION)], [1]).input_ids
    started = time.perf_counter()
    logits = _next_logits(loaded, input_ids, tile)
    forward_seconds = time.perf_counter() - started
    if not bool(logits.isfinite().all()):
        raise CheckpointError(
            "The model does not work",
            where=folder,
            rule="every logit must be a finite number",
            action="Download the checkpoint again",
        )
    next_token = loaded.tokenizer.decode([int(logits.argmax())])
    return Trial(len(input_ids), str(next_token), load_seconds, forward_seconds, peak_memory_bytes())


def _next_logits(loaded: LoadedModel, input_ids: tuple[int, ...], tile: np.ndarray) -> torch.Tensor:
    import torch

    with torch.inference_mode():
        logits: torch.Tensor = loaded.internvl(
            input_ids=torch.tensor([input_ids]),
            pixel_values=pixel_values(loaded, [tile]),
            use_cache=False,
            logits_to_keep=1,
        ).logits
    return logits[0, -1].float()


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had resident, since its begin or :func:`forget_peak_memory`.

    Linux hands ``ru_maxrss`` on from the process that started this one; the high-water mark in ``/proc`` is its own.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak_memory() -> None:
    """Let the high-water mark of this process's memory begin anew; where the system cannot, nothing happens."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
