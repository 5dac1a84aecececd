"""Reads Markdown: headings, paragraphs, lists, quotes, code, tables, and images where they stand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from domainvl.corpus.sources.captions import is_caption_text
from domainvl.corpus.sources.decoding import decode_page
from domainvl.corpus.sources.html import hold_images, limit_images, notes
from domainvl.corpus.sources.images_on_disk import ImagesOnDisk, page_address, read_limited
from domainvl.corpus.sources.page_images import find_address
from domainvl.corpus.sources.page_tree import LeftOut
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, Slot, TextKind, TextSlot
from domainvl.schema.writer import Reject

if TYPE_CHECKING:
    from markdown_it.token import Token

_KINDS = {"list_item_open": TextKind.LIST, "blockquote_open": TextKind.QUOTE}
_CELL_SEPARATOR = " | "
_MAX_NESTING = 100  # ours; markdown-it leaves deeper blocks out, and each level takes four frames of Python's stack


def read_markdown(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a file; see :class:`Reader`. Addresses of images are relative to it; HTML in it is left out.

    Raises:
        ItemError: With reason ``too-large``, ``unreadable``, ``empty``, ``decode`` or ``too-deep``.
    """
    content = read_limited(source.path, settings.max_source_bytes, what="Cannot read a page", where=source.uri)
    decoded = decode_page(content)
    walk = _Walk(page_address(source, settings))
    walk.run(_parse(_without_front_matter(decoded.text)))
    slots, surplus = limit_images(walk.slots, settings.max_images)
    yield Page(
        uri=source.uri,
        url=page_address(source, settings),
        slots=tuple(slots),
        find_image=hold_images(walk.held, ImagesOnDisk.of(source, settings)),
        sha256=hashlib.sha256(content).hexdigest(),
        reader=f"markdown-it-py {metadata.version('markdown-it-py')}",
        format=source.format,
        rejects=tuple(notes(source.uri, decoded, [*walk.left_out, *surplus])),
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
    if not text.startswith("---\n"):
        return text
    end = text.find("\n---\n", 3)
    return text if end < 0 else text[end + 5 :]


class _Walk:
    """One walk over the tokens of a file, which are flat: no nesting can overflow it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.slots: list[Slot] = []
        self.held: dict[str, bytes] = {}
        self.left_out: list[LeftOut] = []
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
            elif token.type == "inline":
                self._inline(token.children or ())

    def _row(self, *, is_open: bool) -> None:
        cells, self._cells = self._cells, [] if is_open else None
        if cells:
            self._put(_CELL_SEPARATOR.join(cells), TextKind.TABLE)

    def _inline(self, tokens: Sequence[Token]) -> None:
        """Walk a paragraph, heading or cell; images divide its text."""
        parts: list[str] = []
        for token in tokens:
            if token.type in ("text", "code_inline"):
                parts.append(token.content)
            elif token.type == "softbreak":
                parts.append(" ")
            elif token.type == "hardbreak":
                parts.append("\n")
            elif token.type == "image":
                self._text(parts)
                parts = []
                self._image(token)
        self._text(parts)

    def _text(self, parts: Sequence[str]) -> None:
        text = "\n".join(" ".join(line.split()) for line in "".join(parts).split("\n")).strip()
        if self._cells is not None:
            self._cells += [text] if text else []
        elif self._level is not None:
            self._put(text, TextKind.HEADER)
        elif not self._kinds and is_caption_text(text):
            self._put(text, TextKind.CAPTION)
        else:
            self._put(text, self._kinds[-1] if self._kinds else TextKind.TEXT)

    def _put(self, text: str, kind: TextKind) -> None:
        if text:
            self.slots.append(TextSlot(text, kind, self._level if kind == TextKind.HEADER else None))

    def _image(self, token: Token) -> None:
        reference = str(token.attrs.get("src", ""))
        if not reference:
            self.left_out.append(LeftOut("", "no-address", "an image must have an address"))
            return
        try:
            url = find_address(reference, self._address, self.held)
        except ItemError as error:
            self.left_out.append(LeftOut(reference[:60], error.reason, error.rule or error.what))
            return
        self.slots.append(ImageSlot(url, alt=" ".join(token.content.split()) or None))
