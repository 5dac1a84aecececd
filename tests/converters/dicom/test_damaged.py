"""Damaged and hostile files through the whole converter: each costs itself, and nothing else."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pydicom
import pytest

from domainvl.converters.dicom.annotations.segmentation_file import read_segmentation
from domainvl.errors import ItemError, NothingToDoError

AXIAL = [1, 0, 0, 0, 1, 0]
SMALL_BYTES = 60_000


@pytest.fixture
def write_stack(tmp_path, dataset):
    """Write three slices; in the bytes of the middle one, the first of the old is replaced by the new."""

    def write(old: bytes, new: bytes) -> Path:
        for place in range(3):
            made = dataset(
                np.full((8, 8), place + 1, np.int16), SOPInstanceUID=f"1.2.9.{place}", InstanceNumber=place + 1,
                ImagePositionPatient=[0, 0, 5 * place], ImageOrientationPatient=AXIAL, PixelSpacing=[1, 1],
                SliceThickness="5.25", RescaleSlope="1.25", RescaleIntercept="-1024", EchoTime="7.75",
            )  # fmt: skip
            file = io.BytesIO()
            made.save_as(file, enforce_file_format=True)
            content = file.getvalue()
            if place == 1:
                assert old in content
                content = content.replace(old, new, 1)
            (tmp_path / "in").mkdir(exist_ok=True)
            (tmp_path / "in" / f"{place}").write_bytes(content)
        return tmp_path / "in"

    return write


@pytest.mark.parametrize(
    ("old", "new"), [(b"DS\x04\x005.25", b"XX\x04\x005.25"), (b"5.25", b"abcd"), (b"7.75", b"a\\cd")]
)
def test_med_51_a_damaged_element_costs_no_slice(write_stack, convert_dicom, old, new):
    summary, samples, rejects = convert_dicom(write_stack(old, new), tasks="modality")
    assert summary.exit_code == 0
    assert len(samples) == 3
    assert not rejects


@pytest.mark.parametrize(
    ("old", "new"), [(b"1.25", b"Doe "), (b"DS\x04\x001.25", b"XX\x04\x001.25"), (b"US\x02\x00\x08", b"XX\x02\x00\x08")]
)
def test_med_51_what_the_pixels_need_costs_the_slice_that_lacks_it(write_stack, convert_dicom, old, new):
    """RescaleSlope twice, then Rows, the first attribute of VR US (PS3.6)."""
    _, samples, rejects = convert_dicom(write_stack(old, new), tasks="modality")
    assert len(samples) == 2
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("header", "failed")]
    assert "Doe" not in str(rejects)


def small_files(wheel):
    folder = wheel("CT_small.dcm").parent
    return sorted(path for path in folder.glob("*.dcm") if 400 < path.stat().st_size < SMALL_BYTES)


@pytest.mark.parametrize("seed", range(2))
def test_med_51_no_damage_to_bytes_ends_a_run(tmp_path, wheel, convert_dicom, seed):
    """Some bytes of each small file in pydicom's wheel are drawn anew, most of them in its header."""
    files = small_files(wheel)[seed::2]
    assert len(files) > 20
    (tmp_path / "in").mkdir()
    rng = random.Random(seed)
    for path in files:
        content = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 2, 4, 8, 20))):
            content[rng.randrange(132, min(len(content), rng.choice((3000, SMALL_BYTES))))] = rng.randrange(256)
        (tmp_path / "in" / path.name).write_bytes(content)
    _, samples, rejects = convert_dicom(
        tmp_path / "in", burnt_in="allow", pixel_text="off", overlays=True, suv=bool(seed),
        reid_map=tmp_path / "map.csv", forms="slices,series,montage,mip",
    )  # fmt: skip
    assert samples
    assert not [reject for reject in rejects if reject["reason"] == "internal-error"]


def test_med_51_a_claim_of_frames_that_are_not_there_is_one_reject(tmp_path, write_instance, convert_dicom):
    """A file of 1 kB that claims 99,999 frames: one line, not as many."""
    write_instance(tmp_path / "in" / "a", SOPInstanceUID="1.2.9.1", SeriesInstanceUID="1.2.8.1", NumberOfFrames=99_999)
    write_instance(tmp_path / "in" / "b")
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality")
    assert len(samples) == 1
    (reject,) = rejects
    assert reject["reason"] == "frame-count"
    assert "12,799,872 bytes" in reject["message"]  # 8 x 8 pixels of 2 bytes
    assert len((tmp_path / "out" / "rejects.jsonl").read_bytes()) < 1000


def test_med_51_a_file_of_nothing_else_says_so(tmp_path, write_instance, convert_dicom):
    write_instance(tmp_path / "in" / "a", NumberOfFrames=2_000_000)
    with pytest.raises(NothingToDoError, match="1 frame-count"):
        convert_dicom(tmp_path / "in")


@pytest.mark.parametrize("frames", [90_000, 2_000_000])
def test_med_51_a_segmentation_that_claims_frames_is_refused(dataset, frames):
    made = dataset(np.zeros((8, 8), np.uint8), SegmentationType="BINARY", NumberOfFrames=frames)
    segment = pydicom.Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 1, "Liver"
    made.SegmentSequence = [segment]
    with pytest.raises(ItemError) as caught:
        read_segmentation(made, "seg-1")
    assert caught.value.reason == "segmentation"
    assert f"{frames:,}" in str(caught.value)
