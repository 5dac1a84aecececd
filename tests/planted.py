"""Makes a small archive of DICOM files that name a person wherever a file can: what must not come through."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

MARK = "ZQCANARY"
"""Begins every planted word; no wording, code or hash has it."""

UID_ROOT = "1.2.826.0.1.3680043.10.97531"

# Attributes of PS3.15 table E.1-1, and allow-listed ones that a vendor may fill with anything.
ATTRIBUTES = (
    """
    PatientName PatientID IssuerOfPatientID OtherPatientNames PatientAddress PatientComments
    PatientMotherBirthName PatientBirthName OtherPatientIDs MedicalRecordLocator MilitaryRank BranchOfService
    CountryOfResidence RegionOfResidence PatientTelephoneNumbers EthnicGroup Occupation AdditionalPatientHistory
    PatientReligiousPreference InstitutionName InstitutionAddress InstitutionalDepartmentName
    ReferringPhysicianName ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers PerformingPhysicianName
    OperatorsName PhysiciansOfRecord NameOfPhysiciansReadingStudy RequestingPhysician RequestingService
    StudyDescription SeriesDescription ProtocolName AccessionNumber StudyID StationName DeviceSerialNumber
    AdmissionID ImageComments RequestedProcedureDescription RequestedProcedureID PerformedProcedureStepID
    PerformedStationAETitle CurrentPatientLocation DetectorID PlateID AcquisitionDeviceProcessingDescription
    DerivationDescription UniqueDeviceIdentifier PatientState VisitComments Manufacturer ManufacturerModelName
    SoftwareVersions SequenceName ContrastBolusAgent BodyPartExamined WindowCenterWidthExplanation
    """
).split()
UIDS = "SOPInstanceUID SeriesInstanceUID StudyInstanceUID FrameOfReferenceUID InstanceCreatorUID DeviceUID".split()
DATES = {
    "PatientBirthDate": "19310203",
    "StudyDate": "20190807",
    "SeriesDate": "20190808",
    "AcquisitionDateTime": "20190809101112",
}


@dataclass(frozen=True)
class Planted:
    """A planted archive.

    Attributes:
        source: Folder to convert.
        reports: Folder of reports, named by accession number, that name the person too.
        canaries: Strings that must be in no byte of what is written, names of files included.
    """

    source: Path
    reports: Path
    canaries: list[str]


def plant_archive(folder: Path) -> Planted:
    """Write three CT slices of one patient, one in a zip, a secondary capture, a broken file, an object without pixels
    and a text beside them.

    Args:
        folder: An empty folder, or one to be made; its own name is planted by the caller, if at all.
    """
    source, reports = folder / f"{MARK}SOURCE", folder / f"{MARK}REPORTS"
    below = source / f"{MARK}FOLDER Smith_John"
    below.mkdir(parents=True)
    reports.mkdir()
    canaries = [MARK, "Smith_John", UID_ROOT, *(date[:8] for date in DATES.values()), str(folder)]
    slices = [planted_dataset(number) for number in range(3)]
    for number in (0, 1):
        _save(slices[number], below / f"{MARK}FILE{number}.dcm")
    with zipfile.ZipFile(source / f"{MARK}ARCHIVE.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        _save(slices[2], folder / "member")
        archive.write(folder / "member", f"{MARK}MEMBERFOLDER/{MARK}MEMBER.dcm")
        archive.comment = f"{MARK}COMMENT".encode()
    (folder / "member").unlink()
    capture = planted_dataset(3)
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    _save(capture, below / f"{MARK}CAPTURE")
    broken = planted_dataset(4)
    broken.PixelData = broken.PixelData[:100]
    _save(broken, below / f"{MARK}BROKEN.dcm")
    without = planted_dataset(5)
    without.SOPClassUID = without.file_meta.MediaStorageSOPClassUID = f"{UID_ROOT}.66"
    del without.PixelData
    _save(without, below / f"{MARK}OBJECT.dcm")
    (below / f"{MARK}NOTE.txt").write_text(f"{MARK} came to see Dr {MARK}")
    (below / f"{MARK}CUT.dcm").write_bytes((below / f"{MARK}FILE0.dcm").read_bytes()[:500])
    accession = str(slices[0].AccessionNumber)
    (reports / f"{accession}.txt").write_text(_report(slices[0]))
    return Planted(source, reports, canaries)


def planted_dataset(number: int) -> pydicom.Dataset:
    """A CT slice of 64 x 64 px whose every textual attribute holds a mark, nested and private ones too.

    Args:
        number: Which slice; its place along the patient, and the end of its SOPInstanceUID.
    """
    dataset = pydicom.Dataset()
    for index, keyword in enumerate(ATTRIBUTES):
        is_name = dictionary_VR(tag_for_keyword(keyword) or 0) == "PN"
        mark = f"{MARK}{index:02d}"
        setattr(dataset, keyword, f"{mark}^{MARK}G{index:02d}" if is_name else mark)
    for index, keyword in enumerate(UIDS):
        setattr(dataset, keyword, f"{UID_ROOT}.{index}")
    dataset.SOPInstanceUID = f"{UID_ROOT}.1000.{number}"
    for keyword, date in DATES.items():
        setattr(dataset, keyword, date)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", f"{MARK}T"]
    _plant_nested(dataset)
    _add_pixels(dataset, number)
    return dataset


def _plant_nested(dataset: pydicom.Dataset) -> None:
    inner, middle, outer = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    inner.PatientID, inner.PatientName = f"{MARK}IN1", f"{MARK}IN2^{MARK}IN3"
    inner.ReferencedSOPInstanceUID = f"{UID_ROOT}.77"
    middle.OtherPatientIDsSequence = [inner]
    outer.RequestedProcedureDescription = f"{MARK}OUT1"
    outer.ReferencedStudySequence = [middle]
    dataset.RequestAttributesSequence = [outer]
    block = dataset.private_block(0x0011, f"{MARK}CREATOR", create=True)
    block.add_new(1, "LO", f"{MARK}PRIVATE1")
    block.add_new(2, "UN", f"{MARK}PRIVATE2".encode())
    block.add_new(3, "SQ", [pydicom.Dataset()])
    nested = block[3].value[0].private_block(0x0013, f"{MARK}CREATOR2", create=True)
    nested.add_new(1, "PN", f"{MARK}PRIVATE3^{MARK}")


def _add_pixels(dataset: pydicom.Dataset, number: int) -> None:
    pixels = np.random.default_rng(number).integers(-200, 300, (64, 64)).astype(np.int16)
    dataset.SOPClassUID, dataset.Modality, dataset.InstanceNumber = CTImageStorage, "CT", number + 1
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 64, 64, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 5 * number], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.WindowCenter, dataset.WindowWidth = [1, 1], 40, 400
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.SourceApplicationEntityTitle = f"{MARK}AET"
    dataset.preamble = f"{MARK}PREAMBLE".encode().ljust(128, b"\0")


def _save(dataset: pydicom.Dataset, path: Path) -> None:
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)


def _report(dataset: pydicom.Dataset) -> str:
    """A report that holds identifiers of the header in other forms than the header's."""
    family, given = str(dataset.PatientName).split("^")
    referring = str(dataset.ReferringPhysicianName).split("^")[0].title()
    return (
        f"EXAMINATION: CT CHEST on 08/07/2019 for {given} {family}, MRN {dataset.PatientID}\n"
        f"FINDINGS: {family.title()}, {given.title()} has a nodule of 8 mm. Dr. {referring} was told on 2019-08-07.\n"
        f"Accession no. {dataset.AccessionNumber}, study {dataset.StudyInstanceUID}.\n"
        f"IMPRESSION: Nodule. Seen at {dataset.InstitutionName} by {referring.upper()}.\n"
    )
