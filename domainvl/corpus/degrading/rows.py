"""Which caption belongs to which image where figures stand side by side, one above the other, or share a caption.

A *block* is a run of images, captions and labels ("a", "Fig. 12." and nothing else) with no running text and no end of
a page in it. In a block the images in front of some captions are a *row*; captions stand below their row, or above
where the block begins with captions and ends with an image. The rule is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from domainvl.corpus.sources.captions import caption_label, is_caption_text
from domainvl.interleaved.documents import ImageSlot, Slot, TextKind, TextSlot

_SUB_LABEL = re.compile(r"\(?[A-Za-z]\)?[.)]?(?:\s*\n.{0,40})?")
"""Letter of a part of a figure, perhaps with a few words in a line below."""

_NUMBER = re.compile(r"(\d{1,6})\s?\(?([a-z]?)", re.I)
_RANGE = re.compile(r"(\d+)\s*(?:[-–—]|to)\s*(\d+)", re.I)
_AND = re.compile(r",|&|\band\b|\bund\b|\bet\b|、|和", re.I)
_MOST_FIGURES = 50
"""A wider range is no range of figures, such as the years 1888-1990."""


_Row: TypeAlias = tuple[list[int], list[int]]
"""Images and captions."""


@dataclass(frozen=True)
class RowCaption:
    """The caption of an image.

    Attributes:
        slot: Index of the slot that holds it.
        image_count: How many images it belongs to.
    """

    slot: int
    image_count: int


@dataclass
class RowCaptions:
    """What was found in a document.

    Attributes:
        of: The caption of an image, by the index of the image's slot.
        unclear: Images next to captions of which nobody can say which is whose.
    """

    of: dict[int, RowCaption] = field(default_factory=dict)
    unclear: set[int] = field(default_factory=set)


def find_row_captions(slots: Sequence[Slot]) -> RowCaptions:
    """Find the captions of all images of a document.

    As many captions as images in a row are taken in order; a single one belongs to all of them; of several behind one
    image the first counts; else the numbers in the captions ("Figs. 10-12") must say how many images each has. Where a
    row has several captions, those of its block are taken in the order of their numbers if each image has one: a table
    in which a figure stands beside two others is not read in that order.

    Args:
        slots: The document's.
    """
    found = RowCaptions()
    for block in _blocks(slots):
        for images, captions in _by_number(list(_rows(block, slots)), slots):
            assigned = _assign(images, captions, slots)
            if assigned is None:
                found.unclear.update(images)
            else:
                found.of.update(assigned)
    return found


def is_label(slot: Slot) -> bool:
    """Say whether a slot is a text that names a figure or a part of one and says nothing of it."""
    if not isinstance(slot, TextSlot):
        return False
    text = slot.text.strip()
    label = caption_label(text)
    return (bool(label) and not text[len(label) :].strip()) or _SUB_LABEL.fullmatch(text) is not None


def is_caption(slots: Sequence[Slot], index: int) -> bool:
    """Say whether a slot is the caption of an image: marked as one, or begun as one, and not that of a table below."""
    slot = slots[index]
    if not isinstance(slot, TextSlot) or is_label(slot):
        return False
    behind = slots[index + 1] if index + 1 < len(slots) else None
    if isinstance(behind, TextSlot) and behind.kind is TextKind.TABLE:
        return False
    return slot.kind is TextKind.CAPTION or (slot.kind is TextKind.TEXT and is_caption_text(slot.text))


def _blocks(slots: Sequence[Slot]) -> Iterator[list[int]]:
    """Yield the images and captions of each block, labels left out."""
    block: list[int] = []
    page: int | None = None
    for index, slot in enumerate(slots):
        keeps = isinstance(slot, ImageSlot) or is_caption(slots, index)
        if block and (slot.page != page or not (keeps or is_label(slot))):
            yield block
            block = []
        if keeps:
            block.append(index)
        page = slot.page
    if block:
        yield block


def _rows(block: Sequence[int], slots: Sequence[Slot]) -> Iterator[_Row]:
    """Yield the images and the captions of each row of a block."""
    runs: list[tuple[bool, list[int]]] = []
    for index in block:
        is_image = isinstance(slots[index], ImageSlot)
        if not runs or runs[-1][0] != is_image:
            runs.append((is_image, []))
        runs[-1][1].append(index)
    captions_above = not runs[0][0] and runs[-1][0]
    if not runs[0][0] and not captions_above:
        runs = runs[1:]
    for (_, first), (_, second) in zip(runs[::2], runs[1::2], strict=False):
        yield (second, first) if captions_above else (first, second)


def _by_number(rows: list[_Row], slots: Sequence[Slot]) -> list[_Row]:
    images = [index for row, _ in rows for index in row]
    captions = [index for _, row in rows for index in row]
    numbers = [_NUMBER.search(_label(slots[index])) for index in captions]
    several = any(len(row) > 1 for _, row in rows)
    if not several or len(images) != len(captions) or None in numbers:
        return rows
    keys = {index: (int(match[1]), match[2]) for index, match in zip(captions, numbers, strict=True) if match}
    return [(images, sorted(captions, key=keys.__getitem__))]


def _assign(images: Sequence[int], captions: Sequence[int], slots: Sequence[Slot]) -> dict[int, RowCaption] | None:
    if len(images) == 1:
        counts = [1]
    elif len(captions) == 1:
        counts = [len(images)]
    elif len(captions) == len(images):
        counts = [1] * len(images)
    else:
        counts = [_figure_count(slots[index]) for index in captions]
        if sum(counts) != len(images):
            return None
    owners = [RowCaption(slot, count) for slot, count in zip(captions, counts, strict=False) for _ in range(count)]
    return dict(zip(images, owners, strict=True))


def _figure_count(slot: Slot) -> int:
    """Return how many figures the number of a caption names: 3 of "Figs. 10-12.", 2 of "Figs. 4 and 5."."""
    label = _label(slot)
    match = _RANGE.search(label)
    if match is not None:
        count = int(match[2]) - int(match[1]) + 1
        return count if 1 < count <= _MOST_FIGURES else 1
    return 1 + len(_AND.findall(label))


def _label(slot: Slot) -> str:
    return caption_label(slot.text) if isinstance(slot, TextSlot) else ""
