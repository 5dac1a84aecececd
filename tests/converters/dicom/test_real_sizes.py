"""Sizes of real things against their pixels and contours, which pydicom reads."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

HIGHDICOM = "medical/ImagingDataCommons__highdicom/data/test_files"


def measured(convert_dicom, source):
    _, samples, _ = convert_dicom(source, tasks="measurement")
    return {sample.id.rpartition("/")[2]: sample.answer for sample in samples}


def test_the_area_of_a_segment_is_that_of_its_pixels(real_data, convert_dicom, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("ct_image.dcm", "seg_image_ct_binary_single_frame.dcm"):
        (source / name).symlink_to(real_data / HIGHDICOM / name)
    segments = pydicom.dcmread(source / "seg_image_ct_binary_single_frame.dcm")
    measures = segments.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    area_mm2 = segments.pixel_array.sum() * float(measures.PixelSpacing[0]) * float(measures.PixelSpacing[1])

    answers = measured(convert_dicom, source)
    assert answers["measurement-area"].value == pytest.approx(area_mm2)
    assert answers["measurement-area"].unit == "mm2"
    # The segment is in several pieces.
    assert set(answers) == {"measurement-area"}


def test_the_area_of_a_structure_is_that_of_its_contours(real_data, convert_dicom):
    source = real_data / "medical" / "dicompyler__dicompyler-core"
    files = [pydicom.dcmread(path, force=True) for path in sorted(source.rglob("*.dcm"))]
    (place_mm,) = {float(file.ImagePositionPatient[2]) for file in files if file.get("Modality") == "CT"}
    (structures,) = (file for file in files if file.get("Modality") == "RTSTRUCT")
    (number,) = (roi.ROINumber for roi in structures.StructureSetROISequence if roi.ROIName == "BODY")
    area_mm2 = 0.0
    for roi in structures.ROIContourSequence:
        for contour in roi.get("ContourSequence", ()) if roi.ReferencedROINumber == number else ():
            x, y, z = np.asarray(contour.ContourData, float).reshape(-1, 3).T
            if abs(z[0] - place_mm) < 0.01:
                area_mm2 += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2

    answers = measured(convert_dicom, source)
    assert area_mm2 > 40_000
    assert answers["measurement-area"].value == pytest.approx(area_mm2)
