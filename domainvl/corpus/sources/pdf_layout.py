"""Puts the lines and pictures of a paged document into reading order, and lines together to paragraphs.

All lengths are in points, y upwards, as a page is shown. The rules and their numbers are ours: what a PDF says of its
order is nothing, so that it has to be guessed from where things stand.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from domainvl.corpus.sources.captions import is_caption_text

_GUTTER_PLACES = 64
"""So many places across a page are tried for the space between two columns."""

_COLUMN_LINES_MIN = 3
_COLUMN_WIDTH_MIN = 0.15
"""Least width of a column as a share of all that is on the page."""

_COLUMN_FILL_MIN = 0.6
"""Least median width of a column's lines as a share of the column; the cells of a table are narrower."""

_CROSSING_MAX = 0.5
"""Greatest share of lines that run across the space between columns, such as titles and wide captions."""

_SAME_SIZE = 1.15
_LEADING_SLACK = 0.5
_INDENT_HEIGHTS = 0.8
_SHORT_LINE = 0.85
"""Lines of a paragraph: their heights differ by this factor at most; the gap between them exceeds the usual one of
the column by this share of a height at most; a first line is indented by this many heights; a line that reaches less
far than this share of the column and ends a sentence is the last one."""

_BULLET = re.compile(r"(?:[•◦▪‣●–—*-]|\(?\d{1,3}[.)]|\[\d{1,4}\]|\(?[a-z]\))\s+\S")
_SENTENCE_END = re.compile(r"[.!?:;。！？：；][\"'”’)\]]*\Z")
_WIDE_FROM = 0x2E80
"""From here on Unicode has the scripts that put no blanks between words (CJK radicals and what follows)."""


@dataclass(frozen=True)
class Box:
    """A rectangle on a page.

    Attributes:
        left: In points.
        bottom: In points, upwards.
        right: In points.
        top: In points.
    """

    left: float
    bottom: float
    right: float
    top: float

    @property
    def middle(self) -> float:
        """Height of its middle."""
        return (self.bottom + self.top) / 2

    @property
    def height(self) -> float:
        """From bottom to top."""
        return self.top - self.bottom


@dataclass(frozen=True)
class Line:
    """A line of text, or the part of one in a column or cell.

    Attributes:
        text: What stands there, without the hyphen that divides its last word.
        box: Where; as high as the font.
        divided: Whether its last word goes on in the next line behind a hyphen.
    """

    text: str
    box: Box
    divided: bool = False


@dataclass(frozen=True)
class Picture:
    """The place of an image.

    Attributes:
        number: Which image of the page.
        box: Where.
    """

    number: int
    box: Box


Item: TypeAlias = Line | Picture


@dataclass(frozen=True)
class Paragraph:
    """Lines that belong together.

    Attributes:
        text: Their text.
        height: Median height of the lines.
        is_item: Whether it begins like an item of a list.
    """

    text: str
    height: float
    is_item: bool


def paragraphs_in_order(items: Sequence[Item], words: frozenset[str]) -> list[Paragraph | Picture]:
    """Put what is on a page into reading order.

    Args:
        items: Lines and pictures in any order.
        words: Words with a hyphen that stand undivided somewhere in the document, in lower case; where a line ends in
            one of them, its hyphen is kept.
    """
    found: list[Paragraph | Picture] = []
    for run in _runs(list(items)):
        found += _paragraphs(_rows(run), words)
    return found


def _runs(items: list[Item]) -> list[list[Item]]:
    """Divide a page into stretches of one column each, in reading order."""
    gutter = _gutter(items)
    if gutter is None:
        return [items] if items else []
    crossing = sorted((item for item in items if _crosses(item, gutter)), key=lambda item: -item.box.middle)
    waiting = sorted((item for item in items if not _crosses(item, gutter)), key=lambda item: -item.box.middle)
    runs: list[list[Item]] = []
    across: list[Item] = []
    for separator in crossing:
        above = [item for item in waiting if item.box.middle > separator.box.middle]
        if above:
            runs += [across] if across else []
            runs += _columns(above, gutter)
            waiting, across = waiting[len(above) :], []
        across.append(separator)
    runs += [across] if across else []
    return runs + _columns(waiting, gutter)


def _columns(items: list[Item], gutter: float) -> list[list[Item]]:
    left = [item for item in items if item.box.right <= gutter]
    right = [item for item in items if item.box.right > gutter]
    return [*_runs(left), *_runs(right)]


def _crosses(item: Item, gutter: float) -> bool:
    return item.box.left < gutter < item.box.right


def _gutter(items: Sequence[Item]) -> float | None:
    """Find the space between two columns of text: crossed by as few lines as can be, with as many on both sides."""
    boxes = [item.box for item in items if isinstance(item, Line)]
    if len(boxes) < 2 * _COLUMN_LINES_MIN:
        return None
    first, last = min(box.left for box in boxes), max(box.right for box in boxes)
    best: tuple[int, int] | None = None
    found = None
    for place in range(1, _GUTTER_PLACES):
        x = first + (last - first) * place / _GUTTER_PLACES
        left = [box for box in boxes if box.right <= x]
        right = [box for box in boxes if box.left >= x]
        crossing = len(boxes) - len(left) - len(right)
        rank = (-crossing, min(len(left), len(right)))
        if crossing > _CROSSING_MAX * len(boxes) or (best is not None and rank <= best):
            continue
        if _is_column(left, last - first) and _is_column(right, last - first) and _side_by_side(left, right):
            best, found = rank, x
    return found


def _is_column(boxes: Sequence[Box], page_width: float) -> bool:
    if len(boxes) < _COLUMN_LINES_MIN:
        return False
    width = max(box.right for box in boxes) - min(box.left for box in boxes)
    usual = statistics.median(box.right - box.left for box in boxes)
    return width >= _COLUMN_WIDTH_MIN * page_width and usual >= _COLUMN_FILL_MIN * width


def _side_by_side(left: Sequence[Box], right: Sequence[Box]) -> bool:
    top = min(max(box.top for box in side) for side in (left, right))
    bottom = max(min(box.bottom for box in side) for side in (left, right))
    return top > bottom


def _rows(run: Iterable[Item]) -> list[Item]:
    """Sort a column from top to bottom, and join the parts of one line, such as the cells of a row."""
    rows: list[Item] = []
    for item in sorted(run, key=lambda item: (-_height_of(item), item.box.left)):
        before = rows[-1] if rows else None
        if isinstance(item, Line) and isinstance(before, Line) and _in_row(before.box, item.box):
            rows[-1] = _joined(before, item)
        else:
            rows.append(item)
    return rows


def _height_of(item: Item) -> float:
    """Where an item counts from: a picture from its top, so that what is written on it stands behind it."""
    return item.box.top if isinstance(item, Picture) else item.box.middle


def _in_row(before: Box, box: Box) -> bool:
    overlap = min(before.top, box.top) - max(before.bottom, box.bottom)
    apart = box.left >= before.right or box.right <= before.left
    return apart and overlap > 0.5 * min(before.height, box.height)


def _joined(before: Line, line: Line) -> Line:
    first, second = (before, line) if before.box.left <= line.box.left else (line, before)
    boxes = (before.box, line.box)
    box = Box(
        min(one.left for one in boxes),
        min(one.bottom for one in boxes),
        max(one.right for one in boxes),
        max(one.top for one in boxes),
    )
    return Line(f"{first.text} {second.text}", box, second.divided)


def _paragraphs(rows: Sequence[Item], words: frozenset[str]) -> list[Paragraph | Picture]:
    lines = [row for row in rows if isinstance(row, Line)]
    column = _Column.of(lines)
    found: list[Paragraph | Picture] = []
    held: list[Line] = []
    for row in rows:
        if held and (isinstance(row, Picture) or not column.goes_on(held[-1], row)):
            found.append(_paragraph(held, words))
            held = []
        if isinstance(row, Picture):
            found.append(row)
        else:
            held.append(row)
    return [*found, _paragraph(held, words)] if held else found


@dataclass(frozen=True)
class _Column:
    left: float
    right: float
    usual_gap: float

    @classmethod
    def of(cls, lines: Sequence[Line]) -> _Column:
        if not lines:
            return cls(0.0, 0.0, 0.0)
        gaps = [
            before.box.bottom - line.box.top
            for before, line in itertools.pairwise(lines)
            if _same_size(before.box, line.box)
        ]
        usual = statistics.median_low(gaps) if gaps else 0.0
        return cls(min(line.box.left for line in lines), max(line.box.right for line in lines), usual)

    def goes_on(self, before: Line, line: Line) -> bool:
        """Say whether a line belongs to the paragraph of the one before."""
        if before.divided:
            return True
        height = before.box.height
        gap = before.box.bottom - line.box.top
        if not _same_size(before.box, line.box) or gap > max(self.usual_gap, 0.0) + _LEADING_SLACK * height:
            return False
        if _BULLET.match(line.text):
            return False
        ends = _SENTENCE_END.search(before.text) is not None
        if ends and is_caption_text(line.text):
            return False
        is_short = before.box.right < self.left + _SHORT_LINE * (self.right - self.left)
        if ends and is_short:
            return False
        hangs = _BULLET.match(before.text) is not None
        return hangs or line.box.left - before.box.left <= _INDENT_HEIGHTS * height or not ends


def _same_size(one: Box, other: Box) -> bool:
    return max(one.height, other.height) <= _SAME_SIZE * min(one.height, other.height)


def _paragraph(lines: Sequence[Line], words: frozenset[str]) -> Paragraph:
    text = ""
    divided = False
    for line in lines:
        text = _mended(text, line.text, words) if divided else _appended(text, line.text)
        divided = line.divided
    height = statistics.median(line.box.height for line in lines)
    return Paragraph(text + ("-" if divided else ""), height, _BULLET.match(lines[0].text) is not None)


def _appended(text: str, more: str) -> str:
    if not text:
        return more
    is_wide = ord(text[-1]) >= _WIDE_FROM and ord(more[0]) >= _WIDE_FROM
    return f"{text}{more}" if is_wide else f"{text} {more}"


def _mended(text: str, more: str, words: frozenset[str]) -> str:
    """Join the halves of a divided word; the hyphen goes where both are small letters and no such compound is known."""
    first, second = re.search(r"[^\W\d_]*\Z", text), re.match(r"[^\W\d_]*", more)
    head, tail = first[0] if first else "", second[0] if second else ""
    is_word = bool(head) and bool(tail) and head[-1].islower() and tail[0].islower()
    keep = not is_word or f"{head}-{tail}".lower() in words
    return f"{text}-{more}" if keep else f"{text}{more}"
