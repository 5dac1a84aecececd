"""Through the converter: names in labels and in pictures, where only some places show them."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_annotations import write_structures
from dicom_series import make_series, make_slice, numbered, save, write_series
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from domainvl.converters.dicom.privacy import handling
from domainvl.errors import NothingToDoError

RING = np.array([(2, 2, 5), (12, 2, 5), (12, 20, 5), (2, 20, 5)], float)


def written_bytes(out):
    return b"".join(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file())


@pytest.mark.parametrize(
    ("image", "label"),
    [({"PatientName": "Lovelace^Ada"}, "GTV Lovelace Ada"), ({"PatientName": "Lovelace^Ada"}, "GTV_lovelace"),
     ({}, "GTV Lovelace Ada 12.03.1955"), ({"ReferringPhysicianName": "Lovelace^Ada"}, "plan Lovelace")],
)  # fmt: skip
def test_med_60_labels_typed_by_people_name_nobody(tmp_path, convert_dicom, image, label):
    """The structure set itself says nothing of the patient: the headers of the images do, or the form tells."""
    slices = make_series(numbered(3), **image)
    for number, made in enumerate(slices):
        save(made, tmp_path / "in" / f"{number}")
    bare = Dataset(slices[0])
    bare.PatientName = ""
    path = write_structures(tmp_path / "in" / "rt", bare, [(label, [RING]), ("Cord", [RING])])
    _add_types(path, ["DRMUELLER", "ORGAN"])
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="presence,grounding,marked,modality")
    objects = [thing for sample in samples for thing in sample.objects]
    assert {thing.label: thing.attributes.get("roi_type") for thing in objects} == {"unnamed": None, "Cord": "organ"}
    assert all(thing.ignore for thing in objects if thing.label == "unnamed")
    (reject,) = [reject for reject in rejects if reject["reason"] == "label-identifies"]
    assert reject["severity"] == "skipped" and "1 of its labels" in reject["message"]
    content = written_bytes(tmp_path / "out").lower()
    assert not any(word in content for word in (b"lovelace", b"drmueller", b"12.03.1955"))


def _add_types(path, types):
    import pydicom

    made = pydicom.dcmread(path)
    made.RTROIObservationsSequence = []
    for number, kind in enumerate(types, start=1):
        item = Dataset()
        item.ReferencedROINumber, item.RTROIInterpretedType = number, kind
        made.RTROIObservationsSequence.append(item)
    made.save_as(path, enforce_file_format=True)


def test_med_60_names_in_the_table_of_labels_are_left_out(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(2), PatientName="Lovelace^Ada")
    labels = tmp_path / "l.csv"
    labels.write_text(
        "sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n"
        "1.2.3.4.1,nodule,2,2,9,9\n1.2.3.4.1,seen by lovelace,2,2,9,9\n1.2.3.4.2,12.03.55,2,2,9,9\n"
    )
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="presence", labels=labels)
    assert {thing.label for sample in samples for thing in sample.objects if not thing.ignore} == {"nodule"}
    (reject,) = [reject for reject in rejects if reject["reason"] == "label-identifies"]
    assert "2 of its labels" in reject["message"] and "table" in reject["action"]
    assert b"lovelace" not in written_bytes(tmp_path / "out").lower()


# Text in pictures


def with_banner(pixels, brightness=255):
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).text((8, 8), "LOVELACE ADA", font=ImageFont.load_default(28), fill=brightness)
    return np.asarray(image)


def cine(path, frames, **attributes):
    frames = np.stack(frames)
    made = make_slice(frames.reshape(-1, frames.shape[2]), Modality="XA", Rows=frames.shape[1], PixelSpacing=None,
                      NumberOfFrames=len(frames), FrameTime=40, SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1",
                      **attributes)  # fmt: skip
    return save(made, path)


def noise(seed):
    return np.random.default_rng(seed).integers(40, 60, (80, 320)).astype(np.uint8)


def test_med_61_a_recording_with_text_on_one_frame_is_left_out_as_a_whole(tmp_path, convert_dicom):
    pytest.importorskip("rapidocr_onnxruntime", reason="the extra ocr is not installed")
    frames = [noise(number) for number in range(3)]
    frames[1] = with_banner(frames[1])
    cine(tmp_path / "in" / "cine", frames)
    cine(tmp_path / "in" / "other", [noise(9), noise(10)], SOPInstanceUID="1.9", SeriesInstanceUID="1.9.1")
    summary, samples, rejects = convert_dicom(
        tmp_path / "in", tasks="modality", forms="slices,montage,video", images_per_sample=2
    )
    reasons = [reject["reason"] for reject in rejects]
    assert reasons == ["text-in-pixels"] * 3
    assert len({reject["input"] for reject in rejects}) == 3
    assert len(samples) == 4 and len({sample.id.split("/")[1] for sample in samples}) == 1
    # No picture of the first round is left behind: two frames and their montage.
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 3
    logs = [unit["deidentification"]["pixels"] for unit in summary.manifest["units"].values()]
    assert sorted(log["quarantined_by_text"] for log in logs) == [0, 3]
    assert sorted(log["kept"] for log in logs) == [0, 2]
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="modality", burnt_in="allow", pixel_text="off")
    assert len(samples) == 5


def test_med_61_text_that_only_the_second_window_shows_is_found(tmp_path, convert_dicom):
    pytest.importorskip("rapidocr_onnxruntime", reason="the extra ocr is not installed")
    blank = np.zeros((80, 320), np.uint8)
    save(make_slice(with_banner(blank).astype(np.int16), Modality="DX"), tmp_path / "in" / "a")
    # From -2050 to -1950 all of the picture is white; from 0 to 256 it is as stored.
    with pytest.raises(NothingToDoError, match="lines of text"):
        convert_dicom(tmp_path / "in", tasks="modality", windows="-2000/100,128/256")
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="modality", windows="-2000/100")
    assert len(samples) == 1


def overlay_file(path, **attributes):
    made = make_slice(np.full((80, 320), 40, np.int16), **attributes)
    plane = (with_banner(np.zeros((80, 320), np.uint8)) > 128).astype(np.uint8)
    for element, vr, value in ((0x0010, "US", 80), (0x0011, "US", 320), (0x0040, "CS", "G"), (0x0050, "SS", [1, 1]),
                               (0x0100, "US", 1), (0x0102, "US", 0),
                               (0x3000, "OW", np.packbits(plane.ravel(), bitorder="little").tobytes())):  # fmt: skip
        made.add_new((0x6000, element), vr, value)
    return save(made, path)


def test_med_61_text_in_a_drawn_overlay_is_found(tmp_path, convert_dicom):
    pytest.importorskip("rapidocr_onnxruntime", reason="the extra ocr is not installed")
    overlay_file(tmp_path / "in" / "a")
    write_series(tmp_path / "in", numbered(1), root="1.7")
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality", overlays=True)
    assert (len(samples), [reject["reason"] for reject in rejects]) == (1, ["text-in-pixels"])
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality")
    assert (len(samples), rejects) == (2, [])


def test_med_61_a_drawn_overlay_that_nobody_searches_is_left_out(tmp_path, convert_dicom, monkeypatch):
    monkeypatch.setattr(handling, "is_installed", lambda: False)
    overlay_file(tmp_path / "in" / "a")
    write_series(tmp_path / "in", numbered(1), root="1.7")
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality", overlays=True)
    assert (len(samples), [reject["reason"] for reject in rejects]) == (1, ["overlay-drawn"])
    summary, samples, _ = convert_dicom(tmp_path / "in", tasks="modality", overlays=True, burnt_in="allow")
    assert len(samples) == 2
    assert not any(unit["deidentification"]["patient_identity_removed"] for unit in summary.manifest["units"].values())


def test_med_61_a_region_that_is_nearly_the_whole_image_is_no_handling(tmp_path, convert_dicom):
    """119 of 120 columns, the banner among them."""
    item = Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0 = 0, 0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = 118, 99
    pixels = np.random.default_rng(0).integers(0, 200, (100, 120)).astype(np.uint8)
    save(make_slice(pixels, Modality="US", SequenceOfUltrasoundRegions=[item]), tmp_path / "in" / "a")
    with pytest.raises(NothingToDoError):
        convert_dicom(tmp_path / "in", tasks="modality")
    summary, (_,), _ = convert_dicom(tmp_path / "in", tasks="modality", pixel_text="off", burnt_in="allow")
    (unit,) = summary.manifest["units"].values()
    assert unit["deidentification"]["pixels"]["allowed"] == 1
    assert not unit["deidentification"]["patient_identity_removed"]
