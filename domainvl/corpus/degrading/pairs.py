"""``corpus degrade --to pairs``: a data set of single images with their captions.

It is a conversion like any other, of row groups of documents: done on all cores, gone on with after a stop, divided
among jobs. All pairs of a document are in one split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from domainvl.conversion.converter import ConverterSettings, Plan, UnitResult
from domainvl.corpus.degrading.choosing import CaptionRule, Chosen, NoCaption, choose_captions
from domainvl.corpus.folder import Corpus, DocumentGroup
from domainvl.errors import ItemError, NothingToDoError
from domainvl.interleaved.documents import Document, ImageSlot, image_name, whole_document
from domainvl.interleaved.images import open_image
from domainvl.schema import ImageStore, Provenance, Sample, Source, StoredImage, Task, TextAnswer
from domainvl.schema.images import shown_pixels
from domainvl.schema.questions.question import make_question, samples_from_questions
from domainvl.schema.writer import Reject, Severity

COMMAND = "corpus degrade"

_MISSING = "missing"


class PairSettings(ConverterSettings):
    """What decides which pairs are made."""

    field: str = Field(default="general", min_length=1, description="Field of the samples, such as medical.")
    min_similarity: float = Field(default=CaptionRule().min_similarity, ge=-1, le=1)
    max_words: int = Field(default=CaptionRule().max_words, ge=1)


@dataclass(frozen=True)
class PairUnit:
    """A row group of a corpus.

    Attributes:
        corpus: The corpus.
        group: Which row group.
    """

    corpus: Path
    group: DocumentGroup


class CorpusPairs:
    """Turns a corpus into samples of the task ``caption``."""

    name = "corpus-pairs"
    command = COMMAND
    summary = "Images of a corpus with their captions."
    settings_type = PairSettings
    licence: str | None = None

    def plan(self, source: Path, settings: PairSettings) -> Plan[PairUnit]:
        """Divide a corpus into its row groups.

        Raises:
            UsageError: If it is no corpus.
            NothingToDoError: If it has no documents.
            DatasetError: If a file of it cannot be read.
        """
        corpus = Corpus.open(source)
        if not corpus.document_count:
            raise NothingToDoError("Cannot make pairs", where=source, rule="the corpus has no documents")
        units = [PairUnit(source, group) for group in corpus.groups()]
        return Plan(
            units,
            {path.name: path for path in corpus.files},
            notes=list(corpus.manifest["notes"]),
            licence=corpus.manifest.get("licence"),
        )

    def convert(self, unit: PairUnit, settings: PairSettings, images: ImageStore, provenance: Provenance) -> UnitResult:
        """Make the pairs of a row group.

        Raises:
            ItemError: If a row breaks an invariant of the format.
            DatasetError: If the file cannot be read.
        """
        corpus = Corpus.open(unit.corpus)
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for document in corpus.read_group(unit.group):
            for made in _PairMaker(corpus, document, settings, images, provenance).pairs():
                if isinstance(made, Sample):
                    samples.append(made)
                else:
                    rejects.append(made)
        return UnitResult(samples, rejects)

    def unit_name(self, unit: PairUnit) -> str:
        """Name a row group by its file and number."""
        return f"{unit.group.file}:{unit.group.row_group}"

    def unit_files(self, unit: PairUnit) -> Iterable[Path]:
        """Name the file of a row group."""
        return (unit.corpus / unit.group.file,)


@dataclass(frozen=True)
class _PairMaker:
    """Makes the pairs of one document."""

    corpus: Corpus
    document: Document
    settings: PairSettings
    store: ImageStore
    provenance: Provenance

    def pairs(self) -> Iterable[Sample | Reject]:
        """Yield a sample or a reject for each image in order; an image that comes again is shown once."""
        rule = CaptionRule(self.settings.min_similarity, self.settings.max_words)
        shown: set[str] = set()
        for index, chosen in choose_captions(self.document.slots, rule).items():
            image = self.document.slots[index]
            if not isinstance(image, ImageSlot):
                continue
            if not image.valid:
                yield self._left_out(image, NoCaption("switched-off", "it is switched off in the corpus"))
            elif isinstance(chosen, NoCaption):
                yield self._left_out(image, chosen)
            elif image.url in shown:
                yield self._left_out(image, NoCaption("repeated-image", "the document shows it before"))
            else:
                try:
                    yield self._sample(index, image, chosen)
                    shown.add(image.url)
                except ItemError as error:
                    # Nothing is wrong with an image that is not at hand; no step of a corpus fails because of it.
                    severity = Severity.SKIPPED if error.reason == _MISSING else Severity.FAILED
                    yield Reject(self._name(image), "image", error.reason, error.without_action, error.action, severity)

    def _sample(self, index: int, image: ImageSlot, chosen: Chosen) -> Sample:
        stored, content = self._store(image)
        source = Source(
            uri=image.url,
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            details={
                "pair_method": chosen.method.value,
                "pair_score": chosen.score,
                "pair_images": chosen.image_count,
                "pair_label": chosen.label or None,
                "document": self.document.id,
                "slot": index,
            },
        )
        answer = TextAnswer(text=chosen.text)
        asked = make_question("caption", Task.CAPTION, "caption", answer, place="in the image", whole="the image")
        (sample,) = samples_from_questions(
            [asked],
            id_prefix=f"{self.document.id}/{index}",
            domain=self.settings.field,
            images=[stored.to_image(source)],
            group=whole_document(self.document.id),
            provenance=self.provenance,
        )
        return sample

    def _store(self, image: ImageSlot) -> tuple[StoredImage, bytes]:
        """Copy the file of an image as it is, or where its format is none of a data set's, its pixels."""
        try:
            content = (self.corpus.images / image_name(image.url)).read_bytes()
        except OSError as error:
            rule = "the corpus has no such file"
            raise ItemError("Cannot use an image", reason=_MISSING, where=image.url, rule=rule) from error
        try:
            return self.store.put_encoded(content, image.url), content
        except ItemError as error:
            if error.reason != "image-format":
                raise
        with open_image(content, image.url) as opened:
            pixels = shown_pixels(opened)
        return self.store.put_pixels(pixels if pixels.ndim == 2 else pixels[..., :3]), content

    def _left_out(self, image: ImageSlot, why: NoCaption) -> Reject:
        return Reject(self._name(image), "pair", why.reason, why.rule, severity=Severity.SKIPPED)

    def _name(self, image: ImageSlot) -> str:
        return f"{self.document.id} {image.url}"
