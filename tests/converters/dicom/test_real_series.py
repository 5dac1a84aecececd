"""Real series; what is expected of them is in the headers, read here with pydicom alone."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from PIL import Image

from domainvl.schema import Task


def planes(samples):
    return [sample for sample in samples if sample.task is Task.VQA]


def test_mr_series_is_ordered_by_geometry(real_data, tmp_path, convert_dicom):
    """20 ADC slices from foot to head; two of their files are out of order."""
    if shutil.which("zstd") is None:
        pytest.skip("no zstd to unpack the series with")
    (tmp_path / "in").mkdir()
    height_of, hash_of = {}, {}
    for path in sorted(
        (real_data / "medical/robyoung__dicom-test-files/data/dcmqi/paramaps/701-ADCb500").glob("*.zst")
    ):
        content = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
        (tmp_path / "in" / path.stem).write_bytes(content)
        dataset = pydicom.dcmread(io.BytesIO(content))
        orientation = np.array(dataset.ImageOrientationPatient, float)
        normal = np.cross(orientation[:3], orientation[3:])
        height_of[path.stem] = float(normal @ np.array(dataset.ImagePositionPatient, float))
        # LINEAR with the file's own window; identity rescale.
        center, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
        values = dataset.pixel_array * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
        grey = np.rint(np.clip(((values - (center - 0.5)) / (width - 1) + 0.5) * 255, 0, 255)).astype(np.uint8)
        hash_of[path.stem] = grey
    assert len(height_of) == 20
    by_height = sorted(height_of, key=height_of.get)
    assert by_height != sorted(height_of)
    _, samples, rejects = convert_dicom(tmp_path / "in")
    assert not rejects
    ordered = planes(samples)
    assert [sample.answer.text for sample in ordered] == ["axial"] * 20
    assert [sample.images[0].source.details["slice_index"] for sample in ordered] == list(range(20))
    for sample, name in zip(ordered, by_height, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / sample.images[0].path)), hash_of[name])
    for sample in ordered:
        assert sample.images[0].source.details["spacing_between_slices_mm"] == pytest.approx(3.0, abs=1e-3)


def test_reversed_instance_numbers_do_not_decide(real_data, tmp_path, convert_dicom):
    """dicom2nifti generic/rgb/001: InstanceNumber 42 to 39 from foot to head, 3 mm apart."""
    folder = real_data / "medical/icometrix__dicom2nifti/tests/data/generic/rgb/001"
    files = sorted(folder.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
    assert [int(pydicom.dcmread(path).InstanceNumber) for path in files] == [42, 41, 40, 39]
    _, samples, _ = convert_dicom(folder)
    for sample, path in zip(planes(samples), files, strict=True):
        stored = np.asarray(Image.open(tmp_path / "out" / sample.images[0].path))
        np.testing.assert_array_equal(stored, pydicom.dcmread(path).pixel_array)
        assert sample.images[0].source.details["spacing_between_slices_mm"] == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "spacing_mm", "warning"),
    [("gantrytilting/001", 4.852, None), ("sliceincrement/001", 5.0, "not evenly spaced: 5 to 10 mm"),
     ("slicecount/001", 1.0, None)],
)  # fmt: skip
def test_irregular_series_are_converted_with_warnings(real_data, convert_dicom, name, spacing_mm, warning):
    """Gaps as converters that make volumes report them: highdicom 0.28 on the same files."""
    _, samples, rejects = convert_dicom(real_data / "medical/icometrix__dicom2nifti/tests/data/failing" / name)
    assert not rejects
    facts = samples[0].images[0].source.details
    assert facts["spacing_between_slices_mm"] == pytest.approx(spacing_mm, abs=2e-3)
    if warning is None:
        assert not any("spaced" in text for text in samples[0].warnings)
    else:
        assert any(warning in text for text in samples[0].warnings)


def test_monochrome1_radiograph_has_dark_lungs(real_data, tmp_path, convert_dicom):
    """A chest CR: the air beside the neck must be darker than the spine."""
    _, samples, _ = convert_dicom(real_data / "medical/pydicom__pydicom-data/data_store/data/RG1_J2KI.dcm")
    stored = np.asarray(Image.open(tmp_path / "out" / samples[0].images[0].path)).astype(float)
    rows, columns = stored.shape
    lung = stored[rows // 3 : rows // 2, columns // 5 : 2 * columns // 5].mean()
    spine = stored[2 * rows // 3 : 3 * rows // 4, 9 * columns // 20 : 11 * columns // 20].mean()
    assert lung < spine - 10


def test_enhanced_multi_frame_files_in_three_encodings_agree(real_data, tmp_path, convert_dicom):
    names = ("emri_small.dcm", "emri_small_RLE.dcm", "emri_small_jpeg_ls_lossless.dcm")
    hashes = []
    for name in names:
        _, samples, _ = convert_dicom(real_data / "medical/pydicom__pydicom-data/data_store/data" / name)
        hashes.append([sample.images[0].pixel_sha256 for sample in samples])
    assert len(hashes[0]) == 10
    assert hashes[0] == hashes[1] == hashes[2]
