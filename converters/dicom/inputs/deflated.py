"""Keeps deflated files (PS3.5 A.5) from filling memory: a megabyte of them may unpack to a gigabyte of zeros."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

from pydicom import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from domainvl.errors import ItemError

from ..headers import text_of, transfer_syntax

DEFLATED_BYTES_MAX = 1 << 28
"""What a deflated file may unpack to: 500 slices of a CT. What is larger is hardly ever deflated."""

_DEFLATE_RATIO = 1032
"""The most that deflate packs: 258 bytes into 2 bits (RFC 1951 3.2.5; zlib, technical details)."""

_UID = DeflatedExplicitVRLittleEndian.encode("ascii")
_READ_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20
_META_GROUP = 0x0002


def check_deflated(content: bytes) -> None:
    """Refuse a file that unpacks to more than :data:`DEFLATED_BYTES_MAX`; pydicom unpacks it whole.

    Args:
        content: The bytes of any file.

    Raises:
        ItemError: By ``deflated-too-large``.
        Exception: One of :data:`.parsing.HEADER_ERRORS` if it is malformed.
    """
    if may_be_deflated(content):
        check_deflated_file(io.BytesIO(content))


def may_be_deflated(head: bytes) -> bool:
    """Whether the transfer syntax is named somewhere: its name lies in the meta information, which is not deflated.

    Args:
        head: The start of a file, with all of its meta information.
    """
    return _UID in head


def check_deflated_file(file: BinaryIO) -> None:
    """Check an open file from its start; it is left anywhere. Errors as :func:`check_deflated`."""
    # Explicit, as the standard has it; implicit, as pydicom takes it where that fails.
    for is_implicit in (False, True):
        file.seek(0)
        read_preamble(file, force=True)
        meta = read_dataset(file, is_implicit, is_little_endian=True, stop_when=_follows_meta)
        if text_of(meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            _check_stream(file)
            return


def largest_size(dataset: Dataset, size_bytes: int) -> int:
    """Return how many bytes a file holds, at most so many where it is deflated.

    Args:
        dataset: Its header.
        size_bytes: Its size.
    """
    if transfer_syntax(dataset) != DeflatedExplicitVRLittleEndian:
        return size_bytes
    return min(size_bytes * _DEFLATE_RATIO, DEFLATED_BYTES_MAX)


def _follows_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != _META_GROUP


def _check_stream(file: BinaryIO) -> None:
    """Unpack a raw deflate stream (RFC 1951) piece by piece, keeping nothing."""
    state = zlib.decompressobj(-zlib.MAX_WBITS)
    size_bytes = 0
    packed = file.read(_READ_BYTES)
    while packed and not state.eof:
        size_bytes += len(state.decompress(packed, _PIECE_BYTES))
        if size_bytes > DEFLATED_BYTES_MAX:
            raise ItemError(
                "Cannot unpack a deflated file",
                reason="deflated-too-large",
                rule=f"up to {DEFLATED_BYTES_MAX} bytes are unpacked, and it holds more",
                action="If you trust it, write it in Explicit VR Little Endian, such as with dcmconv +te of DCMTK",
            )
        packed = state.unconsumed_tail or file.read(_READ_BYTES)
