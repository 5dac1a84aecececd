"""Real series; what is expected of them is in the headers, read here with pydicom alone."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from PIL import Image

from domainvl.errors import ExitCode, NothingToDoError
from domainvl.schema import Task

DICOM2NIFTI = "medical/icometrix__dicom2nifti/tests/data"


def planes(samples):
    return [sample for sample in samples if sample.task is Task.VQA]


def test_med_21_a_real_mr_series_is_ordered_by_geometry(real_data, tmp_path, convert_dicom):
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
    with pytest.raises(NothingToDoError, match="DERIVED"):
        convert_dicom(tmp_path / "in")  # maps of a computer, whose header does not say that no text is burnt in
    _, samples, rejects = convert_dicom(tmp_path / "in", burnt_in="allow", pixel_text="off")
    assert not rejects
    ordered = planes(samples)
    assert [sample.answer.text for sample in ordered] == ["axial"] * 20
    assert [sample.images[0].source.details["slice_index"] for sample in ordered] == list(range(20))
    for sample, name in zip(ordered, by_height, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / sample.images[0].path)), hash_of[name])
    for sample in ordered:
        assert sample.images[0].source.details["spacing_between_slices_mm"] == pytest.approx(3.0, abs=1e-3)


def test_med_21_reversed_instance_numbers_do_not_decide(real_data, tmp_path, convert_dicom):
    """dicom2nifti generic/rgb/001: InstanceNumber 42 to 39 from foot to head, 3 mm apart."""
    folder = real_data / DICOM2NIFTI / "generic/rgb/001"
    files = sorted(folder.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
    assert [int(pydicom.dcmread(path).InstanceNumber) for path in files] == [42, 41, 40, 39]
    with pytest.raises(NothingToDoError, match="secondary capture"):
        convert_dicom(folder)
    _, samples, _ = convert_dicom(folder, burnt_in="allow", pixel_text="off")
    assert len(planes(samples)) == 4
    for sample, path in zip(planes(samples), files, strict=True):
        stored = np.asarray(Image.open(tmp_path / "out" / sample.images[0].path))
        np.testing.assert_array_equal(stored, pydicom.dcmread(path).pixel_array)
        assert sample.images[0].source.details["spacing_between_slices_mm"] == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "status", "spacing_mm", "tilt_deg", "warning"),
    [
        ("failing/gantrytilting/001", "gantry-tilt", 4.852, 14.0, "14.0 degrees off their normal"),
        ("failing/sliceincrement/001", "missing-slices", 5.0, None, "1 slice is missing"),
        ("failing/slicecount/001", "uniform", 1.0, None, None),
    ],
)
def test_med_23_real_irregular_series_are_converted_with_warnings(
    real_data, convert_dicom, name, status, spacing_mm, tilt_deg, warning
):
    """Status, gaps and tilt as in the table of golden values: highdicom 0.28 on the same files."""
    summary, samples, rejects = convert_dicom(real_data / DICOM2NIFTI / name)
    assert summary.exit_code is ExitCode.DONE
    assert not rejects
    assert len(planes(samples)) == len(list((real_data / DICOM2NIFTI / name).iterdir()))
    for sample in samples:
        facts = sample.images[0].source.details
        assert facts["geometry"]["status"] == status
        assert facts["geometry"].get("tilt_deg") == (None if tilt_deg is None else pytest.approx(tilt_deg, abs=0.05))
        assert facts["spacing_between_slices_mm"] == pytest.approx(spacing_mm, abs=2e-3)
        if warning is None:
            assert not sample.warnings
        else:
            assert any(warning in text for text in sample.warnings)


def test_med_20_a_real_series_of_two_orientations_is_two_stacks(real_data, convert_dicom):
    folder = real_data / DICOM2NIFTI / "failing/sliceorientation/001"
    orientations = {tuple(map(float, pydicom.dcmread(path).ImageOrientationPatient)) for path in folder.iterdir()}
    assert len(orientations) == 2
    summary, samples, _ = convert_dicom(folder)
    stacks = summary.manifest["units"]
    assert len(stacks) == 2
    assert len({name.rpartition("/")[0] for name in stacks}) == 1
    assert all("orientation" in sample.images[0].source.details["series_split_by"] for sample in samples)


def test_med_01_a_monochrome1_radiograph_has_dark_lungs(real_data, tmp_path, convert_dicom):
    """A chest CR: the air beside the neck must be darker than the spine."""
    _, samples, _ = convert_dicom(
        real_data / "medical/pydicom__pydicom-data/data_store/data/RG1_J2KI.dcm", pixel_text="off"
    )
    stored = np.asarray(Image.open(tmp_path / "out" / samples[0].images[0].path)).astype(float)
    rows, columns = stored.shape
    lung = stored[rows // 3 : rows // 2, columns // 5 : 2 * columns // 5].mean()
    spine = stored[2 * rows // 3 : 3 * rows // 4, 9 * columns // 20 : 11 * columns // 20].mean()
    assert lung < spine - 10


def test_med_27_multi_frame_files_in_three_encodings_agree(real_data, tmp_path, convert_dicom):
    names = ("emri_small.dcm", "emri_small_RLE.dcm", "emri_small_jpeg_ls_lossless.dcm")
    hashes = []
    for name in names:
        _, samples, _ = convert_dicom(
            real_data / "medical/pydicom__pydicom-data/data_store/data" / name, tasks="modality"
        )
        hashes.append([sample.images[0].pixel_sha256 for sample in samples])
    assert len(hashes[0]) == 10
    assert hashes[0] == hashes[1] == hashes[2]
