"""Documents are made by python-docx, and by hand where it cannot."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from toy_corpora import png

from domainvl.corpus.sources.docx import read_docx
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, TextKind, TextSlot


def read(path: Path, **settings: Any) -> Page:
    source = SourceFile(path, f"cases/{path.name}", path.parent, "docx")
    (page,) = read_docx(source, ReadSettings(**settings))
    assert isinstance(page, Page)
    return page


def write(path: Path, fill: Callable[[Any], None]) -> Path:
    document = docx.Document()
    fill(document)
    document.save(str(path))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "case.docx"


def _fill(document: Any) -> None:
    document.core_properties.modified = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    document.core_properties.language = "en-GB"
    document.add_heading("Case 7", level=0)
    document.add_heading("Findings", level=2)
    paragraph = document.add_paragraph("Before the image ")
    paragraph.add_run().add_picture(io.BytesIO(png(seed=1)))
    paragraph.runs[-1].element.xpath(".//wp:docPr")[0].set("descr", "A chest radiograph")
    paragraph.add_run(" and after it.")
    document.add_paragraph("Figure 1: the same.", style="Caption")
    document.add_paragraph("first", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for number, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"cell {number}"
    table.cell(0, 1).paragraphs[0].add_run().add_picture(io.BytesIO(png(seed=2)))
    document.add_paragraph("Table 2. Sizes of all.")


def test_blocks_and_images_keep_their_order_and_kind(path: Path) -> None:
    page = read(write(path, _fill))
    first, second = (slot for slot in page.slots if isinstance(slot, ImageSlot))
    found = [(slot.kind, slot.level, slot.text) if isinstance(slot, TextSlot) else slot.url for slot in page.slots]
    assert found == [
        (TextKind.HEADER, 1, "Case 7"),
        (TextKind.HEADER, 2, "Findings"),
        (TextKind.TEXT, None, "Before the image"),
        first.url,
        (TextKind.TEXT, None, "and after it."),
        (TextKind.CAPTION, None, "Figure 1: the same."),
        (TextKind.LIST, None, "first"),
        (TextKind.TABLE, None, "cell 0 | cell 1"),
        second.url,
        (TextKind.TABLE, None, "cell 2 | cell 3"),
        (TextKind.CAPTION, None, "Table 2. Sizes of all."),
    ]
    assert first.alt == "A chest radiograph"
    assert page.find_image(first.url) == png(seed=1)
    assert page.find_image(second.url) == png(seed=2)
    assert first.url.startswith("cases/case.docx#word/media/")
    assert (page.language, page.modified) == ("en-GB", "2024-05-06T07:08:09+00:00")


def test_cells_are_one_line_and_empty_ones_keep_their_columns(path: Path) -> None:
    def fill(document: Any) -> None:
        cells = document.add_table(rows=1, cols=3).rows[0].cells
        cells[0].text, cells[2].text = "one\ntwo", "three"

    assert [slot.text for slot in read(write(path, fill)).slots if isinstance(slot, TextSlot)] == ["one two |  | three"]


def test_deleted_text_goes_and_inserted_text_stays(path: Path) -> None:
    def fill(document: Any) -> None:
        xml = (
            f"<w:p {nsdecls('w')}><w:r><w:t>a </w:t></w:r><w:del><w:r><w:noBreakHyphen/></w:r></w:del>"
            "<w:moveFrom><w:r><w:t>e</w:t></w:r></w:moveFrom><w:ins><w:r><w:t>c</w:t></w:r></w:ins><w:hyperlink><w:r><w:tab/><w:t>d</w:t></w:r></w:hyperlink></w:p>"
        )
        document.element.body.insert(0, parse_xml(xml))

    assert [slot.text for slot in read(write(path, fill)).slots if isinstance(slot, TextSlot)] == ["a c d"]


def test_superscripts_keep_their_meaning(path: Path) -> None:
    def fill(document: Any) -> None:
        paragraph = document.add_paragraph()
        for text, is_raised in (
            ("10", False), ("-", True), ("3", True), (" Bq, the 2", False), ("n", True), ("d", True), (" time.", False),
            ("12", True), (" H", False),
        ):  # fmt: skip
            paragraph.add_run(text).font.superscript = is_raised or None
        paragraph.add_run("2").font.subscript = True
        paragraph.add_run("O")

    assert [slot.text for slot in read(write(path, fill)).slots if isinstance(slot, TextSlot)] == [
        "10^-3 Bq, the 2nd time. H2O"
    ]


def test_linked_and_lost_images_are_told(path: Path) -> None:
    def fill(document: Any) -> None:
        linked = document.part.relate_to(
            "https://example.org/a.png", docx.opc.constants.RELATIONSHIP_TYPE.IMAGE, is_external=True
        )
        for name in (linked, "rId999"):
            xml = f'<w:p {nsdecls("w", "a", "r")}><w:r><w:drawing><a:blip r:link="{name}"/></w:drawing></w:r></w:p>'
            document.element.body.insert(0, parse_xml(xml))

    page = read(write(path, fill))
    assert [slot.url for slot in page.slots if isinstance(slot, ImageSlot)] == ["https://example.org/a.png"]
    assert [reject.reason for reject in page.rejects] == ["missing"]
    for address, reason in (("https://example.org/a.png", "remote"), ("cases/case.docx#word/media/x.png", "missing")):
        with pytest.raises(ItemError) as raised:
            page.find_image(address)
        assert raised.value.reason == reason


def _zip(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "decode"),
        (b"not a zip", "decode"),
        (_zip(a=b"no document"), "decode"),
        (_zip(a=bytes(30_000_000)), "archive-bomb"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "encrypted"),
    ],
    ids=["empty", "junk", "zip", "bomb", "ole"],
)
def test_what_is_no_document_is_refused_by_its_reason(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ItemError) as raised:
        read(path)
    assert raised.value.reason == reason


def test_parts_that_are_too_large_together_are_refused(path: Path) -> None:
    """Ten of 499,000 bytes: each may have 500,000, and all together eight times that."""
    write(path, _fill)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(f"word/media/{number}.bin", bytes(499_000))
    assert path.stat().st_size < 500_000
    with pytest.raises(ItemError) as raised:
        read(path, max_source_bytes=500_000)
    assert raised.value.reason == "archive-bomb"


@pytest.mark.parametrize("name", ["word/document.xml", "[Content_Types].xml", "word/_rels/document.xml.rels"])
def test_a_broken_part_is_refused_and_entities_do_not_grow(path: Path, name: str) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "%s">]><a>&z;</a>' % (b"&x;" * 1000)
    write(path, _fill)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    path.write_bytes(_zip(**{**members, name: bomb}))
    with pytest.raises(ItemError) as raised:
        read(path)
    assert raised.value.reason == "decode"
