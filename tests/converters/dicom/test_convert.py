from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    EnhancedMRImageStorage,
    MRImageStorage,
    SegmentationStorage,
    UltrasoundMultiFrameImageStorage,
)

from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.schema import Task

AXIAL = [1, 0, 0, 0, 1, 0]


def answers(samples, task):
    return [sample.answer.text for sample in samples if sample.task is task]


def details(sample):
    return sample.images[0].source.details


def test_importing_the_converter_imports_no_pydicom():
    code = (
        "import sys, domainvl.converters.dicom as d; d.CONVERTER, d.DicomSettings();"
        "sys.exit(int(any(name in sys.modules for name in ('pydicom', 'torch', 'rasterio'))))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_setting_is_described():
    from domainvl.converters.dicom import DicomSettings

    assert all(field.description for field in DicomSettings.model_fields.values())


@pytest.mark.parametrize(
    ("modality", "answer"),
    [("CT", "CT"), ("MR", "MR"), ("CR", "radiograph"), ("DX", "radiograph"), ("MG", "mammogram"), ("PT", "PET"),
     ("XA", "fluoroscopy"), ("OPT", "OCT")],
)  # fmt: skip
def test_modality_is_asked_with_all_classes(tmp_path, write_instance, convert_dicom, modality, answer):
    _, samples, _ = convert_dicom(write_instance(tmp_path / "a", Modality=modality))
    assert answers(samples, Task.CLASSIFICATION) == [answer]
    assert samples[0].question.startswith("Classify the image within one of the given classes: CT, MR, radiograph, ")
    assert answer in samples[0].question


def test_unknown_modality_is_not_asked_and_counted(tmp_path, write_instance, convert_dicom):
    write_instance(tmp_path / "in" / "a", np.arange(64, 0, -1, dtype=np.int16).reshape(8, 8), Modality="OT")
    write_instance(tmp_path / "in" / "b", SOPInstanceUID="1.9")
    _, samples, rejects = convert_dicom(tmp_path / "in")
    assert len(samples) == 1
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("no-question", "skipped")]
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 1


@pytest.mark.parametrize(
    ("modality", "orientation", "image_type", "plane"),
    [
        ("MR", AXIAL, None, ["axial"]),
        ("MR", [1, 0, 0, 0, 0, -1], None, ["coronal"]),
        ("PT", [0, 1, 0, 0, 0, -1], None, ["sagittal"]),
        ("MR", [1, 0, 0, 0, 0.7071, 0.7071], None, []),
        ("XA", AXIAL, None, []),
        ("MR", None, None, []),
        ("CT", [1, 0, 0, 0, 0, -1], ["ORIGINAL", "PRIMARY", "LOCALIZER"], []),
    ],
)
def test_plane_is_asked_where_there_is_one(
    tmp_path, write_instance, convert_dicom, modality, orientation, image_type, plane
):
    path = write_instance(tmp_path / "a", Modality=modality, ImageOrientationPatient=orientation, ImageType=image_type,
                          ImagePositionPatient=[0, 0, 0])  # fmt: skip
    _, samples, _ = convert_dicom(path)
    assert answers(samples, Task.VQA) == plane


def test_med_21_ids_order_and_details_of_a_series(tmp_path, write_instance, convert_dicom):
    for number, height in enumerate([10, 0, 5]):
        pixels = np.full((8, 12), 100 + height, np.int16)
        write_instance(tmp_path / "in" / f"{number}", pixels,
                       SOPInstanceUID=f"1.2.{number}", InstanceNumber=number, ImagePositionPatient=[0, 0, height],
                       ImageOrientationPatient=AXIAL, PixelSpacing=[0.5, 0.5], WindowCenter=105, WindowWidth=100,
                       RescaleSlope=1, RescaleIntercept=-10)  # fmt: skip
    _, samples, rejects = convert_dicom(tmp_path / "in")
    assert not rejects
    planes = [sample for sample in samples if sample.task is Task.VQA]
    assert [sample.id.split("/")[2:] for sample in planes] == [["0000", "plane"], ["0001", "plane"], ["0002", "plane"]]
    stored = [Image.open(tmp_path / "out" / sample.images[0].path) for sample in planes]
    levels = [np.asarray(image)[0, 5] for image in stored]
    assert levels == sorted(levels)
    assert len(set(levels)) == 3
    assert (stored[0].mode, stored[0].size) == ("L", (12, 8))
    assert details(planes[1]) == {
        "modality": "CT", "photometric_interpretation": "MONOCHROME2", "transfer_syntax": "Explicit VR Little Endian",
        "rows": 8, "columns": 12, "slice_index": 1, "rescale": {"slope": 1, "intercept": -10},
        "window": {"from": "file", "center": 105, "width": 100, "function": "LINEAR"},
        "geometry": {"status": "uniform"}, "spacing_between_slices_mm": 5, "position_mm": 5,
        "pixel_spacing_mm": [0.5, 0.5], "spacing_from": "pixel",
    }  # fmt: skip
    patient, series = planes[0].id.split("/")[:2]
    assert {sample.group for sample in samples} == {patient}
    assert all(sample.images[0].source.uri.startswith(f"{patient}/{series}/") for sample in samples)


def test_med_70_patient_is_the_group_else_the_study(tmp_path, write_instance, convert_dicom):
    cases = [
        {"PatientID": "A", "StudyInstanceUID": "1.1"},
        {"PatientID": "A", "StudyInstanceUID": "1.2"},
        {"PatientID": "A", "StudyInstanceUID": "1.3", "IssuerOfPatientID": "Elsewhere"},
        {"PatientID": None, "StudyInstanceUID": "1.4"},
        {"PatientID": "", "StudyInstanceUID": "1.4"},
        {"PatientID": "1.4", "StudyInstanceUID": "1.5"},
    ]
    for number, case in enumerate(cases):
        pixels = np.arange(8 * (8 + number), dtype=np.int16).reshape(-1, 8)
        write_instance(tmp_path / "in" / f"{number}", pixels, **case, SOPInstanceUID=f"1.9.{number}")
    _, samples, _ = convert_dicom(tmp_path / "in")
    group = {sample.images[0].height_px - 8: sample.group for sample in samples}
    assert group[0] == group[1]
    assert group[3] == group[4]
    assert len(set(group.values())) == 4


def test_findings_are_asked_on_listed_slices_only(tmp_path, write_instance, convert_dicom):
    for number in range(3):
        write_instance(tmp_path / "in" / f"{number}", np.arange(1024, dtype=np.int16).reshape(32, 32) + number,
                       SOPInstanceUID=f"1.2.{number}", InstanceNumber=number)  # fmt: skip
    labels = tmp_path / "in" / "labels.csv"
    labels.write_text("sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n"
                      "1.2.0,cyst,1,2,11,22\n1.2.0,clip,3,3,5,5\n1.2.0,clip,8,8,12,12\n1.2.1,,,,,\n")  # fmt: skip
    _, samples, rejects = convert_dicom(tmp_path / "in", labels=labels)
    assert not rejects  # the table is no noise
    by_slice = {index: [s for s in samples if s.id.split("/")[2] == f"000{index}"] for index in range(3)}
    assert {sample.task for sample in by_slice[2]} == {Task.CLASSIFICATION}
    grounding = [sample for sample in by_slice[0] if sample.task is Task.GROUNDING]
    assert [(sample.question, sample.answer_objects()[0].box_px) for sample in grounding] == [("cyst", (1, 2, 11, 22))]
    assert answers(by_slice[0], Task.PRESENCE) == ["yes"]
    assert answers(by_slice[1], Task.PRESENCE) == ["no"]
    assert [s.answer.count for s in by_slice[1] if s.task is Task.COUNTING] == [0]
    counted = [(s.question, s.answer.count) for s in by_slice[0] if s.task is Task.COUNTING]
    assert counted in ([("How many instances of cyst are in the image?", 1)],
                       [("How many instances of clip are in the image?", 2)])  # fmt: skip


def test_label_table_that_matches_nothing_is_refused(tmp_path, write_instance, convert_dicom):
    labels = tmp_path / "labels.csv"
    labels.write_text("sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n9.9,cyst,1,2,3,4\n")
    with pytest.raises(UsageError, match="none of its 1 instances is among the 1 images"):
        convert_dicom(write_instance(tmp_path / "a"), labels=labels)


def test_med_24_what_is_done_for_display_is_recorded_and_what_is_irregular_is_warned_of(
    tmp_path, write_instance, convert_dicom
):
    pixels = np.arange(64, dtype=np.int16).reshape(8, 8)
    for number, height in enumerate([0, 5, 15]):
        write_instance(
            tmp_path / "in" / f"{number}",
            pixels,
            SOPInstanceUID=f"1.2.{number}",
            ImagePositionPatient=[0, 0, height],
            ImageOrientationPatient=[-1, 0, 0, 0, 1, 0],
            PixelSpacing=[1, 1],
            BurnedInAnnotation="YES",
            WindowCenter=128,
            WindowWidth=256,
        )
    _, samples, _ = convert_dicom(tmp_path / "in", burnt_in="allow", pixel_text="off")
    # Columns run to the patient's right; a reader has the patient's right on the left of the image.
    assert details(samples[0])["display"] == {"stored_px": [8, 8], "flipped_x": True}
    with Image.open(tmp_path / "out" / samples[0].images[0].path) as stored:
        np.testing.assert_array_equal(np.asarray(stored), pixels[:, ::-1])
    text = "\n".join(samples[0].warnings)
    assert "text is burnt into" in text
    assert "1 slice is missing" in text
    _, samples, _ = convert_dicom(tmp_path / "in", burnt_in="allow", display="stored")
    assert "display" not in details(samples[0])
    with Image.open(tmp_path / "out" / samples[0].images[0].path) as stored:
        np.testing.assert_array_equal(np.asarray(stored), pixels)


def test_med_50_what_is_no_image_is_counted_by_reason(tmp_path, write_instance, convert_dicom, wheel):
    folder = tmp_path / "in"
    write_instance(folder / "image")
    write_instance(folder / "copy of image")
    write_instance(folder / "seg", SOPClassUID=SegmentationStorage, SOPInstanceUID="1.5", Modality="SEG")
    for name in ("rtplan.dcm", "reportsi.dcm", "rtdose.dcm"):
        shutil.copy(wheel(name), folder / name)
    shutil.copy(wheel("MR_truncated.dcm"), folder / "cut off")
    (folder / "empty").write_bytes(b"")
    (folder / ".hidden").write_text("noise")
    summary, samples, rejects = convert_dicom(
        folder, burnt_in="allow", pixel_text="off"
    )  # the one that is cut off is derived
    assert len(samples) == 1
    reasons = Counter((reject["reason"], reject["severity"]) for reject in rejects)
    assert reasons == {
        ("duplicate-instance", "skipped"): 1,  # the copy
        ("annotation-unmatched", "skipped"): 2,  # the segmentation and the report
        ("no-image", "skipped"): 1,  # the plan
        ("no-question", "skipped"): 15,  # the frames of the dose grid, a modality that nothing is asked about
        ("not-dicom", "skipped"): 2,  # the empty one and the hidden one
        ("truncated", "failed"): 1,
    }
    assert summary.exit_code is ExitCode.PARTIAL
    assert "RT Plan Storage" in " ".join(reject["message"] for reject in rejects)
    truncated = next(reject for reject in rejects if reject["reason"] == "truncated")
    assert "8192 bytes" in truncated["message"]
    assert "8130" in truncated["message"]


def test_med_51_one_broken_slice_leaves_the_others(tmp_path, dataset, convert_dicom):
    (tmp_path / "in").mkdir()
    for number in range(3):
        made = dataset(SOPInstanceUID=f"1.2.{number}", InstanceNumber=number)
        if number == 1:
            made.PixelData = made.PixelData[:50]
        made.save_as(tmp_path / "in" / f"{number}", enforce_file_format=True)
    _, samples, rejects = convert_dicom(tmp_path / "in")
    assert [sample.id.split("/")[2] for sample in samples] == ["0000", "0002"]
    assert [(reject["reason"], reject["input"].split("/")[2]) for reject in rejects] == [("truncated", "0001")]


def test_folders_without_images_end_with_counts(tmp_path, convert_dicom):
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(NothingToDoError, match="0 files were looked at"):
        convert_dicom(folder)
    (folder / "a.txt").write_text("a")
    with pytest.raises(NothingToDoError, match="1 files were looked at: 1 not-dicom"):
        convert_dicom(folder)


def test_med_27_frames_of_a_cine_are_spread_and_the_rest_counted(tmp_path, write_instance, convert_dicom):
    frames = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((10, 8, 8), np.uint8)
    frames[:, 0, 0] = 255
    path = write_instance(
        tmp_path / "a",
        frames.reshape(80, 8),
        SOPClassUID=UltrasoundMultiFrameImageStorage,
        Modality="US",
        Rows=8,
        NumberOfFrames=10,
        WindowCenter=128,
        WindowWidth=256,
    )
    _, samples, rejects = convert_dicom(path, max_frames=5, burnt_in="allow", pixel_text="off")
    assert [details(sample)["frame"] for sample in samples] == [2, 4, 6, 8, 10]
    pixels = [np.asarray(Image.open(tmp_path / "out" / sample.images[0].path))[4, 4] for sample in samples]
    assert pixels == [1, 3, 5, 7, 9]
    assert [(reject["reason"], "10 frames, of which 5" in reject["message"]) for reject in rejects] == [
        ("frame-limit", True)
    ]


def test_med_27_enhanced_frames_take_geometry_and_window_from_their_groups(tmp_path, write_instance, convert_dicom):
    def item(**attributes):
        made = pydicom.Dataset()
        for keyword, value in attributes.items():
            setattr(made, keyword, value)
        return made

    shared = item(PlaneOrientationSequence=[item(ImageOrientationPatient=AXIAL)],
                  PixelMeasuresSequence=[item(PixelSpacing=[2, 2])])  # fmt: skip
    frames = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, height])],
             FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=10)],
             PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=height)])
        for height, center in ((20, 100), (10, 50))
    ]  # fmt: skip
    path = write_instance(tmp_path / "a", np.arange(128, dtype=np.int16).reshape(16, 8), Rows=8, NumberOfFrames=2,
                          SOPClassUID=EnhancedMRImageStorage, Modality="MR", SharedFunctionalGroupsSequence=[shared],
                          PerFrameFunctionalGroupsSequence=frames)  # fmt: skip
    _, samples, _ = convert_dicom(path)
    seen = [details(sample) for sample in samples if sample.task is Task.VQA]
    # The second frame lies below the first.
    assert [(facts["frame"], facts["window"]["center"], facts["rescale"]["intercept"]) for facts in seen] == [
        (2, 50, 10), (1, 100, 20)]  # fmt: skip
    assert seen[0]["pixel_spacing_mm"] == [2, 2]
    assert seen[0]["spacing_between_slices_mm"] == 10


def test_a_box_without_a_frame_in_a_multi_frame_file_is_listed(tmp_path, write_instance, convert_dicom):
    path = write_instance(tmp_path / "a", np.arange(128, dtype=np.int16).reshape(16, 8), Rows=8, NumberOfFrames=2)
    labels = tmp_path / "labels.csv"
    labels.write_text("sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n1.2.3.4.1,cyst,1,2,3,4\n")
    _, samples, rejects = convert_dicom(path, labels=labels)
    assert {sample.task for sample in samples} == {Task.CLASSIFICATION}
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("label-several", "failed")]


def test_a_box_is_on_the_frame_that_its_row_names(tmp_path, write_instance, convert_dicom):
    pixels = np.arange(128, dtype=np.int16).reshape(16, 8)
    path = write_instance(tmp_path / "a", pixels, Rows=8, NumberOfFrames=2)
    labels = tmp_path / "labels.csv"
    labels.write_text("sop_instance_uid,frame,label,x_min_px,y_min_px,x_max_px,y_max_px\n1.2.3.4.1,2,cyst,1,2,3,4\n")
    _, samples, rejects = convert_dicom(path, labels=labels)
    assert not rejects
    assert {details(sample)["frame"] for sample in samples if sample.objects} == {2}


def test_med_03_windows_hold_for_ct_and_leaves_others_to_their_files(tmp_path, write_instance, convert_dicom):
    write_instance(tmp_path / "in" / "a")
    write_instance(tmp_path / "in" / "b", SOPInstanceUID="1.5", SeriesInstanceUID="1.6", Modality="MR",
                   SOPClassUID=MRImageStorage, WindowCenter=30, WindowWidth=60)  # fmt: skip
    write_instance(tmp_path / "in" / "c", SOPInstanceUID="1.7", SeriesInstanceUID="1.8", Modality="CR",
                   SOPClassUID=ComputedRadiographyImageStorage)  # fmt: skip
    _, samples, _ = convert_dicom(tmp_path / "in", windows="lung")
    windows = {details(sample)["modality"]: details(sample)["window"] for sample in samples}
    assert windows["CT"] == {"from": "lung", "center": -600, "width": 1500, "function": "LINEAR"}
    assert windows["MR"] == {"from": "file", "center": 30, "width": 60, "function": "LINEAR"}
    assert windows["CR"]["from"] == "percentiles"
    with pytest.raises(UsageError, match="--windows"):
        convert_dicom(tmp_path / "in", windows="lungs")
