"""Deflated files (PS3.5 A.5) that unpack to far more than they are."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from domainvl.converters.dicom.inputs import deflated
from domainvl.converters.dicom.inputs.deflated import DEFLATED_BYTES_MAX, check_deflated
from domainvl.converters.dicom.inputs.dicomdir import read_dicomdir
from domainvl.converters.dicom.inputs.reading import FileReader
from domainvl.converters.dicom.instance import FileRef
from domainvl.errors import ItemError

PIECE = bytes(1 << 20)


@pytest.fixture
def bomb(dataset, as_bytes):
    """A whole small image, deflated, with so many MiB of zeros behind it in a private element."""

    def make(zeros_mib: int, **attributes) -> bytes:
        made = dataset(SOPInstanceUID="1.2.9.9", **attributes)
        made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        content = as_bytes(made)
        start = 144 + int.from_bytes(content[140:144], "little")  # PS3.10 7.1: what the group length counts from
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(zlib.decompress(content[start:], -zlib.MAX_WBITS))
        packed += packer.compress(struct.pack("<HH2sHI", 0xFFFB, 0x1001, b"OB", 0, zeros_mib << 20))
        for _ in range(zeros_mib):
            packed += packer.compress(PIECE)
        return content[:start] + packed + packer.flush()

    return make


def test_med_51_a_deflated_bomb_is_refused_before_it_fills_memory(tmp_path, bomb, write_instance, look):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(bomb((DEFLATED_BYTES_MAX >> 20) + 1))
    write_instance(tmp_path / "in" / "b")
    tracemalloc.start()
    result = look(tmp_path / "in")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [reject.reason for reject in result.rejects] == ["deflated-too-large"]
    assert len(result.instances) == 1
    assert peak_bytes < 32 << 20


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(deflated, "DEFLATED_BYTES_MAX", 1 << 20)


def test_med_51_a_bomb_is_refused_wherever_it_lies(tmp_path, bomb, look, small_limit):
    """In an archive; as the input itself, where it may be a DICOMDIR; and when it is read again for its pixels."""
    path = tmp_path / "bomb"
    path.write_bytes(bomb(2))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "bomb")
    for source in (path, tmp_path / "a.zip"):
        assert [reject.reason for reject in look(source).rejects] == ["deflated-too-large"]
    path.write_bytes(bomb(2, DirectoryRecordSequence=[]))
    assert read_dicomdir(path) is None
    with FileReader() as reader, pytest.raises(ItemError) as caught:
        reader.read(FileRef(path))
    assert caught.value.reason == "deflated-too-large"


@pytest.mark.parametrize("length", [10, 1 << 18])
def test_med_51_a_bomb_is_found_behind_meta_information_of_any_length(tmp_path, bomb, look, small_limit, length):
    """The name of the transfer syntax may stand behind private information that fills what is read first."""
    content = bomb(2)
    start = 144 + int.from_bytes(content[140:144], "little")
    meta = pydicom.dcmread(_written(tmp_path / "x", content), stop_before_pixels=True).file_meta
    private = struct.pack("<HH2sHI", 2, 0x0001, b"OB", 0, length) + bytes(length)  # before TransferSyntaxUID
    syntax = meta.TransferSyntaxUID.encode() + b"\0"
    named = struct.pack("<HH2sH", 2, 0x0010, b"UI", len(syntax)) + syntax
    (tmp_path / "in").mkdir()
    _written(tmp_path / "in" / "a", content[:132] + private + named + content[start:])
    assert [reject.reason for reject in look(tmp_path / "in").rejects] == ["deflated-too-large"]


def _written(path, content):
    path.write_bytes(content)
    return path


def test_deflated_files_within_the_limit_are_read(tmp_path, dataset, as_bytes, look):
    """Noise, so that the file is longer than what is read of it first."""
    pixels = np.random.default_rng(0).integers(0, 1 << 15, (512, 512)).astype(np.int16)
    made = dataset(pixels)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = as_bytes(made)
    (instance,) = look(_written(tmp_path / "a", content)).instances
    assert instance.facts.rows == 512
    check_deflated(content)
    check_deflated(b"1.2.840.10008.1.2.1.99 in something else")


def test_med_51_more_frames_than_a_deflated_file_can_hold_are_refused(tmp_path, dataset, as_bytes, look):
    """A deflated file may be 1032 times as long unpacked: two frames of zeros fit, 90,000 of 32 KiB do not."""
    for frames, reasons in ((2, []), (90_000, ["frame-count"])):
        made = dataset(np.zeros((256, 128), np.uint8), Rows=128, NumberOfFrames=frames)
        made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        result = look(_written(tmp_path / "a", as_bytes(made)))
        assert [reject.reason for reject in result.rejects] == reasons
