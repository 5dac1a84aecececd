"""Lays out filtered documents: what was removed, by which rules, and their pictures made small."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage

from domainvl.corpus.filtering.filtered import Filtered
from domainvl.corpus.filtering.removals import Level, Removal
from domainvl.corpus.folder import IMAGES_NAME
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, TextSlot, image_name
from domainvl.interleaved.images import open_image

_SIDE_PX = 160
_QUALITY = 70
_MOST_ROWS = 60
_MOST_CHARACTERS = 700
_CUT_CHARACTERS = 200
"""An excerpt of so many characters may be the beginning of something longer."""

_AROUND = 1
"""Untouched slots that are shown on either side of one that lost something."""


@dataclass(frozen=True)
class Part:
    """A stretch of text, struck through where it was removed."""

    text: str
    is_removed: bool


@dataclass(frozen=True)
class Row:
    """A slot as the page shows it, or a run of slots that it leaves out.

    Attributes:
        kind: Kind of the text, ``image``, or ``left-out``.
        parts: The text.
        removals: What rules took of it.
        picture: Data URI of the picture; None where there is none to show.
        note: What stands in place of a picture or of slots that are left out.
        is_asked: Whether the reviewer is asked about it.
        is_off: Whether it is a picture that is switched off, by a rule or before.
    """

    kind: str
    parts: tuple[Part, ...] = ()
    removals: tuple[Removal, ...] = ()
    picture: str | None = None
    note: str = ""
    is_asked: bool = False
    is_off: bool = False


@dataclass(frozen=True)
class DocumentView:
    """A document as the page shows it.

    Attributes:
        id: Its id.
        url: Its address, as text: the page links to nothing.
        source: Where it was read from.
        is_kept: Whether any of it is left.
        reasons: What dropped it.
        rows: Its slots in order.
    """

    id: str
    url: str
    source: str
    is_kept: bool
    reasons: tuple[Removal, ...]
    rows: tuple[Row, ...]


class Pictures:
    """Makes small pictures, until the page is as large as it may be.

    Args:
        folder: Of the corpus.
        max_bytes: Of all pictures together as the page holds them, one that comes again included; those behind are
            left out.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._images = folder / IMAGES_NAME
        self._left_bytes = max_bytes
        self._known: dict[str, tuple[str | None, str]] = {}
        self.left_out = 0

    def find(self, slot: ImageSlot) -> tuple[str | None, str]:
        """Return the data URI of a small picture, or why there is none."""
        if self._left_bytes <= 0:
            self.left_out += 1
            return None, "left out: the page is large enough"
        if slot.url not in self._known:
            self._known[slot.url] = self._read(slot.url)
        uri, note = self._known[slot.url]
        self._left_bytes -= len(uri or "")
        return uri, note

    def _read(self, url: str) -> tuple[str | None, str]:
        try:
            content = _shrink((self._images / image_name(url)).read_bytes(), url)
        except OSError:
            return None, "no file"
        except ItemError as error:
            return None, error.reason
        return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}", ""


def _shrink(content: bytes, url: str) -> bytes:
    with open_image(content, url) as opened:
        opened.draft("RGB", (_SIDE_PX, _SIDE_PX))  # a JPEG is decoded small
        opened.thumbnail((_SIDE_PX, _SIDE_PX))
        shown = opened.convert("RGBA")
    ground = PillowImage.new("RGBA", shown.size, "white")
    file = io.BytesIO()
    PillowImage.alpha_composite(ground, shown).convert("RGB").save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def view_document(filtered: Filtered, pictures: Pictures, asked: int | None = None) -> DocumentView:
    """Lay out a document; of a long one what lost nothing is left out.

    Args:
        filtered: The document.
        pictures: Makes its pictures small.
        asked: Slot that a reviewer is asked about: it and its neighbours are shown, and nothing else.
    """
    document = filtered.document
    by_slot: dict[int, list[Removal]] = {}
    for removal in filtered.removals:
        if removal.slot is not None:
            by_slot.setdefault(removal.slot, []).append(removal)
    rows: list[Row] = []
    shown = _shown_slots(len(document.slots), by_slot, asked)
    left_out: list[int] = []
    for index, slot in enumerate(document.slots):
        if index not in shown:
            left_out.append(index)
            continue
        rows += _gap(left_out, by_slot)
        left_out = []
        own = tuple(by_slot.get(index, ()))
        if isinstance(slot, TextSlot):
            rows.append(Row(slot.kind.value, _parts(slot.text, own), own, is_asked=index == asked))
        else:
            picture, note = pictures.find(slot)
            is_off = bool(own) or not slot.valid
            rows.append(Row("image", (), own, picture, note, index == asked, is_off))
    rows += _gap(left_out, by_slot)
    return DocumentView(
        id=document.id,
        url=document.url,
        source="" if document.origin is None else f"{document.origin.format}: {document.origin.uri}",
        is_kept=filtered.is_kept,
        reasons=tuple(removal for removal in filtered.removals if removal.level is Level.DOCUMENT),
        rows=tuple(rows),
    )


def _shown_slots(count: int, by_slot: dict[int, list[Removal]], asked: int | None) -> set[int]:
    if asked is not None:
        return set(range(asked - 2, asked + 3))
    if count <= _MOST_ROWS // 2:
        return set(range(count))
    telling = sorted(by_slot)[:: 1 + len(by_slot) * 3 // _MOST_ROWS]  # spread over the document
    return {index for slot in telling for index in range(slot - _AROUND, slot + _AROUND + 1)} | {0, 1, count - 1}


def _gap(left_out: Sequence[int], by_slot: dict[int, list[Removal]]) -> list[Row]:
    touched = sum(index in by_slot for index in left_out)
    note = f"{len(left_out)} more" + (f", of which {touched} lost something" if touched else "")
    return [Row("left-out", note=note)] if left_out else []


def _parts(text: str, removals: Sequence[Removal]) -> tuple[Part, ...]:
    """Divide a text where something of it was removed."""
    struck = bytearray(len(text))
    for removal in removals:
        begin, end = _place(text, removal)
        struck[begin:end] = b"\1" * (end - begin)
    parts: list[Part] = []
    begin = 0
    for index in range(1, len(text) + 1):
        if index == len(text) or struck[index] != struck[begin]:
            parts.append(Part(text[begin:index], bool(struck[begin])))
            begin = index
    return _shortened(parts)


def _place(text: str, removal: Removal) -> tuple[int, int]:
    """Find what was removed: the excerpt, or all from there on where that may be only the beginning."""
    begin = text.find(removal.excerpt)
    is_paragraph = removal.level is Level.PARAGRAPH
    if begin < 0:  # rewritten before it was removed, or several stretches in one row
        return (0, len(text)) if is_paragraph else (0, 0)
    is_cut = is_paragraph and len(removal.excerpt) >= _CUT_CHARACTERS
    return begin, len(text) if is_cut else begin + len(removal.excerpt)


def _shortened(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Cut the middle out of long stretches."""
    most = max(80, _MOST_CHARACTERS // max(1, len(parts)))
    return tuple(
        part
        if len(part.text) <= most
        else Part(f"{part.text[: most // 2]} … {part.text[-(most // 2) :]}", part.is_removed)
        for part in parts
    )
