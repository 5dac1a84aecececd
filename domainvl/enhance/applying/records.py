"""``enhanced.jsonl``: one line an input, what was made of it and by what, or why nothing was.

Lines are added as inputs are done, so that a killed run goes on; at the end they are put in the order of the inputs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from domainvl.errors import UsageError
from domainvl.files import output_errors, write_atomically

RECORDS_NAME = "enhanced.jsonl"
DONE, FAILED = "done", "failed"

Record = Mapping[str, Any]


class Records:
    """The records of a folder of outputs.

    Args:
        out: The folder; it need not be there.

    Raises:
        UsageError: If the folder holds other things and no records, or records that cannot be read.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._path = out / RECORDS_NAME
        self._records: dict[str, Record] = {}
        if self._path.is_file():
            self._read()
        elif out.is_file() or (out.is_dir() and any(not one.name.startswith(".") for one in out.iterdir())):
            rule = "it is a file" if out.is_file() else f"it is not empty and has no {RECORDS_NAME}"
            raise UsageError("Cannot write", where=out, rule=rule, action="Name a new folder, or an empty one")

    def of(self, output: str) -> Record | None:
        """Return the record of an output."""
        return self._records.get(output)

    def is_done(self, output: str, enhancer: Record, input_sha256: str) -> bool:
        """Whether an output is there that was made of the same input by the same enhancer."""
        record = self.of(output)
        return (
            record is not None
            and record["status"] == DONE
            and (self._out / output).is_file()
            and record["enhancer"] == enhancer
            and record["input_sha256"] == input_sha256
        )

    def refuse_others(self, outputs: Iterable[str], enhancer: Record) -> None:
        """Refuse to replace what something else made.

        Raises:
            UsageError: If one of the outputs is there and its record is of another enhancer or mode, or it has none.
        """
        for output in outputs:
            if not (self._out / output).exists():
                continue
            record = self.of(output)
            before = None if record is None else record["enhancer"]
            if before == enhancer:
                continue
            rule = f"nothing in {RECORDS_NAME} says what made it"
            if isinstance(before, dict):
                changed = [f"{key} was {before.get(key)} and is {value}" for key, value in enhancer.items()]
                same = [f"{key} was {value} and is {value}" for key, value in before.items()]
                rule = f"it was made otherwise: {'; '.join(one for one in changed if one not in same)}"
            raise UsageError(
                "Cannot replace", where=self._out / output, rule=rule, action="Name another folder, or add --overwrite"
            )

    def add(self, record: Record) -> None:
        """Keep a record; it survives a kill as soon as this returns.

        Raises:
            OutputError: If it cannot be written.
        """
        self._records[record["output"]] = record
        with output_errors(self._path):
            self._out.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                left = memoryview(_line(record))
                while left:  # a disk that is nearly full takes a part
                    left = left[file.write(left) :]
                os.fsync(file.fileno())

    def put_in_order(self, outputs: Iterable[str]) -> None:
        """Write the file anew: these outputs in their order, before them what earlier runs made beside them.

        Raises:
            OutputError: If it cannot be written.
        """
        wanted = list(outputs)
        others = sorted(self._records.keys() - set(wanted))
        lines = [_line(self._records[output]) for output in (*others, *wanted) if output in self._records]
        write_atomically(self._path, b"".join(lines))

    def _read(self) -> None:
        """Read the lines that are there; the last of an output counts, and one that a kill cut off is dropped."""
        content = self._path.read_bytes()
        whole, _, cut = content.rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = json.loads(line)
                self._records[record["output"]] = record | {key: record[key] for key in ("status", "enhancer")}
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    "Cannot read",
                    where=f"{self._path}, line {number}",
                    rule="it is no record of an enhanced input",
                    action="Remove the file to start anew, with --overwrite",
                ) from error
        if cut:
            write_atomically(self._path, content[: len(content) - len(cut)])


def _line(record: Record) -> bytes:
    return (json.dumps(record, ensure_ascii=True) + "\n").encode("ascii")
