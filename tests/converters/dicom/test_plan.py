"""What the plan keeps of files of many frames, and how it names its sources."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedMRImageStorage

from domainvl.converters.dicom import CONVERTER, DicomSettings
from domainvl.converters.dicom.inputs.leaving_out import Leavings, LeftOut
from domainvl.converters.dicom.instance import FileRef
from domainvl.converters.dicom.privacy.pseudonyms import Pseudonyms

ORIENTATIONS = ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1], [0, 1, 0, 1, 0, 0])
TIMES = 10


def item(**attributes):
    made = pydicom.Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def frame(orientation, height_mm, moment):
    return item(
        PlanePositionSequence=[item(ImagePositionPatient=[0, 0, height_mm])],
        PlaneOrientationSequence=[item(ImageOrientationPatient=orientation)],
        FrameContentSequence=[item(TemporalPositionIndex=moment, DimensionIndexValues=[moment])],
    )


@pytest.fixture
def views(tmp_path, write_instance):
    """One enhanced file of four views of a heart at ten moments, view within moment: four stacks in time."""
    frames = [frame(orientation, 0, moment) for moment in range(1, TIMES + 1) for orientation in ORIENTATIONS]
    return write_frames(write_instance, tmp_path / "in" / "a", frames)


def write_frames(write_instance, path, frames):
    pixels = np.arange(len(frames), dtype=np.uint16)[:, None, None] * np.ones((1, 8, 8), np.uint16)
    return write_instance(
        path, pixels.reshape(-1, 8), Rows=8, NumberOfFrames=len(frames), Modality="MR",
        SOPClassUID=EnhancedMRImageStorage, PerFrameFunctionalGroupsSequence=frames, ImageType=["ORIGINAL", "PRIMARY"],
    )  # fmt: skip


@pytest.mark.parametrize("limit", [1, 5, 39])
def test_med_27_the_limit_of_frames_is_that_of_a_file_whatever_stacks_it_makes(views, convert_dicom, limit):
    _, samples, rejects = convert_dicom(views, tasks="modality", max_frames=limit)
    assert len(samples) == limit
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("frame-limit", "skipped")]
    assert f"40 frames, of which {limit} are" in rejects[0]["message"]


def test_med_27_frames_are_spread_over_all_stacks_of_their_file(views, convert_dicom):
    """Evenly over four stacks of ten: the middle of each quarter, which is moment 5 of each view, counted from 0."""
    _, samples, _ = convert_dicom(views, tasks="modality", max_frames=4)
    details = [sample.images[0].source.details for sample in samples]
    assert sorted(one["slice_index"] for one in details) == [5, 15, 25, 35]
    assert sorted((one["frame"] - 1) % len(ORIENTATIONS) for one in details) == [0, 1, 2, 3]
    assert {(one["frame"] - 1) // len(ORIENTATIONS) for one in details} == {5}


def test_med_28_slices_of_a_volume_are_not_thinned_by_the_limit(tmp_path, write_instance, convert_dicom):
    path = write_frames(write_instance, tmp_path / "a", [frame(ORIENTATIONS[0], height, 1) for height in range(12)])
    _, samples, rejects = convert_dicom(path, tasks="modality", max_frames=5)
    assert len(samples) == 12
    assert not rejects


def test_med_27_within_the_limit_nothing_is_left_out(views, convert_dicom):
    _, samples, rejects = convert_dicom(views, tasks="modality", max_frames=40)
    assert len(samples) == 40
    assert not rejects


def zipped(path, made):
    content = io.BytesIO()
    made.save_as(content, enforce_file_format=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Doe_Jane.dcm", content.getvalue())


def test_med_50_an_archive_is_named_by_its_place_in_the_input(tmp_path, dataset, key_file):
    """Names stay as they are when archives of the same file name come in before, and when the input is moved."""

    def names(source):
        plan = CONVERTER.plan(source, DicomSettings(deid_key=key_file))
        return {path.relative_to(source).as_posix(): name for name, path in plan.sources.items()}

    def patient(number):
        return dataset(np.full((8, 8), number, np.int16), PatientID=f"P{number}", SOPInstanceUID=f"1.2.9.{number}",
                       SeriesInstanceUID=f"1.2.8.{number}", StudyInstanceUID=f"1.2.7.{number}")  # fmt: skip

    for number in (1, 2):
        zipped(tmp_path / "in" / f"d{number}" / "scan.zip", patient(number))
    before = names(tmp_path / "in")
    assert len(set(before.values())) == 2
    zipped(tmp_path / "in" / "d0" / "scan.zip", patient(3))
    after = names(tmp_path / "in")
    assert len(set(after.values())) == 3
    assert {place: after[place] for place in before} == before
    (tmp_path / "in").rename(tmp_path / "moved")
    assert names(tmp_path / "moved") == after
    assert not [name for name in after.values() if "scan" in name or "d1" in name]


def test_many_equal_files_have_a_reject_each(tmp_path):
    leavings = Leavings(Pseudonyms(b"0123456789abcdef"))
    for number in range(1000):
        leavings.add(FileRef(tmp_path, f"{number}"), LeftOut("not-dicom", "the file is empty"), content="0")
    assert sum(len(refs) for refs in leavings.files.values()) == 1000
    assert len(leavings.rejects) == 1000
