"""Takes the bitstream of a video out of a DICOM file, byte for byte; it is not decoded."""

from __future__ import annotations

import struct

from pydicom import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.filebase import DicomBytesIO
from pydicom.uid import MPEGTransferSyntaxes

from domainvl.errors import ItemError

from .headers import PARSE_ERRORS, transfer_syntax, value_of

_TS_PACKET_BYTES = 188
"""ISO/IEC 13818-1, 2.4.3.2; each packet begins with 0x47."""
_START_CODES = {b"\x00\x00\x01\xba": ".mpg", b"\x00\x00\x01\xb3": ".m2v"}
"""Pack header of a program stream (ISO/IEC 13818-1, 2.5.3.4), sequence header of MPEG-2 video (13818-2, 6.2.2)."""
_ELEMENTARY = ((".100", ".m2v"), (".101", ".m2v"), (".107", ".h265"), (".108", ".h265"))
"""Ends of the UIDs 1.2.840.10008.1.2.4.X and what they hold where there is no container; the others are H.264."""


def extract_video(dataset: Dataset) -> tuple[bytes, str]:
    """Return a file's video (MPEG-2, MPEG-4 AVC or HEVC, PS3.5 8.2.5 to 8.2.8).

    Fragments of the encapsulated data are joined (A.4). A byte that pads the last to even length is taken off where
    the length of the stream is known: from EncapsulatedPixelDataValueTotalLength or the boxes of an MP4 file. A
    transport stream is of even length; elementary streams may end with any number of zeros (ISO/IEC 13818-2, 5.2.3).

    Args:
        dataset: The file, with pixel data.

    Returns:
        The bitstream, and the suffix that a file of it is to have.

    Raises:
        ItemError: By ``no-video`` if it is in another transfer syntax, by ``truncated`` if it is not there whole.
    """
    syntax = transfer_syntax(dataset)
    if syntax not in MPEGTransferSyntaxes:
        raise ItemError(
            "Cannot extract a video",
            reason="no-video",
            rule="the transfer syntax must be one of MPEG-2, MPEG-4 or HEVC",
            action="Convert it as images",
        )
    content = _joined(dataset)
    suffix = _suffix(content, str(syntax))
    declared = value_of(dataset, "EncapsulatedPixelDataValueTotalLength")
    length = int(declared) if declared else _length(content, suffix)
    if len(content) < length:
        raise _truncated(f"the stream must have {length} bytes, the file holds {len(content)}")
    is_padded = len(content) == length + 1 and content[-1] == 0
    return content[:length] if is_padded else content, suffix


def _joined(dataset: Dataset) -> bytes:
    data = value_of(dataset, "PixelData")
    if not data:
        raise _truncated("the file holds no pixel data")
    try:
        buffer = DicomBytesIO(data)
        parse_basic_offsets(buffer)
        content = b"".join(generate_fragments(buffer))
    except PARSE_ERRORS as error:
        raise _truncated("the fragments of the pixel data are malformed") from error
    if not content:
        raise _truncated("the pixel data hold no fragment")
    return content


def _truncated(rule: str) -> ItemError:
    return ItemError(
        "Cannot extract a video", reason="truncated", rule=rule, action="Fetch the file again; it was cut off"
    )


def _suffix(content: bytes, syntax: str) -> str:
    if content[4:8] == b"ftyp":
        return ".mp4"
    if content[: 2 * _TS_PACKET_BYTES + 1 : _TS_PACKET_BYTES] == b"GGG":
        return ".ts"
    if suffix := _START_CODES.get(content[:4]):
        return suffix
    base = syntax.removeprefix("1.2.840.10008.1.2.4")
    return next((suffix for start, suffix in _ELEMENTARY if base.startswith(start)), ".h264")


def _length(content: bytes, suffix: str) -> int:
    """Return the length that the container declares; that of the content where there is none."""
    return _mp4_length(content) if suffix == ".mp4" else len(content)


def _mp4_length(content: bytes) -> int:
    """Add up the boxes of an MP4 file (ISO/IEC 14496-12, 4.2)."""
    place = 0
    while place + 8 <= len(content):
        size = int(struct.unpack_from(">I", content, place)[0])
        if size == 1 and place + 16 <= len(content):
            size = int(struct.unpack_from(">Q", content, place + 8)[0])
        if size < 8:  # 0 is a last box that runs to the end, others are no boxes
            return len(content)
        place += size
    return place
