"""``corpus score``: writes what models say of images and texts into the documents; nothing is left out.

Thresholds come later, in ``corpus filter``: scores that stand in the record can be cut elsewhere without being computed
again (OmniCorpus, arXiv 2406.08418, section 3.1). OmniCorpus' own text classifiers were never released.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domainvl.corpus.folder import Corpus, DocumentGroup
from domainvl.corpus.scoring.placement import NO_LAYOUT, place_images
from domainvl.corpus.scoring.scorers import CUT, DECIMALS, ImageFacts, Scorers, TextFeatures
from domainvl.corpus.scoring.settings import ScoreSettings
from domainvl.corpus.scoring.stretches import Stretch, compared_stretches, document_sentences
from domainvl.corpus.stage import DOCUMENTS, StageRun, StageSummary, UnitOutput, adopt_images, open_stage
from domainvl.corpus.tables import to_table
from domainvl.errors import ItemError
from domainvl.interleaved.documents import Document, ImageSlot, Similarity, image_name
from domainvl.schema.writer import Reject, Severity

_COMMAND = "corpus score"

_LIBRARIES = ("numpy", "pillow", "scipy", "tokenizers", "torch", "transformers")

_TOGETHER = 4000
"""Slots whose images and texts are encoded together, at most, beside those of one document: memory stays bounded."""

_MOST_SENTENCES = 20_000
_MOST_PAIRS = 20_000_000
"""A document with more sentences, or more pairs of an image and a sentence, is not placed: the assignment needs
memory for each pair (160 MB at this bound) and time that grows faster."""


def score_corpus(source: Path, out: Path, settings: ScoreSettings, *, run: StageRun | None = None) -> StageSummary:
    """Score a corpus.

    Args:
        source: The corpus.
        out: The corpus to make: the same documents with scores.
        settings: What is asked of which model.
        run: How it is run; each process loads the models once.

    Raises:
        InputNotFoundError: If there is no such corpus, or no such model.
        UsageError: If options do not fit, a model is not what its option needs, or the target is taken.
        DatasetError: If a file of the corpus cannot be read.
        StoppedError: If the run was stopped before its end.
    """
    settings.check()
    corpus = Corpus.open(source)
    work = ScoreWork(corpus, settings)
    work.load()  # what is wrong with a model is told once, here, and not by each unit
    units = [(f"{group.file}#{group.row_group}", group) for group in corpus.groups()]
    with open_stage(out, _COMMAND, settings.decisive(), run or StageRun(), inputs=[source]) as stage:
        done = stage.map("score", units, work, root=source)
        if stage.is_shard:
            return stage.finish_shard(done)
        versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        cut_count = sum(unit.counts.get(CUT, 0) for unit in done)
        note = f"{cut_count} texts were longer than the image-text model reads and were compared by their beginning"
        return stage.finish(done, before=corpus, versions=versions, notes=[note] if cut_count else [])


class ScoreWork:
    """Scores the documents of a row group; can be pickled, without the models, which the other process loads.

    Args:
        corpus: The corpus.
        settings: What is asked of which model.
    """

    def __init__(self, corpus: Corpus, settings: ScoreSettings) -> None:
        self._corpus = corpus
        self._settings = settings
        self._loaded: Scorers | None = None

    def __getstate__(self) -> dict[str, object]:
        """Leave the models behind."""
        return {**self.__dict__, "_loaded": None}

    def load(self) -> Scorers:
        """Load the models, once a process.

        Raises:
            UsageError: If one cannot be loaded.
        """
        if self._loaded is None:
            self._loaded = Scorers(self._settings)
        return self._loaded

    def __call__(self, unit: DocumentGroup, images: Path) -> UnitOutput:
        """Score a unit."""
        scorers = self.load()
        documents: list[Document] = []
        rejects: list[Reject] = []
        counts: Counter[str] = Counter()
        for some in _divide(self._corpus.read_group(unit)):
            adopt_images(self._corpus.images, images, [slot.url for one in some for slot in one.images])
            scoring = _Scoring(scorers, self._settings, self._corpus.images)
            documents += scoring.score(some)
            rejects += scoring.rejects
            counts += scoring.counts
        return UnitOutput({DOCUMENTS: to_table(documents)}, rejects, counts)


def _divide(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Divide documents so that no part has many slots, unless a document alone has."""
    part: list[Document] = []
    for document in documents:
        if part and sum(len(one.slots) for one in part) + len(document.slots) > _TOGETHER:
            yield part
            part = []
        part.append(document)
    yield part


class _Scoring:
    """Scores some documents together.

    Attributes:
        rejects: Images that could not be used, and documents that could not be placed.
        counts: What was done.
    """

    def __init__(self, scorers: Scorers, settings: ScoreSettings, images: Path) -> None:
        self._scorers = scorers
        self._settings = settings
        self._images = images
        self._facts: dict[str, ImageFacts] = {}
        self._features: dict[str, npt.NDArray[np.float32]] = {}
        self._texts = None if scorers.clip is None else TextFeatures(scorers.clip)
        self.rejects: list[Reject] = []
        self.counts: Counter[str] = Counter()

    def score(self, documents: Sequence[Document]) -> list[Document]:
        self.counts["documents"] += len(documents)
        if self._scorers.looks_at_images:
            self._look(documents)
        if self._settings.place:
            documents = self._place_all(documents)
        if self._texts is not None:
            documents = self._compare_all(documents, self._texts)
            self.counts += self._texts.counts
        return [self._scorers.score_text(self._with_facts(document)) for document in documents]

    def _look(self, documents: Sequence[Document]) -> None:
        """Ask models about all images that are switched on; list those that cannot be used under each document."""
        wanted = [(document.id, {slot.url for slot in document.images if slot.valid}) for document in documents]
        urls = sorted({url for _, some in wanted for url in some})
        there = [url for url in urls if (self._images / image_name(url)).is_file()]
        found = self._scorers.score_images(self._images, there)
        self._facts = {url: facts for url, facts in found.items() if isinstance(facts, ImageFacts)}
        self._features = {url: facts.features for url, facts in self._facts.items() if facts.features is not None}
        self.counts["images scored"] += len(self._facts)
        for document, some in wanted:
            for url in sorted(some - self._facts.keys()):
                self.rejects.append(_image_reject(document, url, found.get(url)))

    def _with_facts(self, document: Document) -> Document:
        slots = [
            _with_facts(slot, self._facts[slot.url])
            if isinstance(slot, ImageSlot) and slot.valid and slot.url in self._facts
            else slot
            for slot in document.slots
        ]
        return replace(document, slots=tuple(slots))

    def _compare_all(self, documents: Sequence[Document], texts: TextFeatures) -> list[Document]:
        compared = [self._stretches(document) for document in documents]
        everything = [stretch.text for places in compared for some in places.values() for stretch in some]
        if everything:
            texts.learn(everything)
        return [self._compare(*pair, texts) for pair in zip(documents, compared, strict=True)]

    def _stretches(self, document: Document) -> dict[int, list[Stretch]]:
        urls = {index: slot.url for index, slot in enumerate(document.slots) if isinstance(slot, ImageSlot)}
        found = compared_stretches(document)
        return {index: some for index, some in found.items() if some and urls[index] in self._features}

    def _compare(self, document: Document, compared: dict[int, list[Stretch]], texts: TextFeatures) -> Document:
        slots = list(document.slots)
        for index, some in compared.items():
            slot = slots[index]
            if isinstance(slot, ImageSlot):
                cosines = texts.rows([one.text for one in some]) @ self._features[slot.url]
                similar = tuple(
                    Similarity(one.slot, one.begin, one.end, round(float(cosine), DECIMALS))
                    for one, cosine in zip(some, cosines, strict=True)
                )
                slots[index] = replace(slot, similar=similar)
        return replace(document, slots=tuple(slots))

    def _place_all(self, documents: Sequence[Document]) -> list[Document]:
        return [self._place(document) if _lacks_layout(document) else document for document in documents]

    def _place(self, document: Document) -> Document:
        shown = {
            index: self._features[slot.url]
            for index, slot in enumerate(document.slots)
            if isinstance(slot, ImageSlot) and slot.valid and slot.url in self._features
        }
        sentences = document_sentences(document)
        if not shown or not sentences or self._texts is None:
            return document
        if len(sentences) > _MOST_SENTENCES or len(sentences) * len(shown) > _MOST_PAIRS:
            rule = f"it has {len(shown)} images and {len(sentences)} sentences, too many to place images by similarity"
            reject = Reject(document.id, "place", "too-large", rule, "Divide it", Severity.SKIPPED)
            self.rejects.append(reject)
            return document
        images = np.stack(list(shown.values()))
        similarity = images @ self._texts.rows([sentence.text for sentence in sentences]).T
        placed = place_images(document, list(shown), sentences, similarity, self._settings.min_similarity)
        self.counts["documents placed by similarity"] += 1
        self.counts["images switched off, like no sentence"] += placed.switched_off
        return placed.document


def _lacks_layout(document: Document) -> bool:
    return document.origin is not None and document.origin.placement == NO_LAYOUT


def _with_facts(slot: ImageSlot, facts: ImageFacts) -> ImageSlot:
    return replace(
        slot,
        aesthetic_prob=slot.aesthetic_prob if facts.aesthetic is None else facts.aesthetic,
        unsafe_prob=slot.unsafe_prob if facts.unsafe is None else facts.unsafe,
    )


def _image_reject(document: str, url: str, error: ImageFacts | ItemError | None) -> Reject:
    where = f"{document} {url}"
    if isinstance(error, ItemError):
        return Reject(where, "image", error.reason, error.without_action, error.action)
    action = "Put its file into the corpus, or leave it without scores"
    return Reject(where, "image", "missing", "there is no file of it", action, Severity.SKIPPED)
