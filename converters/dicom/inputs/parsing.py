"""Parses headers from as few bytes as will do."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from pydicom import FileDataset, dcmread
from pydicom.errors import InvalidDicomError

from ..headers import PARSE_ERRORS
from .deflated import check_deflated, check_deflated_file, may_be_deflated

HEADER_ERRORS = (InvalidDicomError, *PARSE_ERRORS)
"""What pydicom raises on malformed headers. Their texts may quote the file and are never passed on."""

HEAD_BYTES = 1 << 17
"""Read at once, with room for most headers: from memory pydicom parses faster by a quarter than from a file."""

_DEFER_BYTES = 1 << 20
"""Longer values are read when someone asks for them: documents, spectra and curves stand before the pixels."""

_PIXEL_TAGS = tuple(
    group + element
    for group, elements in (
        (b"\xe0\x7f", (b"\x08\x00", b"\x09\x00", b"\x10\x00")),
        (b"\x7f\xe0", (b"\x00\x08", b"\x00\x09", b"\x00\x10")),
    )
    for element in elements
)
"""Float, double and integer pixel data (PS3.3 C.7.6.3, C.7.6.24, C.7.6.25) in either byte order."""


def parse_header(file: BinaryIO, head: bytes) -> FileDataset:
    """Parse a file up to its pixels.

    Args:
        file: The file; values that are not read at once can be while it stays open.
        head: Its first bytes, at best :data:`HEAD_BYTES` of them.

    Raises:
        ItemError: By ``deflated-too-large``.
        Exception: One of :data:`HEADER_ERRORS` if it is malformed.
    """
    if may_be_deflated(head):
        check_deflated_file(file)
        file.seek(0)
        return _parse(file, _DEFER_BYTES)
    start = io.BytesIO(head)
    try:
        dataset = _parse(start)
    except HEADER_ERRORS:
        dataset = None
    # Where parsing ended elsewhere than at the pixels, the head may have been too short.
    at = start.tell()
    if dataset is not None and (len(head) == file.seek(0, os.SEEK_END) or head[at : at + 4] in _PIXEL_TAGS):
        return dataset
    check_deflated_file(file)  # its meta information may be longer than the head
    file.seek(0)
    return _parse(file, _DEFER_BYTES)


def parse_bytes(content: bytes) -> FileDataset:
    """Parse the bytes of a file up to its pixels; errors as :func:`parse_header`."""
    check_deflated(content)
    return _parse(io.BytesIO(content))


def _parse(file: BinaryIO, defer_bytes: int | None = None) -> FileDataset:
    # That this is DICOM is known; force only does without preamble and file meta information.
    return dcmread(file, stop_before_pixels=True, force=True, defer_size=defer_bytes)
