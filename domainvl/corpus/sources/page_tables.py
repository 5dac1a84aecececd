"""Puts the slots of tables in order: cells of data into rows, and figures side by side next to their captions.

Pages without style sheets set figures side by side in a row of a table, and their captions in the row below. Read row
by row, all figures would come before all captions; here each caption follows the figures of its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from domainvl.corpus.sources.captions import caption_label, is_caption_text
from domainvl.corpus.sources.page_tree import Block, Cell, Row
from domainvl.interleaved.documents import ImageSlot, Slot, TextKind, TextSlot

_CELL_SEPARATOR = " | "
_LOOKED_AT = 100  # entries above a caption that are looked at for its figure, so that no table takes too long

_COLUMNS_MAX = 100
"""In tables with more columns empty cells get no place: few bytes of a page can tell of very many columns. Ours."""


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

    @property
    def is_number(self) -> bool:
        """Whether it is the number of a figure ("Fig. 89.") and nothing else: what it shows may stand further down."""
        return isinstance(self.slot, TextSlot) and not self.slot.text[len(caption_label(self.slot.text)) :].strip()


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
        if table is None:
            arranged += [_as_caption(entry).slot for entry in held]
        elif any(entry.is_image for entry in held):
            arranged += [slot for entry in _place_captions(held) for slot in _join_cells([entry], is_layout=True)]
        else:
            rows = [list(row) for _, row in groupby(held, key=lambda entry: entry.row)]
            has_columns = any(len({entry.cell for entry in row}) > 1 for row in rows)
            for row in rows:
                arranged += _join_cells(row, is_layout=not has_columns or _is_alone(row))
    return arranged


def _place_captions(entries: Sequence[_Entry]) -> list[_Entry]:
    """Put each caption behind the last thing above in its columns, if that is a figure or its label."""
    placed: list[_Entry] = []
    for entry in map(_as_caption, entries):
        place = _place_above(placed, entry) if entry.is_caption else None
        placed.insert(len(placed) if place is None else place, entry)
    return placed


def _place_above(placed: Sequence[_Entry], caption: _Entry) -> int | None:
    """Return the index behind the last thing above a caption, None if that is neither a figure nor its label."""
    for index in range(len(placed) - 1, max(-1, len(placed) - 1 - _LOOKED_AT), -1):
        if _share_columns(placed[index].cell, caption.cell):
            above = placed[index]
            of_cell = [entry for entry in placed[max(0, index - 2) : index + 1] if entry.cell is above.cell]
            is_open = above.is_number or not above.is_caption
            return index + 1 if is_open and any(entry.is_image for entry in of_cell) else None
    return None


def _as_caption(entry: _Entry) -> _Entry:
    slot = entry.slot
    if isinstance(slot, TextSlot) and slot.kind in (TextKind.TEXT, TextKind.TABLE) and is_caption_text(slot.text):
        return replace(entry, slot=replace(slot, kind=TextKind.CAPTION))
    return entry


def _share_columns(first: Cell | None, second: Cell | None) -> bool:
    return first is not None and second is not None and first.begin < second.end and second.begin < first.end


def _join_cells(row: Sequence[_Entry], *, is_layout: bool) -> Iterator[Slot]:
    """Yield the slots of a row, its cells of data as one; cells of a layout are text."""
    for is_data, group in groupby(row, key=_is_data):
        slots = [entry.slot for entry in group]
        texts = [slot for slot in slots if isinstance(slot, TextSlot)]
        if not is_data:
            yield from slots
        elif is_layout:
            yield from (replace(text, kind=TextKind.TEXT) for text in texts)
        else:
            is_whole = len(slots) == len(row)
            cells = _in_columns(row) if is_whole else [" ".join(text.text.split()) for text in texts]
            yield TextSlot(_CELL_SEPARATOR.join(cells), TextKind.TABLE)


def _is_alone(row: Sequence[_Entry]) -> bool:
    """Say whether a row is one cell over all columns, such as a heading within a table."""
    cell = row[0].cell
    is_whole = cell is not None and cell.end - cell.begin >= cell.row.table.column_count
    return is_whole and all(entry.cell is cell for entry in row)


def _in_columns(row: Sequence[_Entry]) -> list[str]:
    """Return the texts of a row by columns: empty ones, and what cells above reach into, keep their places."""
    count = row[0].row.table.column_count if row[0].row is not None else 0
    texts: dict[int, list[str]] = {}
    for entry in row:
        if entry.cell is not None and isinstance(entry.slot, TextSlot):
            texts.setdefault(entry.cell.begin, []).append(" ".join(entry.slot.text.split()))
    places = range(count) if count <= _COLUMNS_MAX else texts
    return [" ".join(texts.get(place, ())) for place in places]


def _is_data(entry: _Entry) -> bool:
    return isinstance(entry.slot, TextSlot) and entry.slot.kind == TextKind.TABLE
