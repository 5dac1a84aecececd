"""Writes series of DICOM files whose place in the patient and whose shown greys follow from a few arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    UltrasoundImageStorage,
)

from domainvl.schema import Sample

AXIAL = (1, 0, 0, 0, 1, 0)
CORONAL = (1, 0, 0, 0, 0, -1)
SAGITTAL = (0, 1, 0, 0, 0, -1)

AS_STORED = {"WindowCenter": 128, "WindowWidth": 256}
"""LINEAR with this window shows a value of 0 to 255 as itself: ((x - 127.5) / 255 + 0.5) * 255 = x."""

CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
    "US": UltrasoundImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
}


def make_slice(pixels: np.ndarray, **attributes: Any) -> pydicom.Dataset:
    """A slice of a series that shows its values as they are; an attribute of None is left out.

    Args:
        pixels: Of shape (rows, columns), or (rows, columns, 3) for RGB; several frames lie below each other, with
            ``NumberOfFrames`` and ``Rows`` among the attributes.
    """
    modality = str(attributes.get("Modality", "CT"))
    values: dict[str, Any] = {
        "SOPClassUID": CLASSES.get(modality, CTImageStorage),
        "SOPInstanceUID": "1.2.3.4.1",
        "SeriesInstanceUID": "1.2.3.3",
        "StudyInstanceUID": "1.2.3.2",
        "FrameOfReferenceUID": "1.2.3.9",
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "Modality": modality,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1 if pixels.ndim == 2 else 3,
        "PhotometricInterpretation": "MONOCHROME2" if pixels.ndim == 2 else "RGB",
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": pixels.dtype.itemsize * 8,
        "HighBit": pixels.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **({"PlanarConfiguration": 0} if pixels.ndim == 3 else AS_STORED),
        **attributes,
    }
    return with_pixels(values, pixels)


def with_pixels(values: dict[str, Any], pixels: np.ndarray) -> pydicom.Dataset:
    """A data set of some attributes and uncompressed pixels; an attribute of None is left out."""
    dataset = pydicom.Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def save(dataset: pydicom.Dataset, path: Path) -> Path:
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def make_series(
    volume: np.ndarray,
    *,
    cosines: Sequence[float] = AXIAL,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    step_mm: float = 5.0,
    heights_mm: Sequence[float] | None = None,
    origin_mm: Sequence[float] = (0.0, 0.0, 0.0),
    root: str = "1.2.3.4",
    **attributes: Any,
) -> list[pydicom.Dataset]:
    """Slices along the right-handed normal of their direction cosines.

    Args:
        volume: Of shape (slices, rows, columns).
        cosines: ImageOrientationPatient.
        spacing_mm: PixelSpacing: between rows, between columns.
        step_mm: From slice to slice; negative for a volume whose first slice is the last along the normal.
        heights_mm: Where each slice lies along the normal, instead.
        origin_mm: Where the slice of height 0 lies.
        root: Start of SOPInstanceUID.
        attributes: Of all slices.
    """
    normal = np.cross(cosines[:3], cosines[3:])
    heights = [step_mm * number for number in range(len(volume))] if heights_mm is None else heights_mm
    return [
        make_slice(
            pixels,
            **{
                "SOPInstanceUID": f"{root}.{number + 1}",
                "InstanceNumber": number + 1,
                "ImageOrientationPatient": [f"{cosine:.12g}" for cosine in cosines],
                "ImagePositionPatient": [f"{value:.10g}" for value in np.array(origin_mm) + normal * height],
                "PixelSpacing": list(spacing_mm),
                **attributes,
            },
        )
        for number, (pixels, height) in enumerate(zip(volume, heights, strict=True))
    ]


def write_series(folder: Path, volume: np.ndarray, **arguments: Any) -> Path:
    """Write what :func:`make_series` makes, under the names that the numbers of slices give."""
    for number, dataset in enumerate(make_series(volume, **arguments)):
        save(dataset, folder / f"{number:03d}.dcm")
    return folder


def numbered(count: int, rows: int = 24, columns: int = 16, *, first: int = 10) -> np.ndarray:
    """Slices of one value each, rising by 10, but for a bright and a dark corner that tell where up and left are."""
    volume = np.repeat(np.arange(first, first + 10 * count, 10, dtype=np.int16), rows * columns)
    volume = volume.reshape(count, rows, columns)
    volume[:, :2, :2], volume[:, -2:, :2] = 255, 0
    return volume


def pixels_of(out: Path, sample: Sample, image: int = 0) -> np.ndarray:
    """The stored pixels of one of the images of a sample."""
    with Image.open(out / sample.images[image].path) as opened:
        return np.asarray(opened)


def details_of(sample: Sample, image: int = 0) -> dict[str, Any]:
    """What the record says about one of the images of a sample."""
    return sample.images[image].source.details


def slice_number(sample: Sample) -> str:
    """The part of an id behind patient and series."""
    return sample.id.split("/")[2]
