"""The loop that keeps an executor busy, and gives units that may have failed for lack of room a try alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from domainvl.engine.work import Outcome, Result, Unit, attempt

UnitT = TypeVar("UnitT")
ResultT = TypeVar("ResultT")


class Executor(Protocol[UnitT, ResultT]):
    """Where units are done: in this process, in others, on a cluster. Units go in, small results come out.

    Attributes:
        capacity: How many units it does at the same time.
    """

    capacity: int

    def submit(self, unit: UnitT, *, alone: bool) -> None:
        """Begin a unit; there is room for it, and with ``alone`` no other is being done."""
        ...

    def next_outcome(self) -> Outcome[UnitT, ResultT]:
        """Wait until some unit that was begun has ended.

        Raises:
            StoppedError: If no unit can be done any more.
        """
        ...

    def close(self) -> None:
        """Give up what is being done and let go of all processes."""
        ...


class InThisProcess(Generic[Unit, Result]):
    """Does units one after the other in this process: nothing protects it from a crash or a hang.

    Args:
        work: Does one unit.
    """

    capacity = 1

    def __init__(self, work: Callable[[Unit], Result]) -> None:
        self._work = work
        self._waiting: deque[Unit] = deque()

    def submit(self, unit: Unit, *, alone: bool) -> None:
        """Take a unit; it is done when its outcome is asked for."""
        self._waiting.append(unit)

    def next_outcome(self) -> Outcome[Unit, Result]:
        """Do the unit.

        Raises:
            StoppedError: If the output cannot be written.
        """
        return attempt(self._work, self._waiting.popleft())

    def close(self) -> None:
        """Forget what was not done."""
        self._waiting.clear()


def run_units(
    units: Iterable[Unit],
    executor: Executor[Unit, Result],
    *,
    follow_up: Callable[[Outcome[Unit, Result]], Iterable[Unit]] | None = None,
) -> Iterator[Outcome[Unit, Result]]:
    """Do all units.

    A unit whose failure may be the machine's fault (crash, hang, memory) is tried once more when everything else is
    done and no other unit runs beside it; what fails then too is at fault itself.

    Args:
        units: What is to be done.
        executor: Where.
        follow_up: Names further units that an outcome asks for; they are done next.

    Yields:
        One outcome for each unit, in the order in which they end.

    Raises:
        StoppedError: If no unit can be done any more.
    """
    waiting = deque(units)
    suspects: deque[Unit] = deque()
    running = 0
    while waiting or suspects or running:
        while waiting and running < executor.capacity:
            executor.submit(waiting.popleft(), alone=False)
            running += 1
        alone = running == 0
        if alone:
            executor.submit(suspects.popleft(), alone=True)
            running = 1
        outcome = executor.next_outcome()
        running -= 1
        if outcome.failure is not None and outcome.failure.retry and not alone:
            suspects.append(outcome.unit)
            continue
        if follow_up is not None:
            waiting.extendleft(reversed(list(follow_up(outcome))))
        yield outcome
