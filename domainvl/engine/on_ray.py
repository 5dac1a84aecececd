"""The same units on a Ray cluster. Needs the extra ``ray``, and an output folder that all nodes can write."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic

from domainvl.engine.limits import Limits
from domainvl.engine.work import Outcome, Result, Unit, UnitFailure, attempt, crashed, out_of_memory, timed_out
from domainvl.errors import StoppedError, UsageError, install_hint

LOCAL = "local"
"""The address that starts Ray on this machine instead of finding a cluster."""

_CHECK_S = 1.0
_USAGE_SWITCH = "RAY_USAGE_STATS_ENABLED"  # docs.ray.io, Usage Stats Collection


class RayExecutor(Generic[Unit, Result]):
    """Does each unit as a Ray task of one core.

    Args:
        work: Does one unit; it must be possible to pickle it, as well as units and results.
        address: Of a cluster, or ``"local"``.
        workers: At most how many units at the same time; as many as the cluster has cores where None.
        limits: How long one unit may take; its memory is watched by Ray's own monitor.

    Raises:
        UsageError: If Ray is not installed or there is no cluster at the address.
    """

    def __init__(
        self,
        work: Callable[[Unit], Result],
        *,
        address: str = LOCAL,
        workers: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        ray = _import_ray()
        self._ray = ray
        self._limits = limits or Limits()
        self._started_here = not ray.is_initialized()
        if self._started_here:
            _connect(ray, address, workers)
        self.capacity = workers or int(ray.cluster_resources().get("CPU", 1))
        options = {"num_cpus": 1, "max_retries": 0}
        self._task = ray.remote(**options)(_attempt_or_stop)
        self._work = ray.put(work)
        self._running: dict[Any, tuple[Unit, float]] = {}

    def submit(self, unit: Unit, *, alone: bool) -> None:
        """Hand a unit to Ray."""
        self._running[self._task.remote(self._work, unit)] = (unit, time.monotonic())

    def next_outcome(self) -> Outcome[Unit, Result]:
        """Wait until some unit has ended, and cancel those that take too long.

        Raises:
            StoppedError: If the output cannot be written.
        """
        while True:
            done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_CHECK_S)
            if done:
                unit, _ = self._running.pop(done[0])
                return self._outcome(unit, done[0])
            overdue = self._overdue()
            if overdue is not None:
                self._ray.cancel(overdue, force=True)
                unit, _ = self._running.pop(overdue)
                return Outcome(unit, None, timed_out(self._limits.timeout_s or 0.0))

    def close(self) -> None:
        """Cancel what is running; stop Ray if it was started here."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._started_here:
            self._ray.shutdown()

    def _overdue(self) -> Any | None:
        if self._limits.timeout_s is None:
            return None
        now_s = time.monotonic()
        for reference, (_, started_s) in self._running.items():
            if now_s - started_s > self._limits.timeout_s:
                return reference
        return None

    def _outcome(self, unit: Unit, reference: Any) -> Outcome[Unit, Result]:
        errors = self._ray.exceptions
        try:
            message = self._ray.get(reference)
        except errors.OutOfMemoryError:
            return Outcome(unit, None, out_of_memory("Ray ended it because its node ran out of memory"))
        except (errors.WorkerCrashedError, errors.NodeDiedError) as error:
            return Outcome(unit, None, crashed(f"its process ended ({type(error).__name__})"))
        except errors.RayError as error:
            raise StoppedError(
                "Cannot work on the Ray cluster",
                rule=f"its processes cannot load the work ({type(error).__name__})",
                action="Install the same domainvl and converters on all nodes",
            ) from error
        if isinstance(message, StoppedError):
            raise message
        result, failure = message
        return Outcome(unit, result, failure)


def _attempt_or_stop(work: Callable[[Any], Any], unit: Any) -> tuple[Any, UnitFailure | None] | StoppedError:
    """Do one unit; runs in a process of Ray."""
    try:
        outcome = attempt(work, unit)
    except StoppedError as error:
        return error
    return outcome.result, outcome.failure


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("Ray is not installed", action=install_hint("ray")) from error
    return ray


@contextmanager
def _no_usage_reports() -> Iterator[None]:
    """Keep a cluster that is started here from reporting its use; a variable is Ray's only switch for that."""
    before = os.environ.get(_USAGE_SWITCH)
    os.environ[_USAGE_SWITCH] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_USAGE_SWITCH]
        else:
            os.environ[_USAGE_SWITCH] = before


def _connect(ray: Any, address: str, workers: int | None) -> None:
    """Find or start a cluster."""
    on_sigterm = signal.getsignal(signal.SIGTERM)
    quiet = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    try:
        if address == LOCAL:
            with _no_usage_reports():
                ray.init(address=LOCAL, num_cpus=workers, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError("Cannot reach a Ray cluster", where=address, rule=str(error).splitlines()[0]) from error
    finally:
        # Ray puts a handler of its own, which ends the process, in the place of the one that stops a run.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)
