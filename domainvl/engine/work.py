"""One unit of work: doing it so that what goes wrong in it stays in it."""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from domainvl.errors import DomainvlError, ItemError, OutputError, StoppedError

Unit = TypeVar("Unit")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_OUTPUT_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What only writing fails with: no space, over quota, read-only file system."""


@dataclass(frozen=True)
class UnitFailure:
    """Why a unit of work gave no result.

    Attributes:
        reason: A stable code to count by.
        message: What went wrong.
        action: What the user can do.
        retry: Whether it may have been the machine's fault, so that another try without neighbours is worth it.
    """

    reason: str
    message: str
    action: str | None = None
    retry: bool = False


@dataclass(frozen=True)
class Outcome(Generic[Unit, Result]):
    """What became of one unit: a result or a failure, never both."""

    unit: Unit
    result: Result | None
    failure: UnitFailure | None


def attempt(work: Callable[[Unit], Result], unit: Unit) -> Outcome[Unit, Result]:
    """Do one unit in this process.

    Args:
        work: Does it.
        unit: Which.

    Raises:
        StoppedError: If no further unit can be done either: the output cannot be written.
    """
    try:
        return Outcome(unit, work(unit), None)
    except StoppedError:
        raise
    except ItemError as error:
        return Outcome(unit, None, UnitFailure(error.reason, str(error), error.action))
    except MemoryError:
        return Outcome(unit, None, out_of_memory("it could not get the memory that it asked for"))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OUTPUT_ERRNOS:
            raise OutputError.of(error, Path(error.filename or "the output folder")) from error
        # Of an error that is not ours kind and place alone are passed on: its text may hold names or paths.
        _log.debug("unit %r failed", unit, exc_info=True)
        action = "Run the command again with --debug to see what happened"
        return Outcome(unit, None, UnitFailure("internal-error", _kind_and_place(error), action))


def out_of_memory(message: str) -> UnitFailure:
    """Describe a unit that took too much memory."""
    return UnitFailure("out-of-memory", message, "Use fewer --workers, or raise --unit-memory-gb", retry=True)


def crashed(message: str) -> UnitFailure:
    """Describe a unit that took its process with it."""
    action = "Look at this input with the tools of its format: a decoder crashes on it"
    return UnitFailure("crash", message, action, retry=True)


def timed_out(limit_s: float) -> UnitFailure:
    """Describe a unit that did not end in time."""
    message = f"it was not done after {limit_s:g} s"
    return UnitFailure("timeout", message, "Raise --unit-timeout-s if it only takes long", retry=True)


def _kind_and_place(error: Exception) -> str:
    if isinstance(error, DomainvlError):
        return f"{type(error).__name__}: {error}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
