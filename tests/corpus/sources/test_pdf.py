"""PDFs are made by PDFium itself: texts and images at known places, in an order that is not that of reading."""

from __future__ import annotations

import ctypes
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import Image as PillowImage
from toy_corpora import png

from domainvl.corpus.sources import pdf
from domainvl.corpus.sources.pdf import pdf_date, read_pdf
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, TextKind, TextSlot
from domainvl.schema.writer import Reject

Put = Callable[[Any, Any], None]
"""Puts something on a page of a PDF."""


def text(x: float, y: float, words: str, size: float = 10, turn_deg: float = 0) -> Put:
    def put(document: Any, page: Any) -> None:
        made = pdfium.raw.FPDFPageObj_NewTextObj(document, b"Helvetica", size)
        encoded = ctypes.create_string_buffer(f"{words}\0".encode("utf-16-le"))
        pdfium.raw.FPDFText_SetText(made, ctypes.cast(encoded, ctypes.POINTER(ctypes.c_ushort)))
        cos, sin = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
        pdfium.raw.FPDFPageObj_Transform(made, cos, sin, -sin, cos, x, y)
        pdfium.raw.FPDFPage_InsertObject(page, made)

    return put


def lines(x: float, top: float, *words: str) -> list[Put]:
    return [text(x, top - 12 * number, one) for number, one in enumerate(words)]


def picture(x: float, y: float, width: float, height: float, content: bytes) -> Put:
    def put(document: Any, page: Any) -> None:
        made = pdfium.PdfImage.new(document)
        if content.startswith(b"\xff\xd8"):
            made.load_jpeg(io.BytesIO(content), inline=True, autoclose=True)
        else:
            made.set_bitmap(pdfium.PdfBitmap.from_pil(PillowImage.open(io.BytesIO(content))))
        made.set_matrix(pdfium.PdfMatrix(width, 0, 0, height, x, y))
        page.insert_obj(made)

    return put


def jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    PillowImage.open(io.BytesIO(png(40, 30, seed))).save(file, "JPEG")
    return file.getvalue()


def write_pdf(path: Path, *pages: list[Put], turn_deg: int = 0) -> Path:
    document = pdfium.PdfDocument.new()
    for puts in pages:
        page = document.new_page(600, 800)
        for put in puts:
            put(document, page)
        page.set_rotation(turn_deg)
        page.gen_content()
    document.save(str(path))
    document.close()
    return path


def pages_of(path: Path, **settings: Any) -> Iterator[Page | Reject]:
    source = SourceFile(path, f"papers/{path.name}", path.parent, "pdf")
    return read_pdf(source, ReadSettings(**settings))


def read(path: Path) -> Page:
    (page,) = pages_of(path)
    assert isinstance(page, Page)
    return page


def shown(page: Page) -> list[str]:
    return [slot.text if isinstance(slot, TextSlot) else slot.url for slot in page.slots]


def counts(page: Page) -> dict[str, str]:
    return {reject.reason: reject.message.split()[0] for reject in page.rejects}


LEFT = (
    "The first column begins with this sentence here,",
    "and it goes on for two more lines of the page,",
    "until it ends with a stop that all can see now.",
)
RIGHT = (
    "The second column begins after the first has",
    "ended, which is how a person reads such pages,",
    "and it is as long as the other column is here.",
)


def two_columns(seed: int) -> list[Put]:
    return [
        *lines(320, 700, *RIGHT),
        text(50, 540, "Figure 3. A nodule in the upper lobe."),
        *lines(50, 700, *LEFT),
        picture(50, 560, 200, 90, png(40, 30, seed)),
        text(100, 750, "A title that runs across the page", size=20),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one.pdf"


def test_two_columns_are_read_one_after_the_other(path: Path) -> None:
    page = read(write_pdf(path, two_columns(0)))
    assert shown(page) == [
        "A title that runs across the page",
        " ".join(LEFT),
        "papers/one.pdf#page-1-image-1",
        "Figure 3. A nodule in the upper lobe.",
        " ".join(RIGHT),
    ]
    kinds = [(slot.kind, slot.level) for slot in page.slots if isinstance(slot, TextSlot)]
    assert kinds == [(TextKind.HEADER, 1), (TextKind.TEXT, None), (TextKind.CAPTION, None), (TextKind.TEXT, None)]
    assert {slot.page for slot in page.slots} == {1}
    assert page.rejects == ()


def test_a_figure_across_the_page_parts_the_columns_above_from_those_below(path: Path) -> None:
    below = ["The third part stands below the figure, at left,", "and goes on for as long as those above it did,"]
    last = ["The fourth part is the last one of this page and", "stands below the figure at right, and it ends."]
    puts = [
        *lines(320, 300, *last, "It ends here, as all things do in the very end."),
        *lines(50, 300, *below, "until it ends too, with a full stop at its end."),
        picture(50, 350, 500, 150, png(40, 30)),
        *lines(320, 700, *RIGHT),
        *lines(50, 700, *LEFT),
    ]
    found = [one[:17] for one in shown(read(write_pdf(path, puts)))]
    assert found == [
        "The first column ",
        "The second column",
        "papers/one.pdf#pa",
        "The third part st",
        "The fourth part i",
    ]


@pytest.mark.parametrize("heading", ["", " of a name that is much longer than all below"], ids=["even", "wide heading"])
def test_the_cells_of_a_table_are_read_row_by_row(path: Path, heading: str) -> None:
    cells = [text(x, 700 - 12 * row, f"{name}{row}") for x, name in ((320, "b"), (60, "a")) for row in range(1, 5)]
    heads = [text(x, 700, f"{name}0{heading}") for x, name in ((320, "b"), (60, "a"))]
    found = " ".join(shown(read(write_pdf(path, [*cells, *heads]))))
    assert found == f"a0{heading} b0{heading} a1 b1 a2 b2 a3 b3 a4 b4"


def test_a_gap_or_an_indent_begins_a_paragraph(path: Path) -> None:
    puts = [
        *lines(
            50,
            700,
            "One line of the first paragraph, which ends here.",
            "It is followed by another line that is long enough.",
        ),
        text(70, 676, "An indented line begins the second paragraph."),
        *lines(50, 664, "It goes on to the left of where it began."),
        *lines(50, 630, "A gap is before the third."),
    ]
    assert len(shown(read(write_pdf(path, puts)))) == 3


@pytest.mark.parametrize(
    ("first", "second", "elsewhere", "expected"),
    [
        ("the pneumo-", "thorax is small", "", "the pneumothorax is small"),
        ("a follow-", "up after a month", "the follow-up was short", "a follow-up after a month"),
        ("an X-", "ray of the chest", "", "an X-ray of the chest"),
    ],
)
def test_divided_words_are_mended_where_the_hyphen_divides_only(
    path: Path, first: str, second: str, elsewhere: str, expected: str
) -> None:
    puts = [*lines(50, 700, first, second), text(50, 500, elsewhere or "nothing")]
    assert shown(read(write_pdf(path, puts)))[0] == expected


@pytest.mark.parametrize("turn_deg", [0, 90, 180, 270])
def test_a_turned_page_reads_as_it_is_shown(tmp_path: Path, turn_deg: int) -> None:
    """What a viewer turns clockwise is written turned back, at the places turned back around the page's middle."""

    def turned(x: float, y: float, words: str) -> Put:
        angle = math.radians(turn_deg)
        across, up = x - 300, y - 300
        return text(
            300 + across * math.cos(angle) - up * math.sin(angle),
            300 + across * math.sin(angle) + up * math.cos(angle),
            words,
            turn_deg=turn_deg,
        )

    puts = [
        turned(50 if side == 0 else 320, 550 - 12 * row, words)
        for side, column in ((1, RIGHT), (0, LEFT))
        for row, words in enumerate(column)
    ]
    page = read(write_pdf(tmp_path / "turned.pdf", puts, turn_deg=turn_deg))
    assert shown(page) == [" ".join(LEFT), " ".join(RIGHT)]
    assert page.rejects == ()


def test_text_that_does_not_run_as_its_page_is_left_out_and_counted(path: Path) -> None:
    page = read(write_pdf(path, [*lines(50, 700, *LEFT), text(20, 300, "arXiv stamp", turn_deg=90)]))
    assert shown(page) == [" ".join(LEFT)]
    assert counts(page) == {"rotated-text": "1"}


def test_an_embedded_jpeg_is_kept_and_pixels_become_png(path: Path) -> None:
    photo, plain = jpeg(1), png(40, 30, 2)
    puts = [picture(50, 500, 100, 80, photo), picture(50, 300, 100, 80, plain), *lines(50, 700, *LEFT)]
    (page,) = images = [page for page in pages_of(write_pdf(path, puts)) if isinstance(page, Page)]
    assert len(images) == 1
    reader = pages_of(path)
    page = next(reader)
    first, second = (slot.url for slot in page.slots if isinstance(slot, ImageSlot))
    assert page.find_image(first) == photo
    with PillowImage.open(io.BytesIO(page.find_image(second))) as found, PillowImage.open(io.BytesIO(plain)) as made:
        assert found.format == "PNG"
        np.testing.assert_array_equal(np.asarray(found.convert("RGB")), np.asarray(made))
    for address in ("papers/one.pdf#page-1-image-3", "papers/one.pdf#page-2-image-1", "papers/other.pdf"):
        with pytest.raises(ItemError) as raised:
            page.find_image(address)
        assert raised.value.reason == "missing"
    reader.close()


def test_tiny_and_repeated_images_are_left_out_and_counted(path: Path) -> None:
    logo, dot, strip = png(40, 30, 3), png(8, 8, 4), png(40, 30, 5)
    puts = [picture(500, 700, 60, 45, logo), picture(40, 500, 60, 60, dot), picture(40, 400, 300, 4, strip)]
    own = [[*puts, picture(50, 100, 200, 150, png(40, 30, 10 + page))] for page in range(3)]
    page = read(write_pdf(path, *own))
    addresses = [slot.url.partition("#")[2] for slot in page.slots]
    assert addresses == ["page-1-image-1", "page-1-image-4", "page-2-image-4", "page-3-image-4"]
    assert counts(page) == {"tiny-image": "6", "repeated-image": "2"}


def test_running_heads_and_page_numbers_are_left_out_and_counted(path: Path) -> None:
    bodies = ["Apples grow on trees.", "Bridges cross rivers.", "Clouds bring rain.", "Dunes move with wind."]
    pages = [
        [text(50, 780, "Journal of Tests 12"), text(50, 400, body), text(300, 20, f"{number}")]
        for number, body in enumerate(bodies, start=101)
    ]
    page = read(write_pdf(path, *pages))
    assert shown(page) == bodies
    assert counts(page) == {"running-head": "8"}


def test_a_lone_number_that_is_that_of_its_page_is_left_out(path: Path) -> None:
    numbered = [
        [text(50, 400, body), text(290, 30, mark)] for body, mark in zip(LEFT, ("1", "- 2 -", "7"), strict=True)
    ]
    page = read(write_pdf(path, *numbered))
    assert shown(page) == [*LEFT, "7"]  # 7 is not the third page
    assert counts(page) == {"running-head": "2"}
    assert counts(read(write_pdf(path, numbered[0]))) == {}  # one page has no number


def test_the_images_of_a_page_are_listed_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [[picture(100 * n, 100 * n, 40, 40, png(40, 40, 10 * p + n)) for n in range(1, 5)] for p in range(2)]
    write_pdf(path, *pages)
    listed: list[int] = []
    box_of = pdf._box_on_page
    monkeypatch.setattr(pdf, "_box_on_page", lambda image: listed.append(1) or box_of(image))
    for page in pages_of(path):
        assert isinstance(page, Page)
        addresses = [slot.url for slot in page.slots if isinstance(slot, ImageSlot)]
        found = [page.find_image(address) for address in addresses]
        assert len(set(found)) == 8
        assert len(listed) == 2 * 8  # once for the slots, once for the bytes
        assert [page.find_image(address) for address in reversed(addresses)] == found[::-1]
        with pytest.raises(ItemError, match="no such image"):
            page.find_image(f"{addresses[0][:-1]}5")


def test_what_cannot_be_opened_is_refused_by_its_reason(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reason(content: bytes, **settings: Any) -> str:
        path.write_bytes(content)
        with pytest.raises(ItemError) as raised:
            list(pages_of(path, **settings))
        return raised.value.reason

    whole = write_pdf(path, [text(50, 700, "one")], [text(50, 700, "two")]).read_bytes()
    assert reason(b"") == "decode"
    assert reason(b"no PDF at all") == "decode"
    assert reason(_encrypted()) == "encrypted"
    assert reason(whole, max_source_bytes=100) == "too-large"
    assert reason(_small(b"<</Type/Pages/Kids[]/Count 0>>")) == "decode"  # though it comes after one with a password
    monkeypatch.setattr(pdf, "MAX_PAGES", 1)
    assert reason(whole) == "too-many-pages"


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_off_is_read_or_refused(path: Path, cut: float) -> None:
    content = write_pdf(path, two_columns(0)).read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    try:
        list(pages_of(path))
    except ItemError as error:
        assert error.reason == "decode"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("D:20230401120000Z", "2023-04-01T12:00:00+00:00"),
        ("D:20230401003000+02'00'", "2023-03-31T22:30:00+00:00"),
        ("D:20230401233000-05'30", "2023-04-02T05:00:00+00:00"),
        ("D:20230401", "2023-04-01T00:00:00+00:00"),
        ("D:20231301", None),
        ("yesterday", None),
    ],
)
def test_dates_are_told_in_utc(told: str, expected: str | None) -> None:
    assert pdf_date(told) == expected


def _small(pages: bytes, trailer: bytes = b"") -> bytes:
    """A PDF written by hand (ISO 32000-1, 7.5): a catalogue and a tree of pages."""
    content = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate((b"<</Type/Catalog/Pages 2 0 R>>", pages), start=1):
        offsets.append(len(content))
        content += b"%d 0 obj%send obj\n".replace(b"end obj", b"endobj") % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 3\n0000000000 65535 f \n%strailer<</Size 3/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF"
    return content + end % (table, trailer, len(content))


def _encrypted() -> bytes:
    """A PDF that says that it is encrypted (ISO 32000-1, 7.6.3), by a password that is not the empty one."""
    key = b"00" * 32
    rule = b"/Encrypt<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P -4>>/ID[<00><00>]" % (key, key)
    return _small(b"<</Type/Pages/Kids[]/Count 0>>", rule)
