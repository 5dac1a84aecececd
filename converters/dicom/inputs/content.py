"""Tells by its first bytes what a file holds; names and suffixes say little in an archive of images."""

from __future__ import annotations

import enum
import struct
import tarfile

from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

HEAD_BYTES = 512
"""As much as :func:`content_of` looks at: one block of a tar archive."""

_MAGIC = b"DICM"
_MAGIC_AT = 128
"""The prefix and the length of the preamble before it (PS3.10 7.1)."""

_FIRST_GROUPS = (0x0002, 0x0008)
"""A data set without preamble starts with its file meta information or with group 0008 (PS3.6 6, PS3.10 7.1)."""

_LAST_SANE_GROUP = 0x0010
_LAST_SANE_FIRST_ELEMENT = 0x0020
_ELEMENTS_CHECKED = 3


class Content(enum.StrEnum):
    """What a file holds."""

    DICOM = "DICOM"
    ZIP = "zip"
    TAR = "tar"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "Zstandard"
    SEVEN_ZIP = "7-Zip"
    RAR = "RAR"
    NIFTI = "NIfTI"
    EMPTY = "nothing"
    OTHER = "something else"


_STARTS = (
    (b"PK\x03\x04", Content.ZIP),
    (b"PK\x05\x06", Content.ZIP),
    (b"\x1f\x8b\x08", Content.GZIP),
    (b"BZh", Content.BZIP2),
    (b"\xfd7zXZ\x00", Content.XZ),
    (b"\x28\xb5\x2f\xfd", Content.ZSTD),
    (b"7z\xbc\xaf\x27\x1c", Content.SEVEN_ZIP),
    (b"Rar!\x1a\x07", Content.RAR),
)
"""Signatures: APPNOTE.TXT 4.3 (zip), RFC 1952 (gzip), RFC 8878 (Zstandard), and the formats' own descriptions."""

_NIFTI_MAGICS = (b"n+1\x00", b"ni1\x00")
_NIFTI_MAGIC_AT = 344
"""Field ``magic`` of the header of NIfTI-1."""


def content_of(head: bytes) -> Content:
    """Say what a file holds.

    Args:
        head: Its first :data:`HEAD_BYTES` bytes, or all that there are.
    """
    if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC:
        return Content.DICOM
    if not head:
        return Content.EMPTY
    for start, content in _STARTS:
        if head.startswith(start):
            return content
    if head[_NIFTI_MAGIC_AT : _NIFTI_MAGIC_AT + 4] in _NIFTI_MAGICS:
        return Content.NIFTI
    if is_bare_dataset(head):
        return Content.DICOM
    return Content.TAR if _is_tar(head) else Content.OTHER


def _is_tar(head: bytes) -> bool:
    """Whether the first block is the header of a member; old archives have no other mark than its checksum."""
    if len(head) < tarfile.BLOCKSIZE or not head.strip(b"\x00"):
        return False
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def is_bare_dataset(head: bytes) -> bool:
    """Whether bytes without preamble start as a data set does: the first few elements in order and of sane length."""
    return any(_elements_are_sane(head, *way) for way in (("<", True), ("<", False), (">", True)))


def _elements_are_sane(head: bytes, order: str, explicit: bool) -> bool:
    at, last, count = 0, (0, 0), 0
    while count < _ELEMENTS_CHECKED and at + 8 <= len(head):
        group, element = struct.unpack_from(f"{order}HH", head, at)
        if (group, element) <= last or group > _LAST_SANE_GROUP:
            return False
        if count == 0 and (group not in _FIRST_GROUPS or element > _LAST_SANE_FIRST_ELEMENT):
            return False
        value_at, length = _length(head, at, order, explicit)
        if length is None:
            return False
        at, last, count = value_at + length, (group, element), count + 1
    # Two numbers alone may happen in any file; a VR beside them does not.
    return count > 1 or (count == 1 and explicit)


def _length(head: bytes, at: int, order: str, explicit: bool) -> tuple[int, int | None]:
    """Return where the value of an element starts and its length, None where there cannot be such an element."""
    if not explicit:
        length = int(struct.unpack_from(f"{order}I", head, at + 4)[0])
        return at + 8, length if length <= HEAD_BYTES else None
    vr = head[at + 4 : at + 6].decode("latin-1")
    if vr in EXPLICIT_VR_LENGTH_16:
        return at + 8, int(struct.unpack_from(f"{order}H", head, at + 6)[0])
    if vr in EXPLICIT_VR_LENGTH_32 and at + 12 <= len(head):
        return at + 12, int(struct.unpack_from(f"{order}I", head, at + 8)[0])
    return at, None
