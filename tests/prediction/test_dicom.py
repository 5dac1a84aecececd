"""Answers about studies: what a fake model is shown, and where what it points at lies in the stored pixels."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_series import with_pixels
from fake_model import FakeModel
from PIL import Image
from pydicom.uid import CTImageStorage

from domainvl.conversion import convert
from domainvl.converters.dicom import CONVERTER, DicomSettings
from domainvl.converters.dicom.generate import generate_series
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.prediction.asking import Asked
from domainvl.prediction.dicom import REPORT_SUFFIX, DicomPrediction, predict_study
from domainvl.schema import Split, Task, read_samples

AT = datetime(2026, 1, 2, 3, 4, 5)
FIND = Asked(Task.GROUNDING, "nodule")
IS_IT = Asked(Task.PRESENCE, "Is there a nodule in the image?")
AS_STORED = {"windows": "auto"}


def wanted(*questions, **options):
    return DicomPrediction(questions or (FIND,), AT, **({"given": AS_STORED} | options))


def answers_of(out):
    return json.loads(out.read_text(encoding="utf-8"))["answers"]


def write_slice(path, pixels, number=1, **attributes):
    values = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"1.2.3.4.{number}",
        "SeriesInstanceUID": "1.2.3.3",
        "StudyInstanceUID": "1.2.3.2",
        "PatientID": "P1",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "WindowCenter": 500,
        "WindowWidth": 1000,
        "PixelSpacing": [1, 1],
        "ImagePositionPatient": [0, 0, float(number)],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        **attributes,
    }
    dataset = with_pixels(values, pixels)
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = values["SOPInstanceUID"]
    dataset.save_as(path, enforce_file_format=True)


def point_at_bright(sample, folder):
    """Answer with the box around what is bright in the image that is shown."""
    shown = np.asarray(Image.open(folder / sample.images[0].path).convert("L"))
    rows, columns = np.nonzero(shown > 127)
    x, y = (1000 / shown.shape[1], 1000 / shown.shape[0])
    box = (columns.min() * x, rows.min() * y, (columns.max() + 1) * x, (rows.max() + 1) * y)
    return f"<ref>nodule</ref><box>[[{', '.join(str(round(value)) for value in box)}]]</box>"


@pytest.mark.parametrize(
    ("orientation", "spacing"),
    [
        ([1, 0, 0, 0, 1, 0], [1, 1]),  # axial, as it is displayed
        ([-1, 0, 0, 0, 1, 0], [1, 1]),  # the patient's right on the right: flipped for display
        ([0, 1, 0, -1, 0, 0], [1, 1]),  # rows run along the patient: turned for display
        ([0, 1, 0, 0, 0, -1], [2, 1]),  # sagittal, pixels twice as high as wide: resampled for display
    ],
)
def test_boxes_lie_in_the_stored_pixels_however_slices_are_displayed(tmp_path, orientation, spacing):
    pixels = np.zeros((60, 100), np.int16)
    pixels[12:30, 40:90] = 1000  # rows 12 to 30, columns 40 to 90
    write_slice(tmp_path / "one.dcm", pixels, ImageOrientationPatient=orientation, PixelSpacing=spacing)
    out = tmp_path / "out.json"
    predict_study(tmp_path / "one.dcm", out, FakeModel(point_at_bright), wanted())
    (answer,) = answers_of(out)
    # A thousandth of 100 px is 0.1 px, so that rounding moves an edge by 0.05 px; resampling blurs it by half a pixel.
    assert answer["boxes"][0]["box_px"] == pytest.approx([40, 12, 90, 30], abs=0.05 if spacing == [1, 1] else 0.6)
    region = highdicom.sr.srread(out.with_suffix(REPORT_SUFFIX)).content.get_planar_roi_measurement_groups()[0].roi
    x_min, y_min, x_max, y_max = answer["boxes"][0]["box_px"]
    corners = [[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max], [x_min, y_min]]
    np.testing.assert_allclose(region.value, corners, atol=1e-5)


def test_a_model_is_shown_what_a_conversion_shows(tmp_path):
    generate_series(tmp_path / "in", patient_count=2, seed=3)
    study = next(path for path in sorted((tmp_path / "in").iterdir()) if path.is_dir())
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    settings = DicomSettings(deid_key=tmp_path / "key", windows="soft,lung", tasks="modality", select="even:3")
    convert(CONVERTER, study, tmp_path / "data", settings)
    trained = [sample for split in Split for sample in read_samples(tmp_path / "data", split)]
    model = FakeModel(lambda sample, folder: "yes")
    out = tmp_path / "out.json"
    result = predict_study(study, out, model, wanted(IS_IT, given={}, settings_of=tmp_path / "data"))
    assert [[image.pixel_sha256 for image in sample.images] for sample in model.asked] == [
        [image.pixel_sha256 for image in sample.images] for sample in trained
    ]
    assert [sample.preface for sample in model.asked] == [sample.preface for sample in trained]
    assert [answer["value"] for answer in answers_of(out)] == ["yes"] * 3
    assert result.left_out == {"not-selected": 1}


def test_settings_that_contradict_the_training_are_refused(tmp_path):
    write_slice(tmp_path / "one.dcm", np.ones((8, 8), np.int16))
    training = {
        "sources": {
            "ct": {"role": "domain", "command": "convert dicom", "conversion_settings": {"windows": "lung"}},
        }
    }
    model = FakeModel(lambda sample, folder: "yes", training)
    with pytest.raises(UsageError, match='--windows must be "lung"'):
        predict_study(tmp_path / "one.dcm", tmp_path / "out.json", model, wanted(given={"windows": "bone"}))
    with pytest.raises(UsageError, match="does not say how its images were made"):
        predict_study(tmp_path / "one.dcm", tmp_path / "out.json", FakeModel(model._reply), wanted(given={}))


def test_every_answer_names_an_instance_of_the_series(tmp_path):
    for number in range(1, 5):
        write_slice(tmp_path / f"{number}.dcm", np.full((8, 8), number, np.int16), number)
    (tmp_path / "notes.txt").write_text("no DICOM", encoding="utf-8")
    out = tmp_path / "answers" / "out.json"
    out.parent.mkdir()
    model = FakeModel(
        lambda sample, folder: "<box>[[0, 0, 500, 1000]]</box>" if sample.task is Task.GROUNDING else "no"
    )
    result = predict_study(tmp_path, out, model, wanted(FIND, IS_IT))
    told = answers_of(out)
    uids = [f"1.2.3.4.{number}" for number in range(1, 5)]
    assert [answer["images"][0]["SOPInstanceUID"] for answer in told] == [uid for uid in uids for _ in range(2)]
    assert {answer["images"][0]["SOPClassUID"] for answer in told} == {str(CTImageStorage)}
    assert result.left_out == {"not-dicom": 1}
    assert result.exit_code is ExitCode.DONE
    left_out = json.loads(out.read_text(encoding="utf-8"))["left_out"]
    assert [one["input"] for one in left_out] == ["notes.txt"]
    report = pydicom.dcmread(out.with_suffix(REPORT_SUFFIX))
    referenced = {
        item.ReferencedSOPInstanceUID
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert referenced == set(uids)
    assert report.StudyInstanceUID == "1.2.3.2"
    assert report.SeriesInstanceUID != "1.2.3.3"


def test_missing_slices_and_damaged_ones_are_told(tmp_path):
    for number in (1, 2, 3, 4, 6, 7):
        write_slice(tmp_path / f"{number}.dcm", np.full((8, 8), number, np.int16), number)
    damaged = pydicom.dcmread(tmp_path / "3.dcm")
    damaged.PixelData = damaged.PixelData[:20]
    damaged.save_as(tmp_path / "3.dcm")
    out = tmp_path / "out.json"
    result = predict_study(tmp_path, out, FakeModel(lambda sample, folder: "no"), wanted(IS_IT))
    assert sum(result.failed.values()) == 1
    assert result.exit_code is ExitCode.PARTIAL
    assert any("1 slice is missing" in note for note in result.notes)
    assert result.counts["answers"] == 5
    assert [one["input"] for one in json.loads(out.read_text(encoding="utf-8"))["left_out"]] == ["1.2.3.4.3"]
    assert pydicom.dcmread(out.with_suffix(REPORT_SUFFIX)).CompletionFlag == "PARTIAL"


@pytest.mark.parametrize("name", ["PatientID", "StudyInstanceUID"])
def test_several_patients_or_studies_are_refused_with_counts(tmp_path, name):
    for number in range(1, 6):
        write_slice(tmp_path / f"{number}.dcm", np.ones((8, 8), np.int16), number, **{name: f"1.{number // 4}"})
    with pytest.raises(UsageError, match=r"got 2 patients with 3, 2 images|got 2: 1.0 \(3 images\), 1.1 \(2 images\)"):
        predict_study(tmp_path, tmp_path / "out.json", FakeModel(lambda sample, folder: "no"), wanted(IS_IT))
    assert not (tmp_path / "out.json").exists()


def test_a_file_that_is_no_dicom_is_refused(tmp_path):
    (tmp_path / "photo.dcm").write_bytes(b"not a DICOM file at all" * 20)
    with pytest.raises(NothingToDoError, match="1 files were looked at: 1 not-dicom"):
        predict_study(tmp_path / "photo.dcm", tmp_path / "out.json", FakeModel(lambda *_: "no"), wanted(IS_IT))


def test_files_that_are_there_stay(tmp_path):
    write_slice(tmp_path / "one.dcm", np.ones((8, 8), np.int16))
    (tmp_path / "out.sr.dcm").write_bytes(b"mine")
    model = FakeModel(lambda sample, folder: "no")
    with pytest.raises(UsageError, match="it exists"):
        predict_study(tmp_path / "one.dcm", tmp_path / "out.json", model, wanted(IS_IT))
    assert (tmp_path / "out.sr.dcm").read_bytes() == b"mine"
    predict_study(tmp_path / "one.dcm", tmp_path / "out.json", model, wanted(IS_IT, overwrite=True))
    assert pydicom.dcmread(tmp_path / "out.sr.dcm").Modality == "SR"


def test_no_file_of_the_study_is_replaced(tmp_path):
    write_slice(tmp_path / "one.sr.dcm", np.ones((8, 8), np.int16))
    before = (tmp_path / "one.sr.dcm").read_bytes()
    with pytest.raises(UsageError, match="a file of the study"):
        predict_study(tmp_path, tmp_path / "one.json", FakeModel(lambda *_: "no"), wanted(IS_IT, overwrite=True))
    assert (tmp_path / "one.sr.dcm").read_bytes() == before


def test_a_series_is_asked_about_as_one_where_the_model_was_trained_so(tmp_path):
    for number in range(1, 5):
        write_slice(tmp_path / f"{number}.dcm", np.full((8, 8), number * 100, np.int16), number)
    out = tmp_path / "out.json"
    model = FakeModel(lambda sample, folder: "no")
    predict_study(tmp_path, out, model, wanted(IS_IT, form="series"))
    (answer,) = answers_of(out)
    assert [image["SOPInstanceUID"] for image in answer["images"]] == [f"1.2.3.4.{number}" for number in range(1, 5)]
    assert model.asked[0].preface.startswith("The 4 images are axial CT slices from feet to head")
    with pytest.raises(UsageError, match="a box must be in one image"):
        predict_study(tmp_path, tmp_path / "2.json", model, wanted(FIND, form="series"))


def test_frames_of_a_real_enhanced_ct_are_named_by_their_number(real_data, tmp_path):
    path = real_data / "medical/pydicom__pydicom-data/data_store/data/eCT_Supplemental.dcm"
    source = pydicom.dcmread(path, stop_before_pixels=True)
    out = tmp_path / "out.json"
    model = FakeModel(lambda sample, folder: "<box>[[100, 200, 300, 400]]</box>")
    predict_study(path, out, model, wanted(FIND, given={"windows": "auto", "burnt_in": "allow"}))
    told = answers_of(out)
    assert {answer["images"][0]["SOPInstanceUID"] for answer in told} == {source.SOPInstanceUID}
    assert sorted(answer["images"][0]["frame"] for answer in told) == list(range(1, source.NumberOfFrames + 1))
    groups = highdicom.sr.srread(out.with_suffix(REPORT_SUFFIX)).content.get_planar_roi_measurement_groups()
    frames = [group[0].ContentSequence for group in groups]
    numbers = sorted(
        int(image.ReferencedSOPSequence[0].ReferencedFrameNumber)
        for items in frames
        for item in items
        if item.ValueType == "SCOORD"
        for image in item.ContentSequence
    )
    assert numbers == list(range(1, source.NumberOfFrames + 1))


@pytest.mark.parametrize(
    "folder", ["segmentations/ct-3slice", "paramaps/701-ADCb500"], ids=["three CT slices", "20 MR slices"]
)
def test_reports_on_real_series_are_read_by_others(real_data, tmp_path, folder):
    if shutil.which("zstd") is None:
        pytest.skip("no zstd to unpack the series with")
    (tmp_path / "in").mkdir()
    uids = set()
    for packed in sorted((real_data / "medical/robyoung__dicom-test-files/data/dcmqi" / folder).glob("*.zst")):
        path = tmp_path / "in" / packed.stem
        path.write_bytes(subprocess.run(["zstd", "-dc", str(packed)], capture_output=True, check=True).stdout)
        uids.add(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
    out = tmp_path / "out.json"
    model = FakeModel(
        lambda sample, folder: "<box>[[100, 200, 300, 400]]</box>" if sample.task is Task.GROUNDING else "no"
    )
    predict_study(tmp_path / "in", out, model, wanted(FIND, IS_IT, given={"windows": "auto", "burnt_in": "allow"}))
    report = highdicom.sr.srread(out.with_suffix(REPORT_SUFFIX))
    groups = report.content.get_planar_roi_measurement_groups()
    assert len(groups) == len(uids)
    referenced = {
        str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for group in groups
        for item in group[0].ContentSequence
        if item.ValueType == "SCOORD"
        for image in item.ContentSequence
    }
    assert referenced == uids
    dump(out.with_suffix(REPORT_SUFFIX))


def dump(path: Path) -> None:
    """Let dcmtk read a report, where it is there."""
    if shutil.which("dsrdump") is not None:
        done = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Verification Flag   : UNVERIFIED" in done.stdout
