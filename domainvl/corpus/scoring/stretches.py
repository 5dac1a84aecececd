"""Which stretches of a document's text an image is compared with, and where sentences end."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from domainvl.corpus.filtering.characters import CHINESE_MARKS, CLOSERS, MARKS
from domainvl.interleaved.documents import Document, ImageSlot, TextKind, TextSlot

ALT_SLOT = -1
"""Stands for the alternative text of an image (:attr:`Similarity.slot`)."""

SHORT_SENTENCES = 40
"""An image is compared with all sentences of a document that has no more: the most that MMC4's core set allows
(MMC4, arXiv 2304.06939: 4 to 40 sentences)."""

NEAR_SENTENCES = 10
"""In longer documents, with so many sentences before and behind it; ours."""

_TEXTS_A_SIDE = 3
"""Most texts on each side: a gallery has nothing but captions, and images need not be compared with all; ours."""

_CLOSING = f"[{re.escape(CLOSERS)}]*"
_SENTENCE_END = re.compile(rf"[{re.escape(MARKS)}]+{_CLOSING}(?=\s)|[{CHINESE_MARKS}]+{_CLOSING}")


@dataclass(frozen=True, order=True)
class Stretch:
    """A stretch of text in a document.

    Attributes:
        slot: Index of its slot, or :data:`ALT_SLOT`.
        begin: First character.
        end: Character behind its last.
        text: What stands there.
    """

    slot: int
    begin: int
    end: int
    text: str


def find_sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each sentence, without the blanks around it; an abbreviation's full stop ends one too."""
    begin = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        piece = text[begin:end]
        if piece.strip():
            yield begin + len(piece) - len(piece.lstrip()), begin + len(piece.rstrip())
        begin = end


def document_sentences(document: Document) -> list[Stretch]:
    """Return all sentences of a document in order."""
    return [
        Stretch(index, begin, end, slot.text[begin:end])
        for index, slot in enumerate(document.slots)
        if isinstance(slot, TextSlot)
        for begin, end in find_sentences(slot.text)
    ]


def compared_stretches(document: Document) -> dict[int, list[Stretch]]:
    """Return what each image that is switched on is compared with, by index of its slot.

    That is its alternative text, captions next to it, the nearest other text on each side, and each sentence of a
    short document or the nearest sentences of a longer one; in order, none twice.
    """
    sentences = document_sentences(document)
    places = [sentence.slot for sentence in sentences]
    found = {}
    for index, slot in enumerate(document.slots):
        if isinstance(slot, ImageSlot) and slot.valid:
            near = _near(sentences, places, index)
            whole = [*_nearest_texts(document, index, -1), *_nearest_texts(document, index, 1)]
            alt = [Stretch(ALT_SLOT, 0, len(slot.alt), slot.alt)] if slot.alt and slot.alt.strip() else []
            found[index] = sorted({*alt, *whole, *near})
    return found


def _near(sentences: list[Stretch], places: list[int], index: int) -> list[Stretch]:
    if len(sentences) <= SHORT_SENTENCES:
        return sentences
    behind = bisect_left(places, index)
    return sentences[max(behind - NEAR_SENTENCES, 0) : behind + NEAR_SENTENCES]


def _nearest_texts(document: Document, index: int, step: int) -> Iterator[Stretch]:
    """Yield texts in one direction up to the first that is no caption, and no more than three."""
    count = 0
    index += step
    while 0 <= index < len(document.slots) and count < _TEXTS_A_SIDE:
        slot = document.slots[index]
        if isinstance(slot, TextSlot):
            if slot.text.strip():
                yield Stretch(index, 0, len(slot.text), slot.text)
                count += 1
            if slot.kind is not TextKind.CAPTION:
                return
        index += step
