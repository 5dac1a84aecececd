"""Results as they come, on disk: after a kill none is asked for again.

The first line says what the results depend on. Each other line is one of them. A line that a kill cut off is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from domainvl.errors import UsageError
from domainvl.files import output_errors


class LineJournal:
    """A file of JSON lines that grows; use it as a context manager.

    Args:
        path: The file; it is made if it is not there.
        identity: What the lines depend on, by name.
        take: Called with each complete line that is there; raises ValueError, KeyError or TypeError if it is damaged.
        what: What cannot go on where the file holds others, such as ``"Cannot go on answering"``.
        lines: What the lines are, such as ``"answers"``.
        action: What to do then.

    Raises:
        UsageError: If the lines that are there depend on something else, naming what.
        OutputError: If it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, str],
        take: Callable[[Any], None],
        *,
        what: str,
        lines: str,
        action: str,
    ) -> None:
        self._path = path
        self._refusal = (what, lines, action)
        kept = self._read(identity, take) if path.is_file() else 0
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what a full disk refused must not be tried again when the file is closed.
            self._file = path.open("r+b" if path.is_file() else "w+b", buffering=0)
            self._file.truncate(kept)
            self._file.seek(kept)
        if not kept:
            self.append([{"identity": dict(identity)}])

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Keep lines; they survive a kill as soon as this returns.

        Raises:
            OutputError: If they cannot be written.
        """
        left = memoryview("".join(f"{json.dumps(line)}\n" for line in lines).encode("ascii"))
        with output_errors(self._path):
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())

    def _read(self, identity: Mapping[str, str], take: Callable[[Any], None]) -> int:
        """Read what is complete; return its length in bytes."""
        kept = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines):
                if not line.endswith(b"\n"):
                    break
                if number == 0:
                    self._check(line, identity)
                else:
                    try:
                        take(json.loads(line))
                    except (ValueError, KeyError, TypeError):  # a kill of the machine may leave a line of zeros
                        break
                kept += len(line)
        return kept

    def _check(self, line: bytes, identity: Mapping[str, str]) -> None:
        try:
            before = json.loads(line)["identity"]
            different = [
                f"{key} was {before.get(key)} and is {value}"
                for key, value in identity.items()
                if before.get(key) != value
            ]
        except (ValueError, KeyError, TypeError, AttributeError):  # not JSON, not UTF-8, or something else
            different = ["its first line does not say what it is about"]
        if different:
            what, lines, action = self._refusal
            rule = f"the {lines} there are others: {'; '.join(different)}"
            raise UsageError(what, where=self._path, rule=rule, action=action)

    def __enter__(self) -> LineJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
