"""The words that an image file carries beside its pixels: PNG chunks, JPEG comments, EXIF, XMP, IPTC."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8"
_MAX_UNPACKED_BYTES = 1 << 20
_MAX_HUNTED_BYTES = 1 << 26
"""So much of the packed text of one file is unpacked to look for what must not be left; words need less."""

# ISO/IEC 15948 11.3.4 and the eXIf extension.
_PNG_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf"})
# Chunks of pixels, also those of animations: compressed, so that no word stands in them as it is.
_PNG_PIXEL_CHUNKS = frozenset({b"IDAT", b"fdAT"})
# ITU-T T.81 B.1.1.3: the segments that hold words: COM, and APP1 to APP15 but for APP2 (colour profile) and APP14
# (Adobe's colour transform).
_JPEG_WORD_SEGMENTS = frozenset({0xFE, *range(0xE1, 0xF0)} - {0xE2, 0xEE})
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
# Markers that stand alone, without a length: start of an image, restarts within a scan, TEM.
_JPEG_LONE = frozenset({0x01, *range(0xD0, 0xD9)})
# B.1.1.5: within a scan 0xFF is a byte of data where 0 follows (T.87 A.1: a byte below 0x80), and restarts are in it.
_JPEG_SCAN_END = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_JPEG_NEXT_IMAGE = b"\xff\xd8\xff"
_REST = -1
"""In the place of a marker: bytes that are no segment."""

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


@dataclass(frozen=True)
class BesidePixels:
    """What is in an image file beside its compressed pixels.

    Attributes:
        content: Those bytes, with packed text unpacked too.
        unread: How many packed texts are not in it, or not to their end: broken ones, and very long ones.
    """

    content: bytes
    unread: int = 0


def beside_pixels(content: bytes) -> BesidePixels | None:
    """Return all that is in a PNG or JPEG file but its compressed pixels; None for other formats.

    Colour profiles, unknown segments, comments between the scans and what follows the end of the image are in it.

    Args:
        content: The file's bytes; it may be cut or broken anywhere.
    """
    if content.startswith(_PNG_SIGNATURE):
        return _beside_png(content)
    if content.startswith(_JPEG_SIGNATURE):
        return BesidePixels(b"\n".join(data for _, data in _jpeg_segments(content)))
    return None


def _beside_png(content: bytes) -> BesidePixels:
    parts: list[bytes] = []
    unread, budget_bytes = 0, _MAX_HUNTED_BYTES
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kind = content[position + 4 : position + 8]
        if kind not in _PNG_PIXEL_CHUNKS:
            data = content[position + 8 : position + 8 + length]
            parts.append(kind + b"\n" + data)
            unpacked = _unpacked(kind, data, budget_bytes)
            if unpacked is not None:
                parts.append(unpacked[0])
                unread += not unpacked[1]
                budget_bytes -= len(unpacked[0])
        position += 12 + length
        if kind == b"IEND":
            break
    return BesidePixels(b"\n".join([*parts, content[position:]]), unread)


def _png_parts(content: bytes) -> Iterator[bytes]:
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kind = content[position + 4 : position + 8]
        if kind in _PNG_TEXT_CHUNKS:
            data = content[position + 8 : position + 8 + length]
            yield data
            unpacked = _unpacked(kind, data, _MAX_UNPACKED_BYTES)
            yield unpacked[0] if unpacked is not None else b""
        position += 12 + length


def _unpacked(kind: bytes, data: bytes, max_bytes: int) -> tuple[bytes, bool] | None:
    """Unpack a compressed text chunk.

    Returns:
        The text behind its keyword and whether all of it is there, or None where the chunk is not compressed. Text that
        cannot be unpacked is empty, as no reader would show it either.
    """
    keyword, _, rest = data.partition(b"\x00")
    if kind in (b"zTXt", b"iCCP"):
        packed = rest[1:]
    elif kind == b"iTXt" and rest[:1] == b"\x01":
        packed = rest[2:].split(b"\x00", 2)[-1]  # behind language and translated keyword
    else:
        return None
    if max_bytes <= 0:
        return b"", False
    unpacker = zlib.decompressobj()
    try:
        return keyword + b": " + unpacker.decompress(packed, max_bytes), unpacker.eof
    except zlib.error:
        return b"", False


def _jpeg_parts(content: bytes) -> Iterator[bytes]:
    return (data for marker, data in _jpeg_segments(content) if marker in _JPEG_WORD_SEGMENTS)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield what stands in a JPEG file beside its compressed pixels, with the marker in front of it.

    It goes from marker to marker, for the bytes of one may stand in a segment by chance or in a thumbnail. Behind the
    end of an image another one may start, as in files of several pictures (CIPA DC-007).
    """
    position = len(_JPEG_SIGNATURE)
    while position < len(content):
        marker = content[position + 1] if content[position] == 0xFF and position + 1 < len(content) else _REST
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _JPEG_LONE:
            position += 2
        elif marker == _JPEG_END:
            start = content.find(_JPEG_NEXT_IMAGE, position)
            end = len(content) if start < 0 else start
            yield _REST, content[position:end]
            position = end
        elif marker == _REST or position + 4 > len(content):
            yield _REST, content[position:]  # broken: nobody knows what is pixels
            return
        else:
            end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
            yield marker, content[position + 4 : end]
            scan_end = _JPEG_SCAN_END.search(content, end) if marker == _JPEG_SCAN else None
            if marker == _JPEG_SCAN:
                end = scan_end.start() if scan_end is not None else len(content)
            position = end


def _runs(part: bytes) -> Iterator[str]:
    for match in _RUN.finditer(part):
        try:
            yield match[0].decode("utf-8")
        except UnicodeDecodeError:
            yield match[0].decode("latin-1")
    for match in _WIDE_RUN.finditer(part):
        yield match[0].decode("utf-16-le")
