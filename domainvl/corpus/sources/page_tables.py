"""Puts the slots of tables in order: cells of data into rows, and figures side by side next to their captions.

Pages without style sheets set figures side by side in a row of a table, and their captions in the row below. Read row
by row, all figures would come before all captions; here each caption follows the figures of its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from domainvl.corpus.sources.captions import is_caption_text
from domainvl.corpus.sources.page_tree import Block, Cell, Row
from domainvl.interleaved.documents import ImageSlot, Slot, TextKind, TextSlot

_CELL_SEPARATOR = " | "


@dataclass(frozen=True)
class _Entry:
    """A slot and the cell that it stands in."""

    slot: Slot
    cell: Cell | None

    @property
    def row(self) -> Row | None:
        return self.cell.row if self.cell is not None else None

    @property
    def is_image(self) -> bool:
        return isinstance(self.slot, ImageSlot)

    @property
    def is_caption(self) -> bool:
        return isinstance(self.slot, TextSlot) and self.slot.kind == TextKind.CAPTION


def arrange(slots: Sequence[Slot], blocks: Sequence[Block]) -> list[Slot]:
    """Arrange the slots of a page.

    Args:
        slots: Those of the main body, in page order.
        blocks: Where each stands.

    Returns:
        The slots; images in the order in which they came. Texts that begin as captions do are captions, in tables only
        where there is an image too: a list of figures has such texts as well.
    """
    entries = [_Entry(slot, block.cell) for slot, block in zip(slots, blocks, strict=True)]
    arranged: list[Slot] = []
    for table, group in groupby(entries, key=lambda entry: entry.row.table if entry.row is not None else None):
        held = list(group)
        if table is None or any(entry.is_image for entry in held):
            held = [_as_caption(entry) for entry in held]
        rows = [list(row) for _, row in groupby(held, key=lambda entry: entry.row)]
        for row in _pair_rows(rows):
            arranged += _join_cells(row)
    return arranged


def _as_caption(entry: _Entry) -> _Entry:
    slot = entry.slot
    if isinstance(slot, TextSlot) and slot.kind in (TextKind.TEXT, TextKind.TABLE) and is_caption_text(slot.text):
        return replace(entry, slot=replace(slot, kind=TextKind.CAPTION))
    return entry


def _pair_rows(rows: list[list[_Entry]]) -> Iterator[list[_Entry]]:
    """Yield rows; a row of captions below one of figures is put into that."""
    index = 0
    while index < len(rows):
        if index + 1 < len(rows) and _are_figures_and_captions(rows[index], rows[index + 1]):
            yield _pair(rows[index], rows[index + 1])
            index += 2
        else:
            yield rows[index]
            index += 1


def _are_figures_and_captions(above: Sequence[_Entry], below: Sequence[_Entry]) -> bool:
    in_cells = above[0].cell is not None and below[0].cell is not None
    return (
        in_cells
        and any(entry.is_image for entry in above)
        and not any(entry.is_image for entry in below)
        and any(entry.is_caption for entry in below)
    )


def _pair(above: Sequence[_Entry], below: Sequence[_Entry]) -> list[_Entry]:
    """Put each entry of the lower row behind the last entry of the upper row whose columns it shares."""
    behind: dict[int, list[_Entry]] = {}
    for entry in below:
        over = [index for index, figure in enumerate(above) if _share_columns(figure.cell, entry.cell)]
        behind.setdefault(over[-1] if over else len(above) - 1, []).append(entry)
    return [entry for index, figure in enumerate(above) for entry in (figure, *behind.get(index, ()))]


def _share_columns(first: Cell | None, second: Cell | None) -> bool:
    return first is not None and second is not None and first.begin < second.end and second.begin < first.end


def _join_cells(row: Sequence[_Entry]) -> Iterator[Slot]:
    """Yield the slots of a row, its cells of data as one; cells beside an image, or alone, are text."""
    is_layout = any(entry.is_image for entry in row) or len(row) == 1
    for is_data, group in groupby(row, key=_is_data):
        slots = [entry.slot for entry in group]
        texts = [slot for slot in slots if isinstance(slot, TextSlot)]
        if not is_data:
            yield from slots
        elif is_layout:
            yield from (replace(text, kind=TextKind.TEXT) for text in texts)
        else:
            yield TextSlot(_CELL_SEPARATOR.join(" ".join(text.text.split()) for text in texts), TextKind.TABLE)


def _is_data(entry: _Entry) -> bool:
    return isinstance(entry.slot, TextSlot) and entry.slot.kind == TextKind.TABLE
