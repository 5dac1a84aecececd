"""Whole conversions: nothing that identifies leaves, and the key alone decides the bytes."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pydicom
import pytest

from domainvl.conversion import convert
from domainvl.converters.dicom import CONVERTER, DicomSettings

KEY = b"0123456789abcdef0123456789abcdef"


def tree_bytes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# Attributes that name or date a person or place (PS3.15 table E.1-1), each with a value of its kind.
CANARY_TEXT = (
    "PatientName PatientID IssuerOfPatientID OtherPatientNames PatientAddress PatientComments PatientMotherBirthName "
    "InstitutionName InstitutionAddress InstitutionalDepartmentName ReferringPhysicianName ReferringPhysicianAddress "
    "PerformingPhysicianName OperatorsName PhysiciansOfRecord NameOfPhysiciansReadingStudy RequestingPhysician "
    "StudyDescription SeriesDescription ProtocolName AccessionNumber StudyID StationName DeviceSerialNumber "
    "AdmissionID Occupation MedicalRecordLocator ImageComments AdditionalPatientHistory RequestedProcedureDescription "
    "ContentCreatorName PersonName BodyPartExamined CountryOfResidence RegionOfResidence MilitaryRank "
    "WindowCenterWidthExplanation AcquisitionDeviceProcessingDescription Manufacturer SoftwareVersions"
).split()  # fmt: skip
CANARY_UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")


def plant(dataset):
    """Fill 44 attributes, two nested sequences and a private block with marks; return the marks."""
    marks = []
    for number, keyword in enumerate(CANARY_TEXT):
        # Code strings and sequence numbers included: what is free text, and what only looks technical.
        if pydicom.datadict.keyword_for_tag(pydicom.datadict.tag_for_keyword(keyword) or 0) != keyword:
            continue
        mark = f"CANARY{number:02d}"
        setattr(dataset, keyword, mark)
        marks.append(mark)
    for number, keyword in enumerate(CANARY_UIDS):
        mark = f"1.2.99.7777{number}"
        setattr(dataset, keyword, mark)
        marks.append(mark)
    dataset.PatientBirthDate, dataset.StudyDate = "19310203", "20190807"
    inner, outer = pydicom.Dataset(), pydicom.Dataset()
    inner.PatientName = "CANARYINNER"
    inner.ReferencedSOPInstanceUID = "1.2.99.88888"
    outer.OtherPatientIDsSequence = [inner]
    outer.RequestedProcedureDescription = "CANARYOUTER"
    dataset.RequestAttributesSequence = [outer]
    dataset.private_block(0x0011, "CANARYCREATOR", create=True).add_new(1, "LO", "CANARYPRIVATE")
    return [*marks, "19310203", "20190807", "CANARY", "1.2.99.88888"]


@pytest.fixture
def canary_folder(tmp_path, dataset):
    folder = tmp_path / "CANARYFOLDER_Smith"
    folder.mkdir()
    made = dataset(np.arange(4096, dtype=np.int16).reshape(64, 64))
    marks = plant(made)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.save_as(folder / "CANARYFILE.dcm", enforce_file_format=True)
    # One of each kind of reject, each with a telling name and header.
    broken = dataset(np.zeros((64, 64), np.int16))
    plant(broken)
    broken.SOPInstanceUID = broken.file_meta.MediaStorageSOPInstanceUID = "1.2.99.55555"
    broken.PixelData = broken.PixelData[:100]
    broken.save_as(folder / "CANARYBROKEN", enforce_file_format=True)
    report = dataset(SOPClassUID="1.2.99.66666", Rows=None, Columns=None)
    plant(report)
    del report.PixelData
    report.save_as(folder / "CANARYREPORT", enforce_file_format=True)
    shutil.copy(folder / "CANARYFILE.dcm", folder / "CANARYCOPY.dcm")
    (folder / "CANARYNOISE.txt").write_text("CANARY text about a patient")
    (folder / "CANARYCUT").write_bytes((folder / "CANARYFILE.dcm").read_bytes()[:400])
    labels = tmp_path / "CANARYLABELS.csv"
    labels.write_text(
        "sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n"
        f"{made.SOPInstanceUID},nodule,1,2,30,40\n{made.SOPInstanceUID},nodule,bad,2,30,40\n"
        f"{made.SOPInstanceUID},nodule,100,100,130,140\n1.2.99.44444,nodule,1,2,30,40\n"
    )
    return folder, labels, [*marks, "1.2.99", "Smith", str(tmp_path)]


def test_nothing_that_identifies_leaves(canary_folder, convert_dicom, tmp_path, key_file):
    folder, labels, marks = canary_folder
    assert len(marks) >= 40
    _, samples, rejects = convert_dicom(folder, labels=labels)
    assert samples
    assert {reject["reason"] for reject in rejects} >= {
        "truncated", "no-image", "duplicate-instance", "not-dicom", "label-box", "label-outside", "label-unmatched",
    }  # fmt: skip
    written = tree_bytes(tmp_path / "out")
    everything = b"\n".join(name.encode() + b"\n" + content for name, content in written.items())
    for mark in [*marks, key_file.read_text(), "deid.key"]:
        assert mark.encode() not in everything, mark


def test_same_key_same_bytes_whatever_files_are_called(tmp_path, key_file, dataset):
    first, second = tmp_path / "a", tmp_path / "b"
    rng = np.random.default_rng(3)
    for number in range(5):
        made = dataset(rng.integers(0, 900, (8, 8)).astype(np.int16), SOPInstanceUID=f"1.2.3.4.{number}",
                       ImagePositionPatient=[0, 0, number], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])  # fmt: skip
        for folder, name in ((first, f"im{number}"), (second, f"sub{number % 2}/x{9 - number}.dcm")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            made.save_as(folder / name, enforce_file_format=True)
        (first / f"noise{number}.txt").write_text(f"noise {number}")
        (second / f"noise{7 - number}.txt").write_text(f"noise {number}")
    outs = []
    for source in (first, second):
        out = tmp_path / f"out_{source.name}" / "data"
        convert(CONVERTER, source, out, DicomSettings(deid_key=key_file))
        outs.append(tree_bytes(out))
    assert outs[0] == outs[1]


def test_another_key_gives_other_names_and_the_same_pixels(tmp_path, key_file, write_instance):
    source = write_instance(tmp_path / "in" / "a").parent
    (source / "note.txt").write_text("note")
    other_key = tmp_path / "other.key"
    other_key.write_bytes(KEY[::-1])
    trees = []
    for key in (key_file, other_key):
        convert(CONVERTER, source, tmp_path / key.stem, DicomSettings(deid_key=key, val_fraction=0, test_fraction=0))
        trees.append(tree_bytes(tmp_path / key.stem))
    images = [{name for name in tree if name.startswith("images/")} for tree in trees]
    assert images[0] == images[1]
    tokens = [
        set(re.findall(rb"\b[0-9a-f]{16}\b", tree["train.jsonl"] + tree["manifest.json"] + tree["rejects.jsonl"]))
        for tree in trees
    ]
    # Patient, series, instance and file: none in common.
    assert [len(found) for found in tokens] == [4, 4]
    assert not tokens[0] & tokens[1]
