"""Reads Markdown: headings, paragraphs, lists, quotes, code, tables, and images where they stand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from domainvl.corpus.sources.captions import is_caption_text
from domainvl.corpus.sources.decoding import decode_page
from domainvl.corpus.sources.html import hold_images, notes
from domainvl.corpus.sources.images_on_disk import ImagesOnDisk, page_address, read_limited
from domainvl.corpus.sources.notation import LOWERED, RAISED, write_raised
from domainvl.corpus.sources.page_images import find_address, image_reference, is_tracking_pixel
from domainvl.corpus.sources.page_tables import arrange
from domainvl.corpus.sources.page_tree import REMOVED, LeftOut, mark_page, parse_page
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, Slot, TextKind, TextSlot
from domainvl.schema.writer import Reject

if TYPE_CHECKING:
    from markdown_it.token import Token

_KINDS = {"list_item_open": TextKind.LIST, "blockquote_open": TextKind.QUOTE}
_CELL_SEPARATOR = " | "
_MAX_NESTING = 100  # ours; markdown-it leaves deeper blocks out, and each level takes four frames of Python's stack

_EMBEDDED = re.compile(r"!\[\[([^\[\]|#\n]+\.(?:avif|bmp|gif|jpe?g|png|svg|tiff?|webp))(?:[|#][^\[\]\n]*)?\]\]", re.I)
"""An image as Obsidian embeds it: ``![[a.png]]`` or ``![[a.png|300]]``."""

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?:.*?\n)??(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*)")


def read_markdown(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a file; see :class:`Reader`. Addresses of images are relative to it.

    HTML in it is read as that of pages is; what has no text or image there, such as scripts, is counted.

    Raises:
        ItemError: With reason ``too-large``, ``unreadable``, ``empty``, ``decode`` or ``too-deep``.
    """
    content = read_limited(source.path, settings.max_source_bytes, what="Cannot read a page", where=source.uri)
    decoded = decode_page(content)
    walk = _Walk(page_address(source, settings))
    walk.run(_parse(_without_front_matter(decoded.text)))
    yield Page(
        uri=source.uri,
        url=page_address(source, settings),
        slots=tuple(walk.slots),
        find_image=hold_images(walk.held, ImagesOnDisk.of(source, settings)),
        sha256=hashlib.sha256(content).hexdigest(),
        reader=f"markdown-it-py {metadata.version('markdown-it-py')}",
        format=source.format,
        rejects=tuple(notes(source.uri, decoded, walk.all_left_out())),
    )


def _parse(text: str) -> Sequence[Token]:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        rule = f"lists and quotes may be nested {_MAX_NESTING // 2} deep, got more"
        raise ItemError("Cannot read a page", reason="too-deep", rule=rule)
    return tokens


def _without_front_matter(text: str) -> str:
    """Take off the YAML between two lines of ``---`` that site generators put before a text."""
    text = text.replace("\r\n", "\n")
    found = _FRONT_MATTER.match(text)
    return text[found.end() :] if found is not None else text


class _Walk:
    """One walk over the tokens of a file, which are flat: no nesting can overflow it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.slots: list[Slot] = []
        self.held: dict[str, bytes] = {}
        self._left_out: list[LeftOut] = []
        self._raw_count = 0
        self._kinds: list[TextKind] = []
        self._level: int | None = None
        self._cells: list[str] | None = None

    def run(self, tokens: Sequence[Token]) -> None:
        """Walk all tokens."""
        for token in tokens:
            if token.type in _KINDS:
                self._kinds.append(_KINDS[token.type])
            elif token.type in ("list_item_close", "blockquote_close"):
                self._kinds.pop()
            elif token.type == "heading_open":
                self._level = int(token.tag[1])
            elif token.type == "heading_close":
                self._level = None
            elif token.type in ("tr_open", "tr_close"):
                self._row(is_open=token.type == "tr_open")
            elif token.type in ("fence", "code_block"):
                self._put(token.content.strip("\n"), TextKind.CODE)
            elif token.type in ("td_open", "th_open") and self._cells is not None:
                self._cells.append("")
            elif token.type == "html_block":
                self._html(token.content)
            elif token.type == "inline":
                self._inline(token.children or ())

    def all_left_out(self) -> list[LeftOut]:
        """Return what has no slot: images, and how many elements of HTML."""
        rule = f"{self._raw_count} elements of HTML are neither text nor image: they are left out"
        return [*self._left_out, *([LeftOut("", "raw-html", rule)] if self._raw_count else [])]

    def _html(self, content: str) -> None:
        """Read a block of HTML as a page of its own."""
        try:
            root = parse_page(content)
            raw_count = sum(1 for _ in root.iter(*REMOVED))
            page = mark_page(root, self._address)
        except ItemError as error:
            self._raw_count += error.reason != "empty"  # such as a comment
            return
        self._raw_count += raw_count
        self.held.update(page.held)
        self._left_out += page.left_out
        kind = self._kinds[-1] if self._kinds else TextKind.TEXT
        for slot in arrange(page.slots, page.blocks):
            if isinstance(slot, TextSlot) and slot.kind is TextKind.TEXT:
                self._put(slot.text, kind)
            else:
                self.slots.append(slot)

    def _row(self, *, is_open: bool) -> None:
        cells, self._cells = self._cells, [] if is_open else None
        if cells is not None and any(cells):
            self._put(_CELL_SEPARATOR.join(cells), TextKind.TABLE)

    def _inline(self, tokens: Sequence[Token]) -> None:
        """Walk a paragraph, heading or cell; images divide its text."""
        parts: list[str] = []
        for token in tokens:
            if token.type == "text":
                self._plain(token.content, parts)
            elif token.type == "code_inline":
                parts.append(token.content)
            elif token.type == "softbreak":
                parts.append(" ")
            elif token.type == "hardbreak":
                parts.append("\n")
            elif token.type == "html_inline":
                self._tag(token.content, parts)
            elif token.type == "image":
                self._image(parts, str(token.attrs.get("src", "")), token.content)
        self._text(parts)

    def _plain(self, text: str, parts: list[str]) -> None:
        """Add text, with the images that Obsidian embeds in it."""
        before, *others = _EMBEDDED.split(text)
        parts.append(before)
        for address, behind in zip(others[::2], others[1::2], strict=True):
            self._image(parts, address.strip(), "")
            parts.append(behind)

    def _tag(self, tag: str, parts: list[str]) -> None:
        """Read a tag of HTML within a text; those of format say nothing more."""
        found = _TAG.match(tag)
        end, name = (found[1], found[2].lower()) if found is not None else ("", "")
        if name == "br":
            parts.append("\n")
        elif name == "sup":
            parts.append(LOWERED if end else RAISED)
        elif name == "img":
            attributes = parse_page(tag).find(".//img").attrib
            if is_tracking_pixel(attributes):
                self._left_out.append(LeftOut("", "tracking-pixel", "it declares a size of at most 1 x 1"))
            else:
                self._image(parts, image_reference(attributes) or "", attributes.get("alt") or "")
        elif name in REMOVED and not end:
            self._raw_count += 1

    def _text(self, parts: Sequence[str]) -> None:
        lines = (" ".join(line.split()) for line in write_raised("".join(parts)).split("\n"))
        text = "\n".join(line for line in lines if line)
        if self._cells:
            self._cells[-1] = " ".join([*self._cells[-1].split(), *text.split()])
        elif self._level is not None:
            self._put(text, TextKind.HEADER)
        elif not self._kinds and is_caption_text(text):
            self._put(text, TextKind.CAPTION)
        else:
            self._put(text, self._kinds[-1] if self._kinds else TextKind.TEXT)

    def _put(self, text: str, kind: TextKind) -> None:
        if text:
            self.slots.append(TextSlot(text, kind, self._level if kind == TextKind.HEADER else None))

    def _image(self, parts: list[str], reference: str, alt: str) -> None:
        """Put an image behind the text before it, which ends there."""
        self._text(parts)
        parts.clear()
        if not reference:
            self._left_out.append(LeftOut("", "no-address", "an image must have an address"))
            return
        try:
            url = find_address(reference, self._address, self.held)
        except ItemError as error:
            self._left_out.append(LeftOut(reference[:60], error.reason, error.rule or error.what))
            return
        self.slots.append(ImageSlot(url, alt=" ".join(alt.split()) or None))
