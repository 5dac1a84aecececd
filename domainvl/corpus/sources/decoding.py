"""From the bytes of a page to its text, whatever encodings it declares, has, or mixes."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from domainvl.corpus.extras import require
from domainvl.errors import ItemError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The mark of UTF-16 begins that of UTF-32, which is therefore tried first."""

_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
"""What browsers read pages of these labels as (WHATWG Encoding Standard, section 4.2, names and labels)."""

_DECLARED = re.compile(rb"""(?:<meta[^>]{0,400}?charset|<\?xml[^>]{0,200}?encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.I)
_DECLARED_WITHIN_BYTES = 4096  # WHATWG asks for the first 1,024; pages in the wild put comments before it
_LONE_BYTE_FIRST, _LONE_BYTE_LAST = 0xDC80, 0xDCFF  # where Python's surrogateescape puts bytes that are not UTF-8
_SNIFFED_BYTES = 65_536
_MAX_CONTROL_SHARE = 0.02  # ours: text has tabs and line ends alone; images and programs have 10 % and more
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\x0b\f\r\x1b")


@dataclass(frozen=True)
class DecodedPage:
    """A page as text.

    Attributes:
        text: The text, without NUL characters.
        encoding: What it was read as, by Python's name.
        replaced_count: Bytes or stretches that are not of this encoding; they were read as windows-1252 or replaced.
    """

    text: str
    encoding: str
    replaced_count: int


def decode_page(content: bytes, declared: str | None = None) -> DecodedPage:
    """Decode a page: by its byte-order mark, else as it declares, else as UTF-8, else as it looks.

    Args:
        content: Bytes of the page.
        declared: Label that a protocol gives, such as HTTP's; it counts more than the page's own.

    Raises:
        ItemError: With reason ``empty`` if there is none, ``decode`` if it is no text.
    """
    if not content.strip():
        raise ItemError("Cannot read a page", reason="empty", rule=f"it must have content, got {len(content)} bytes")
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _replace(content[len(mark) :], encoding)
    _refuse_binary(content)
    found = _DECLARED.search(content[:_DECLARED_WITHIN_BYTES])
    labels = [declared, found.group(1).decode("ascii", "replace") if found else None]
    known = [encoding for encoding in map(_codec, labels) if encoding is not None]
    for encoding in [*known, "utf-8"]:
        try:
            return DecodedPage(content.decode(encoding).replace("\0", ""), encoding, 0)
        except UnicodeDecodeError:
            continue
    return _replace(content, known[0] if known else _sniff(content))


def _codec(label: str | None) -> str | None:
    """Return Python's name of an encoding, None where there is no such one, or it is none of text."""
    if label is None:
        return None
    try:
        found = codecs.lookup(label)
        "".encode(found.name)
    except (LookupError, ValueError):
        return None
    if found.name.startswith(("utf-16", "utf-32")):
        return "utf-8"  # a page whose declaration can be read as ASCII is not UTF-16 (WHATWG HTML, 13.2.3.2)
    return _SUPERSETS.get(found.name, found.name)


def _replace(content: bytes, encoding: str) -> DecodedPage:
    if encoding == "utf-8":
        escaped = content.decode("utf-8", "surrogateescape")
        lone = {character for character in escaped if _LONE_BYTE_FIRST <= ord(character) <= _LONE_BYTE_LAST}
        count = sum(escaped.count(character) for character in lone)
        table = {ord(character): bytes([ord(character) - 0xDC00]).decode("cp1252", "replace") for character in lone}
        return DecodedPage(escaped.translate(table).replace("\0", ""), encoding, count)
    text = content.decode(encoding, "replace")
    return DecodedPage(text.replace("\0", ""), encoding, text.count("\ufffd"))


def _sniff(content: bytes) -> str:
    detected = require("resiliparse.parse.encoding").detect_encoding(content[:_SNIFFED_BYTES])
    return _codec(detected) or "cp1252"


def _refuse_binary(content: bytes) -> None:
    head = content[:_SNIFFED_BYTES]
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > _MAX_CONTROL_SHARE * len(head):
        share = f"{100 * controls / len(head):.0f} %"
        rule = f"text has control characters in at most {100 * _MAX_CONTROL_SHARE:.0f} % of it, got {share}"
        raise ItemError("Cannot read a page", reason="decode", rule=rule, action="Check that it is a page")
