"""A filtered corpus, read whole: each document as it was, what was measured of it, and what the rules took away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from domainvl import __version__
from domainvl.corpus.filtering.measuring import Measured
from domainvl.corpus.filtering.profiles import Profile
from domainvl.corpus.filtering.removals import MEASURED, REMOVALS, Level, Removal, read_removals
from domainvl.corpus.folder import Corpus
from domainvl.corpus.tables import iterate_tables, to_documents
from domainvl.errors import DatasetError, UsageError
from domainvl.interleaved.documents import Document

COMMAND = "corpus filter"
"""What the step is called in manifests."""


@dataclass(frozen=True)
class Filtered:
    """A document with what the rules did to it.

    Attributes:
        document: As it was before any rule.
        measured_json: What was measured of it.
        removals: What was taken away.
    """

    document: Document
    measured_json: str
    removals: tuple[Removal, ...]

    @property
    def measured(self) -> Measured:
        """What was measured of it."""
        return Measured.from_dict(json.loads(self.measured_json))

    @property
    def is_kept(self) -> bool:
        """Whether any of it is left."""
        return not any(removal.level is Level.DOCUMENT for removal in self.removals)


@dataclass(frozen=True)
class FilteredCorpus:
    """A corpus whose last step was to filter it.

    Attributes:
        corpus: The corpus; its documents are those that were kept, as they are now.
        profile: The profile that was applied.
    """

    corpus: Corpus
    profile: Profile

    @classmethod
    def open(cls, folder: Path) -> FilteredCorpus:
        """Open a filtered corpus.

        Raises:
            InputNotFoundError: If there is no such folder.
            UsageError: If it is no corpus, or was not filtered last.
            DatasetError: If its manifest cannot be read.
        """
        corpus = Corpus.open(folder)
        if not is_filtered(corpus):
            raise UsageError(
                "Cannot read what was filtered",
                where=folder,
                rule=f"its last step must be {COMMAND}, got {corpus.manifest['steps'][-1]['command']}",
                action=f"Name a corpus made by: domainvl {COMMAND}",
            )
        return cls(corpus, Profile.model_validate(corpus.manifest["steps"][-1]["settings"]["profile"]))

    @property
    def counts(self) -> dict[str, int]:
        """What was counted when it was filtered; see :mod:`domainvl.corpus.filtering.step`."""
        found: dict[str, int] = self.corpus.manifest["steps"][-1]["counts"]
        return found

    def documents(self) -> Iterator[Filtered]:
        """Yield all documents that were filtered, the dropped ones too, in order.

        Raises:
            DatasetError: If a file cannot be read, or removals are of other documents.
        """
        removals = groupby(self._removals(), key=lambda removal: removal.document)
        name, own = next(removals, ("", iter(())))
        for table in iterate_tables(table_files(self.corpus.folder, MEASURED)):
            texts = table.column(MEASURED).to_pylist()
            for document, text in zip(to_documents(table), texts, strict=True):
                taken: tuple[Removal, ...] = ()
                if document.id == name:
                    taken = tuple(own)
                    name, own = next(removals, ("", iter(())))
                yield Filtered(document, text, taken)
        if name:
            rule = f"there are removals of a document that was not measured: {name}"
            raise DatasetError("Cannot read what was filtered", where=self.corpus.folder, rule=rule)

    def _removals(self) -> Iterator[Removal]:
        for table in iterate_tables(table_files(self.corpus.folder, REMOVALS)):
            yield from read_removals(table)


def is_filtered(corpus: Corpus) -> bool:
    """Tell whether the last step of a corpus was to filter it, so that all it was made of is still there."""
    return bool(corpus.manifest["steps"][-1]["command"] == COMMAND)


def was_measured_alike(corpus: Corpus, profile: Profile) -> bool:
    """Tell whether what was measured of a filtered corpus holds for a profile too.

    It does where the same normalisers and word lists were used, by the same version of domainvl.
    """
    step: dict[str, Any] = corpus.manifest["steps"][-1]
    same_texts = step["settings"]["measuring_key"] == profile.measuring_key
    return bool(same_texts and step["versions"]["domainvl"] == __version__)


def table_files(folder: Path, table: str) -> list[Path]:
    """Return the files of a table of a filtered corpus, in order."""
    return sorted((folder / table).glob("*.parquet"))
