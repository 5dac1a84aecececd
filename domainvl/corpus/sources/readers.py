"""Which reader reads which format."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import cast

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
