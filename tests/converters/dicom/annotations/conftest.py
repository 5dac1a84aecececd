"""Makes series with a place in the patient, and annotations of them, without the code under test."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pydicom
import pytest
import shapely
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from domainvl.converters.dicom.annotations.loading import SlicePlace
from domainvl.converters.medical.geometry import Geometry

FRAME_OF_REFERENCE = "1.2.3.99"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# Turned by 30 degrees about x: rows along x, columns half-way down and back.
OBLIQUE = (1.0, 0.0, 0.0, 0.0, np.cos(np.pi / 6), np.sin(np.pi / 6))


def make_series(count=6, *, rows=12, columns=10, spacing=(0.8, 0.6), gap=2.5, cosines=AXIAL, start=(-3.0, 5.0, 40.0)):
    """CT slices along their normal; file order is the order along it."""
    normal = np.cross(cosines[:3], cosines[3:])
    series = []
    for index in range(count):
        image = pydicom.Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, f"1.2.3.4.{index + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3.2", "1.2.3.3"
        image.FrameOfReferenceUID = FRAME_OF_REFERENCE
        image.PatientID, image.PatientName, image.PatientBirthDate, image.PatientSex = "P", "N^", "", ""
        image.StudyID = image.AccessionNumber = image.StudyDate = image.StudyTime = ""
        image.ReferringPhysicianName, image.Modality, image.InstanceNumber = "", "CT", index + 1
        image.ImageOrientationPatient = [f"{cosine:.12g}" for cosine in cosines]
        image.ImagePositionPatient = [f"{value:.10g}" for value in np.array(start) + normal * gap * index]
        image.PixelSpacing, image.SliceThickness = list(spacing), gap
        image.Rows, image.Columns, image.SamplesPerPixel = rows, columns, 1
        image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelData = np.zeros((rows, columns), np.uint16).tobytes()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        series.append(image)
    return series


def place_of(image, frame=0):
    """The place of a classic image, read with pydicom alone."""
    position, cosines = image.get("ImagePositionPatient"), image.get("ImageOrientationPatient")
    geometry = None
    if position is not None:
        numbers = [float(cosine) for cosine in cosines]
        geometry = Geometry(tuple(map(float, position)), tuple(numbers[:3]), tuple(numbers[3:]))
    spacing = image.get("PixelSpacing")
    return SlicePlace(
        sop_uid=str(image.SOPInstanceUID),
        frame=frame,
        geometry=geometry,
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        rows=image.Rows,
        columns=image.Columns,
        frame_of_reference_uid=str(image.get("FrameOfReferenceUID", "")),
        series_uid=str(image.SeriesInstanceUID),
    )


def segment(number, label="typed by hand", kind=codes.SCT.Liver, **more):
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        **more,
    )


def make_seg(images, pixels, *, kind="BINARY", segments=None, **more):
    """A segmentation as highdicom writes it, by way of bytes."""
    seg = hd.seg.Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=segments or [segment(1)],
        series_instance_uid="1.2.3.5",
        series_number=9,
        sop_instance_uid="1.2.3.5.1",
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **more,
    )
    return written(seg)


def written(dataset):
    """The dataset as it is read back from a file."""
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(file.getvalue()))


def shown(rings, rows, columns):
    """The pixels whose centres lie inside of a finding's rings."""
    mask = np.zeros((rows, columns), bool)
    x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    for ring in rings:
        mask |= shapely.contains_xy(shapely.Polygon(ring), x, y)
    return mask


def read_real(path: Path):
    """Read a real file, unpacked where it is packed."""
    if path.suffix != ".zst":
        return pydicom.dcmread(path)
    if shutil.which("zstd") is None:
        pytest.skip("no zstd to unpack the file with")
    content = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
    return pydicom.dcmread(io.BytesIO(content))


@pytest.fixture(scope="session")
def kit():
    """All helpers of this file."""
    return SimpleNamespace(**{name: thing for name, thing in vars(sys.modules[__name__]).items() if name[0] != "_"})
