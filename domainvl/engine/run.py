"""Run units of work one after the other in this process and isolate those that fail.

A unit is planned beforehand, is independent of every other unit and writes its own pixels; only small
results pass through here.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from domainvl.errors import DomainvlError, ItemError

Unit = TypeVar("Unit")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnitFailure:
    """Why a unit of work gave no result."""

    reason: str
    message: str
    action: str | None


@dataclass(frozen=True)
class Outcome(Generic[Unit, Result]):
    """What became of one unit: a result or a failure, never both."""

    unit: Unit
    result: Result | None
    failure: UnitFailure | None


def run_units(units: Iterable[Unit], work: Callable[[Unit], Result]) -> Iterator[Outcome[Unit, Result]]:
    """Run ``work`` on each unit in order.

    Args:
        units: What is to be done, in the order in which results are wanted.
        work: Does one unit.

    Yields:
        One outcome for each unit, in the order of ``units``.
    """
    for unit in units:
        try:
            yield Outcome(unit, work(unit), None)
        except ItemError as error:
            yield Outcome(unit, None, UnitFailure(error.reason, str(error), error.action))
        except Exception as error:  # noqa: BLE001 - the border of a unit of work: counted by the caller
            # Of an error that is not ours kind and place alone are passed on: its text may hold names or paths.
            _log.debug("unit %r failed", unit, exc_info=True)
            action = "Run the command again with --debug to see what happened"
            yield Outcome(unit, None, UnitFailure("internal-error", _kind_and_place(error), action))


def _kind_and_place(error: Exception) -> str:
    if isinstance(error, DomainvlError):
        return f"{type(error).__name__}: {error}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
