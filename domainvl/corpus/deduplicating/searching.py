"""The phases between signing documents and the new corpus: what is known of all documents at once, and what follows.

That is a few numbers a document, and the pairs that met in a band; all else is read from the tables of the units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from domainvl.corpus.deduplicating.applying import EXACT, NEAR, ApplyUnit, ApplyWork, Verdict
from domainvl.corpus.deduplicating.arrays import SetFile, read_sets, unpack
from domainvl.corpus.deduplicating.choosing import Duplicate, exact_duplicates, near_duplicates, rank_documents
from domainvl.corpus.deduplicating.comparing import (
    ALIKE,
    COMPARED_NAME,
    IMAGES_NAME,
    PAIRS,
    PAIRS_NAME,
    SHINGLES_NAME,
    Band,
    Comparer,
    CompareWork,
    PairWork,
    can_be_alike,
    plan_chunks,
    split_pairs,
)
from domainvl.corpus.deduplicating.counting import COUNTS, KEPT_NAME, RANKS_NAME, Counts, CountWork, plan_counts
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.signatures import signature_version
from domainvl.corpus.deduplicating.signing import SIGNS
from domainvl.corpus.extras import require
from domainvl.corpus.folder import Corpus, DocumentGroup
from domainvl.corpus.stage import Stage, UnitDone, UnitWork
from domainvl.corpus.tables import read_table
from domainvl.errors import StoppedError
from domainvl.files import output_errors

UnitT = TypeVar("UnitT")
_COUNTED = ("paragraphs", "d_hash", "p_hash")
_LIGHT_DOCUMENTS = 200_000
"""Of fewer, comparing takes less time than starting processes for it."""


@dataclass(frozen=True)
class _Facts:
    """What is known of all documents at once, in the order of the corpus.

    Attributes:
        ids: Arrow array of ids.
        ranks: Which is to be kept, the least first.
        digests: Of texts and images.
        shingle_counts: Sizes of the sets of shingles.
    """

    ids: Any
    ranks: npt.NDArray[np.int64]
    digests: npt.NDArray[np.bytes_]
    shingle_counts: npt.NDArray[np.int64]

    @classmethod
    def read(cls, tables: Sequence[Path]) -> _Facts:
        """Read them from the tables of the first phase."""
        names = ["id", "modified_us", "exact", "shingle_count"]
        table = require("pyarrow").concat_tables([read_table(path, columns=names) for path in tables])
        ids = table.column("id").combine_chunks()
        digests = table.column("exact").combine_chunks()
        modified_us = table.column("modified_us").to_numpy()
        return cls(
            ids=ids,
            ranks=rank_documents(ids, modified_us),
            digests=np.frombuffer(digests.buffers()[1], dtype=f"S{digests.type.byte_width}", count=len(ids)),
            shingle_counts=table.column("shingle_count").to_numpy(),
        )


class Search:
    """The phases behind the first.

    Args:
        stage: The step.
        settings: What duplicates are.
        groups: Units of the corpus that could be signed.
        signed: What signing each gave.
        root: Folder of the corpus.

    Attributes:
        counts: For the manifest.
    """

    def __init__(
        self,
        stage: Stage,
        settings: DedupSettings,
        groups: Sequence[DocumentGroup],
        signed: Sequence[UnitDone],
        root: Path,
    ) -> None:
        self._stage = stage
        self._settings = settings
        self._groups = groups
        self._signed = signed
        self._root = root
        self._tables = tuple(unit.tables[SIGNS] for unit in signed)
        self._row_counts = [int(unit.info["rows"]) for unit in signed]
        self._facts = _Facts.read(self._tables)
        self.counts: dict[str, int] = {}

    def find_duplicates(self) -> dict[int, tuple[str, Duplicate]]:
        """Return the documents that go, by number, each with the reason."""
        facts = self._facts
        exact = {one.number: (EXACT, one) for one in exact_duplicates(facts.digests, facts.ranks)}
        compared = facts.shingle_counts > 0
        compared[list(exact)] = False
        pairs = self._pairs(compared)
        near = {one.number: (NEAR, one) for one in self._near(pairs)}
        return exact | near

    def count(self, gone: Sequence[int]) -> None:
        """Count in how many documents that stay paragraphs and images are, for the last phase to look up."""
        kept = np.ones(sum(self._row_counts), dtype=np.bool_)
        kept[list(gone)] = False
        self._save(KEPT_NAME, kept)
        self._save(RANKS_NAME, self._facts.ranks)
        for column in _COUNTED:
            key_count = sum(unit.info["keys"][column] for unit in self._signed)
            # A hash of one document needs no entry; a paragraph counts from the document that is one too many.
            least = self._settings.max_paragraph_documents + 1 if column == "paragraphs" else 2
            units = [(f"part {one.part} of {column}", one) for one in plan_counts(column, key_count, least)]
            done = self._map("count", units, CountWork(self._tables, self._stage.scratch))
            Counts.write(self._stage.scratch, column, [unpack(unit.tables[COUNTS]) for unit in done])

    def apply(self, corpus: Corpus, gone: Mapping[int, tuple[str, Duplicate]]) -> list[UnitDone]:
        """Write the units of the new corpus."""
        names = require("pyarrow").concat_tables([read_table(path, columns=["name"]) for path in self._tables])["name"]
        units = []
        first = 0
        for group, rows in zip(self._groups, self._row_counts, strict=True):
            verdicts = tuple(
                Verdict(
                    row,
                    gone[first + row][0],
                    self._facts.ids[gone[first + row][1].kept].as_py(),
                    names[gone[first + row][1].kept].as_py(),
                    gone[first + row][1].jaccard,
                )
                for row in range(rows)
                if first + row in gone
            )
            units.append((f"{group.file}#{group.row_group}", ApplyUnit(group, first, verdicts)))
            first += rows
        work = ApplyWork(corpus, self._stage.scratch, self._settings)
        return self._stage.map("apply", units, work, root=self._root, depends_on=self._input)

    def _pairs(self, compared: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
        """Return the pairs of documents that meet in any band and are of sizes that allow them to be alike."""
        self._save(COMPARED_NAME, compared)
        units = [(f"band {band}", Band(band)) for band in range(self._settings.bands)]
        pairs = np.empty(0, dtype=np.uint64)
        for unit in self._map("pair", units, PairWork(self._tables, self._stage.scratch)):
            found = unpack(unit.tables[PAIRS])["pair"]
            possible = can_be_alike(found, self._facts.shingle_counts, self._settings.min_jaccard)
            pairs = np.union1d(pairs, found[possible])
        return pairs

    def _near(self, pairs: npt.NDArray[np.uint64]) -> Iterator[Duplicate]:
        """Compare pairs, and yield the documents that are near-duplicates of one that is kept."""
        scratch, settings = self._stage.scratch, self._settings
        self._save(PAIRS_NAME, pairs)
        wanted = np.unique(np.concatenate(split_pairs(pairs)))
        SetFile.write(scratch, SHINGLES_NAME, wanted, self._sets("shingles"))
        if settings.same_images:
            SetFile.write(scratch, IMAGES_NAME, wanted, self._sets("image_ids"))
        chunks = plan_chunks(pairs, self._facts.shingle_counts)
        units = [(f"pairs {chunk.begin} to {chunk.end}", chunk) for chunk in chunks]
        found = [unpack(unit.tables[ALIKE]) for unit in self._map("compare", units, CompareWork(scratch, settings))]
        self.counts |= {"pairs compared": len(pairs), "pairs alike": sum(len(one["pair"]) for one in found)}
        if not self.counts["pairs alike"]:
            return
        lower, higher = split_pairs(np.concatenate([one["pair"] for one in found]))
        similarities = np.concatenate([one["jaccard"] for one in found])
        with Comparer(scratch, settings) as comparer:
            yield from near_duplicates(
                lower, higher, similarities, self._facts.ranks, comparer.similarity, settings.min_jaccard
            )

    def _sets(self, column: str) -> Iterator[tuple[int, Sequence[npt.NDArray[np.uint32]]]]:
        first = 0
        for path in self._tables:
            lengths, values = read_sets(path, column)
            yield first, np.split(values, np.cumsum(lengths)[:-1])
            first += len(lengths)

    def _save(self, name: str, values: npt.NDArray[Any]) -> None:
        path = self._stage.scratch / name
        with output_errors(path):
            np.save(path, values)

    def _map(self, phase: str, units: Sequence[tuple[str, UnitT]], work: UnitWork[UnitT]) -> list[UnitDone]:
        """Do a phase of which no unit may be missing."""
        is_light = sum(self._row_counts) < _LIGHT_DOCUMENTS
        done = self._stage.map(phase, units, work, root=self._root, depends_on=self._input, is_light=is_light)
        failed = [reject for unit in done for reject in unit.rejects]
        if failed:
            raise StoppedError(
                "Cannot compare documents", where=failed[0].input, rule=failed[0].message, action=failed[0].action
            )
        return done

    @property
    def _input(self) -> dict[str, Any]:
        """What the results of all further phases depend on: which documents have which numbers."""
        return {"signatures": signature_version(), "groups": list(zip(self._groups, self._row_counts, strict=True))}
