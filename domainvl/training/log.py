"""The log of a run: one JSON object a line, whole after any interruption, without rows that are done again.

Rows have at least ``kind`` and ``step``. The kinds and what is drawn and tracked of them:

- ``train``: a step; ``loss``, ``source_losses`` by name of the source, ``learning_rate``, ``learning_rates`` by part,
  ``gradient_norm``, ``samples``, ``tokens``, ``tiles`` and what :class:`domainvl.training.rates.Rates` adds;
- ``validation``: a look at held-out samples; ``loss``, ``source_losses``, ``answers_score`` between 0 and 1 where
  answers were scored, ``best`` where it was the best look so far;
- ``answer``: what was answered to one held-out sample.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from domainvl.errors import UsageError
from domainvl.files import output_errors, write_atomically

if TYPE_CHECKING:
    from types import TracebackType

    from domainvl.training.trackers import Tracker

LOG_NAME = "log.jsonl"

LogRow = dict[str, Any]


class Log:
    """Writes a run's log, and hands new rows on to trackers and to whoever shows them.

    Args:
        path: File to write; None where another process writes it: rows are then kept and handed on only.
        first_step: Number of steps done before; rows of later steps, which are done again, are cut off. With 0 the log
            begins anew.
        on_row: Called with each new row, after it was written.
        trackers: Receive each new row; closed with the log.

    Attributes:
        rows: All rows, those that were there before included.

    Raises:
        UsageError: If the file that is to be continued has a line that is no row, other than a half-written last one.
        OutputError: If the file cannot be written.
    """

    def __init__(
        self,
        path: Path | None,
        first_step: int = 0,
        on_row: Callable[[LogRow], None] | None = None,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self._path = path
        self._on_row = on_row
        self._trackers = tuple(trackers)
        self._file: TextIO | None = None
        self.rows: list[LogRow] = []
        if path is None:
            return
        kept = _lines_up_to(path, first_step) if first_step else []
        self.rows = [row for _, row in kept]
        write_atomically(path, "".join(f"{line}\n" for line, _ in kept).encode())
        with output_errors(path):
            self._file = path.open("a", encoding="utf-8", newline="\n")

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._file is not None and self._path is not None:
                with output_errors(self._path):
                    self._file.close()
        finally:
            for tracker in self._trackers:
                tracker.close()

    def write(self, row: LogRow) -> None:
        """Append a row; numbers that are not finite become null, since JSON has none.

        Raises:
            OutputError: If it cannot be written.
        """
        row = _finite(row)
        self.rows.append(row)
        if self._file is not None and self._path is not None:
            with output_errors(self._path):
                self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
                self._file.flush()
        for tracker in self._trackers:
            tracker.write(row)
        if self._on_row is not None:
            self._on_row(row)

    def sync(self) -> None:
        """Bring all rows onto the disk; called before a state is saved, so that the log is never behind it.

        Raises:
            OutputError: If that fails.
        """
        if self._file is not None and self._path is not None:
            with output_errors(self._path):
                os.fsync(self._file.fileno())
        for tracker in self._trackers:
            tracker.flush()


def read_log(path: Path) -> list[LogRow]:
    """Return the rows of a log; a half-written last line, as a kill leaves it, is none.

    Raises:
        UsageError: If another line is no row.
    """
    return [row for _, row in _read_lines(path)]


def _lines_up_to(path: Path, last_step: int) -> list[tuple[str, LogRow]]:
    if not path.is_file():
        return []
    return [(line, row) for line, row in _read_lines(path) if row["step"] <= last_step]


def _read_lines(path: Path) -> list[tuple[str, LogRow]]:
    # Split at line feeds only: a generated answer may have other characters that Python takes for ends of lines.
    lines = path.read_bytes().decode("utf-8", errors="replace").split("\n")
    whole, rest = lines[:-1], lines[-1]
    rows = [(line, _parse(line)) for line in whole]
    if rows and rows[-1][1] is None and not rest:
        rows.pop()  # the end of the file may be lost in a power cut, its line feed not
    for number, (_, row) in enumerate(rows, start=1):
        if row is None:
            raise UsageError(
                "Cannot read a run's log",
                where=f"{path}:{number}",
                rule="each line must be one JSON object with a kind and a step",
                action="Remove that line, or move the log away",
            )
    return [(line, row) for line, row in rows if row is not None]


def _parse(line: str) -> LogRow | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    is_row = isinstance(row, dict) and "kind" in row and isinstance(row.get("step"), int)
    return row if is_row else None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
