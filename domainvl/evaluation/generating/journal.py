"""Answers as they come, on disk: after a kill none is asked for again.

The first line says what answers these are: model, samples, settings. Each other line is a prediction. A line that a
kill cut off is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from domainvl.errors import UsageError
from domainvl.evaluation.predictions import Prediction
from domainvl.files import output_errors


class Journal:
    """A file of answers that grows.

    Args:
        path: The file; it is made if it is not there.
        identity: What the answers depend on, by name.

    Attributes:
        answers: What was answered, by sample id.

    Raises:
        UsageError: If the file holds answers that depend on something else, naming what.
        OutputError: If it cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self.answers: dict[str, Prediction] = {}
        self._path = path
        kept = self._read(identity) if path.is_file() else 0
        with output_errors(path):
            # Unbuffered: what a full disk refused must not be tried again when the file is closed.
            self._file = path.open("r+b" if path.is_file() else "w+b", buffering=0)
            self._file.truncate(kept)
            self._file.seek(kept)
            if not kept:
                self._write([json.dumps({"identity": dict(identity)}, ensure_ascii=False)])

    def _read(self, identity: Mapping[str, str]) -> int:
        """Read what is complete; return its length in bytes."""
        content = self._path.read_bytes()
        kept = 0
        for number, line in enumerate(content.splitlines(keepends=True)):
            if not line.endswith(b"\n"):
                break
            if number == 0:
                self._check(line, identity)
            else:
                try:
                    prediction = Prediction.model_validate_json(line)
                except ValidationError:  # a kill of the machine may leave a line of zeros
                    break
                self.answers[prediction.sample_id] = prediction
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
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
            different = ["its first line does not say what it is about"]
        if different:
            raise UsageError(
                "Cannot go on answering",
                where=self._path,
                rule=f"the answers there are others: {'; '.join(different)}",
                action=f"Give the same options, or delete {self._path.parent} to begin again",
            )

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Keep answers; they survive a kill as soon as this returns.

        Raises:
            OutputError: If they cannot be written.
        """
        new = list(predictions)
        with output_errors(self._path):
            self._write([json.dumps(one.model_dump(exclude_defaults=True), ensure_ascii=False) for one in new])
        self.answers.update((prediction.sample_id, prediction) for prediction in new)

    def _write(self, lines: Iterable[str]) -> None:
        left = memoryview("".join(f"{line}\n" for line in lines).encode())
        while left:
            left = left[self._file.write(left) :]
        os.fsync(self._file.fileno())

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
