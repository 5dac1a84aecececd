"""Chooses where units are done: in this process, in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domainvl.engine.limits import Limits, default_limits
from domainvl.engine.run import Executor, InThisProcess
from domainvl.engine.work import Result, Unit


@dataclass(frozen=True)
class Execution:
    """How units are run; none of it changes what comes out.

    Attributes:
        workers: Number of processes; 0 for none but this one, which nothing protects from a crash or a hang.
        unit_timeout_s: Seconds that a unit may take; None for any time.
        unit_memory_bytes: Memory that a unit may take; where None, a share of four fifths of the machine's.
        ray: Address of a Ray cluster, or ``"local"``; None for processes of this machine.
    """

    workers: int = 0
    unit_timeout_s: float | None = 600.0
    unit_memory_bytes: int | None = None
    ray: str | None = None


def make_executor(work: Callable[[Unit], Result], execution: Execution) -> Executor[Unit, Result]:
    """Choose where units are done.

    Args:
        work: Does one unit; outside this process it must be possible to pickle it, as well as units and results.
        execution: Where.

    Raises:
        UsageError: If Ray is asked for and not installed, or there is no cluster at the address.
    """
    if execution.ray is not None:
        from domainvl.engine.on_ray import RayExecutor

        limits = Limits(timeout_s=execution.unit_timeout_s)
        return RayExecutor(work, address=execution.ray, workers=execution.workers or None, limits=limits)
    if execution.workers == 0:
        return InThisProcess(work)
    from domainvl.engine.pool import ProcessPool

    limits = default_limits(
        execution.workers, timeout_s=execution.unit_timeout_s, memory_bytes=execution.unit_memory_bytes
    )
    return ProcessPool(work, workers=execution.workers, limits=limits)
