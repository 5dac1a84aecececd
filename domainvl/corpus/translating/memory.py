"""Translations that are finished, on disk: after a kill none is asked for again.

The first line says what translated into which language. Each other line is a translation. A line that a kill cut off
is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from domainvl.errors import UsageError
from domainvl.files import output_errors


class TranslationMemory:
    """A file of translations that grows; use it as a context manager.

    Args:
        path: The file; it is made if it is not there.
        identity: What the translations depend on, by name.

    Raises:
        UsageError: If the file holds translations that depend on something else, naming what.
        OutputError: If it cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self._path = path
        self._targets: dict[str, str] = {}
        kept = self._read(identity) if path.is_file() else 0
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what a full disk refused must not be tried again when the file is closed.
            self._file = path.open("r+b" if path.is_file() else "w+b", buffering=0)
            self._file.truncate(kept)
            self._file.seek(kept)
            if not kept:
                self._write([{"identity": dict(identity)}])

    def get(self, key: str) -> str | None:
        """Return a translation; None where there is none."""
        return self._targets.get(key)

    def add(self, translations: Iterable[tuple[str, str, str]]) -> None:
        """Keep translations, each with its key and source; they survive a kill as soon as this returns.

        Raises:
            OutputError: If they cannot be written.
        """
        new = [one for one in translations if one[0] not in self._targets]
        with output_errors(self._path):
            self._write([{"key": key, "source": source, "target": target} for key, source, target in new])
        self._targets.update((key, target) for key, _, target in new)

    def _read(self, identity: Mapping[str, str]) -> int:
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
                        fields = json.loads(line)
                        self._targets[str(fields["key"])] = str(fields["target"])
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
        except (ValueError, KeyError, TypeError, AttributeError):
            different = ["its first line does not say what it is about"]
        if different:
            raise UsageError(
                "Cannot go on translating",
                where=self._path,
                rule=f"the translations there are others: {'; '.join(different)}",
                action="Give the same options, or name another file with --memory",
            )

    def _write(self, lines: Iterable[Mapping[str, object]]) -> None:
        left = memoryview("".join(f"{json.dumps(line, ensure_ascii=True)}\n" for line in lines).encode())
        while left:
            left = left[self._file.write(left) :]
        os.fsync(self._file.fileno())

    def __enter__(self) -> TranslationMemory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
