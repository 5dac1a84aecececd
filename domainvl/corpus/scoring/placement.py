"""Places images of a document without a layout before the sentences that they are most like.

OmniCorpus and MMC4 call this the retrieval form; natural order is better for a model that reads from left to right
(OmniCorpus, arXiv 2406.08418, section 5.2), so that documents which have one are never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from domainvl.corpus.extras import require
from domainvl.corpus.scoring.stretches import Stretch
from domainvl.interleaved.documents import Document, ImageSlot, Slot, TextSlot

NO_LAYOUT = "none"
"""Placement of documents whose source tells no place of their images."""

RETRIEVAL = "retrieval"

MIN_SIMILARITY = 0.15
"""An image that is less like every sentence is switched off (MMC4, arXiv 2304.06939; cosine of CLIP ViT-L/14)."""


@dataclass(frozen=True)
class Placed:
    """A document after placement.

    Attributes:
        document: The document.
        switched_off: How many images are like no sentence.
    """

    document: Document
    switched_off: int


def assign_images(similarity: npt.NDArray[np.floating]) -> list[int]:
    """Choose a sentence for each image so that the sum of similarities is largest.

    No sentence gets two images while there are enough; surplus images get the sentence that they are most like
    (allenai/mmc4, scripts/compute_assignments.py, get_image_assignments).

    Args:
        similarity: Of shape (images, sentences), with at least one sentence.

    Returns:
        The index of a sentence for each image.
    """
    chosen = similarity.argmax(axis=1)
    images, sentences = require("scipy.optimize").linear_sum_assignment(similarity, maximize=True)
    chosen[images] = sentences
    return [int(index) for index in chosen]


def place_images(
    document: Document,
    images: Sequence[int],
    sentences: Sequence[Stretch],
    similarity: npt.NDArray[np.floating],
    min_similarity: float,
) -> Placed:
    """Put images before their sentences; texts are divided where an image comes between two sentences.

    Args:
        document: A document without a layout.
        images: Indices of the slots of the images to place; the others stay behind the texts.
        sentences: Its sentences in order, at least one.
        similarity: Of shape (images, sentences).
        min_similarity: Images that are less like every sentence are switched off.

    Returns:
        The document with placement ``retrieval``. Similarities that its images had are gone: they name other slots.
    """
    liked = [row for row in range(len(images)) if similarity[row].max() >= min_similarity]
    before: dict[int, dict[int, list[Slot]]] = {}
    for row, sentence in zip(liked, assign_images(similarity[liked]), strict=True):
        chosen = sentences[sentence]
        before.setdefault(chosen.slot, {}).setdefault(chosen.begin, []).append(document.slots[images[row]])
    disliked = set(images) - {images[row] for row in liked}
    slots: list[Slot] = []
    for index, slot in enumerate(document.slots):
        if isinstance(slot, TextSlot):
            slots += _divided(slot, before.get(index, {}))
    placed = {images[row] for row in liked}
    for index, slot in enumerate(document.slots):
        if isinstance(slot, ImageSlot) and index not in placed:
            slots.append(replace(slot, valid=slot.valid and index not in disliked))
    origin = None if document.origin is None else replace(document.origin, placement=RETRIEVAL)
    cleared = tuple(replace(slot, similar=()) if isinstance(slot, ImageSlot) else slot for slot in slots)
    return Placed(replace(document, slots=cleared, origin=origin), len(disliked))


def _divided(slot: TextSlot, before: Mapping[int, Sequence[Slot]]) -> list[Slot]:
    """Divide a text at the characters that images come before."""
    slots: list[Slot] = []
    begins = sorted({0, *before})
    for begin, end in zip(begins, [*begins[1:], len(slot.text)], strict=True):
        slots += before.get(begin, ())
        piece = slot.text[begin:end].strip()
        if piece:
            slots.append(replace(slot, text=piece))
    return slots
