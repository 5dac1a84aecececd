"""Which reader reads which format."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import cast

from domainvl.corpus.extras import require
from domainvl.corpus.sources.extractors import find_extractor
from domainvl.corpus.sources.reading import Page, Reader, ReadSettings, SourceFile
from domainvl.schema.writer import Reject

_READERS = {
    "archive": "archives:read_archive",
    "dicom-sr": "dicom_sr:read_dicom_sr",
    "docx": "docx:read_docx",
    "html": "html:read_html",
    "markdown": "markdown:read_markdown",
    "pdf": "pdf:read_pdf",
    "records": "records:read_records",
    "text": "plain_text:read_plain_text",
    "video": "video:read_video",
    "warc": "warc:read_warc",
}
"""Module and function that read a format; imported when a source has it."""

_LIBRARIES = {
    "docx": ("docx",),
    "html": ("lxml.html", "resiliparse.parse.encoding"),
    "markdown": ("lxml.html", "resiliparse.parse.encoding"),
    "pdf": ("pypdfium2",),
    "text": ("resiliparse.parse.encoding",),
    "video": ("pysubs2",),
    "warc": ("lxml.html", "fastwarc.warc"),
}
"""What readers import; what an archive holds is not known before it is opened."""


def check_libraries(formats: Iterable[str], settings: ReadSettings) -> None:
    """Refuse to begin where a library is missing that sources need: each of them would else fail by itself.

    Raises:
        UsageError: If one is not installed.
    """
    needed = set(formats)
    for name in sorted(needed):
        for module in _LIBRARIES.get(name, ()):
            require(module)
    if needed & {"html", "warc"}:
        extractor = find_extractor(settings.extractor)
        require(extractor.module, extra=extractor.extra)
    if "video" in needed:
        require("av", extra="video")
    require("imagehash")


def read_pages(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a source file by the reader of its format.

    Args:
        source: The file.
        settings: How.

    Returns:
        Documents in the order of the file, and what could not be read of it.

    Raises:
        ItemError: If nothing of the file can be read, now or at the first document.
    """
    module, _, function = _READERS[source.format].partition(":")
    reader = cast(Reader, getattr(importlib.import_module(f"domainvl.corpus.sources.{module}"), function))
    return reader(source, settings)
