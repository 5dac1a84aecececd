"""Reads plain texts with the images that are named after them: a source without a layout.

``case12.txt`` has the images ``case12.png``, ``case12-2.jpg`` or ``case12_axial.png`` beside it, and those in a folder
``case12``. Where they belong in the text nobody says: they stand behind it until ``domainvl corpus score --place``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from domainvl.corpus.sources.decoding import decode_page
from domainvl.corpus.sources.html import notes
from domainvl.corpus.sources.images_on_disk import ImagesOnDisk, page_address, read_limited
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.interleaved.documents import ImageSlot, TextSlot
from domainvl.schema.writer import Reject

_IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_PARAGRAPH_BREAK = re.compile(r"\n[ \t]*\n\s*")


def read_plain_text(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a file; see :class:`Reader`. Paragraphs are divided by blank lines.

    Raises:
        ItemError: With reason ``too-large``, ``unreadable``, ``empty`` or ``decode``.
    """
    content = read_limited(source.path, settings.max_source_bytes, what="Cannot read a text", where=source.uri)
    decoded = decode_page(content)
    paragraphs = [part.strip() for part in _PARAGRAPH_BREAK.split(decoded.text.replace("\r\n", "\n"))]
    address = page_address(source, settings)
    folder = address[: -len(source.path.name)]
    yield Page(
        uri=source.uri,
        url=address,
        slots=(
            *(TextSlot(part) for part in paragraphs if part),
            *(ImageSlot(folder + name) for name in _images_of(source)),
        ),
        find_image=ImagesOnDisk.of(source, settings),
        sha256=hashlib.sha256(content).hexdigest(),
        reader="plain text",
        format=source.format,
        rejects=tuple(notes(source.uri, decoded, [])),
        placement="none",
    )


def _images_of(source: SourceFile) -> list[str]:
    """Name the images of a text, as paths from its folder: those named after it, then those in a folder of its name."""
    stem = source.path.stem
    named = re.compile(re.escape(stem) + r"(?:[-_. ].*)?\Z")
    beside = [path.name for path in source.path.parent.iterdir() if named.match(path.stem)]
    folder = source.path.parent / stem
    inside = [f"{stem}/{path.name}" for path in folder.iterdir()] if folder.is_dir() else []
    return [name for names in (beside, inside) for name in sorted(names) if name.lower().endswith(_IMAGE_SUFFIXES)]
