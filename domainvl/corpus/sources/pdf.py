"""Reads PDF: paragraphs in reading order, and the images that are embedded, where they stand on their page.

Text is what the file says as text; letters that are drawn or scanned are none. Drawings made of lines are no images.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any

from PIL import Image as PillowImage

from domainvl.corpus.extras import require
from domainvl.corpus.sources.captions import is_caption_text
from domainvl.corpus.sources.images_on_disk import page_address, read_limited
from domainvl.corpus.sources.pdf_layout import Box, Item, Line, Paragraph, Picture, paragraphs_in_order
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, Slot, TextKind, TextSlot
from domainvl.schema.writer import Reject, Severity

MAX_PAGES = 5000
"""Files with more are refused; ours."""

_MAX_CHARACTERS = 20_000_000
"""Texts with more are refused, however small the file: streams of a PDF are compressed. Ours."""

_IMAGE_SIDE_MIN_PX = 20
_IMAGE_SIDE_MIN_PT = 10.0
"""An image with a shorter side, in pixels or as shown, is a bullet, rule or strip; ours."""

_MAX_FORM_DEPTH = 15
_HEADER_SIZE = 1.2
_HEADER_CHARACTERS = 200
_HEADER_LEVELS = 6
"""A paragraph whose letters are larger than most by this factor is a heading unless it is longer; ours."""

_RUNNING_PAGES_MIN = 3
_RUNNING_SHARE = 0.3
_RUNNING_LINES = 2
"""Lines that are the same but for numbers, among the outermost of this many at top or bottom, on so many pages and this
share of all, are running heads, folios or notices; ours. Odd and even pages often have different ones. From two pages
on, so is a lone number at the edge of the page that it numbers."""

_WORD_GAP_HEIGHTS = 1.5
"""A wider gap within a line parts columns or cells; ours."""

_TILTED_DEG = 15.0
_HYPHENS = ("\x02", "\ufffe")
"""What PDFium puts for a hyphen at the end of a line (core/fpdftext/cpdf_textpage.cpp), in one call and the other."""

_DATE = re.compile(r"D:(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?(?:Z|([+-])(\d\d)'?(\d\d)?)?")
_COMPOUND = re.compile(r"[^\W\d_]+-[^\W\d_]+")

_WHY_LEFT_OUT = {
    "tiny-image": f"{{count}} images have a side below {_IMAGE_SIDE_MIN_PX} px or {_IMAGE_SIDE_MIN_PT:g} pt",
    "repeated-image": "{count} images are the same as one before; it was taken once",
    "running-head": "{count} lines at the top or bottom are the same on many pages, or number them",
    "rotated-text": "{count} lines do not run as the page does",
    "page-decode": "{count} pages cannot be read",
}
_FAILURES = ("page-decode",)


def read_pdf(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a PDF as one document; a :class:`~domainvl.corpus.sources.reading.Reader`.

    Two columns are told apart where nothing but titles and wide figures crosses the space between them. Address of an
    image: ``<address of the file>#page-3-image-2``, both counted from 1.

    Args:
        source: The file.
        settings: How.

    Yields:
        The document. Its images can be had until the next is asked for.

    Raises:
        ItemError: With reason ``encrypted``, ``decode`` (also without a page), ``too-many-pages``, ``too-large`` or
            ``unreadable``.
    """
    content = read_limited(source.path, settings.max_source_bytes, what="Cannot read a PDF", where=source.uri)
    pdfium = require("pypdfium2")
    document = _open(pdfium, content, source.uri)
    try:
        reader = _PdfReader(pdfium, document, page_address(source, settings), source.uri)
        yield Page(
            uri=source.uri,
            url=page_address(source, settings),
            slots=reader.slots(),
            find_image=reader.image,
            sha256=hashlib.sha256(content).hexdigest(),
            reader=f"pypdfium2 {version('pypdfium2')}",
            format="pdf",
            language=_language(pdfium.raw, document),
            modified=pdf_date(document.get_metadata_value("ModDate") or document.get_metadata_value("CreationDate")),
            rejects=reader.rejects(),
        )
    finally:
        document.close()


def pdf_date(text: str) -> str | None:
    """Return a date of a PDF (ISO 32000-1, section 7.9.4) in ISO 8601 and UTC; None where it is none."""
    found = _DATE.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) if part else 0 for part in found.groups()[:6])
    sign, hours, minutes = found.groups()[6:]
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat()


def _open(pdfium: Any, content: bytes, uri: str) -> Any:
    try:
        document = pdfium.PdfDocument(content)
    except pdfium.PdfiumError as error:
        if _wants_password(pdfium, content):
            action = "Save it without a password"
            raise _refused("encrypted", uri, "it must open without a password", action) from error
        raise _refused("decode", uri, "PDFium must open it and find a page") from error
    page_count = len(document)
    if page_count > MAX_PAGES:
        document.close()
        rule = f"it may have at most {MAX_PAGES} pages, got {page_count}"
        raise _refused("too-many-pages", uri, rule, "Divide it")
    return document


def _wants_password(pdfium: Any, content: bytes) -> bool:
    """Say why a file does not open, whatever was opened before: PDFium keeps its last error where it sets none."""
    codes = []
    for tried in (b"no PDF", content):
        try:
            pdfium.PdfDocument(tried).close()
        except pdfium.PdfiumError as error:
            codes.append(error.err_code)
    return bool(codes[-1] == pdfium.raw.FPDF_ERR_PASSWORD)


def _refused(reason: str, where: str, rule: str, action: str | None = None) -> ItemError:
    return ItemError("Cannot read a PDF", reason=reason, where=where, rule=rule, action=action)


def _language(raw: Any, document: Any) -> str | None:
    length_bytes = raw.FPDFCatalog_GetLanguage(document, None, 0)
    if not 2 < length_bytes <= 128:  # two bytes are the end of an empty text; RFC 5646 tags are short
        return None
    buffer = (ctypes.c_ushort * (length_bytes // 2))()
    raw.FPDFCatalog_GetLanguage(document, buffer, length_bytes)
    return bytes(buffer).decode("utf-16-le", "replace").rstrip("\0").strip() or None


@dataclass
class _PdfReader:
    """One open document.

    Attributes:
        pdfium: The library.
        document: Its handle.
        address: What addresses of images begin with.
        uri: Names it in errors.
        left_out: How often what was left out.
    """

    pdfium: Any
    document: Any
    address: str
    uri: str
    left_out: Counter[str] = field(default_factory=Counter)
    _seen: set[bytes] = field(default_factory=set)
    _character_count: int = 0
    _listed: tuple[int, Any, list[Any]] | None = None

    def slots(self) -> tuple[Slot, ...]:
        pages = [self._items(index) for index in range(len(self.document))]
        pages = self._without_running_heads(pages)
        lines = [item for items in pages for item in items if isinstance(item, Line)]
        words = frozenset(word.lower() for line in lines for word in _COMPOUND.findall(line.text))
        read = [paragraphs_in_order(items, words) for items in pages]
        levels = _levels([part for parts in read for part in parts if isinstance(part, Paragraph)])
        return tuple(self._slot(part, number, levels) for number, parts in enumerate(read, start=1) for part in parts)

    def rejects(self) -> tuple[Reject, ...]:
        return tuple(
            Reject(
                self.uri,
                "read",
                reason,
                _WHY_LEFT_OUT[reason].format(count=count),
                severity=Severity.FAILED if reason in _FAILURES else Severity.SKIPPED,
            )
            for reason, count in sorted(self.left_out.items())
        )

    def image(self, address: str) -> bytes:
        """Return the bytes of an image: the file that is embedded, where it is one, else a PNG of its pixels."""
        found = re.fullmatch(r"#page-(\d+)-image-(\d+)", address.removeprefix(self.address))
        if found is None or not 0 < int(found[1]) <= len(self.document):
            raise _no_image(address)
        try:
            images = self._images_of(int(found[1]))
        except self.pdfium.PdfiumError as error:
            raise ItemError("Cannot use an image", reason="image-decode", where=address, rule=str(error)) from error
        if not 0 < int(found[2]) <= len(images):
            raise _no_image(address)
        return _image_bytes(self.pdfium, images[int(found[2]) - 1], address)

    def _images_of(self, number: int) -> list[Any]:
        """List the images of a page; the last page stays open, as listing them for each would be quadratic."""
        if self._listed is None or self._listed[0] != number:
            if self._listed is not None:
                self._listed[1].close()
                self._listed = None
            page = self.document[number - 1]
            self._listed = number, page, [image for _, image, _ in self._images(page)]
        return self._listed[2]

    def _slot(self, part: Paragraph | Picture, page: int, levels: dict[float, int]) -> Slot:
        if isinstance(part, Picture):
            return ImageSlot(f"{self.address}#page-{page}-image-{part.number}", page=page)
        if is_caption_text(part.text):
            return TextSlot(part.text, TextKind.CAPTION, page=page)
        level = levels.get(_size(part.height))
        if level is not None and len(part.text) <= _HEADER_CHARACTERS:
            return TextSlot(part.text, TextKind.HEADER, level, page)
        return TextSlot(part.text, TextKind.LIST if part.is_item else TextKind.TEXT, page=page)

    def _items(self, index: int) -> list[Item]:
        try:
            page = self.document[index]
        except self.pdfium.PdfiumError:
            self.left_out["page-decode"] += 1
            return []
        try:
            return [*self._lines(page), *self._pictures(page)]
        except self.pdfium.PdfiumError:
            self.left_out["page-decode"] += 1
            return []
        finally:
            page.close()

    def _pictures(self, page: Any) -> Iterator[Picture]:
        turn_deg = page.get_rotation()
        for number, image, box in self._images(page):
            width_px, height_px = image.get_px_size()
            if (
                min(width_px, height_px) < _IMAGE_SIDE_MIN_PX
                or min(box.right - box.left, box.height) < _IMAGE_SIDE_MIN_PT
            ):
                self.left_out["tiny-image"] += 1
                continue
            digest = hashlib.sha256(bytes(image.get_data()))
            digest.update(f"{width_px}x{height_px}".encode())
            if digest.digest() in self._seen:
                self.left_out["repeated-image"] += 1
                continue
            self._seen.add(digest.digest())
            yield Picture(number, _upright(box, turn_deg))

    def _images(self, page: Any) -> Iterator[tuple[int, Any, Box]]:
        """Yield the images of a page with their number, from 1, and their place on the page as it is stored."""
        kinds = [self.pdfium.raw.FPDF_PAGEOBJ_IMAGE]
        found = page.get_objects(filter=kinds, max_depth=_MAX_FORM_DEPTH)
        for number, image in enumerate(found, start=1):
            yield number, image, _box_on_page(image)

    def _lines(self, page: Any) -> list[Line]:
        text_page = page.get_textpage()
        try:
            count = text_page.count_chars()
            self._character_count += count
            if self._character_count > _MAX_CHARACTERS:
                rule = f"its text may have at most {_MAX_CHARACTERS:,} characters"
                raise _refused("too-large", self.uri, rule, "Divide it")
            lines, tilted_count = _TextReader(self.pdfium.raw, text_page, page.get_rotation()).lines(count)
            self.left_out.update({"rotated-text": tilted_count} if tilted_count else {})
            return lines
        finally:
            text_page.close()

    def _without_running_heads(self, pages: Sequence[list[Item]]) -> list[list[Item]]:
        outer = [_outermost(items) for items in pages]
        counts = Counter(key for lines in outer for key in {_numberless(line.text) for line in lines})
        least = max(_RUNNING_PAGES_MIN, math.ceil(_RUNNING_SHARE * len(pages)))
        kept: list[list[Item]] = []
        for number, (items, lines) in enumerate(zip(pages, outer, strict=True), start=1):
            running = {id(line) for line in lines if counts[_numberless(line.text)] >= least}
            if len(pages) > 1:
                running |= {id(line) for line in lines[:1] + lines[-1:] if _is_number(line.text, number)}
            self.left_out.update({"running-head": len(running)} if running else {})
            kept.append([item for item in items if id(item) not in running])
        return kept


def _no_image(address: str) -> ItemError:
    return ItemError("Cannot use an image", reason="missing", where=address, rule="the file has no such image")


def _outermost(items: Sequence[Item]) -> list[Line]:
    lines = sorted((item for item in items if isinstance(item, Line)), key=lambda line: -line.box.middle)
    outer = [*lines[:_RUNNING_LINES], *lines[_RUNNING_LINES:][-_RUNNING_LINES:]]
    return [line for line in outer if not is_caption_text(line.text)]


def _is_number(text: str, number: int) -> bool:
    """Say whether a line is the number of its page and nothing else, but for dashes around it."""
    return text.strip(" .-–—") == str(number)


def _numberless(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _size(height_pt: float) -> float:
    """Round a height so that lines of one font size count as equal."""
    return round(height_pt * 2) / 2


def _levels(paragraphs: Sequence[Paragraph]) -> dict[float, int]:
    """Return the ranks of headings by the height of their letters: 1 for the largest."""
    if not paragraphs:
        return {}
    sizes = Counter[float]()
    for paragraph in paragraphs:
        sizes[_size(paragraph.height)] += len(paragraph.text)
    usual = statistics.median_low(sizes.elements())
    larger = sorted((size for size in sizes if size >= _HEADER_SIZE * usual), reverse=True)
    return {size: min(rank, _HEADER_LEVELS) for rank, size in enumerate(larger, start=1)}


def _upright(box: Box, turn_deg: int) -> Box:
    """Turn a box as a viewer turns its page, clockwise; where the origin comes to lie does not matter."""
    turned = {
        0: box,
        90: Box(box.bottom, -box.right, box.top, -box.left),
        180: Box(-box.right, -box.top, -box.left, -box.bottom),
        270: Box(-box.top, box.left, -box.bottom, box.right),
    }
    return turned[turn_deg]


def _box_on_page(image: Any) -> Box:
    """Return the place of an image; one within forms is told in the coordinates of the innermost."""
    left, bottom, right, top = image.get_bounds()
    corners = [(left, bottom), (left, top), (right, bottom), (right, top)]
    form = image.container
    while form is not None:
        matrix = form.get_matrix()
        corners = [matrix.on_point(x, y) for x, y in corners]
        form = form.container
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return Box(min(xs), min(ys), max(xs), max(ys))


@dataclass
class _Word:
    text: str
    box: Box


class _TextReader:
    """Reads the lines of a page, as PDFium has put characters together."""

    def __init__(self, raw: Any, text_page: Any, turn_deg: int) -> None:
        self._raw = raw
        self._page = text_page
        self._turn_deg = turn_deg
        self._rectangle = raw.FS_RECTF()

    def lines(self, count: int) -> tuple[list[Line], int]:
        """Return the lines of a page of so many characters, and how many more do not run as the page does."""
        get = self._raw.FPDFText_GetUnicode
        lines: list[Line] = []
        tilted_count = 0
        words: list[_Word] = []
        start = 0
        for index in range(count + 1):
            sign = chr(get(self._page, index)) if index < count else "\n"
            if not (sign.isspace() or sign in _HYPHENS or sign == "\0"):
                continue
            if index > start:
                words.append(self._word(start, index))
            if words and (sign in "\r\n" or sign in _HYPHENS):
                if self._is_tilted(start if index > start else index - 1):
                    tilted_count += 1
                else:
                    lines += _parts(words, divided=sign in _HYPHENS)
                words = []
            start = index + 1
        return lines, tilted_count

    def _word(self, start: int, stop: int) -> _Word:
        units = [self._raw.FPDFText_GetUnicode(self._page, index) for index in range(start, stop)]
        text = "".join(map(chr, units)).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        first, last = self._box(start), self._box(stop - 1)
        return _Word(
            text,
            Box(
                min(first.left, last.left),
                min(first.bottom, last.bottom),
                max(first.right, last.right),
                max(first.top, last.top),
            ),
        )

    def _box(self, index: int) -> Box:
        rectangle = self._rectangle
        self._raw.FPDFText_GetLooseCharBox(self._page, index, rectangle)
        box = Box(rectangle.left, rectangle.bottom, rectangle.right, rectangle.top)
        return _upright(box, self._turn_deg)

    def _is_tilted(self, index: int) -> bool:
        # PDFium tells clockwise angles; what a page that is turned clockwise shows upright is stored turned back.
        angle_deg = math.degrees(self._raw.FPDFText_GetCharAngle(self._page, index)) + self._turn_deg
        return abs((angle_deg + 180.0) % 360.0 - 180.0) > _TILTED_DEG


def _parts(words: Sequence[_Word], *, divided: bool) -> list[Line]:
    """Divide a line where a gap is too wide for a blank, or the next word does not stand beside the last."""
    parts: list[list[_Word]] = [[]]
    for word in words:
        before = parts[-1][-1].box if parts[-1] else word.box
        gap = word.box.left - before.right
        overlap = min(before.top, word.box.top) - max(before.bottom, word.box.bottom)
        far = gap > _WORD_GAP_HEIGHTS * before.height or word.box.right < before.left or overlap < 0
        if far and parts[-1]:
            parts.append([])
        parts[-1].append(word)
    return [_line(part, divided=divided and part is parts[-1]) for part in parts]


def _line(words: Sequence[_Word], *, divided: bool) -> Line:
    boxes = [word.box for word in words]
    box = Box(
        min(one.left for one in boxes),
        statistics.median_low(one.bottom for one in boxes),
        max(one.right for one in boxes),
        statistics.median_high(one.top for one in boxes),
    )
    return Line(" ".join(word.text for word in words), box, divided)


def _image_bytes(pdfium: Any, image: Any, address: str) -> bytes:
    width_px, height_px = image.get_px_size()
    limit_px = PillowImage.MAX_IMAGE_PIXELS
    if limit_px is not None and width_px * height_px > limit_px:
        rule = f"it may have at most {limit_px} pixels, got {width_px} x {height_px}"
        raise ItemError("Cannot use an image", reason="too-large", where=address, rule=rule)
    try:
        if _is_plain_jpeg(pdfium.raw, image):
            return bytes(image.get_data())
        file = io.BytesIO()
        image.get_bitmap().to_pil().save(file, "PNG")
        return file.getvalue()
    except (pdfium.PdfiumError, ValueError, OSError) as error:
        raise ItemError("Cannot use an image", reason="image-decode", where=address, rule=str(error)) from error


def _is_plain_jpeg(raw: Any, image: Any) -> bool:
    """Say whether an image is stored as a JPEG of grey or RGB; of other colours the file alone does not tell which."""
    if image.get_filters() != ["DCTDecode"]:
        return False
    facts = image.get_metadata()
    plain = (
        raw.FPDF_COLORSPACE_DEVICEGRAY,
        raw.FPDF_COLORSPACE_DEVICERGB,
        raw.FPDF_COLORSPACE_CALGRAY,
        raw.FPDF_COLORSPACE_CALRGB,
        raw.FPDF_COLORSPACE_ICCBASED,
    )
    return facts.colorspace in plain and facts.bits_per_pixel in (8, 24)
