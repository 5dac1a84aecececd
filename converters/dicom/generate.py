"""Writes DICOM series with known findings, for the quickstart and for tests.

Files are exact in format: three modalities, six encodings, rescale, padding, windows, inverted photometric
interpretation, geometry whose order differs from file names and instance numbers, and invented personal data
that a converter must not let through.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from ..medical.label_table import COLUMNS
from .phantom import SIDE_PX, Canvas, draw_slice, random_look

LABELS_NAME = "labels.csv"
SLICES_PER_SERIES = 4

ENCODINGS = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    DeflatedExplicitVRLittleEndian,
)
_ENCODERS = {RLELossless: "pylibjpeg", JPEGLSLossless: "pyjpegls", JPEG2000Lossless: "pylibjpeg"}

_ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
}
_PLANES = tuple(_ORIENTATIONS)
_SLICE_DISTANCE_MM = 5.0
_PIXEL_SPACING_MM = 3.0

_CT_WINDOW_HU = (50, 700)
_CT_AIR_HU = -1000
_CT_OUTSIDE_HU = -2000
_CT_INTERCEPT = -1024
_RADIOGRAPH_MAX = 4095

_FAMILY_NAMES = ("Ashdown", "Brightwater", "Corvane", "Dunmarrow", "Eldergate", "Fennimoor", "Greyholt", "Hawksmere")
_GIVEN_NAMES = ("Avelina", "Bertrand", "Cosima", "Dagobert", "Evadne", "Florian", "Gudrun", "Hieronymus")


@dataclass(frozen=True)
class _Patient:
    """What all instances of one patient share."""

    number: int
    family: str
    given: str
    modality: str
    plane: str | None
    syntax: UID
    slice_count: int
    mr_scale: float
    seed: int

    def uid(self, kind: str) -> str:
        return str(generate_uid(entropy_srcs=[f"domainvl/{self.seed}/{self.number}/{kind}"]))

    @property
    def anatomy(self) -> str:
        if self.modality == "MR":
            return f"head-{self.plane}"
        return "chest-ct" if self.modality == "CT" else "radiograph"


def generate_series(out: Path, *, patient_count: int, seed: int) -> None:
    """Write one series a patient, and ``labels.csv`` with all findings.

    Modality (CT, MR, radiograph), encoding and plane of the patients take turns. Cross-sectional series have 4
    slices, radiographs 2 to 4 instances. Equal arguments give equal bytes.

    Args:
        out: Folder to write into; made where it is missing.
        patient_count: Number of patients.
        seed: Another seed gives other patients.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str | int, ...]] = []
    for number in range(patient_count):
        rng = np.random.default_rng([seed, number])
        rows += _write_patient(out, _draw_patient(rng, number, seed), rng)
    with (out / LABELS_NAME).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(rows, key=str))


def _draw_patient(rng: np.random.Generator, number: int, seed: int) -> _Patient:
    turn = number // 3
    modality = ("CT", "MR", "CR" if turn % 2 else "DX")[number % 3]
    plane = {"CT": "axial", "MR": _PLANES[(turn + turn // len(ENCODINGS)) % len(_PLANES)]}.get(modality)
    return _Patient(
        number=number,
        family=str(rng.choice(_FAMILY_NAMES)),
        given=str(rng.choice(_GIVEN_NAMES)),
        modality=modality,
        plane=plane,
        syntax=ENCODINGS[turn % len(ENCODINGS)],
        slice_count=SLICES_PER_SERIES if plane else int(rng.integers(2, SLICES_PER_SERIES + 1)),
        mr_scale=float(rng.uniform(600, 1800)),
        seed=seed,
    )


def _write_patient(out: Path, patient: _Patient, rng: np.random.Generator) -> list[tuple[str | int, ...]]:
    folder = out / f"{patient.family}_{patient.given}_{patient.number:04d}"
    folder.mkdir()
    look = random_look(rng, patient.anatomy)
    file_numbers = rng.permutation(patient.slice_count)
    rows: list[tuple[str | int, ...]] = []
    for index in range(patient.slice_count):
        canvas, findings = draw_slice(rng, look)
        dataset = _base_dataset(patient, index)
        _MODULES[patient.modality](dataset, patient, index, canvas)
        _save(dataset, patient.syntax, folder / f"IM{file_numbers[index]:04d}")
        uid = str(dataset.SOPInstanceUID)
        rows += [(uid, finding.label, *finding.box_px) for finding in findings] or [(uid, "", "", "", "", "")]
    return rows


def _save(dataset: Dataset, syntax: UID, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax in _ENCODERS else syntax
    dataset.file_meta = meta
    if syntax in _ENCODERS:
        dataset.compress(syntax, encoding_plugin=_ENCODERS[syntax], generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)


def _base_dataset(patient: _Patient, index: int) -> Dataset:
    dataset = Dataset()
    dataset.Modality = patient.modality
    dataset.StudyInstanceUID = patient.uid("study")
    dataset.SeriesInstanceUID = patient.uid("series")
    dataset.SOPInstanceUID = patient.uid(f"instance/{index}")
    # Counting against the geometry, as many scanners do.
    dataset.InstanceNumber = patient.slice_count - index
    dataset.Rows = dataset.Columns = SIDE_PX
    dataset.SamplesPerPixel = 1
    dataset.BitsAllocated = 16
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if patient.plane == "axial" else "OTHER"]
    _add_personal_data(dataset, patient)
    return dataset


def _add_personal_data(dataset: Dataset, patient: _Patient) -> None:
    """Add invented personal data, in plain and private attributes and in a sequence."""
    identifier = f"{patient.family[:2].upper()}-{patient.seed}-{patient.number:06d}"
    dataset.PatientName = f"{patient.family}^{patient.given}"
    dataset.PatientID = identifier
    dataset.IssuerOfPatientID = "Invented Hospital"
    dataset.PatientBirthDate = f"19{40 + patient.number % 60}0417"
    dataset.PatientAddress = f"{patient.number} {patient.given} Lane"
    dataset.InstitutionName = "Invented Hospital"
    dataset.ReferringPhysicianName = f"Referrer^{patient.family}"
    dataset.AccessionNumber = f"ACC{patient.number:06d}"
    dataset.StudyDate = "20230417"
    dataset.StudyDescription = f"Follow-up of {patient.given} {patient.family}"
    request = Dataset()
    request.RequestedProcedureDescription = f"Asked for by {patient.family}"
    request.AccessionNumber = dataset.AccessionNumber
    dataset.RequestAttributesSequence = [request]
    block = dataset.private_block(0x0011, "INVENTED VENDOR", create=True)
    block.add_new(0x01, "LO", f"{patient.given} {patient.family}")


def _add_geometry(dataset: Dataset, patient: _Patient, index: int) -> None:
    orientation = _ORIENTATIONS[patient.plane or "axial"]
    normal = np.cross(orientation[:3], orientation[3:])
    position = -0.5 * SIDE_PX * _PIXEL_SPACING_MM * (np.array(orientation[:3]) + orientation[3:])
    position = position + normal * _SLICE_DISTANCE_MM * index
    dataset.ImageOrientationPatient = list(orientation)
    dataset.ImagePositionPatient = [float(value) for value in position]
    dataset.PixelSpacing = [_PIXEL_SPACING_MM, _PIXEL_SPACING_MM]
    dataset.SliceThickness = 4


def _add_ct(dataset: Dataset, patient: _Patient, index: int, canvas: Canvas) -> None:
    dataset.SOPClassUID = CTImageStorage
    _add_geometry(dataset, patient, index)
    center, width = _CT_WINDOW_HU
    dataset.WindowCenter, dataset.WindowWidth = center, width
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, _CT_INTERCEPT, "HU"
    hounsfield = np.where(canvas > 0.1, center + (canvas - 0.5) * width, _CT_AIR_HU + 100 * canvas)
    # The dark centre of a cavity is air, and so is all around the body; it is shown black either way.
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX] + 0.5 - SIDE_PX / 2
    hounsfield[np.hypot(x, y) > SIDE_PX / 2 + 4] = _CT_OUTSIDE_HU
    _add_pixels(dataset, (np.rint(hounsfield) - _CT_INTERCEPT).astype(np.int16), bits=16)
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelPaddingValue = _CT_OUTSIDE_HU - _CT_INTERCEPT


def _add_mr(dataset: Dataset, patient: _Patient, index: int, canvas: Canvas) -> None:
    dataset.SOPClassUID = MRImageStorage
    _add_geometry(dataset, patient, index)
    _add_pixels(dataset, np.rint(canvas * patient.mr_scale).astype(np.uint16), bits=12)
    dataset.PhotometricInterpretation = "MONOCHROME2"


def _add_radiograph(dataset: Dataset, patient: _Patient, index: int, canvas: Canvas) -> None:
    del index
    digital = patient.modality == "DX"
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation if digital else ComputedRadiographyImageStorage
    dataset.ImagerPixelSpacing = [_PIXEL_SPACING_MM, _PIXEL_SPACING_MM]
    dataset.WindowCenter, dataset.WindowWidth = (_RADIOGRAPH_MAX + 1) // 2, _RADIOGRAPH_MAX + 1
    if digital:
        dataset.PresentationLUTShape = "INVERSE"
    _add_pixels(dataset, np.rint((1.0 - canvas) * _RADIOGRAPH_MAX).astype(np.uint16), bits=12)
    dataset.PhotometricInterpretation = "MONOCHROME1"


_MODULES = {"CT": _add_ct, "MR": _add_mr, "CR": _add_radiograph, "DX": _add_radiograph}


def _add_pixels(dataset: Dataset, stored: npt.NDArray[np.int16] | npt.NDArray[np.uint16], *, bits: int) -> None:
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = 1 if stored.dtype == np.int16 else 0
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
