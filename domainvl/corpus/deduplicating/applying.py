"""Last phase: a unit of the corpus without its duplicates, with counts at its images, and what was taken away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from domainvl.corpus.deduplicating.counting import Counts
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.signing import hash_number, paragraph_keys, source_name
from domainvl.corpus.filtering.removals import DROPPED, REMOVALS, Level, Removal, removals_table
from domainvl.corpus.folder import Corpus, DocumentGroup
from domainvl.corpus.stage import DOCUMENTS, UnitOutput, adopt_images
from domainvl.corpus.tables import to_table
from domainvl.interleaved.documents import Document, ImageSlot, TextSlot, keep_slots
from domainvl.schema.writer import Reject, Severity

EXACT, NEAR, BOILERPLATE = "exact-duplicate", "near-duplicate", "frequent-paragraph"
"""Reasons and codes of the rules."""

_EXCERPT_CHARACTERS = 300


@dataclass(frozen=True)
class Verdict:
    """Why a document goes.

    Attributes:
        row: Its row in the unit.
        reason: :data:`EXACT` or :data:`NEAR`.
        kept: Id of the document that stays for it.
        kept_name: The source of that document.
        jaccard: How alike the two are.
    """

    row: int
    reason: str
    kept: str
    kept_name: str
    jaccard: float


@dataclass(frozen=True)
class ApplyUnit:
    """A unit.

    Attributes:
        group: The documents.
        first: Number of the first of them.
        verdicts: Those that go.
    """

    group: DocumentGroup
    first: int
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class ApplyWork:
    """Writes a unit of the new corpus.

    Attributes:
        corpus: The corpus.
        scratch: Where the step wrote what was counted.
        settings: What duplicates are.
    """

    corpus: Corpus
    scratch: Path
    settings: DedupSettings

    def __call__(self, unit: ApplyUnit, images: Path) -> UnitOutput:
        """Take duplicates away and count what is left."""
        going = {verdict.row: verdict for verdict in unit.verdicts}
        sweep = _Sweep(self.scratch, self.settings)
        kept: list[Document] = []
        for row, document in enumerate(self.corpus.read_group(unit.group)):
            if row in going:
                sweep.drop(document, going[row])
            elif (left := sweep.clean(document, unit.first + row)) is not None:
                kept.append(left)
        adopt_images(self.corpus.images, images, [slot.url for document in kept for slot in document.images])
        tables = {DOCUMENTS: to_table(kept), DROPPED: to_table(sweep.dropped), REMOVALS: removals_table(sweep.removals)}
        counts = {"documents read": len(kept) + len(sweep.dropped), "paragraphs taken away": sweep.paragraph_count}
        return UnitOutput(tables=tables, rejects=sweep.rejects, counts=counts)


class _Sweep:
    """Goes over the documents of a unit and notes what was taken away."""

    def __init__(self, scratch: Path, settings: DedupSettings) -> None:
        self._settings = settings
        self._paragraphs = Counts(scratch, "paragraphs")
        self._hashes = {name: Counts(scratch, name) for name in ("d_hash", "p_hash")}
        self.dropped: list[Document] = []
        self.removals: list[Removal] = []
        self.rejects: list[Reject] = []
        self.paragraph_count = 0

    def drop(self, document: Document, verdict: Verdict) -> None:
        """Note a document that is a duplicate."""
        rule = (
            f"it, document {document.id}, is alike to document {verdict.kept}, which is kept ({verdict.kept_name}): "
            f"Jaccard similarity {verdict.jaccard:.3f}"
        )
        threshold = 1.0 if verdict.reason == EXACT else self._settings.min_jaccard
        self._leave_out(document, verdict.reason, rule, verdict.jaccard, threshold)

    def clean(self, document: Document, number: int) -> Document | None:
        """Take boilerplate away and write counts at images; None where nothing is left of the document."""
        taken = self._boilerplate(document, number)
        if taken and len(taken) == len(document.slots):
            limit = self._settings.max_paragraph_documents
            rule = f"each of its paragraphs must be in at most {limit} documents"
            self._leave_out(document, BOILERPLATE, rule, min(taken.values()), limit)
            return None
        for index, count in taken.items():
            slot = document.slots[index]
            text = slot.text[:_EXCERPT_CHARACTERS] if isinstance(slot, TextSlot) else ""
            limit = self._settings.max_paragraph_documents
            self.removals.append(Removal(document.id, Level.PARAGRAPH, BOILERPLATE, index, count, limit, text))
        self.paragraph_count += len(taken)
        left = [
            (index, self._counted(slot) if isinstance(slot, ImageSlot) else slot)
            for index, slot in enumerate(document.slots)
            if index not in taken
        ]
        return replace(document, slots=keep_slots(document.slots, left))

    def _boilerplate(self, document: Document, number: int) -> dict[int, int]:
        """Return in how many documents each paragraph is that goes, by the index of its slot."""
        if not len(self._paragraphs):
            return {}
        taken = {}
        for index, key in paragraph_keys(document, self._settings).items():
            found = self._paragraphs.find(key)
            if found is not None and found[1] != number:
                taken[index] = found[0]
        return taken

    def _counted(self, slot: ImageSlot) -> ImageSlot:
        d_hash_count, p_hash_count = self._count("d_hash", slot.d_hash), self._count("p_hash", slot.p_hash)
        return replace(slot, d_hash_dup_count=d_hash_count, p_hash_dup_count=p_hash_count)

    def _count(self, name: str, digits: str | None) -> int | None:
        key = hash_number(digits)
        if key is None:
            return None
        found = self._hashes[name].find(key)
        return 1 if found is None else found[0]

    def _leave_out(self, document: Document, reason: str, rule: str, value: float, threshold: float) -> None:
        excerpt = document.texts[0].text[:_EXCERPT_CHARACTERS] if document.texts else ""
        self.dropped.append(document)
        self.removals.append(Removal(document.id, Level.DOCUMENT, reason, None, value, threshold, excerpt))
        self.rejects.append(Reject(source_name(document), "dedup", reason, rule, severity=Severity.SKIPPED))
