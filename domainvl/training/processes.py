"""The processes of a run: who takes part, what they tell each other, and that none waits for a dead one.

A launcher (``torchrun``, SLURM, Ray Train) starts the processes and says to each which one it is; without one there is
a single process, and nothing of ``torch.distributed`` is touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from domainvl.errors import StoppedError, UsageError

if TYPE_CHECKING:
    import torch
    from torch.distributed import ProcessGroup

_LAUNCHER_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_LAUNCHER_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
"""What ``torchrun`` and those who imitate it say to each process
(https://docs.pytorch.org/docs/stable/elastic/run.html)."""

_COLLECTIVE_TIMEOUT = timedelta(minutes=30)
"""Longest wait for another process that lives; one may be saving a large checkpoint on a slow disk meanwhile."""

_ROUND_S = 2.0
"""How often the processes tell each other that they live."""

_SILENCE_S = 40.0
"""After so long a process that says nothing counts as dead."""

_GRACE_S = 10.0
"""How long a process may take to end by itself after another died; all three together stay below a minute."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    All processes must call the same methods in the same order. With one process they do nothing.

    Attributes:
        rank: Which process this is, from 0.
        world_size: How many there are.
        local_rank: Which one on this machine.
        device: Where this process computes.
        group: For messages between CPUs, whatever the device; None with one process.
    """

    rank: int
    world_size: int
    local_rank: int
    device: torch.device
    group: ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes the log and the checkpoints."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums over all processes, in float64; every process passes equally many values."""
        if self.group is None:
            return [float(value) for value in values]
        import torch
        from torch import distributed

        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums, group=self.group)
        return [float(value) for value in sums]

    def any(self, value: bool) -> bool:
        """Return whether it is true on any process."""
        return self.sum([float(value)])[0] > 0

    def gather_objects(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank, on all of them."""
        if self.group is None:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.world_size
        distributed.all_gather_object(values, value, group=self.group)
        return values

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.sum([0.0])


@contextlib.contextmanager
def join_processes(device: torch.device, *, rendezvous_s: float = 60.0) -> Iterator[Processes]:
    """Take part in the run that a launcher started, or be the only process.

    If any process dies or ends with an error, the others end too, within a minute: by an error where they can raise
    one, else by leaving at once with :attr:`domainvl.errors.ExitCode.STOPPED`.

    Args:
        device: Where to compute; of several GPUs each process of a machine takes its own.
        rendezvous_s: How long to wait for the other processes.

    Yields:
        The processes. A group that existed before (Ray Train makes one) is used and left as it is.

    Raises:
        UsageError: If the port is in use, a process does not come, or the launcher's variables contradict each other.
        StoppedError: If another process was lost.
    """
    place = _read_launcher(os.environ)
    if place is None or place.world_size == 1:
        yield Processes(0, 1, 0, device)
        return
    from torch import distributed

    device = _own_device(device, place)
    made_here = not distributed.is_initialized()
    if made_here:
        _make_group(place, device, rendezvous_s)
    group = distributed.new_group(backend="gloo", timeout=_COLLECTIVE_TIMEOUT)
    watch = _Watch(distributed.new_group(backend="gloo", timeout=timedelta(seconds=_SILENCE_S)))
    watch.start()
    try:
        yield Processes(place.rank, place.world_size, place.local_rank, device, group)
    except BaseException as error:
        watch.end(failed=True)
        if made_here and device.type == "cpu":  # on a GPU it would wait for operations that never end
            distributed.destroy_process_group()
        if isinstance(error, RuntimeError) and watch.lost.is_set():
            raise _lost_process() from error
        raise
    watch.end(failed=False)
    if watch.lost.is_set():
        raise _lost_process()
    if made_here:
        distributed.destroy_process_group()


@dataclass(frozen=True)
class _Place:
    """What a launcher says to a process."""

    rank: int
    world_size: int
    local_rank: int


def _read_launcher(variables: Mapping[str, str]) -> _Place | None:
    if not {"RANK", "WORLD_SIZE"} & variables.keys():
        return None
    missing = [name for name in (*_LAUNCHER_NUMBERS, *_LAUNCHER_ADDRESS) if not variables.get(name)]
    if missing:
        _refuse(f"the launcher must set {', '.join((*_LAUNCHER_NUMBERS, *_LAUNCHER_ADDRESS))}; missing: {missing}")
    numbers = []
    for name in _LAUNCHER_NUMBERS:
        if not variables[name].isdecimal():
            _refuse(f"{name} must be a whole number, got {variables[name]!r}")
        numbers.append(int(variables[name]))
    place = _Place(*numbers)
    if place.rank >= place.world_size:
        _refuse(f"RANK must be below WORLD_SIZE, got {place.rank} and {place.world_size}")
    return place


def _refuse(rule: str) -> NoReturn:
    raise UsageError(
        "Cannot start the processes",
        rule=rule,
        action="Start them with torchrun, or unset these variables to run one process",
    )


def _own_device(device: torch.device, place: _Place) -> torch.device:
    """Return this process's GPU; any other device is shared by all."""
    import torch

    if device.type != "cuda":
        return device
    if place.local_rank >= torch.cuda.device_count():
        raise UsageError(
            "Cannot start the processes",
            rule=f"each needs a GPU of its own; process {place.local_rank} of this machine has none of its "
            f"{torch.cuda.device_count()}",
            action="Start as many processes on a machine as it has GPUs",
        )
    own = torch.device("cuda", place.local_rank)
    torch.cuda.set_device(own)
    return own


def _make_group(place: _Place, device: torch.device, rendezvous_s: float) -> None:
    """Find the others and connect to them."""
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    timeout = timedelta(seconds=rendezvous_s)
    try:
        store, _, _ = next(rendezvous("env://", place.rank, place.world_size, timeout=timeout))
        store.set(f"domainvl/here/{place.rank}", "yes")
        store.wait([f"domainvl/here/{rank}" for rank in range(place.world_size)], timeout)
    except distributed.DistError as error:
        _explain_rendezvous(error, place, rendezvous_s)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=place.rank,
        world_size=place.world_size,
        timeout=_COLLECTIVE_TIMEOUT,
    )


def _explain_rendezvous(error: Exception, place: _Place, rendezvous_s: float) -> NoReturn:
    address = ":".join(os.environ[name] for name in _LAUNCHER_ADDRESS)
    text = str(error)
    if "EADDRINUSE" in text or os.strerror(errno.EADDRINUSE).lower() in text.lower():
        raise UsageError(
            "Cannot start the processes",
            where=address,
            rule="the port is in use",
            action="Name another port: torchrun --master-port, or MASTER_PORT",
        ) from error
    raise UsageError(
        "Cannot start the processes",
        where=address,
        rule=f"process {place.rank} waited {rendezvous_s:g} s and not all {place.world_size} came",
        action="Start all of them, and check that each machine reaches this address",
    ) from error


def _lost_process() -> StoppedError:
    return StoppedError(
        "The run ended",
        rule="another of its processes died or ended with an error",
        action="See what that process printed, then give the same command again with --resume",
    )


class _Watch(threading.Thread):
    """Tells the other processes every two seconds that this one lives, and hears the same of them.

    A thread can do this whatever the main one is doing: a GPU that waits for a dead process says nothing.

    Args:
        group: Only for this, with a short timeout.
    """

    def __init__(self, group: ProcessGroup) -> None:
        super().__init__(name="watch over the processes", daemon=True)
        self._group = group
        self._leaving = threading.Event()
        self._failed = False
        self.lost = threading.Event()
        """Set when another process died, fell silent, or failed before this one did."""

    def end(self, *, failed: bool) -> None:
        """Say to the others that this process ends, and wait until they know; after success, until they end too."""
        self._failed = failed
        self._leaving.set()
        self.join(timeout=_SILENCE_S if failed else None)

    def run(self) -> None:
        """Go round by round until all leave or one is lost."""
        import torch
        from torch import distributed

        while True:
            failed = self._failed
            states = torch.tensor([self._leaving.is_set(), failed], dtype=torch.int64)
            try:
                distributed.all_reduce(states, group=self._group)
            except RuntimeError:  # a connection was closed, or nothing came for too long
                return self._end_with_the_lost()
            leaving_count, failed_count = states.tolist()
            if failed_count:
                return None if failed else self._end_with_the_lost()
            if leaving_count == self._group.size():
                return None
            self._leaving.wait(_ROUND_S)

    def _end_with_the_lost(self) -> None:
        self.lost.set()
        if not self._leaving.wait(_GRACE_S):  # the main thread waits for the lost process and never comes back
            error = _lost_process()
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
            os._exit(error.exit_code)
