"""``corpus degrade --to text``: what a corpus says without its images.

Documents that are too short without them are left out, and of those whose texts are the same to the letter, all but the
latest, as OmniCorpus keeps of near-duplicates (arXiv 2406.08418, section 3.2). Nearly equal ones are for ``corpus
dedup``, given the result: duplicates are others once images are gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from domainvl.corpus.degrading.choosing import count_words
from domainvl.corpus.folder import Corpus, DocumentGroup
from domainvl.corpus.stage import DOCUMENTS, StageRun, StageSummary, UnitDone, UnitOutput, open_stage
from domainvl.corpus.tables import read_table, to_documents, to_table
from domainvl.files import output_errors
from domainvl.interleaved.documents import Document
from domainvl.schema.writer import Reject, Severity

COMMAND = "corpus degrade --to text"

LINES_NAME = "jsonl/documents.jsonl"
"""Where the lines for trainers of language models lie in the corpus; training of ours reads the Parquet files."""


@dataclass(frozen=True)
class TextSettings:
    """What decides which texts are kept.

    Attributes:
        min_words: Least words of a document; 50 is Gopher's (Rae et al., arXiv 2112.11446, appendix A.1.1). A character
            of a script without blanks is a word.
        lines: Write each document as a line of JSON too, with ``id``, ``url`` and ``text``.
    """

    min_words: int = 50
    lines: bool = False


@dataclass(frozen=True)
class _Unit:
    """A row group, and the documents of it that are left out.

    Attributes:
        group: The row group.
        min_words: Least words of a document.
        short: Place of each that has fewer, and how many it has.
        same_as: Place of each whose text another document has, and the id of that.
    """

    group: DocumentGroup
    min_words: int
    short: tuple[tuple[int, int], ...]
    same_as: tuple[tuple[int, str], ...]


def joined_text(document: Document) -> str:
    """Return the texts of a document, one below the other, as training joins them."""
    return "\n".join(slot.text for slot in document.texts)


def degrade_to_text(source: Path, out: Path, settings: TextSettings, *, run: StageRun | None = None) -> StageSummary:
    """Make a corpus of texts; equal input gives equal bytes, whoever did which part.

    Args:
        source: The corpus.
        out: The corpus to make.
        settings: What is kept.
        run: How it is run.

    Raises:
        InputNotFoundError: If there is no such corpus.
        UsageError: If it is no corpus, or the target is taken.
        DatasetError: If a file of it cannot be read.
        NothingToDoError: If no document is left.
        StoppedError: If the run was stopped before its end.
    """
    corpus = Corpus.open(source)
    groups = corpus.groups()
    with open_stage(out, COMMAND, asdict(settings), run or StageRun(), inputs=[source]) as stage:
        named = [(f"{group.file}:{group.row_group}", group) for group in groups]
        looked = stage.map("look", named, _LookWork(source), root=source)
        if stage.is_shard:
            return stage.finish_shard(looked)
        units = _decide(groups, looked, settings.min_words)
        renamed = [(name, unit) for (name, _), unit in zip(named, units, strict=True)]
        done = stage.map("text", renamed, _TextWork(source), root=source)
        if settings.lines:
            _write_lines(stage.folder / LINES_NAME, done)
        return stage.finish(done, before=corpus, notes=[_NOTE])


_NOTE = "Near-duplicates among these texts are not removed: domainvl corpus dedup does that"


@dataclass(frozen=True)
class _LookWork:
    """Notes of each document its id, words, hash of text and date; can be pickled."""

    source: Path

    def __call__(self, unit: DocumentGroup, images: Path) -> UnitOutput:
        documents = Corpus.open(self.source).read_group(unit)
        return UnitOutput(info={"documents": [_look(document) for document in documents]})


def _look(document: Document) -> tuple[str, int, str, str]:
    text = joined_text(document)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    modified = document.origin.modified if document.origin is not None else None
    return document.id, count_words(text), digest, modified or ""


def _decide(groups: Sequence[DocumentGroup], looked: Sequence[UnitDone], min_words: int) -> list[_Unit]:
    """Say of each row group which documents go. Of equal ones the latest stays, of equally late ones the first."""
    kept: dict[str, tuple[str, str]] = {}
    for unit in looked:
        for name, _, digest, modified in unit.info.get("documents", ()):
            if digest not in kept or modified > kept[digest][1]:
                kept[digest] = (name, modified)
    left = {digest: name for digest, (name, _) in kept.items()}  # each digest until its document was met
    units = []
    for group, unit in zip(groups, looked, strict=True):
        short, same = [], []
        for place, (name, words, digest, _) in enumerate(unit.info.get("documents", ())):
            if words < min_words:
                short.append((place, words))
            elif left.get(digest) == name:
                del left[digest]
            else:
                same.append((place, kept[digest][0]))
        units.append(_Unit(group, min_words, tuple(short), tuple(same)))
    return units


@dataclass(frozen=True)
class _TextWork:
    """Takes the images out of the documents of a row group that stay; can be pickled."""

    source: Path

    def __call__(self, unit: _Unit, images: Path) -> UnitOutput:
        documents = Corpus.open(self.source).read_group(unit.group)
        short, same = dict(unit.short), dict(unit.same_as)
        kept: list[Document] = []
        rejects: list[Reject] = []
        for place, document in enumerate(documents):
            if place in short:
                rule = f"a document must have {unit.min_words} words, got {short[place]}"
                rejects.append(Reject(document.id, "text", "too-few-words", rule, severity=Severity.SKIPPED))
            elif place in same:
                rule = f"its text is that of {same[place]}"
                rejects.append(Reject(document.id, "text", "same-text", rule, severity=Severity.SKIPPED))
            else:
                kept.append(replace(document, slots=document.texts))
        counts = {
            "documents read": len(documents),
            "documents kept": len(kept),
            "images taken out": sum(len(document.images) for document in documents),
        }
        return UnitOutput({DOCUMENTS: to_table(kept)}, rejects, counts)


def _write_lines(path: Path, done: Iterable[UnitDone]) -> None:
    with output_errors(path):
        path.parent.mkdir(exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as lines:
            for unit in done:
                if DOCUMENTS in unit.tables:
                    for document in to_documents(read_table(unit.tables[DOCUMENTS])):
                        line = {"id": document.id, "url": document.url, "text": joined_text(document)}
                        lines.write(json.dumps(line, ensure_ascii=False) + "\n")
