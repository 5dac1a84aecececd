"""Answers as they come, on disk: after a kill none is asked for again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from domainvl.evaluation.predictions import Prediction
from domainvl.journal import LineJournal


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
        self._lines = LineJournal(
            path,
            identity,
            self._take,
            what="Cannot go on answering",
            lines="answers",
            action=f"Give the same options, or delete {path.parent} to begin again",
        )

    def _take(self, line: Any) -> None:
        prediction = Prediction.model_validate(line)
        self.answers[prediction.sample_id] = prediction

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Keep answers; they survive a kill as soon as this returns.

        Raises:
            OutputError: If they cannot be written.
        """
        new = list(predictions)
        self._lines.append(one.model_dump(exclude_defaults=True) for one in new)
        self.answers.update((prediction.sample_id, prediction) for prediction in new)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.__exit__(kind, error, trace)
