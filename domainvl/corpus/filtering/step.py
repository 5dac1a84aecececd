"""``corpus filter``: measures documents, applies the thresholds of a profile, and keeps what both need to be repeated.

Counted are ``documents``, ``paragraphs`` and ``images`` as they came, ``documents kept``, and for each rule what it
took away, such as ``paragraph/hf-digits``. Documents that were dropped are rejects besides.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domainvl.corpus.extras import require
from domainvl.corpus.filtering.deciding import decide
from domainvl.corpus.filtering.filtered import COMMAND, is_filtered, table_files, was_measured_alike
from domainvl.corpus.filtering.measuring import Measured, measure
from domainvl.corpus.filtering.profiles import Profile
from domainvl.corpus.filtering.removals import DROPPED, MEASURED, REMOVALS, Level, Removal, removals_table
from domainvl.corpus.folder import IMAGES_NAME, Corpus
from domainvl.corpus.stage import DOCUMENTS, StageRun, StageSummary, UnitOutput, adopt_images, open_stage
from domainvl.corpus.tables import document_schema, read_table, row_group_count, to_documents, to_table
from domainvl.files import hash_file
from domainvl.interleaved.documents import Document
from domainvl.schema.writer import Reject, Severity


def filter_corpus(source: Path, out: Path, profile: Profile, *, run: StageRun | None = None) -> StageSummary:
    """Filter a corpus; equal input gives equal bytes, whoever did which part.

    A corpus that was filtered already is filtered anew from all documents that it was made of, dropped ones included,
    and what was measured of them is taken over where the profile changes thresholds alone.

    Args:
        source: The corpus.
        out: The corpus to make. It holds besides what was kept all that was dropped, with the images; it is made where
            nothing was kept too, so that a report can say why, and the exit code tells.
        profile: What to take away.
        run: How it is run.

    Raises:
        InputNotFoundError: If there is no such corpus.
        UsageError: If it is no corpus, or the target is taken.
        DatasetError: If a file of it cannot be read.
        NothingToDoError: If it has no documents, or none that can be read.
        StoppedError: If the run was stopped before its end.
    """
    corpus = Corpus.open(source)
    again = is_filtered(corpus)
    work = _FilterWork(source, profile, take_over=again and was_measured_alike(corpus, profile))
    units = [(unit.name, unit) for unit in (_measured_units(source) if again else _document_units(corpus))]
    settings = {"profile": profile.model_dump(mode="json"), "measuring_key": profile.measuring_key}
    with open_stage(out, COMMAND, settings, run or StageRun(), inputs=[source]) as stage:
        done = stage.map("filter", units, work, root=source)
        if stage.is_shard:
            return stage.finish_shard(done)
        before = _without_last_step(corpus) if again else corpus
        return stage.finish(done, before=before, allow_empty=any(not unit.failed for unit in done))


def _without_last_step(corpus: Corpus) -> Corpus:
    """Forget how it was filtered before: that decides nothing of what comes out."""
    return replace(corpus, manifest={**corpus.manifest, "steps": corpus.manifest["steps"][:-1]})


@dataclass(frozen=True)
class _Unit:
    """A row group of documents.

    Attributes:
        name: Of the file, below the corpus.
        row_group: Which, from 0.
        sha256: Hash of the file.
    """

    name: str
    row_group: int
    sha256: str


def _document_units(corpus: Corpus) -> list[_Unit]:
    return [_Unit(group.file, group.row_group, group.sha256) for group in corpus.groups()]


def _measured_units(source: Path) -> list[_Unit]:
    return [
        _Unit(f"{MEASURED}/{path.name}", row_group, sha256)
        for path in table_files(source, MEASURED)
        for sha256 in [hash_file(path)]
        for row_group in range(row_group_count(path))
    ]


class _FilterWork:
    """Filters the documents of a row group; can be pickled."""

    def __init__(self, source: Path, profile: Profile, *, take_over: bool) -> None:
        self._source = source
        self._profile = profile
        self._take_over = take_over

    def __call__(self, unit: _Unit, images: Path) -> UnitOutput:
        pa = require("pyarrow")
        table = read_table(self._source / unit.name, unit.row_group)
        documents = to_documents(table)
        if self._take_over:
            texts = table.column(MEASURED).to_pylist()
            measured = [Measured.from_dict(json.loads(text)) for text in texts]
        else:
            measured = [measure(document, self._profile) for document in documents]
            texts = [json.dumps(one.to_dict(), separators=(",", ":")) for one in measured]
        decisions = [decide(*pair, self._profile) for pair in zip(documents, measured, strict=True)]
        kept = [decision.kept for decision in decisions if decision.kept is not None]
        is_dropped = pa.array([decision.kept is None for decision in decisions], pa.bool_())
        whole = table.select(document_schema().names)  # what did not change is not written anew
        # Those of all documents, so that other thresholds can be applied later.
        adopt_images(self._source / IMAGES_NAME, images, [slot.url for one in documents for slot in one.images])
        removals = [removal for decision in decisions for removal in decision.removals]
        return UnitOutput(
            tables={
                DOCUMENTS: to_table(kept),
                DROPPED: whole.filter(is_dropped),
                MEASURED: whole.append_column(MEASURED, pa.array(texts, pa.string())),
                REMOVALS: removals_table(removals),
            },
            rejects=_rejects(removals),
            counts=_counts(documents, len(kept), removals),
        )


def _rejects(removals: Sequence[Removal]) -> list[Reject]:
    """List each dropped document once, under the first rule that dropped it."""
    first = {removal.document: removal for removal in reversed(removals) if removal.level is Level.DOCUMENT}
    return [
        Reject(name, "filter", removal.rule, _describe(removal), severity=Severity.SKIPPED)
        for name, removal in reversed(first.items())
    ]


def _describe(removal: Removal) -> str:
    """Say which number broke which bound."""
    if removal.threshold is None:
        return f"{removal.rule} is {removal.value:g}"
    side = "at least" if removal.value < removal.threshold else "at most"
    return f"{removal.rule} must be {side} {removal.threshold:g}, got {removal.value:g}"


def _counts(documents: Sequence[Document], kept: int, removals: Sequence[Removal]) -> Counter[str]:
    counts = Counter(f"{removal.level.value}/{removal.rule}" for removal in removals)
    counts["documents"] = len(documents)
    counts["documents kept"] = kept
    counts["images"] = sum(len(document.images) for document in documents)
    counts["paragraphs"] = sum(len(document.texts) for document in documents)
    return counts
