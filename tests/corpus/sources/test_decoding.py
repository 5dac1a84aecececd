"""Pages of all encodings become the text that they had."""

from __future__ import annotations

import codecs

import pytest

from domainvl.corpus.sources.decoding import decode_page
from domainvl.errors import ItemError

GERMAN, CHINESE = "Grüße, “Café” – ½", "遥感图像的解释，以及它的用途。" * 8


@pytest.mark.parametrize(
    ("text", "mark", "encoding"),
    [
        (GERMAN, codecs.BOM_UTF8, "utf-8"),
        (CHINESE, codecs.BOM_UTF16_LE, "utf-16-le"),
        (CHINESE, codecs.BOM_UTF16_BE, "utf-16-be"),
        (GERMAN, codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_a_byte_order_mark_decides(text: str, mark: bytes, encoding: str) -> None:
    page = decode_page(mark + text.encode(encoding), declared="latin-1")
    assert (page.text, page.replaced_count) == (text, 0)


@pytest.mark.parametrize(
    ("text", "label", "encoding"),
    [
        (GERMAN, "windows-1252", "cp1252"),
        (GERMAN, "ISO-8859-1", "cp1252"),
        (CHINESE, "gb2312", "gb18030"),
        (CHINESE, "GBK", "gb18030"),
        ("遙感影像的解釋", "big5", "big5"),
        ("衛星画像の解釈", "Shift_JIS", "cp932"),
        ("Снимок со спутника", "koi8-r", "koi8-r"),
        (GERMAN, "utf-8", "utf-8"),
    ],
)
@pytest.mark.parametrize("way", ["meta", "http-equiv", "xml", "http"])
def test_a_declared_encoding_is_used(text: str, label: str, encoding: str, way: str) -> None:
    head = {
        "meta": f'<meta charset="{label}">',
        "http-equiv": f"<META HTTP-EQUIV = Content-Type CONTENT='text/html; charset = {label}'>",
        "xml": f'<?xml version="1.0" encoding="{label}"?>',
        "http": "",
    }[way]
    page = decode_page((head + text).encode(encoding), declared=label if way == "http" else None)
    assert (page.text, page.replaced_count) == (head + text, 0)


@pytest.mark.parametrize("label", ["utf-16", "rot13", "base64", "hex", "no-such", "idna", "undefined", "x" * 300])
def test_labels_that_are_no_encodings_of_pages(label: str) -> None:
    content = f'<meta charset="{label}">{GERMAN}'
    assert decode_page(content.encode()).text == content


def test_without_a_declaration() -> None:
    assert decode_page(GERMAN.encode()).text == GERMAN
    guessed = decode_page(CHINESE.encode("gb18030"))
    assert (guessed.text, guessed.replaced_count) == (CHINESE, 0)


def test_what_is_declared_wrongly_is_still_read() -> None:
    """A page that says windows-1251 in HTTP and is UTF-8, as bytes that code page lacks show."""
    page = decode_page("<p>\u0418 \u0418</p>".encode(), declared="cp1251")  # И is D0 98, and 98 is not in 1251
    assert (page.text, page.encoding) == ("<p>И И</p>", "utf-8")


def test_lone_bytes_are_counted_and_read_as_windows_1252() -> None:
    page = decode_page("é".encode() + b" \xe9 \xe9 \x80")
    assert (page.text, page.replaced_count) == ("é é é €", 3) or page.encoding != "utf-8"
    declared = decode_page(b"<meta charset=utf-8>" + "é".encode() + b" \xe9 \xe9 \x80 \x81")
    assert declared.text.endswith("é é é € �") and declared.replaced_count == 4


def test_no_text() -> None:
    for content, reason in ((b"", "empty"), (b"\n ", "empty"), (b"\0\1\2\3" * 100, "decode")):
        with pytest.raises(ItemError) as caught:
            decode_page(content)
        assert caught.value.reason == reason


def test_nul_characters_are_taken_out() -> None:
    assert decode_page(b"a" * 200 + b"\0b").text == "a" * 200 + "b"
