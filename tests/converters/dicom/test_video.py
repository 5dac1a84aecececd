from __future__ import annotations

import struct

import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, itemize_fragment
from pydicom.uid import HEVCMP51, MPEG2MPML, MPEG4HP41, ExplicitVRLittleEndian, VideoEndoscopicImageStorage

from domainvl.converters.dicom.video import extract_video
from domainvl.errors import ItemError


def box(kind, content):
    return struct.pack(">I", 8 + len(content)) + kind + content


MP4 = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41") + box(b"mdat", bytes(range(256)) * 7) + box(b"moov", b"\0" * 101)
TS = b"".join(b"G" + bytes([number]) + b"\xff" * 186 for number in range(5))


def video(tmp_path, stream, syntax=MPEG4HP41, fragments=1, **attributes):
    """Write a file with a video, as an endoscope does, and read it again."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = VideoEndoscopicImageStorage, "1.2.3"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    size = -(-len(stream) // fragments)
    size += size % 2
    stream += b"\0" * (len(stream) % 2)  # PS3.5 A.4: fragments are of even length
    parts = [stream[start : start + size] for start in range(0, len(stream), size)]
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + b"".join(itemize_fragment(part) for part in parts)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "video.dcm", enforce_file_format=True)
    return pydicom.dcmread(tmp_path / "video.dcm")


@pytest.mark.parametrize("fragments", [1, 2, 5])
@pytest.mark.parametrize(
    ("stream", "syntax", "suffix"),
    [
        (MP4, MPEG4HP41, ".mp4"),
        (MP4, HEVCMP51, ".mp4"),
        (TS, MPEG2MPML, ".ts"),
        (TS[:-188], MPEG4HP41, ".ts"),
        (b"\x00\x00\x01\xba" + b"\x21" * 60, MPEG2MPML, ".mpg"),
        (b"\x00\x00\x01\xb3" + b"\x21" * 60, MPEG2MPML, ".m2v"),
        (b"\x00\x00\x00\x01\x67" + b"\x21" * 59, MPEG4HP41, ".h264"),
        (b"\x00\x00\x00\x01\x40" + b"\x21" * 59, HEVCMP51, ".h265"),
    ],
)
def test_med_08_the_bitstream_is_extracted_byte_for_byte(tmp_path, stream, syntax, suffix, fragments):
    assert extract_video(video(tmp_path, stream, syntax, fragments)) == (stream, suffix)


def test_med_08_an_mp4_file_of_odd_length_is_among_them():
    # Else the test above would say nothing on the byte that is taken off. Packets of 188 bytes need none.
    assert len(MP4) % 2 == 1


def test_med_08_declared_length_tells_padding_from_content(tmp_path):
    stream = b"\x00\x00\x00\x01\x67" + b"\x21" * 60
    assert len(stream) % 2 == 1
    padded = video(tmp_path, stream)
    assert extract_video(padded)[0] == stream + b"\0"
    padded.EncapsulatedPixelDataValueTotalLength = len(stream)
    assert extract_video(padded)[0] == stream


def test_med_08_a_basic_offset_table_is_no_part_of_the_stream(tmp_path):
    dataset = video(tmp_path, MP4)
    dataset.PixelData = encapsulate([MP4], has_bot=True)
    assert extract_video(dataset)[0] == MP4


def test_med_08_a_video_that_is_cut_off_is_refused(tmp_path):
    dataset = video(tmp_path, MP4[:-20])
    with pytest.raises(ItemError, match=f"must have {len(MP4)} bytes, the file holds {len(MP4) - 20 + 1}") as caught:
        extract_video(dataset)
    assert caught.value.reason == "truncated"


def test_med_08_no_video(tmp_path):
    dataset = video(tmp_path, MP4)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with pytest.raises(ItemError) as caught:
        extract_video(dataset)
    assert caught.value.reason == "no-video"


@pytest.mark.parametrize("data", [b"", b"\xfe\xff\x00\xe0\0\0\0\0", b"\0" * 10])
def test_med_08_no_fragments(tmp_path, data):
    dataset = video(tmp_path, MP4)
    dataset.PixelData = data
    with pytest.raises(ItemError) as caught:
        extract_video(dataset)
    assert caught.value.reason == "truncated"
