"""Decides which slots of a page are its main body: what the extractor kept, and what it lost from the middle of that.

Extractors judge by length, links and names; what they drop between two parts that they keep is at times a figure or a
paragraph of the body. The rules below, which are ours, take such things back, and never menus or advertisements.
"""

from __future__ import annotations

from itertools import pairwise

from domainvl.corpus.sources.page_tree import MarkedPage
from domainvl.interleaved.documents import ImageSlot, TextKind, TextSlot

_LEAD_SLOTS = 8
"""So many slots before the first that was kept are searched for the title and the picture above the text."""

_GAP_SLOTS = 6
"""A gap of more slots was left out on purpose, such as a list of links."""

_SENTENCE_CHARACTERS = 60
_SENTENCE_ENDS = tuple(".!?:;…。！？：；)”\"'")


def select_body(page: MarkedPage, kept: set[int]) -> list[int]:
    """Return the indices of the slots of the main body, in page order.

    Args:
        page: The page.
        kept: What an extractor kept. Where it is nothing, because the page is short or the extractor took its text from
            elsewhere (trafilatura's last resort), the whole page is the body, without what its names say is around it.
    """
    own = [index for index, block in enumerate(page.blocks) if not block.is_boilerplate]
    if not any(isinstance(page.slots[index], TextSlot) for index in kept):
        return own or list(range(len(page.slots)))
    chosen = set(kept)
    chosen.update(_lead(page, own, min(kept)))
    chosen.update(_gaps(page, own, chosen))
    chosen.update(_companions(page, own, chosen))
    return sorted(chosen)


def _lead(page: MarkedPage, own: list[int], first: int) -> list[int]:
    """Return the title and the pictures right before the first slot that was kept."""
    before = [index for index in own if index < first][-_LEAD_SLOTS:]
    return [index for index in before if isinstance(page.slots[index], ImageSlot) or _is_title(page, index)]


def _is_title(page: MarkedPage, index: int) -> bool:
    slot = page.slots[index]
    return isinstance(slot, TextSlot) and slot.kind == TextKind.HEADER and slot.level == 1


def _gaps(page: MarkedPage, own: list[int], chosen: set[int]) -> list[int]:
    """Return what was dropped between slots that were kept: images, captions and whole sentences."""
    found: list[int] = []
    gap: list[int] = []
    is_open = False
    for index in sorted({*own, *chosen}):
        if index not in chosen:
            gap.append(index)
            continue
        if is_open and len(gap) <= _GAP_SLOTS:
            found += [one for one in gap if _is_content(page, one)]
        gap, is_open = [], True
    if is_open and all(isinstance(page.slots[index], ImageSlot) for index in gap):
        found += gap  # a page that ends with pictures
    return found


def _is_content(page: MarkedPage, index: int) -> bool:
    slot = page.slots[index]
    if isinstance(slot, ImageSlot) or slot.kind == TextKind.CAPTION:
        return True
    return len(slot.text) >= _SENTENCE_CHARACTERS and slot.text.endswith(_SENTENCE_ENDS)


def _companions(page: MarkedPage, own: list[int], chosen: set[int]) -> list[int]:
    """Return captions beside images that were kept, and images beside captions that were kept."""
    found = []
    for before, after in pairwise(own):
        roles = {_role(page, before), _role(page, after)}
        if (before in chosen) != (after in chosen) and roles == {"image", "caption"}:
            found.append(after if before in chosen else before)
    return found


def _role(page: MarkedPage, index: int) -> str:
    slot = page.slots[index]
    if isinstance(slot, ImageSlot):
        return "image"
    return "caption" if slot.kind == TextKind.CAPTION else "text"
