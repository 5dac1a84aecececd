"""What is drawn on a series, in the images that the converter shows: turned, made square, in its place."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_annotations import write_measurement, write_segmentation, write_structures
from dicom_series import details_of, make_series, numbered, pixels_of, save, slice_number

from domainvl.errors import ExitCode
from domainvl.schema import Task

FLIPPED = (-1, 0, 0, 0, -1, 0)
"""Axial slices that are stored upside down and mirrored: rows run to the patient's right, columns to the front."""


def write_all(folder, slices):
    for number, dataset in enumerate(slices):
        save(dataset, folder / f"{number:03d}")
    return slices


def boxes(samples):
    """Slice, label and box of all things, each once."""
    found = {(slice_number(sample), thing.label, thing.box_px) for sample in samples for thing in sample.objects}
    return sorted(found)


def at_centres(image, points):
    """Points at the centres of pixels given as (column, row), by PS3.3 C.7.6.2.1.1, in mm."""
    cosines = np.array([float(cosine) for cosine in image.ImageOrientationPatient])
    row_mm, column_mm = (float(value) for value in image.PixelSpacing)
    columns, rows = np.array(points, float).T
    start = np.array([float(value) for value in image.ImagePositionPatient])
    return start + np.outer(columns * column_mm, cosines[:3]) + np.outer(rows * row_mm, cosines[3:])


def test_med_40_boxes_of_a_segmentation_lie_where_the_shown_image_has_them(tmp_path, convert_dicom):
    """Stored upside down, mirrored and with pixels twice as high as wide; the files come in another order.

    20 rows of 2 mm and 30 columns of 1 mm are shown as 40 x 30. Stored rows 4 to 9 and columns 3 to 12 reach from
    (3, 4) to (13, 10) on pixel edges; mirrored from (17, 10) to (27, 16); made square from (17, 20) to (27, 32).
    """
    volume = numbered(4, 20, 30)
    volume[2, 4:10, 3:13] = 200
    slices = make_series(volume, cosines=FLIPPED, spacing_mm=(2, 1))
    write_all(tmp_path / "in", slices[::-1])
    masks = np.zeros((4, 20, 30, 1), bool)
    masks[2, 4:10, 3:13, 0] = True
    write_segmentation(tmp_path / "in" / "seg", slices, masks, ["Liver"])
    summary, samples, rejects = convert_dicom(tmp_path / "in", tasks="presence,grounding,modality")
    assert summary.exit_code is ExitCode.DONE
    assert not rejects
    assert boxes(samples) == [("0002", "Liver", (17, 20, 27, 32))]
    shown = next(pixels_of(tmp_path / "out", sample) for sample in samples if sample.objects)
    assert shown.shape == (40, 30)
    assert (shown[21:31, 17:27] == 200).all()
    assert shown[21:31, 17:27].size < (shown > 150).sum()
    # What was segmented and has no frame was searched, and has nothing.
    said = {slice_number(sample): sample.answer.text for sample in samples if sample.task is Task.PRESENCE}
    assert said == {"0000": "no", "0001": "no", "0002": "yes", "0003": "no"}


def test_med_40_a_segmentation_on_another_grid_is_mapped_through_the_patient(tmp_path, convert_dicom):
    """Drawn on a resampled copy of the series: 10 instead of 4 mm apart, pixels of 2 mm, beginning at (10.5, 6.5) mm.

    The frame at 10 mm stands for 5 to 15 mm, where the slices at 8 and 12 mm lie. Its pixel in column 4 and row 3 has
    its centre at (18.5, 12.5) mm and covers 17.5 to 19.5 and 11.5 to 13.5 mm: the centres of columns 18 and 19 and of
    rows 12 and 13 of the image, which begins at (0, 0) mm with pixels of 1 mm.
    """
    images = make_series(numbered(5, 32, 32), step_mm=4)
    drawn_on = make_series(numbered(3, 10, 10), spacing_mm=(2, 2), step_mm=10, origin_mm=(10.5, 6.5, 0))
    write_all(tmp_path / "in", images)
    masks = np.zeros((3, 10, 10, 1), bool)
    masks[1, 3, 4, 0] = True
    write_segmentation(tmp_path / "in" / "seg", drawn_on, masks, ["Spleen"])
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="presence")
    assert boxes(samples) == [("0002", "Spleen", (18, 12, 20, 14)), ("0003", "Spleen", (18, 12, 20, 14))]


@pytest.mark.parametrize("cosines", [(1, 0, 0, 0, 1, 0), FLIPPED])
def test_med_41_a_ring_of_contours_has_its_area_and_place_in_the_shown_image(tmp_path, convert_dicom, cosines):
    """From the centre of pixel (3, 5) to that of (15, 17) with a hole from 6 to 12: 12 x 12 - 6 x 6 px of 1.5 mm.

    Contours run through centres, half a pixel inside of pixel edges: the box is (3.5, 5.5) to (15.5, 17.5). Of 24
    columns and 28 rows mirrored both ways: (8.5, 10.5) to (20.5, 22.5).
    """
    slices = write_all(tmp_path / "in", make_series(numbered(3, 28, 24), cosines=cosines, spacing_mm=(1.5, 1.5)))
    outer = at_centres(slices[1], [(3, 5), (15, 5), (15, 17), (3, 17)])
    hole = at_centres(slices[1], [(6, 8), (12, 8), (12, 14), (6, 14)])
    write_structures(tmp_path / "in" / "rt", slices[0], [("Wall", [outer, hole])])
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="presence,measurement,grounding,modality")
    assert not rejects
    expected = (3.5, 5.5, 15.5, 17.5) if cosines != FLIPPED else (8.5, 10.5, 20.5, 22.5)
    ((number, label, box_px),) = boxes(samples)
    assert (number, label) == ("0001", "Wall")
    assert box_px == pytest.approx(expected, abs=1e-6)
    (area,) = [sample.answer for sample in samples if sample.task is Task.AREA]
    assert (area.value, area.unit) == (pytest.approx((144 - 36) * 1.5**2), "mm2")


def test_med_41_contours_off_the_image_or_of_another_patient_are_left_out(tmp_path, convert_dicom):
    slices = write_all(tmp_path / "in", make_series(numbered(3, 28, 24)))
    far = at_centres(slices[1], [(100, 100), (110, 100), (110, 110)])
    above = at_centres(slices[1], [(3, 5), (15, 5), (15, 17)]) + np.array([0, 0, 500])
    write_structures(tmp_path / "in" / "rt", slices[0], [("Far", [far]), ("Above", [above])])
    other = slices[0].copy()
    other.PatientID = "P2"
    write_structures(tmp_path / "in" / "other", other, [("Other", [at_centres(slices[1], [(3, 5), (15, 5), (15, 9)])])],
                     uid="1.2.3.66")  # fmt: skip
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="presence,modality,grounding")
    assert samples
    assert not any(thing.box_px for sample in samples for thing in sample.objects)
    assert not any(sample.task is Task.GROUNDING for sample in samples)
    assert "annotation-unmatched" in {reject["reason"] for reject in rejects}
    assert not {"Far", "Above", "Other"} & {word for reject in rejects for word in reject["message"].split()}


def test_med_42_a_measured_region_is_a_thing_with_its_length(tmp_path, convert_dicom):
    """A polyline in pixels of the second slice, which is stored mirrored both ways: (24 - x, 28 - y)."""
    slices = write_all(tmp_path / "in", make_series(numbered(3, 28, 24), cosines=FLIPPED))
    corners = [(4, 6), (14, 6), (14, 16), (4, 16), (4, 6)]
    write_measurement(tmp_path / "in" / "sr", slices[1], "Nodule", corners, 12.5)
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="presence,grounding")
    ((number, label, box_px),) = boxes(samples)
    assert (number, label, box_px) == ("0001", "Nodule", (10, 12, 20, 22))
    (thing,) = next(sample.objects for sample in samples if sample.objects)
    assert thing.attributes["length_mm"] == 12.5
    # A report names what was measured and not what is not there: nothing is denied.
    assert {sample.answer.text for sample in samples if sample.task is Task.PRESENCE} == {"yes"}
    assert [(reject["reason"], reject["severity"]) for reject in rejects if reject["stage"] == "label"] == [
        ("report-text", "skipped")
    ]


def test_med_40_41_42_annotations_of_one_series_are_joined(tmp_path, convert_dicom):
    slices = write_all(tmp_path / "in", make_series(numbered(3, 28, 24)))
    masks = np.zeros((3, 28, 24, 1), bool)
    masks[1, 2:14, 2:14, 0] = True
    write_segmentation(tmp_path / "in" / "seg", slices, masks, ["Liver"])
    write_structures(tmp_path / "in" / "rt", slices[0],
                     [("Cord", [at_centres(slices[1], [(15, 15), (22, 15), (22, 25), (15, 25)])])])  # fmt: skip
    write_measurement(tmp_path / "in" / "sr", slices[2], "Nodule", [(4, 6), (14, 6), (14, 16), (4, 6)], 3)
    labels = tmp_path / "labels.csv"
    labels.write_text("sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n1.2.3.4.1,cyst,1,2,11,22\n")
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="presence", labels=labels)
    assert [(number, label) for number, label, _ in boxes(samples)] == [
        ("0000", "cyst"), ("0001", "Cord"), ("0001", "Liver"), ("0002", "Nodule"),
    ]  # fmt: skip


def test_med_40_a_damaged_segmentation_leaves_its_series_as_it_is(tmp_path, convert_dicom):
    slices = write_all(tmp_path / "in", make_series(numbered(3, 28, 24)))
    masks = np.ones((3, 28, 24, 1), bool)
    path = write_segmentation(tmp_path / "in" / "seg", slices, masks, ["Liver"])
    path.write_bytes(path.read_bytes()[:-100])
    summary, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality,presence")
    assert len(samples) >= 3
    assert summary.exit_code is ExitCode.PARTIAL
    (failed,) = [reject for reject in rejects if reject["severity"] == "failed"]
    assert failed["stage"] == "label"
    assert failed["action"]


def test_med_26_lengths_of_an_uncalibrated_radiograph_are_not_asked(tmp_path, convert_dicom):
    """A spacing of 0.2 mm at the detector; with one of 0.1 mm in the patient beside it, 20 x 20 px have 4 mm2."""
    masks = np.zeros((1, 40, 40, 1), bool)
    masks[0, 5:25, 5:25, 0] = True
    for name, spacing_mm in (("plain", 0.2), ("calibrated", 0.1)):
        images = make_series(
            numbered(1, 40, 40), Modality="DX", spacing_mm=(spacing_mm, spacing_mm), ImagerPixelSpacing=[0.2, 0.2]
        )
        write_all(tmp_path / name, images)
        write_segmentation(tmp_path / name / "seg", images, masks, ["Lung"])
    _, samples, _ = convert_dicom(tmp_path / "plain", tasks="measurement,modality")
    assert {sample.task for sample in samples} == {Task.CLASSIFICATION}
    assert details_of(samples[0])["spacing_from"] == "detector"
    assert any("not measured" in warning for warning in samples[0].warnings)
    _, samples, _ = convert_dicom(tmp_path / "calibrated", tasks="measurement,modality")
    (area,) = [sample.answer for sample in samples if sample.task is Task.AREA]
    assert area.value == pytest.approx(4.0)
