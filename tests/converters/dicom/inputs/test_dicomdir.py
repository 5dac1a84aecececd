from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from domainvl.converters.dicom.inputs.dicomdir import leads_out, locate


@pytest.fixture
def disc(dataset, tmp_path) -> Path:
    """A file set of two patients with three slices; records of patients have no file (PS3.3 F.5.1)."""
    folder = tmp_path / "disc"
    records = []
    for n in range(3):
        made = dataset(SOPInstanceUID=f"1.2.{n}", PatientID=f"P{n // 2}", SeriesInstanceUID=f"1.4.{n // 2}")
        made.PatientName = "Smith^Ann"
        (folder / "IMAGES" / f"P{n // 2}").mkdir(parents=True, exist_ok=True)
        made.save_as(folder / "IMAGES" / f"P{n // 2}" / f"IM{n}", enforce_file_format=True)
        records += [record("PATIENT", PatientName="Smith^Ann"), record("IMAGE", ["IMAGES", f"P{n // 2}", f"IM{n}"])]
    directory = Dataset()
    directory.FileSetID = "DISC"
    directory.DirectoryRecordSequence = records
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.9"
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def record(kind: str, file_id: list[str] | None = None, **attributes) -> Dataset:
    made = Dataset()
    made.DirectoryRecordType = kind
    made.RecordInUseFlag = 0xFFFF
    if file_id:
        made.ReferencedFileID = file_id
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def sop_uids(result):
    return sorted(instance.sop_uid for instance in result.instances)


def test_med_50_a_dicomdir_stands_for_the_files_it_names(disc, look):
    shutil.copy(pydicom.data.get_testdata_file("CT_small.dcm", download=False), disc.parent / "other.dcm")
    result = look(disc)
    assert sop_uids(result) == ["1.2.0", "1.2.1", "1.2.2"]
    assert not result.rejects


def test_med_50_a_dicomdir_inside_a_folder_is_counted(disc, look, reasons):
    result = look(disc.parent)
    assert sop_uids(result) == ["1.2.0", "1.2.1", "1.2.2"]
    assert reasons(result) == {"dicomdir": 1}


def test_files_that_are_missing_are_counted(disc, look, reasons):
    (disc.parent / "IMAGES" / "P0" / "IM1").unlink()
    result = look(disc)
    assert len(result.instances) == 2
    assert reasons(result) == {"dicomdir-missing-file": 1}
    assert str(disc.parent) not in str(result.rejects)
    assert "Smith" not in str(result.rejects)


def edit(disc: Path, file_id, **attributes) -> None:
    directory = pydicom.dcmread(disc)
    first = next(item for item in directory.DirectoryRecordSequence if "ReferencedFileID" in item)
    first.ReferencedFileID = file_id
    for keyword, value in attributes.items():
        setattr(first, keyword, value)
    directory.save_as(disc)


@pytest.mark.parametrize("file_id", [["..", "other"], ["", "etc", "passwd"], ["A", "..", "B"], ["C:", "A"], "../other"])
def test_files_outside_of_the_folder_are_refused(disc, look, reasons, file_id):
    (disc.parent.parent / "other").write_bytes(b"x")
    with disable_value_validation():
        edit(disc, file_id)
    result = look(disc)
    assert len(result.instances) == 2
    assert reasons(result) == {"dicomdir-unsafe-file": 1}


def test_records_taken_out_of_use_are_no_input(disc, look):
    """PS3.3 F.3.2.2: RecordInUseFlag 0000H."""
    edit(disc, ["NOT", "THERE"], RecordInUseFlag=0)
    result = look(disc)
    assert len(result.instances) == 2
    assert not result.rejects


def test_upper_and_lower_case_are_one(tmp_path):
    (tmp_path / "dicom" / "im").mkdir(parents=True)
    (tmp_path / "dicom" / "im" / "a1").write_text("")
    assert locate(tmp_path, ("DICOM", "IM", "A1")) == tmp_path / "dicom/im/a1"
    assert locate(tmp_path, ("DICOM", "IM", "A2")) is None
    assert locate(tmp_path, ("DICOM", "IM")) is None
    assert locate(tmp_path, ("DICOM", "IM", "A1", "B")) is None


def test_a_record_without_name_leads_nowhere():
    assert leads_out(())
    assert not leads_out(("A", "B"))


FULL = sorted(f"dicomdirtests/{name}" for name in
              ("DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset", "DICOMDIR-nopatient",
               "DICOMDIR-reordered"))  # fmt: skip


@pytest.mark.parametrize("name", [*FULL, "tiny"])
def test_med_50_all_dicomdirs_of_the_wheel_are_followed(wheel, look, reasons, name):
    """pydicom.dcmread gives the names; files that are not in the wheel must be counted."""
    folder = wheel("CT_small.dcm").parent / "dicomdirtests"
    path = folder.parent / name
    if name == "tiny":
        path = next(path for path in wheel("CT_small.dcm").parents[1].rglob("TINY_ALPHA/DICOMDIR"))
    directory: Dataset = pydicom.dcmread(path)
    named = {tuple(item.ReferencedFileID) for item in directory.DirectoryRecordSequence if "ReferencedFileID" in item}
    there = {parts for parts in named if path.parent.joinpath(*parts).is_file()}
    result = look(path)
    counts = reasons(result)
    assert named
    assert counts.pop("dicomdir-missing-file", 0) == len(named - there)
    assert len(result.instances) + sum(counts.values()) == len(there)
    assert set(counts) <= {"no-image"}
