"""Units in processes of their own: a crash, a hang or a memory hog costs its process, never the run.

Processes are spawned, not forked: libraries such as GDAL and OpenMP keep threads and locks that a fork breaks.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic

import psutil

from domainvl.engine.limits import Limits
from domainvl.engine.work import Outcome, Result, Unit, UnitFailure, attempt, crashed, out_of_memory, timed_out
from domainvl.errors import StoppedError

_CHECK_S = 0.1
"""How often time and memory are looked at."""
_START_TIMEOUT_S = 300.0
_MEGABYTE = 1 << 20
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_package_log = logging.getLogger("domainvl")


@dataclass
class _Worker(Generic[Unit]):
    process: BaseProcess
    connection: Connection
    is_ready: bool = False
    unit: Unit | None = None
    is_busy: bool = False
    alone: bool = False
    started_s: float = field(default=0.0)


class ProcessPool(Generic[Unit, Result]):
    """Does units in spawned processes.

    Args:
        work: Does one unit; it must be possible to pickle it, as well as units and results.
        workers: At most how many processes; one is started when there is work for it.
        limits: What one unit may take.
    """

    def __init__(self, work: Callable[[Unit], Result], *, workers: int, limits: Limits | None = None) -> None:
        self.capacity = workers
        self._work = work
        self._limits = limits or Limits()
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker[Unit]] = []
        self._checked_s = 0.0

    def submit(self, unit: Unit, *, alone: bool) -> None:
        """Give a unit to a process that has nothing to do."""
        worker = next((worker for worker in self._workers if not worker.is_busy), None) or self._start()
        worker.unit, worker.is_busy, worker.alone = unit, True, alone
        worker.started_s = time.monotonic()
        try:
            worker.connection.send(unit)
        except OSError as error:
            self._let_go(worker)
            if not worker.is_ready:  # a unit too large for the pipe is taken only when the process is up
                raise _cannot_start("one ended before it had any work") from error
            # It ended while it had nothing to do, which is no fault of this unit.
            self.submit(unit, alone=alone)

    def next_outcome(self) -> Outcome[Unit, Result]:
        """Wait until some unit has ended, and end those that take too much.

        Raises:
            StoppedError: If the output cannot be written or processes cannot be started.
        """
        while True:
            busy = [worker for worker in self._workers if worker.is_busy]
            wait([worker.connection for worker in busy], _CHECK_S)
            # Checks come first: where there is always something to hear, nothing else would ever be looked at.
            for look, workers in ((self._check, self._due()), (self._hear, busy)):
                for worker in workers:
                    outcome = look(worker)
                    if outcome is not None:
                        return outcome

    def close(self) -> None:
        """End all processes at once; what they write is whole or not there."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def _let_go(self, worker: _Worker[Unit]) -> None:
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)

    def _start(self) -> _Worker[Unit]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._work, _package_log.getEffectiveLevel()), daemon=True
        )
        process.start()
        theirs.close()  # so that the end of the process is seen as the end of the pipe
        worker: _Worker[Unit] = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _due(self) -> list[_Worker[Unit]]:
        """Return the workers to be checked now: all of them, but not after each small unit."""
        now_s = time.monotonic()
        if now_s - self._checked_s < min(_CHECK_S, self._limits.timeout_s or _CHECK_S):
            return []
        self._checked_s = now_s
        return [worker for worker in self._workers if worker.is_busy]

    def _hear(self, worker: _Worker[Unit]) -> Outcome[Unit, Result] | None:
        try:
            return self._receive(worker) if worker.connection.poll() else None
        except (EOFError, OSError):
            return self._bury(worker, None)

    def _check(self, worker: _Worker[Unit]) -> Outcome[Unit, Result] | None:
        elapsed_s = time.monotonic() - worker.started_s
        if not worker.is_ready:
            if elapsed_s > _START_TIMEOUT_S:
                raise _cannot_start(f"one was not ready after {_START_TIMEOUT_S:g} s")
            return None
        if self._limits.timeout_s is not None and elapsed_s > self._limits.timeout_s:
            return self._bury(worker, timed_out(self._limits.timeout_s))
        limit_bytes = self._limits.memory_limit_bytes(alone=worker.alone)
        if limit_bytes is not None and self._memory_bytes(worker) > limit_bytes:
            return self._bury(worker, out_of_memory(f"it took more than {limit_bytes // _MEGABYTE} MiB of memory"))
        return None

    def _receive(self, worker: _Worker[Unit]) -> Outcome[Unit, Result] | None:
        message = worker.connection.recv()
        if isinstance(message, _Ready):
            # The time that a process takes to start is not the unit's.
            worker.is_ready, worker.started_s = True, time.monotonic()
            return None
        unit, worker.unit, worker.is_busy = worker.unit, None, False
        if isinstance(message, StoppedError):
            raise message
        result, failure = message
        return Outcome(unit, result, failure)  # type: ignore[arg-type]

    def _bury(self, worker: _Worker[Unit], failure: UnitFailure | None) -> Outcome[Unit, Result]:
        """End a process and say what became of its unit."""
        if failure is not None:
            worker.process.kill()
        self._let_go(worker)
        code = worker.process.exitcode
        if failure is None and not worker.is_ready:
            raise _cannot_start(f"one ended with {_describe_exit(code)} before it had any work")
        return Outcome(worker.unit, None, failure or crashed(f"its process ended with {_describe_exit(code)}"))  # type: ignore[arg-type]

    @staticmethod
    def _memory_bytes(worker: _Worker[Unit]) -> int:
        try:
            return int(psutil.Process(worker.process.pid).memory_info().rss)
        except psutil.Error:  # it has just ended
            return 0


def _cannot_start(rule: str) -> StoppedError:
    return StoppedError("Cannot start worker processes", rule=rule, action="Use --workers 0 to see why")


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code} ({signal.strsignal(-code) or 'unknown'})"
    return f"exit code {code}"


class _Ready:
    """The first message of a worker process: it is up and has nothing to do."""


def _serve(connection: Connection, work: Callable[[Any], Any], log_level: int) -> None:
    """Do the units that come through a pipe until it ends; runs in a worker process."""
    logging.basicConfig()
    logging.getLogger(_package_log.name).setLevel(log_level)
    # Ctrl-C reaches the whole group of processes; what becomes of the run is the parent's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    connection.send(_Ready())
    while True:
        try:
            unit = connection.recv()
        except EOFError:
            return
        try:
            outcome = attempt(work, unit)
            message: Any = (outcome.result, outcome.failure)
        except StoppedError as error:
            message = error
        try:
            connection.send(message)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            connection.send((None, UnitFailure("internal-error", f"its result cannot be sent: {type(error).__name__}")))


def _end_with_parent() -> None:
    """Arrange to be killed when the parent is: nobody else would end a unit that hangs."""
    if sys.platform == "linux":
        # Also while a decoder holds the interpreter's lock (prctl(2), PR_SET_PDEATHSIG).
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait_for_parents_end, daemon=True).start()


def _wait_for_parents_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
