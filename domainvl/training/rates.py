"""How fast a run is, how long it will take, what it waits for and how much memory it has had."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domainvl.model.trial import peak_memory_bytes

if TYPE_CHECKING:
    import torch

MEASURED_KEYS = frozenset(
    {
        "step_seconds",
        "seconds_left",
        "samples_per_second",
        "tokens_per_second",
        "tiles_per_second",
        "waiting_share",
        "peak_memory_bytes",
        "peak_reserved_bytes",
    }
)
"""Keys of log rows that are measured: equal runs differ in them and in nothing else."""

_WINDOW_STEPS = 20
"""Rates are means over so many steps: enough for packs of different sizes, few enough to follow a change."""


@dataclass(frozen=True)
class _Step:
    seconds: float
    waiting_seconds: float
    samples: int
    tokens: int
    tiles: int


@dataclass(frozen=True)
class Totals:
    """What one call of a run came to, from its first step to its last.

    Attributes:
        steps: Steps done.
        samples: Samples trained on, repetitions counted.
        tokens: Tokens computed, padding not counted.
        tiles: Tiles computed.
        seconds: Time of the steps, waiting for data included, pauses not.
        waiting_seconds: Time of it spent waiting for data.
        paused_seconds: Time spent on held-out samples and on saving.
    """

    steps: int = 0
    samples: int = 0
    tokens: int = 0
    tiles: int = 0
    seconds: float = 0.0
    waiting_seconds: float = 0.0
    paused_seconds: float = 0.0


class Rates:
    """Turns counts and times of steps into rates.

    The first step of a process allocates memory and compiles kernels; it is forgotten as soon as there is another.

    Args:
        first_step: Number of steps done before.
        step_count: Number of steps of the whole run.
        clock: Returns seconds, such as ``time.perf_counter``.
    """

    def __init__(self, first_step: int, step_count: int, clock: Callable[[], float]) -> None:
        self._step = first_step
        self._step_count = step_count
        self._clock = clock
        self._recent: deque[_Step] = deque(maxlen=_WINDOW_STEPS)
        self._started = clock()
        self._waiting_seconds = 0.0
        self._paused_seconds = 0.0
        self.totals = Totals()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as waiting for data."""
        started = self._clock()
        try:
            yield
        finally:
            self._waiting_seconds += self._clock() - started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count the time of the block, such as a look at held-out samples, to no step, but to the time left."""
        started = self._clock()
        try:
            yield
        finally:
            self._paused_seconds += self._clock() - started

    def finish_step(self, *, samples: int, tokens: int, tiles: int) -> dict[str, Any]:
        """End a step and return what the log says of its pace.

        Args:
            samples: Samples of the step, over all processes.
            tokens: Its tokens, padding not counted.
            tiles: Its tiles.

        Returns:
            ``percent`` of the run that is done, and of :data:`MEASURED_KEYS` all but the memory: ``step_seconds`` of
            this step, ``seconds_left``, the rates over the last steps, and ``waiting_share``, the share of their time
            spent waiting for data.
        """
        now = self._clock()
        step = _Step(now - self._started - self._paused_seconds, self._waiting_seconds, samples, tokens, tiles)
        if self.totals.steps == 1:
            self._recent.clear()
        self._recent.append(step)
        self._count(step)
        self._started, self._waiting_seconds, self._paused_seconds = now, 0.0, 0.0
        self._step += 1
        seconds = sum(one.seconds for one in self._recent)
        return {
            "percent": round(100 * self._step / self._step_count, 2),
            "step_seconds": step.seconds,
            "seconds_left": self._seconds_left(),
            "samples_per_second": _rate(sum(one.samples for one in self._recent), seconds),
            "tokens_per_second": _rate(sum(one.tokens for one in self._recent), seconds),
            "tiles_per_second": _rate(sum(one.tiles for one in self._recent), seconds),
            "waiting_share": _rate(sum(one.waiting_seconds for one in self._recent), seconds),
        }

    def _count(self, step: _Step) -> None:
        before = self.totals
        self.totals = Totals(
            before.steps + 1,
            before.samples + step.samples,
            before.tokens + step.tokens,
            before.tiles + step.tiles,
            before.seconds + step.seconds,
            before.waiting_seconds + step.waiting_seconds,
            before.paused_seconds + self._paused_seconds,
        )

    def _seconds_left(self) -> float:
        step_seconds = sum(one.seconds for one in self._recent) / len(self._recent)
        paused_seconds = self.totals.paused_seconds / self.totals.steps  # rare and long, so over all steps
        return (self._step_count - self._step) * (step_seconds + paused_seconds)


def peak_memory(device: torch.device) -> dict[str, int]:
    """Return the most memory so far, for the log.

    Args:
        device: Where the model is.

    Returns:
        ``peak_memory_bytes``: of the GPU's tensors, on a CPU of the whole process; on a GPU ``peak_reserved_bytes``
        too, what torch held of it.
    """
    import torch

    if device.type != "cuda":
        return {"peak_memory_bytes": peak_memory_bytes()}
    return {
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device),
        "peak_reserved_bytes": torch.cuda.max_memory_reserved(device),
    }


def without_measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the log without what differs between equal runs."""
    return {key: value for key, value in row.items() if key not in MEASURED_KEYS}


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0
