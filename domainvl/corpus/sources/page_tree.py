"""Walks the tree of a web page into slots in page order, and marks each of them in the tree.

A mark is one private-use character at the beginning of a text, and the alternative text of an image. Extractors work
on the marked tree; which marks are left in what they give says what they kept, and texts, kinds and order come from the
page itself. So every extractor keeps images where they stand, also one that gives text alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from domainvl.corpus.extras import require
from domainvl.corpus.sources.captions import is_caption_class
from domainvl.corpus.sources.notation import simplify
from domainvl.corpus.sources.page_images import (
    find_address,
    image_reference,
    is_data,
    is_tracking_pixel,
    resolve_address,
)
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, Slot, TextKind, TextSlot

_FIRST_MARK, _SECOND_MARK = 0xF0000, 0x100000
_MARKS_A_PLANE = 0xFFFE  # the last two code points of a plane are no characters (Unicode, section 23.7)
_MAX_MARKS = 2 * _MARKS_A_PLANE
MARK = re.compile("[\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
"""A mark: the private use planes 15 and 16, which mean nothing outside the font of a page."""

_MAYBE_MARKS = re.compile(rb"[\xf3\xf4]|&#(?:x0*[f1]|0*[91])[\da-f]{4}", re.I)
"""How a mark begins in UTF-8 or as a character reference; others that begin so do no harm."""

_KINDS = {
    "li": TextKind.LIST,
    "dt": TextKind.LIST,
    "dd": TextKind.LIST,
    "blockquote": TextKind.QUOTE,
    "pre": TextKind.CODE,
    "listing": TextKind.CODE,
    "xmp": TextKind.CODE,
    "figcaption": TextKind.CAPTION,
    "caption": TextKind.CAPTION,
    "td": TextKind.TABLE,
    "th": TextKind.TABLE,
    "details": TextKind.DETAIL,
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), TextKind.HEADER),
}
_BLOCKS = frozenset(
    "address article aside body center dialog dir div dl fieldset figure footer form header hr legend main menu nav ol"
    " optgroup option p section summary table tbody tfoot thead tr ul".split()
).union(_KINDS)
"""Elements that texts do not run across (WHATWG HTML, 15.3, display: block, list-item and the table's)."""

_BODIES = frozenset(("body", "main", "article"))
_TELLING = frozenset(("table", "tr", *_KINDS))
_IMAGES = frozenset(("img", "amp-img"))
_LEVELS = {f"h{rank}": rank for rank in range(1, 7)}
_STARTING = _BLOCKS | _IMAGES | {"br", "picture", "source"}
REMOVED = (
    *"applet aside audio button canvas dialog embed fencedframe footer frame head iframe input map menu".split(),
    *"nav noframes noscript object option script select style svg template textarea video".split(),
)
"""Elements without texts or images of the main body: what trafilatura removes too (2.3.1, settings.py:341, list
MANUALLY_CLEANED), apart from forms, which old pages stand in as a whole, and formulas, which are written as text."""

_FORUM = "DiscussionForumPosting"  # in a script, by which trafilatura knows a forum (2.3.1, core.py:118)
_BOILERPLATE = re.compile(
    r"(?:^|[\s_-])(?:ads?|adverts?|advertisements?|banner|breadcrumbs?|comments?|cookies?|footer|masthead|menu|nav|navbar"
    r"|navigation|newsletter|popup|promo|related|share|sharing|sidebar|social|sponsor(?:ed)?|subscribe|toolbar|widget)"
    r"(?:$|[\s_-])",
    re.I,
)
"""Names of classes and ids of what is around a main body, as extractors look for too; the list is ours."""

_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_PAGE_NUMBER = "pagenum"  # of the printed page, in the middle of sentences: Project Gutenberg's convention
_BREAK = "\0"  # no page has it: decoding takes it out
_PARAGRAPH_GAP = re.compile(r"\0\s*\0")
_INVISIBLE = "\u200b\u2060\ufeff\u00ad"
_DEPTH_ERROR = "ERR_RESOURCE_LIMIT"


class Table:
    """A table; tables are told apart by identity.

    Attributes:
        column_count: Columns of its widest row.
    """

    __slots__ = ("column_count", "reaching")

    def __init__(self) -> None:
        self.column_count = 0
        self.reaching: dict[int, int] = {}  # for columns, how many rows to come a cell above reaches into


class Row:
    """A row of a table; rows are told apart by identity."""

    __slots__ = ("_column", "_taken", "table")

    def __init__(self, table: Table | None) -> None:
        self.table = table or Table()
        reaching = self.table.reaching
        self._taken = set(reaching)
        self.table.reaching = {column: left - 1 for column, left in reaching.items() if left > 1}
        self._column = 0

    def add(self, columns: str, rows: str) -> Cell:
        """Add a cell, with its ``colspan`` and ``rowspan``, behind what reaches down from above."""
        while self._column in self._taken:
            self._column += 1
        begin = self._column
        self._column += _span(columns)
        self.table.column_count = max(self.table.column_count, self._column)
        reach = _span(rows) - 1
        if reach:
            self.table.reaching.update(dict.fromkeys(range(begin, self._column), reach))
        return Cell(self, begin, self._column)


def _span(text: str) -> int:
    """Read a span; at most 1,000 as WHATWG HTML has it for columns (4.9.11)."""
    return min(1000, max(1, int(text))) if text and text.isascii() and text.isdecimal() and len(text) <= 9 else 1


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        row: Its row.
        begin: Its first column, from 0.
        end: The column behind its last.
    """

    row: Row
    begin: int
    end: int


class Block(NamedTuple):
    """What an element says of the texts in it, where elements inside do not say otherwise.

    Attributes:
        kind: What they are.
        level: Rank of a heading.
        is_boilerplate: They are in an advertisement, among comments or the like, by the names of classes.
        table: The innermost table.
        row: The innermost row.
        cell: The innermost cell.
    """

    kind: TextKind = TextKind.TEXT
    level: int | None = None
    is_boilerplate: bool = False
    table: Table | None = None
    row: Row | None = None
    cell: Cell | None = None


@dataclass(frozen=True)
class LeftOut:
    """An image, or something else, that gets no slot.

    Attributes:
        address: As it stands in the page; empty where it is no image.
        reason: A code to count by.
        rule: Why.
    """

    address: str
    reason: str
    rule: str


@dataclass
class MarkedPage:
    """A page whose slots are marked in its tree.

    Attributes:
        tree: The root element.
        slots: All texts and images of the page, of menus and advertisements too, in page order; the index of a slot is
            that of its mark.
        blocks: Where each stands.
        held: Bytes of the images in the page itself, by address.
        left_out: What has no slot.
    """

    tree: Any
    slots: list[Slot] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    held: dict[str, bytes] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


_NO_XML = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
    "|&#(?:0*(?:[0-8]|1[124-9]|2[0-9]|3[01]|6553[45])(?![0-9])|x0*(?:[0-8bcef]|1[0-9a-f]|fff[ef])(?![0-9a-f]));?",
    re.I,
)
"""Characters that XML has none of (XML 1.0, section 2.2), such as form feeds, bare and as references: lxml reads them
and then refuses to write them."""

_CONTROLS = bytes({*range(32)} - {*b"\t\n\r"})


def parse_page(text: str) -> Any:
    """Parse a page as browsers do, whatever its faults; nothing is fetched, and no entity of its own is expanded.

    Raises:
        ItemError: With reason ``empty`` if there is no element, ``too-deep`` if elements are nested deeper than 256,
            which is libxml2's limit (xmlParserMaxDepth) and keeps everything behind it from overflowing.
    """
    etree, html = require("lxml.etree"), require("lxml.html")
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=False, no_network=True)
    try:
        content = text.encode("utf-8", "replace")
        # Looking for bytes is much faster than the pattern, and few pages have what it may match.
        if len(content.translate(None, _CONTROLS)) < len(content) or any(
            sign in content for sign in (b"&#", b"\xef\xbf")
        ):
            content = _NO_XML.sub(" ", text).encode("utf-8", "replace")
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise ItemError("Cannot read a page", reason="empty", rule=str(error)) from error
    if root is None:
        raise ItemError("Cannot read a page", reason="empty", rule="it must have an element, got none")
    if any(_DEPTH_ERROR in entry.type_name for entry in parser.error_log):
        rule = "elements may be nested 256 deep, got more"
        raise ItemError("Cannot read a page", reason="too-deep", rule=rule, action="Mend its unclosed elements")
    if _MAYBE_MARKS.search(content):
        _remove_marks(root)
    return root


def _remove_marks(root: Any) -> None:
    """Remove what could pass for marks."""
    for element in root.iter():
        element.text = MARK.sub("", element.text or "")
        element.tail = MARK.sub("", element.tail or "")


def mark_page(root: Any, address: str) -> MarkedPage:
    """Walk a page and mark its slots.

    Args:
        root: From :func:`parse_page`; it is changed.
        address: Address of the page, which those of images are made absolute with.

    Raises:
        ItemError: With reason ``too-many-slots`` if there are more than 131,068, for which there are marks.
    """
    base = next((element.get("href") for element in root.iter("base") if element.get("href")), None)
    page = MarkedPage(root, left_out=_drawn_texts(root))
    _remove_surroundings(root)
    simplify(root)
    walk = _Walk(page, resolve_address(base, address, keep_folder=True) if base else address)
    walk.run()
    return walk.page


def _drawn_texts(root: Any) -> list[LeftOut]:
    """Say how many drawings of a page have text, which is left out with them."""
    count = sum(drawing.find(".//text") is not None for drawing in root.iter("svg"))
    return [LeftOut("", "svg-text", f"{count} drawings (svg) have text: they are left out")] if count else []


def _remove_surroundings(root: Any) -> None:
    """Remove what is never body; an image for readers without scripts takes the place of one that waits for them."""
    for element in root.findall(".//noscript"):
        image, before = element.find(".//img"), element.getprevious()
        if image is None:
            continue
        if before is None or before.tag not in _IMAGES:
            element.tag = "span"
        elif image_reference(before.attrib) is None or is_data(image_reference(before.attrib) or ""):
            before.set("src", image.get("src") or "")
    is_forum = any(_FORUM in (script.text or "") for script in root.iter("script"))
    removed = [tag for tag in REMOVED if tag != "script" or not is_forum]
    require("lxml.etree").strip_elements(root, *removed, with_tail=False)


def marks_in(text: str) -> set[int]:
    """Return the indices of the slots whose marks are left in what an extractor gave."""
    return {_index_of(ord(mark)) for mark in MARK.findall(text)}


def _index_of(code: int) -> int:
    return code - _FIRST_MARK if code < _SECOND_MARK else code - _SECOND_MARK + _MARKS_A_PLANE


def _mark_of(index: int) -> str:
    if index >= _MAX_MARKS:
        rule = f"it may have {_MAX_MARKS:,} texts and images, got more"
        raise ItemError("Cannot read a page", reason="too-many-slots", rule=rule, action="Divide it")
    return chr(_FIRST_MARK + index if index < _MARKS_A_PLANE else _SECOND_MARK + index - _MARKS_A_PLANE)


class _Walk:
    """One walk over a page; without recursion, so that no page can overflow it."""

    def __init__(self, page: MarkedPage, base: str) -> None:
        self.page = page
        self._base = base
        self._elements: list[Any] = [None]
        self._blocks: list[Block] = [Block()]
        self._parts: list[str] = []
        self._first: tuple[Any, bool] | None = None
        self._sets: list[str] = []
        self._names: dict[str, tuple[bool, bool]] = {}

    def run(self) -> None:
        """Walk the whole page."""
        events = require("lxml.etree").iterwalk(self.page.tree, events=("start", "end"))
        elements = self._elements
        for event, element in events:
            if event == "start":
                tag, attributes = element.tag, element.items()
                is_hidden, names = _read_attributes(attributes, tag in _BLOCKS) if attributes else (False, "")
                if is_hidden:
                    events.skip_subtree()
                    continue
                if names or tag in _STARTING:
                    self._start(element, tag, names)
                text, is_tail = element.text, False
            else:
                if elements[-1] is element:
                    if self._first is not None:
                        self._flush()
                    elements.pop()
                    self._blocks.pop()
                text, is_tail = element.tail, True
            if text and (self._first is not None or not text.isspace()):
                if self._first is None:
                    self._first = element, is_tail
                self._parts.append(text)
        self._flush()

    def _start(self, element: Any, tag: str, names: str) -> None:
        is_caption, is_boilerplate = self._told_by(names) if names else (False, False)
        if tag in _BLOCKS or is_caption:
            if self._first is not None:
                self._flush()
            self._elements.append(element)
            self._blocks.append(_inner_block(self._blocks[-1], element, tag, is_caption, is_boilerplate))
        elif tag == "br":
            self._break()
        elif tag in _IMAGES:
            self._image(element, is_boilerplate)
        elif tag == "picture":
            self._sets = []
        elif tag == "source":
            self._sets.append(element.get("srcset") or element.get("data-srcset") or "")

    def _told_by(self, names: str) -> tuple[bool, bool]:
        """Say whether names of classes are those of a caption, and of boilerplate; pages repeat them a lot."""
        found = self._names.get(names)
        if found is None:
            found = self._names[names] = is_caption_class(names), _BOILERPLATE.search(names) is not None
        return found

    def _break(self) -> None:
        if self._first is not None:
            self._parts.append(_BREAK)
            if _PARAGRAPH_GAP.search("".join(self._parts[-3:])):
                self._flush()

    def _flush(self) -> None:
        """End the text that is being gathered."""
        first, text = self._first, "".join(self._parts)
        self._first, self._parts = None, []
        block = self._blocks[-1]
        text = _clean_code(text) if block.kind is TextKind.CODE else _clean(text)
        if first is None or not text:
            return
        element, is_tail = first
        mark = self._put(TextSlot(text, block.kind, block.level), block)
        if is_tail:
            element.tail = mark + element.tail
        else:
            element.text = mark + element.text

    def _image(self, element: Any, is_boilerplate: bool) -> None:
        # Its sources are those of the picture that it is in; libxml2 puts it into a source that is not closed.
        is_in_picture = bool(self._sets) and next(element.iterancestors("picture"), None) is not None
        reference = image_reference(element.attrib, self._sets if is_in_picture else ())
        if reference is None:
            return self._leave_out("", "no-address", "an image must have an address")
        if is_tracking_pixel(element.attrib):
            return self._leave_out(reference, "tracking-pixel", "it declares a size of at most 1 x 1")
        try:
            url = find_address(reference, self._base, self.page.held)
        except ItemError as error:
            return self._leave_out(reference[:60], error.reason, error.rule or error.what)
        self._flush()
        block = self._blocks[-1]
        if is_boilerplate:
            block = block._replace(is_boilerplate=True)
        alt = " ".join((element.get("alt") or element.get("title") or "").split())
        mark = self._put(ImageSlot(url, alt=alt or None), block)
        element.attrib.clear()  # late addresses, sizes and names that extractors judge images by
        element.tag = "img"
        element.set("src", "https://image.invalid/image.png")
        element.set("alt", mark)
        return None

    def _leave_out(self, address: str, reason: str, rule: str) -> None:
        self.page.left_out.append(LeftOut(address, reason, rule))

    def _put(self, slot: Slot, block: Block) -> str:
        mark = _mark_of(len(self.page.slots))
        self.page.slots.append(slot)
        self.page.blocks.append(block)
        return mark


def _inner_block(outer: Block, element: Any, tag: str, is_caption: bool, is_boilerplate: bool) -> Block:
    """Return what holds inside an element; most elements change nothing."""
    is_boilerplate = (outer.is_boilerplate or is_boilerplate) and tag not in _BODIES
    if tag not in _TELLING and not is_caption and is_boilerplate == outer.is_boilerplate:
        return outer if outer.kind is not TextKind.TABLE else Block(TextKind.TEXT, *outer[1:])
    table, row, cell = outer.table, outer.row, outer.cell
    if tag == "table":
        table, row, cell = Table(), None, None
    elif tag == "tr":
        row = Row(table)
    elif tag in ("td", "th") and row is not None:
        cell = row.add(element.get("colspan") or "", element.get("rowspan") or "")
    kind = TextKind.CAPTION if is_caption or outer.kind is TextKind.CAPTION else _KINDS.get(tag, outer.kind)
    if kind is TextKind.TABLE and tag not in _KINDS:
        kind = TextKind.TEXT  # a paragraph in a cell is none of a table of data
    level = (_LEVELS.get(tag) or outer.level) if kind is TextKind.HEADER else None
    return Block(kind, level, is_boilerplate, table, row, cell)


def _read_attributes(attributes: Sequence[tuple[str, str]], is_block: bool) -> tuple[bool, str]:
    """Return whether an element is not shown, and its classes, of a block its id too."""
    is_hidden, names = False, ""
    for name, value in attributes:
        if name == "class":
            names = f"{names} {value}"
            is_hidden = is_hidden or value == _PAGE_NUMBER
        elif name == "id" and is_block:
            names = f"{names} {value}"
        elif name == "hidden" or (name == "style" and _HIDDEN.search(value)):
            is_hidden = True
    return is_hidden, names


def _clean(text: str) -> str:
    if _BREAK not in text:
        return " ".join(text.split()).strip(_INVISIBLE)
    lines = (" ".join(line.split()).strip(_INVISIBLE) for line in text.split(_BREAK))
    return "\n".join(line for line in lines if line)


def _clean_code(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.replace(_BREAK, "\n").expandtabs().splitlines()).strip("\n")
