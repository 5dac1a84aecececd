"""Reads DOCX: paragraphs, headings, lists, tables and captions of the body, with the images where they stand.

Text that is marked as deleted or moved away is left out, text that is marked as inserted is read. Headers, footers,
notes and comments are no part of the body and are not read.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from importlib.metadata import version
from typing import Any

from domainvl.corpus.extras import require
from domainvl.corpus.sources.archives import UNZIP_ERRORS, ArchiveLimits, bomb_reason
from domainvl.corpus.sources.captions import is_caption_text
from domainvl.corpus.sources.images_on_disk import page_address, read_limited
from domainvl.corpus.sources.notation import LOWERED, RAISED, write_raised
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, Slot, TextKind, TextSlot
from domainvl.schema.writer import Reject

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How OLE compound files begin (MS-CFB, section 2.2): what Word makes of a document with a password."""

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_V = "{urn:schemas-microsoft-com:vml}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
"""Namespaces of ECMA-376 part 1 (WordprocessingML, DrawingML), part 3 (markup compatibility) and part 4 (VML)."""

_NOT_READ = (f"{_W}pPr", f"{_W}rPr", f"{_W}del", f"{_W}moveFrom", f"{_MC}Fallback")
"""Settings of a paragraph or run, text that was deleted or moved away, and what older programs would show instead."""

_HEADING = re.compile(r"heading (\d)", re.I)
_LEVELS = 6
_KINDS = (
    (re.compile(r"caption", re.I), TextKind.CAPTION),
    (re.compile(r"list", re.I), TextKind.LIST),
    (re.compile(r"(?:intense )?quote|block text", re.I), TextKind.QUOTE),
    (re.compile(r"html preformatted|plain text|macro|code", re.I), TextKind.CODE),
)
"""Names of Word's own styles, as they begin."""

_MEDIA_SHARE = 8
"""All members together may have this many times what the file itself may have: they are held in memory. Ours."""


def read_docx(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a document of Word; a :class:`~domainvl.corpus.sources.reading.Reader`.

    Address of an image: ``<address of the file>#word/media/image1.png``, by its name in the file.

    Args:
        source: The file.
        settings: How.

    Yields:
        The document.

    Raises:
        ItemError: With reason ``encrypted``, ``archive-bomb``, ``decode``, ``too-large`` or ``unreadable``.
    """
    content = read_limited(source.path, settings.max_source_bytes, what="Cannot read a document", where=source.uri)
    _check_container(content, settings, source.uri)
    docx = require("docx")
    try:
        document = docx.Document(io.BytesIO(content))
        body = _Body(document.part, page_address(source, settings), source.uri, _styles(document))
        body.read(document.element.body)
        modified = document.core_properties.modified
    except (ItemError, MemoryError):
        raise
    # python-docx and lxml fail in many ways on a broken file, and a file is a unit.
    except Exception as error:
        raise _refused("decode", source.uri, f"it must be a document of Word: {type(error).__name__}") from error
    yield Page(
        uri=source.uri,
        url=page_address(source, settings),
        slots=tuple(body.slots),
        find_image=body.image,
        sha256=hashlib.sha256(content).hexdigest(),
        reader=f"python-docx {version('python-docx')}",
        format="docx",
        language=document.core_properties.language or None,
        modified=None if modified is None else modified.replace(tzinfo=modified.tzinfo or UTC).isoformat(),
        rejects=tuple(body.rejects),
    )


def _check_container(content: bytes, settings: ReadSettings, uri: str) -> None:
    """Refuse what is no zip, or would not fit into memory; python-docx unpacks all of it at once."""
    if content.startswith(_OLE_MAGIC):
        raise _refused("encrypted", uri, "it must open without a password, and be .docx and not .doc")
    total_bytes = _MEDIA_SHARE * settings.max_source_bytes
    limits = ArchiveLimits(max_member_bytes=settings.max_source_bytes, max_total_bytes=total_bytes)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
    except UNZIP_ERRORS as error:
        raise _refused("decode", uri, "it must be a zip container") from error
    if len(infos) > limits.max_members or sum(info.file_size for info in infos) > limits.max_total_bytes:
        raise _refused("archive-bomb", uri, f"its parts may have {limits.max_total_bytes:,} bytes together")
    for info in infos:
        rule = bomb_reason(info.file_size, info.compress_size, limits)
        if rule is not None:
            raise _refused("archive-bomb", uri, f"{info.filename}: {rule}")


def _refused(reason: str, where: str, rule: str) -> ItemError:
    return ItemError("Cannot read a document", reason=reason, where=where, rule=rule)


def _styles(document: Any) -> dict[str, str]:
    """Return the names of styles by id; those of Word are English in a file of any language."""
    return {style.style_id: style.name or "" for style in document.styles}


@dataclass
class _Body:
    """Walks the body.

    Attributes:
        part: The main part, which knows what its relations refer to.
        address: What addresses of images begin with.
        uri: Names the file.
        styles: Names of styles by id.
        slots: What was found.
        rejects: Images that the file names and does not have.
    """

    part: Any
    address: str
    uri: str
    styles: dict[str, str]
    slots: list[Slot] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    _parts: dict[str, Any] = field(default_factory=dict)

    def read(self, parent: Any) -> None:
        """Read the blocks below an element in order."""
        for block in parent.iterchildren():
            if block.tag == f"{_W}p":
                self._paragraph(block)
            elif block.tag == f"{_W}tbl":
                self._table(block)
            elif block.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins"):
                self.read(block)

    def image(self, address: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            ItemError: With reason ``remote`` or ``missing``.
        """
        part = self._parts.get(address)
        if part is not None:
            return bytes(part.blob)
        inside = address.startswith(f"{self.address}#")
        rule = "the document has no such part" if inside else "it is linked, and nothing is downloaded"
        raise ItemError("Cannot use an image", reason="missing" if inside else "remote", where=address, rule=rule)

    def _paragraph(self, paragraph: Any) -> None:
        kind, level = self._kind(paragraph)
        held: list[str] = []

        def flush() -> None:
            text = _tidy(write_raised("".join(held)), kind)
            held.clear()
            if text:
                is_caption = kind is TextKind.TEXT and is_caption_text(text)
                self.slots.append(TextSlot(text, TextKind.CAPTION if is_caption else kind, level))

        self._inline(paragraph, held, flush)
        flush()

    def _inline(self, element: Any, held: list[str], flush: Callable[[], None]) -> None:
        """Collect the text below an element; an image ends a stretch of it."""
        for child in element.iterchildren():
            if child.tag == f"{_W}t":
                held.append(child.text or "")
            elif child.tag == f"{_W}tab":
                held.append("\t")
            elif child.tag in (f"{_W}br", f"{_W}cr"):
                held.append("\n")
            elif child.tag == f"{_W}noBreakHyphen":
                held.append("-")
            elif child.tag in (f"{_W}drawing", f"{_W}pict"):
                flush()
                self._drawing(child)
            elif child.tag == f"{_W}r" and _is_superscript(child):
                held.append(RAISED)
                self._inline(child, held, flush)
                held.append(LOWERED)
            elif child.tag not in _NOT_READ and isinstance(child.tag, str):
                self._inline(child, held, flush)

    def _drawing(self, drawing: Any) -> None:
        alt = next((one.get("descr") or None for one in drawing.iter(f"{_WP}docPr")), None)
        for blip in drawing.iter(f"{_A}blip", f"{_V}imagedata"):
            name = blip.get(f"{_R}embed") or blip.get(f"{_R}link") or blip.get(f"{_R}id")
            if name is not None:
                self._image(name, alt)
        for box in drawing.iter(f"{_W}txbxContent"):
            self.read(box)

    def _image(self, name: str, alt: str | None) -> None:
        relation = self.part.rels.get(name)
        if relation is None:
            self.rejects.append(Reject(self.uri, "image", "missing", f"the document has no relation {name!r}"))
        elif relation.is_external:
            self.slots.append(ImageSlot(str(relation.target_ref), alt=alt))
        else:
            address = f"{self.address}#{str(relation.target_part.partname).lstrip('/')}"
            self._parts[address] = relation.target_part
            self.slots.append(ImageSlot(address, alt=alt))

    def _table(self, table: Any) -> None:
        """Read a table, a text a row; the images of its cells stand behind their row."""
        for row in table.iter(f"{_W}tr"):
            if next(row.iterancestors(f"{_W}tbl")) is not table:
                continue  # a table within a cell is read with its cell
            before, self.slots = self.slots, []
            cells: list[str] = []
            images: list[ImageSlot] = []
            for cell in row.iter(f"{_W}tc"):
                if next(cell.iterancestors(f"{_W}tr")) is row:
                    self.read(cell)
                    texts = [slot.text for slot in self.slots if isinstance(slot, TextSlot)]
                    cells.append(" ".join(" ".join(texts).split()))
                    images += [slot for slot in self.slots if isinstance(slot, ImageSlot)]
                    self.slots = []
            self.slots = before
            if any(cells):
                self.slots.append(TextSlot(" | ".join(cells), TextKind.TABLE))
            self.slots += images

    def _kind(self, paragraph: Any) -> tuple[TextKind, int | None]:
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        name = self.styles.get(style.get(f"{_W}val"), "") if style is not None else ""
        heading = _HEADING.match(name)
        if heading is not None:
            return TextKind.HEADER, min(max(int(heading[1]), 1), _LEVELS)
        if name.lower() in ("title", "subtitle"):
            return TextKind.HEADER, 1 if name.lower() == "title" else 2
        for pattern, kind in _KINDS:
            if pattern.match(name):
                return kind, None
        is_numbered = paragraph.find(f"{_W}pPr/{_W}numPr") is not None
        return TextKind.LIST if is_numbered else TextKind.TEXT, None


def _is_superscript(run: Any) -> bool:
    """Say whether a run is raised (ECMA-376 part 1, 17.3.2.42, vertAlign)."""
    align = run.find(f"{_W}rPr/{_W}vertAlign")
    return align is not None and align.get(f"{_W}val") == "superscript"


def _tidy(text: str, kind: TextKind) -> str:
    return text.strip("\n") if kind is TextKind.CODE else re.sub(r"[ \t\u00a0]+", " ", text).strip()
