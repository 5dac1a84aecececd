"""The one tree of errors, and the exit code that each kind ends a command with.

A message says what failed, where, which rule was violated with the value seen, and what to do next.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any


class ExitCode(enum.IntEnum):
    """Exit codes of every domainvl command."""

    DONE = 0
    INTERNAL_ERROR = 1
    USAGE = 2
    NOTHING_DONE = 3
    STOPPED = 4
    PARTIAL = 8


def install_hint(extra: str) -> str:
    """Say how to install an optional dependency, as the next action of an error that misses it.

    Args:
        extra: The extra of domainvl that brings it.
    """
    return f"Install it with: pip install 'domainvl[{extra}]'"


class DomainvlError(Exception):
    """Base of all errors that domainvl raises on purpose.

    Args:
        what: What failed, as a short clause.
        where: The file, row, tag or band at which it failed.
        rule: The rule that was violated, with the value seen.
        action: What the user can do next.
    """

    exit_code = ExitCode.INTERNAL_ERROR

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        rule: str | None = None,
        action: str | None = None,
    ) -> None:
        self.what = what
        self.where = str(where) if where is not None else None
        self.rule = rule
        self.action = action
        super().__init__(self._message(action))

    def __reduce__(self) -> tuple[Callable[..., DomainvlError], tuple[type[DomainvlError], str, dict[str, Any]]]:
        """Let an error cross from a worker process to its parent unchanged."""
        return _restore, (type(self), str(self), self.__dict__)

    @property
    def without_action(self) -> str:
        """The message without what to do next, for where that stands beside it."""
        return self._message(None)

    def _message(self, action: str | None) -> str:
        head = self.what if self.where is None else f"{self.what} in {self.where}"
        sentences = [head if self.rule is None else f"{head}: {self.rule}"]
        if action is not None:
            sentences.append(action)
        return " ".join(sentence if sentence.endswith((".", "?", "!")) else sentence + "." for sentence in sentences)


def _restore(kind: type[DomainvlError], message: str, attributes: dict[str, Any]) -> DomainvlError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(attributes)
    return error


class UsageError(DomainvlError):
    """An option, argument or setting is wrong."""

    exit_code = ExitCode.USAGE


class InputNotFoundError(UsageError):
    """A file or folder that was named does not exist."""


class RecipeError(UsageError):
    """A recipe has an unknown key or a value that breaks a rule."""


class DatasetError(UsageError):
    """A data set on disk breaks a rule of the format."""


class CheckpointError(UsageError):
    """A checkpoint is missing, incomplete or of another kind than asked for."""


class NothingToDoError(DomainvlError):
    """The input holds nothing that the command could work on."""

    exit_code = ExitCode.NOTHING_DONE


class StoppedError(DomainvlError):
    """A run ended before it was done; what it did is kept, and the same command goes on from there."""

    exit_code = ExitCode.STOPPED


class OutputError(StoppedError):
    """The output cannot be written: the disk is full, read-only or gone. No input is to blame."""

    @classmethod
    def of(cls, error: OSError, path: Path) -> OutputError:
        """Say what the operating system said of a file that was to be written."""
        return cls(
            "Cannot write",
            where=path,
            rule=error.strerror or str(error),
            action="Make room or make the folder writable, then give the same command again",
        )


class ItemError(DomainvlError):
    """One input item cannot be used; the run records it as a reject and goes on.

    Args:
        what: What failed.
        reason: A stable code to count by, such as ``"decode"`` or ``"no-crs"``.
        where: The item.
        rule: The rule that was violated, with the value seen.
        action: What the user can do next.
    """

    exit_code = ExitCode.PARTIAL

    def __init__(
        self,
        what: str,
        *,
        reason: str,
        where: str | Path | None = None,
        rule: str | None = None,
        action: str | None = None,
    ) -> None:
        self.reason = reason
        super().__init__(what, where=where, rule=rule, action=action)


class LeftOutError(ItemError):
    """An item could be used, and the settings say that it must not be; the run counts it as left out, not as failed."""
