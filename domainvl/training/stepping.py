"""One step of training: the packs of a step forward and backward, then the optimizer.

Gradients are summed over all packs and processes and divided by the weight of the whole step at the end, so that the
result is the same however the step is divided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domainvl.errors import StoppedError
from domainvl.training.loading import LoadedPack, Skipped

if TYPE_CHECKING:
    import torch

    from domainvl.training.parallel import Parallel
    from domainvl.training.processes import Processes

Autocast = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Seen:
    """What some packs came to, over all processes.

    Attributes:
        losses: Weighted sum of the loss of each source.
        weights: Sum of the weights of each source.
        samples: Samples of each source.
        tokens: Tokens of each source, padding not counted.
        tiles: Tiles in all.
        names: Ids of the samples that this process saw.
        skipped: What could not be read.
        stopping: Whether any process was asked to stop.
    """

    losses: tuple[float, ...]
    weights: tuple[float, ...]
    samples: tuple[int, ...]
    tokens: tuple[int, ...]
    tiles: int
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    stopping: bool

    @property
    def weight(self) -> float:
        """Sum of all weights."""
        return sum(self.weights)

    @property
    def loss(self) -> float:
        """Weighted mean of the loss; 0 where nothing was seen."""
        return sum(self.losses) / self.weight if self.weight else 0.0

    def loss_of(self, sources: Sequence[int]) -> float:
        """Return the weighted mean of the loss of some sources; 0 where nothing of them was seen."""
        weight = sum(self.weights[source] for source in sources)
        return sum(self.losses[source] for source in sources) / weight if weight else 0.0

    def source_losses(self, names: Sequence[str]) -> dict[str, float]:
        """Return the weighted mean of the loss of each source that was seen, by its name."""
        return {
            name: loss / weight for name, loss, weight in zip(names, self.losses, self.weights, strict=True) if weight
        }


class Stepper:
    """Goes forward and backward.

    Args:
        parallel: The module that computes the loss.
        processes: Who takes part.
        source_count: Number of data sources.
        autocast: Makes the context of the arithmetic.
        seed: Of dropout and drop path.
    """

    def __init__(
        self, parallel: Parallel, processes: Processes, source_count: int, autocast: Autocast, seed: int
    ) -> None:
        self._parallel = parallel
        self._processes = processes
        self._source_count = source_count
        self._autocast = autocast
        self._seed = seed

    def backward(self, step: int, packs: Iterator[LoadedPack], count: int, *, stopping: Callable[[], bool]) -> Seen:
        """Sum the gradients of a step.

        Args:
            step: Its number; with the place of a pack in it, the seed of what is random.
            packs: Of this process.
            count: How many of them belong to the step.
            stopping: Whether this process was asked to stop.
        """
        found = _Sums(self._source_count)
        for index in range(count):
            pack = next(packs)
            seed_randomness(self._seed, step, index * self._processes.world_size + self._processes.rank)
            several = self._processes.world_size > 1
            said = f"{sum(pack.tokens):,} tokens and {pack.tiles} tiles were computed at a time"
            with memory_errors(said, several_processes=several), self._parallel.accumulating(last=index == count - 1):
                with self._autocast():
                    sums = self._parallel(pack.batch)
                self._parallel.backward(sums.sum())
            found.add(pack, sums)
        return found.over_all(self._processes, stopping=stopping())

    def look(self, packs: Iterator[LoadedPack]) -> Seen:
        """Compute the loss alone."""
        import torch

        found = _Sums(self._source_count)
        with torch.no_grad():
            for pack in packs:
                with self._autocast():
                    sums = self._parallel(pack.batch)
                found.add(pack, sums)
        return found.over_all(self._processes, stopping=False)

    def clip(self, weight: float, max_norm: float) -> float:
        """Divide the gradients by the weight of the step and scale them down to a norm.

        Returns:
            The norm before.
        """
        for value in self._parallel.parameters.values():
            if value.grad is not None:
                value.grad.div_(weight)
        return self._parallel.clip(max_norm)


class _Sums:
    def __init__(self, source_count: int) -> None:
        self._losses: list[torch.Tensor] = []
        self._weights = [0.0] * source_count
        self._samples = [0] * source_count
        self._tokens = [0] * source_count
        self._tiles = 0
        self._names: list[str] = []
        self._skipped: list[Skipped] = []

    def add(self, pack: LoadedPack, sums: torch.Tensor) -> None:
        import torch

        batch = pack.batch
        self._losses.append(sums.detach())
        weights = torch.zeros(len(self._weights), dtype=torch.float64)
        weights.index_add_(0, batch.sources.flatten(), batch.weights.flatten().double())
        for index, weight in enumerate(weights.tolist()):
            self._weights[index] += weight
            self._samples[index] += pack.samples[index]
            self._tokens[index] += pack.tokens[index]
        self._tiles += pack.tiles
        self._names += pack.names
        self._skipped += pack.skipped

    def over_all(self, processes: Processes, *, stopping: bool) -> Seen:
        """Sum over the processes, in one message."""
        count = len(self._weights)
        # Moved off the device once a step: each move waits for all that was asked of it before.
        own = [sum(column) for column in zip(*(one.double().tolist() for one in self._losses), strict=True)]
        numbers = [*(own or [0.0] * count), *self._weights, *self._samples, *self._tokens]
        summed = processes.sum([*numbers, self._tiles, len(self._skipped), float(stopping)])
        losses, weights, samples, tokens = (summed[start : start + count] for start in range(0, 4 * count, count))
        tiles, skipped_count, stops = summed[4 * count :]
        skipped = self._skipped
        if skipped_count:
            skipped = [one for part in processes.gather_objects(self._skipped) for one in part]
        return Seen(
            tuple(losses),
            tuple(weights),
            tuple(round(value) for value in samples),
            tuple(round(value) for value in tokens),
            round(tiles),
            tuple(self._names),
            tuple(skipped),
            stops > 0,
        )


_CPU_MEMORY_ERRORS = ("can't allocate memory", "could not create a primitive")


class MemoryExhaustedError(StoppedError):
    """There is not enough memory for what is computed at a time.

    Attributes:
        several_processes: Whether others took part, which cannot go on without this one.
    """

    several_processes = False


@contextmanager
def memory_errors(said: str, *, several_processes: bool = False) -> Iterator[None]:
    """Say of an error for want of memory what was done.

    Args:
        said: What, in words.
        several_processes: Whether others take part.

    Raises:
        MemoryExhaustedError: If memory ran out.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        # On a CPU torch raises a plain RuntimeError (c10/core/impl/alloc_cpu.cpp), oneDNN one of its own.
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not known and not any(text in str(error) for text in _CPU_MEMORY_ERRORS):
            raise
        exhausted = MemoryExhaustedError(
            "Memory ran out",
            rule=f"{said}; {_first_line(error)}",
            action="Compute less at a time with --set compute.parts_per_pack=2, or see domainvl plan",
        )
        exhausted.several_processes = several_processes
        raise exhausted from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def seed_randomness(*numbers: int) -> None:
    """Seed torch by where a run is, so that resuming does not change what is random.

    Nor does the number of processes, unless a step has fewer packs than there are and they are divided.
    """
    import torch

    digest = hashlib.sha256(" ".join(map(str, numbers)).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
