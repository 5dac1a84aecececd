"""How far a conversion is: for the person who watches, and as lines for a program."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from domainvl.files import output_errors

_MEGABYTE = 1_000_000


@dataclass
class Progress:
    """Counts of a running conversion.

    Attributes:
        planned: Units known of; grows where units are divided.
        done: Units that have ended, those that an earlier run did included.
        resumed: Units that an earlier run did.
        failed: Units that gave nothing.
        failed_inputs: Inputs that could not be used, in units that gave something too.
        samples: Samples so far.
        bytes_read: Size of the input files of the units done in this run.
        drops: Inputs left out so far, by reason.
    """

    planned: int = 0
    done: int = 0
    resumed: int = 0
    failed: int = 0
    failed_inputs: int = 0
    samples: int = 0
    bytes_read: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    _started_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started_s

    @property
    def units_per_s(self) -> float:
        """Units that this run has done in a second."""
        return (self.done - self.resumed) / max(self.elapsed_s, 1e-9)

    @property
    def megabytes_per_s(self) -> float:
        """Input that this run has read in a second, in 10^6 bytes."""
        return self.bytes_read / _MEGABYTE / max(self.elapsed_s, 1e-9)

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the end if it goes on like this; None before the first unit."""
        return (self.planned - self.done) / self.units_per_s if self.done > self.resumed else None

    def summary(self) -> str:
        """Say in one line how it goes."""
        left = self.remaining_s
        parts = [
            f"{self.done}/{self.planned} units",
            f"{self.units_per_s:.1f}/s",
            f"{self.megabytes_per_s:.1f} MB/s",
            f"{self.samples} samples",
        ]
        if left is not None:
            parts.append(f"{left:.0f} s left")
        parts += [f"{count} {reason}" for reason, count in self.drops.most_common(3)]
        return ", ".join(parts)


class EventLog:
    """Writes one JSON object a line for each thing that happens to a unit; times make no two logs equal.

    Args:
        path: File to write to, at its end; nothing is written where None.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: Any = None

    def __enter__(self) -> EventLog:
        if self._path is not None:
            with output_errors(self._path):
                self._file = self._path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, event: str, **facts: object) -> None:
        """Note an event.

        Args:
            event: ``begin``, ``unit`` or ``end``.
            facts: What there is to say about it.

        Raises:
            OutputError: If it cannot be written.
        """
        if self._file is None or self._path is None:
            return
        with output_errors(self._path):
            self._file.write(json.dumps({"time_s": round(time.time(), 3), "event": event, **facts}) + "\n")
            self._file.flush()
