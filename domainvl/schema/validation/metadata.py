"""The words that an image file carries beside its pixels: PNG chunks, JPEG comments, EXIF, XMP, IPTC."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8"
_MAX_UNPACKED_BYTES = 1 << 20

# ISO/IEC 15948 11.3.4 and the eXIf extension.
_PNG_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf"})
# ITU-T T.81 B.1.1.3: start of scan, and the segments that hold words: COM, and APP1 to APP15 but for APP2 (colour
# profile) and APP14 (Adobe's colour transform).
_JPEG_SOS = 0xDA
_JPEG_WORD_SEGMENTS = frozenset({0xFE, *range(0xE1, 0xF0)} - {0xE2, 0xEE})

_MIN_RUN_CHARS = 4
_RUN = re.compile(rb"[\x09\x20-\x7e\x80-\xff]{%d,}" % _MIN_RUN_CHARS)
_WIDE_RUN = re.compile(rb"(?:[\x20-\x7e]\x00){%d,}" % _MIN_RUN_CHARS)


def metadata_text(content: bytes) -> str:
    """Return the readable text in the metadata of a PNG or JPEG file, one run a line; empty for other formats.

    Args:
        content: The file's bytes; it may be cut or broken anywhere.
    """
    if content.startswith(_PNG_SIGNATURE):
        parts = _png_parts(content)
    elif content.startswith(_JPEG_SIGNATURE):
        parts = _jpeg_parts(content)
    else:
        return ""
    return "\n".join(run for part in parts for run in _runs(part))


def _png_parts(content: bytes) -> Iterator[bytes]:
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kind = content[position + 4 : position + 8]
        if kind in _PNG_TEXT_CHUNKS:
            data = content[position + 8 : position + 8 + length]
            yield data
            yield from _unpacked(kind, data)
        position += 12 + length


def _unpacked(kind: bytes, data: bytes) -> Iterator[bytes]:
    """Unpack a compressed text chunk; it is left out where it cannot be, as no reader would show it either."""
    keyword, _, rest = data.partition(b"\x00")
    if kind == b"zTXt":
        packed = rest[1:]
    elif kind == b"iTXt" and rest[:1] == b"\x01":
        packed = rest[2:].split(b"\x00", 2)[-1]  # behind language and translated keyword
    else:
        return
    try:
        yield keyword + b": " + zlib.decompressobj().decompress(packed, _MAX_UNPACKED_BYTES)
    except zlib.error:
        return


def _jpeg_parts(content: bytes) -> Iterator[bytes]:
    position = len(_JPEG_SIGNATURE)
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == _JPEG_SOS:
            return
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        if marker in _JPEG_WORD_SEGMENTS:
            yield content[position + 4 : position + 2 + length]
        position += 2 + length


def _runs(part: bytes) -> Iterator[str]:
    for match in _RUN.finditer(part):
        try:
            yield match[0].decode("utf-8")
        except UnicodeDecodeError:
            yield match[0].decode("latin-1")
    for match in _WIDE_RUN.finditer(part):
        yield match[0].decode("utf-16-le")
