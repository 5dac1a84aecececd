"""Translations that are finished, on disk: after a kill none is asked for again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from domainvl.journal import LineJournal


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
        self._targets: dict[str, str] = {}
        self._lines = LineJournal(
            path,
            identity,
            self._take,
            what="Cannot go on translating",
            lines="translations",
            action="Give the same options, or name another file with --memory",
        )

    def _take(self, line: Any) -> None:
        self._targets[str(line["key"])] = str(line["target"])

    def get(self, key: str) -> str | None:
        """Return a translation; None where there is none."""
        return self._targets.get(key)

    def add(self, translations: Iterable[tuple[str, str, str]]) -> None:
        """Keep translations, each with its key and source; they survive a kill as soon as this returns.

        Raises:
            OutputError: If they cannot be written.
        """
        new = [one for one in translations if one[0] not in self._targets]
        self._lines.append({"key": key, "source": source, "target": target} for key, source, target in new)
        self._targets.update((key, target) for key, _, target in new)

    def __enter__(self) -> TranslationMemory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.__exit__(kind, error, trace)
