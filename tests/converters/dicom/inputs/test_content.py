from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from domainvl.converters.dicom.inputs.content import HEAD_BYTES, Content, content_of, is_bare_dataset


def test_dicom_is_known_by_its_prefix_whatever_the_preamble_holds():
    assert content_of(b"II*\x00" + bytes(124) + b"DICM") is Content.DICOM
    assert content_of(bytes(127) + b"DICM") is Content.OTHER


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"a", mtime=0), Content.GZIP),
        (bz2.compress(b"a"), Content.BZIP2),
        (lzma.compress(b"a"), Content.XZ),
        (b"\x28\xb5\x2f\xfd\x04", Content.ZSTD),
        (b"7z\xbc\xaf\x27\x1c\x00", Content.SEVEN_ZIP),
        (b"Rar!\x1a\x07\x01", Content.RAR),
        (b"PK\x05\x06" + bytes(18), Content.ZIP),
        (b"\x5c\x01\x00\x00" + bytes(340) + b"n+1\x00", Content.NIFTI),
        (b"", Content.EMPTY),
        (b"some text that is long enough to look at", Content.OTHER),
        (bytes(HEAD_BYTES), Content.OTHER),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", Content.OTHER),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", Content.OTHER),
    ],
)
def test_other_content_is_known_by_its_signature(content, kind):
    assert content_of(content[:HEAD_BYTES]) is kind


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_is_known_by_the_checksum_of_its_first_header(style):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=style) as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    head = bytearray(file.getvalue()[:HEAD_BYTES])
    assert content_of(bytes(head)) is Content.TAR
    head[0] ^= 1
    assert content_of(bytes(head)) is Content.OTHER


EXPLICIT = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100\x08\x00\x08\x00CS\x04\x00A\\B "
IMPLICIT = b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100\x08\x00\x08\x00\x04\x00\x00\x00A\\B "
BIG_ENDIAN = b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100\x00\x08\x00\x08CS\x00\x04A\\B "
META = b"\x02\x00\x00\x00UL\x04\x00\x08\x00\x00\x00\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"


@pytest.mark.parametrize("head", [EXPLICIT, IMPLICIT, BIG_ENDIAN, META, EXPLICIT[:18]])
def test_med_50_a_data_set_without_preamble_is_known_by_its_first_elements(head):
    """Encodings of PS3.5 7.1.2 and 7.1.3, written out by hand."""
    assert is_bare_dataset(head)
    assert content_of(head) is Content.DICOM


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x08\x00\x05\x00",
        b"\x28\x00" + EXPLICIT[2:],  # starts in the middle
        b"\x08\x00\x50\x00" + EXPLICIT[4:18],  # so does this
        EXPLICIT.replace(b"CS", b"cs"),
        EXPLICIT[:18] + EXPLICIT,  # tags do not increase
        IMPLICIT[:18],  # two numbers that could be in any file
        IMPLICIT.replace(b"\x0a\x00\x00\x00", b"\x0a\x00\x00\x40"),
        IMPLICIT.replace(b"\x04\x00\x00\x00", b"\x04\x00\x00\x40"),
        EXPLICIT[:18] + b"\x28\x00" + EXPLICIT[20:],  # no file jumps that far at its start
    ],
)
def test_med_50_what_only_resembles_a_data_set_is_none(head):
    assert not is_bare_dataset(head)
