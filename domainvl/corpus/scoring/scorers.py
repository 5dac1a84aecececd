"""The models of a run, loaded together, and what they say of images and documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domainvl.corpus.scoring.aesthetics import AestheticPredictor
from domainvl.corpus.scoring.classifiers import TextClassifier, UnsafeImages
from domainvl.corpus.scoring.clip import Clip
from domainvl.corpus.scoring.pixels import Prepared, read_rgb
from domainvl.corpus.scoring.settings import ScoreSettings
from domainvl.errors import ItemError
from domainvl.interleaved.documents import PROBABILITIES, Document, image_name
from domainvl.model.device import choose_device

DECIMALS = 6
"""Scores are rounded to so many: what float32 cannot tell is left out."""

CUT = "texts cut at the context of the model"
"""Counts texts that were compared by their beginning."""


@dataclass(frozen=True)
class ImageFacts:
    """What models say of an image.

    Attributes:
        features: float32 of shape (width,), of length 1; None where no CLIP model is named.
        aesthetic: Score of the aesthetic predictor.
        unsafe: Probability that it is not safe for work.
    """

    features: npt.NDArray[np.float32] | None = None
    aesthetic: float | None = None
    unsafe: float | None = None


class Scorers:
    """All models of a run.

    Args:
        settings: Which, and where they run.

    Attributes:
        clip: The image-text model, if one is named.

    Raises:
        UsageError: If a model is not there, is not what its option needs, or the device is not there.
    """

    def __init__(self, settings: ScoreSettings) -> None:
        device = choose_device(settings.device)
        size = settings.batch_size
        self._batch_size = size
        self.clip = None if settings.clip is None else Clip(settings.clip, device=device, batch_size=size)
        self._aesthetics = None
        if settings.aesthetics is not None and self.clip is not None:
            self._aesthetics = AestheticPredictor(settings.aesthetics, width=self.clip.width)
        self._unsafe = None
        if settings.nsfw is not None:
            self._unsafe = UnsafeImages(settings.nsfw, settings.nsfw_label, device=device)
        self._texts = [
            TextClassifier(choice.name, choice.folder, choice.label, device=device, batch_size=size)
            for choice in settings.text_classifiers
        ]

    @property
    def looks_at_images(self) -> bool:
        """Whether any model wants images."""
        return self.clip is not None or self._unsafe is not None

    def score_images(self, folder: Path, urls: Sequence[str]) -> dict[str, ImageFacts | ItemError]:
        """Ask all models about images.

        Args:
            folder: Holds their files, which must be there.
            urls: Their addresses, none twice.

        Returns:
            What was found by address; an error, with a reason to count by, for one that cannot be used.
        """
        found: dict[str, ImageFacts | ItemError] = {}
        waiting: dict[str, tuple[Prepared | None, Prepared | None]] = {}
        for url in urls:
            try:
                waiting[url] = self._prepare(folder, url)
            except ItemError as error:
                found[url] = error
            if len(waiting) == self._batch_size:
                found |= self._score_batch(waiting)
                waiting = {}
        return found | self._score_batch(waiting)

    def score_text(self, document: Document) -> Document:
        """Ask all text classifiers about the texts of a document; without a text there is no score."""
        text = "\n\n".join(slot.text for slot in document.texts if slot.text.strip())
        if not text or not self._texts:
            return document
        found = {scorer.name: round(scorer(text), DECIMALS) for scorer in self._texts}
        told = {name: value for name, value in found.items() if name in PROBABILITIES}
        others = {name: value for name, value in found.items() if name not in PROBABILITIES}
        return replace(document, probabilities={**document.probabilities, **told}, scores={**document.scores, **others})

    def _prepare(self, folder: Path, url: str) -> tuple[Prepared | None, Prepared | None]:
        image = read_rgb(folder / image_name(url), url)
        return (
            None if self.clip is None else self.clip.prepare(image),
            None if self._unsafe is None else self._unsafe.prepare(image),
        )

    def _score_batch(
        self, waiting: Mapping[str, tuple[Prepared | None, Prepared | None]]
    ) -> dict[str, ImageFacts | ItemError]:
        facts = dict.fromkeys(waiting, ImageFacts())
        for_clip = [one for one, _ in waiting.values() if one is not None]
        for_unsafe = [one for _, one in waiting.values() if one is not None]
        if self.clip is not None and for_clip:
            rows = self.clip.encode_images(for_clip)
            facts = {url: replace(facts[url], features=row) for url, row in zip(facts, rows, strict=True)}
            if self._aesthetics is not None:
                scores = self._aesthetics(rows)
                facts = {
                    url: replace(facts[url], aesthetic=one) for url, one in zip(facts, _plain(scores), strict=True)
                }
        if self._unsafe is not None and for_unsafe:
            unsafe = _plain(self._unsafe(for_unsafe))
            facts = {url: replace(facts[url], unsafe=one) for url, one in zip(facts, unsafe, strict=True)}
        return {**facts}


class TextFeatures:
    """Features of texts, each encoded once for as long as this is kept.

    Args:
        clip: Encodes them.

    Attributes:
        counts: How many texts were encoded, and how many of them were cut.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._known: dict[str, npt.NDArray[np.float32]] = {}
        self.counts: Counter[str] = Counter()

    def learn(self, texts: Sequence[str]) -> None:
        """Encode those texts that are new, all together."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            rows, cut_count = self._clip.encode_texts(new)
            self._known.update(zip(new, rows, strict=True))
            self.counts.update({"texts compared": len(new), CUT: cut_count})

    def rows(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32 of shape (texts, width), rows of length 1, of at least one text."""
        self.learn(texts)
        return np.stack([self._known[text] for text in texts])


def _plain(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), DECIMALS) for value in values]
