"""One phantom as a DICOM series and as a NIfTI volume gives the same pixels, levels and order."""

import nibabel
import numpy as np
import pytest

from domainvl.conversion import convert
from domainvl.converters.nifti import CONVERTER, NiftiSettings
from domainvl.schema import Split, read_samples

SPACING_MM = (0.8, 1.2, 3.0)
"""Of columns, rows and slices."""

ORIGIN_MM = (-20.0, -31.0, 40.0)
PLANES = {
    "axial": (1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "axial, upside down": (-1, 0, 0, 0, -1, 0),
}


def places(samples):
    """Pixel hashes of each level, and how pixels lie, by position along the normal."""
    found = {}
    for sample in samples:
        (image,) = sample.images
        details = image.source.details
        found[abs(details["position_mm"])] = (image.pixel_sha256, details["window"], details["geometry"]["status"])
    return found


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("windows", ["auto", "lung"])
def test_med_24_med_25_dicom_and_nifti_show_the_same(tmp_path, write_instance, convert_dicom, name, windows):
    cosines = np.array(PLANES[name], float)
    row, column = cosines[:3], cosines[3:]
    normal = np.cross(row, column)
    voxels = np.random.default_rng(0).integers(-1000, 1000, (5, 14, 18)).astype(np.int16)  # slice, row, column
    for number, pixels in enumerate(voxels):
        write_instance(
            tmp_path / "dicom" / f"{number}.dcm",
            pixels,
            SOPInstanceUID=f"1.2.3.4.{number + 1}",
            ImageOrientationPatient=list(cosines),
            ImagePositionPatient=list(np.array(ORIGIN_MM) + number * SPACING_MM[2] * normal),
            PixelSpacing=[SPACING_MM[1], SPACING_MM[0]],
            RescaleSlope=1,
            RescaleIntercept=0,
        )
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row * SPACING_MM[0], column * SPACING_MM[1], normal * SPACING_MM[2]])
    affine[:3, 3] = ORIGIN_MM
    image = nibabel.Nifti1Image(voxels.T, np.diag([-1.0, -1, 1, 1]) @ affine)  # LPS to RAS
    image.header.set_xyzt_units("mm")
    (tmp_path / "nifti").mkdir()
    nibabel.save(image, tmp_path / "nifti" / "a.nii.gz")

    _, dicom, _ = convert_dicom(tmp_path / "dicom", windows=windows, tasks="plane")
    settings = NiftiSettings(modality="CT", plane=name.partition(",")[0], windows=windows, tasks="plane")
    convert(CONVERTER, tmp_path / "nifti", tmp_path / "nifti-out", settings)
    nifti = [sample for split in Split for sample in read_samples(tmp_path / "nifti-out", split)]

    assert len(places(dicom)) == 5
    assert places(nifti) == places(dicom)
    assert {sample.answer.text for sample in nifti} == {sample.answer.text for sample in dicom}
