"""Makes small DICOM files whose every attribute a test can choose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_series import with_pixels
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage

KEY = b"0123456789abcdef0123456789abcdef"


def make_dataset(pixels: np.ndarray | None = None, **attributes: Any) -> pydicom.Dataset:
    """A CT slice of 8x8 px with given attributes; an attribute of None is left out."""
    pixels = np.arange(64, dtype=np.int16).reshape(8, 8) if pixels is None else pixels
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "1.2.3.4.1",
        "SeriesInstanceUID": "1.2.3.3",
        "StudyInstanceUID": "1.2.3.2",
        "PatientID": "P1",
        "Modality": "CT",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1 if pixels.ndim == 2 else pixels.shape[2],
        "PhotometricInterpretation": "MONOCHROME2" if pixels.ndim == 2 else "RGB",
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": pixels.dtype.itemsize * 8,
        "HighBit": pixels.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **({"PlanarConfiguration": 0} if pixels.ndim == 3 else {}),
        **attributes,
    }
    dataset = with_pixels(values, pixels)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3.4.1")
    return dataset


@pytest.fixture
def dataset() -> Callable[..., pydicom.Dataset]:
    return make_dataset


@pytest.fixture
def write_instance() -> Callable[..., Path]:
    def write(path: Path, pixels: np.ndarray | None = None, **attributes: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        make_dataset(pixels, **attributes).save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def wheel() -> Callable[[str], Path]:
    """Find a file in pydicom's wheel."""

    def find(name: str) -> Path:
        path = get_testdata_file(name, download=False)
        assert isinstance(path, str), f"{name} is not in pydicom's wheel"
        return Path(path)

    return find


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "deid.key"
    path.write_bytes(KEY)
    return path


@pytest.fixture
def convert_dicom(tmp_path: Path, key_file: Path) -> Callable[..., Any]:
    """Convert a file or folder and return the summary, the samples and the rejects."""
    import json

    from domainvl.conversion import convert
    from domainvl.converters.dicom import CONVERTER, DicomSettings
    from domainvl.schema import Split, read_samples

    def run(source: Path, *, out: Path | None = None, **settings: Any) -> Any:
        out = out or tmp_path / "out"
        settings.setdefault("deid_key", key_file)
        summary = convert(CONVERTER, source, out, DicomSettings(**settings), overwrite=True)
        samples = [sample for split in Split for sample in read_samples(out, split)]
        rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
        return summary, samples, rejects

    return run
