"""What single modalities need: PET in SUV, mammograms, ultrasound, videos, overlays, heads; through the converter."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_series import CORONAL, SAGITTAL, details_of, make_slice, numbered, pixels_of, save, write_series
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41, VideoEndoscopicImageStorage

from domainvl.errors import NothingToDoError
from domainvl.schema import Task

# MED-30: PET


def write_pet(path, **attributes):
    """70 kg, 350 MBq at 8:00, scanned at 9:00 with a half-life of one hour; decay corrected to the start of the scan.

    Of the dose 175 MBq are left at 9:00: 1 Bq/ml is 70,000 g / 175e6 Bq = 4e-4 g/ml.
    """
    injection = pydicom.Dataset()
    injection.RadionuclideTotalDose, injection.RadionuclideHalfLife = "350000000", "3600"
    injection.RadiopharmaceuticalStartTime = "080000"
    values = np.arange(0, 25600, 100, dtype=np.int16).reshape(16, 16)
    made = make_slice(
        values,
        **{
            "Modality": "PT", "Units": "BQML", "DecayCorrection": "START", "PatientWeight": "70",
            "CorrectedImage": ["ATTN", "DECY"], "SeriesDate": "20240310", "SeriesTime": "090000",
            "AcquisitionDate": "20240310", "AcquisitionTime": "090000", "RescaleSlope": 1, "RescaleIntercept": 0,
            "RadiopharmaceuticalInformationSequence": [injection], "WindowCenter": None, "WindowWidth": None,
        } | attributes,
    )  # fmt: skip
    save(made, path)
    return values.astype(float)


def test_med_30_a_window_in_suv_shows_body_weight_suv(tmp_path, convert_dicom):
    values = write_pet(tmp_path / "in" / "a")
    _, (sample,), rejects = convert_dicom(tmp_path / "in", suv=True, windows="5/10", tasks="modality")
    assert not rejects
    suv = values * 4e-4  # 0 to 10.2 g/ml
    # PS3.3 C.11.2.1.3.2 (LINEAR_EXACT) with centre 5 and width 10: half a unit is much in SUV.
    expected = np.clip(((suv - 5) / 10 + 0.5) * 255, 0, 255)
    assert details_of(sample)["window"]["function"] == "LINEAR_EXACT"
    np.testing.assert_allclose(pixels_of(tmp_path / "out", sample), expected, atol=0.51)
    assert details_of(sample)["scale"] == pytest.approx(4e-4)
    # Half the weight is half the SUV; the file's own units are shown where SUV is not asked for.
    write_pet(tmp_path / "in" / "a", PatientWeight="35")
    _, (sample,), _ = convert_dicom(tmp_path / "in", suv=True, windows="5/10", tasks="modality")
    assert details_of(sample)["scale"] == pytest.approx(2e-4)
    _, (sample,), _ = convert_dicom(tmp_path / "in", windows="12800/25600", tasks="modality")
    assert "scale" not in details_of(sample)
    shown = pixels_of(tmp_path / "out", sample)
    assert (shown.min(), shown.max()) == (0, 254)


def test_med_30_a_header_that_does_not_allow_suv_leaves_its_image_out(tmp_path, convert_dicom):
    write_pet(tmp_path / "in" / "a")
    write_pet(tmp_path / "in" / "b", SOPInstanceUID="1.7", SeriesInstanceUID="1.8", PatientWeight=None)
    _, samples, rejects = convert_dicom(tmp_path / "in", suv=True, tasks="modality")
    assert len(samples) == 1
    (reject,) = rejects
    assert "PatientWeight" in reject["message"]
    assert reject["action"]
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality")
    assert (len(samples), rejects) == (2, [])


# MED-29: mammograms


def breast(*, wall):
    """A mammogram of 40 x 60 px: a bright half disc on the chest wall, which is at the left or the right edge."""
    y, x = np.mgrid[0:40, 0:60]
    distance = np.hypot(y - 19.5, x if wall == "left" else 59 - x)
    return np.where(distance < 15, 200, 3).astype(np.uint16)


def write_breast(path, pixels, uid, **attributes):
    made = make_slice(pixels, Modality="MG", SOPInstanceUID=uid, SeriesInstanceUID=uid, BodyPartExamined="BREAST",
                      ViewPosition="CC", PresentationIntentType="FOR PRESENTATION", **attributes)  # fmt: skip
    save(made, path)


def test_med_29_all_mammograms_face_one_way_and_are_cut_to_the_breast(tmp_path, convert_dicom):
    write_breast(tmp_path / "in" / "a", breast(wall="left"), "1.1", ImageLaterality="L", PatientOrientation=["A", "R"])
    write_breast(tmp_path / "in" / "b", breast(wall="right"), "1.2", ImageLaterality="R", PatientOrientation=["P", "L"])
    _, samples, _ = convert_dicom(tmp_path / "in", left_facing=True, tasks="view")
    for sample in samples:
        np.testing.assert_array_equal(pixels_of(tmp_path / "out", sample), breast(wall="left"))
    _, samples, _ = convert_dicom(tmp_path / "in", left_facing=True, crop_breast=True, tasks="view")
    for sample in samples:
        rows, columns = pixels_of(tmp_path / "out", sample).shape
        assert 15 <= columns <= 17  # the radius, and a pixel beside it
        assert 29 <= rows <= 32
        assert len(details_of(sample)["display"]["crop_px"]) == 4
    # As they are stored, they face two ways.
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="view")
    assert {bool(pixels_of(tmp_path / "out", sample)[20, 0] > 100) for sample in samples} == {True, False}


def test_med_29_the_side_is_asked_only_where_the_image_shows_it(tmp_path, convert_dicom):
    write_breast(tmp_path / "in" / "a", breast(wall="left"), "1.1", ImageLaterality="L", PatientOrientation=["A", "R"])
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="laterality,view")
    assert {sample.answer.text for sample in samples} == {"left", "craniocaudal"}
    _, samples, _ = convert_dicom(tmp_path / "in", left_facing=True, tasks="laterality,view")
    assert {sample.answer.text for sample in samples} == {"craniocaudal"}


def test_med_29_images_for_processing_are_left_out_or_converted(tmp_path, convert_dicom):
    write_breast(tmp_path / "in" / "a", breast(wall="left"), "1.1")
    raw = make_slice(breast(wall="left") + 1, Modality="MG", SOPInstanceUID="1.2", SeriesInstanceUID="1.2",
                     PresentationIntentType="FOR PROCESSING")  # fmt: skip
    save(raw, tmp_path / "in" / "b")
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality")
    assert len(samples) == 1
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("for-processing", "skipped")]
    assert "--for-processing convert" in rejects[0]["action"]
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality", for_processing="convert")
    assert (len(samples), rejects) == (2, [])


# MED-08: videos

STREAM = b"\x00\x00\x00\x01\x67" + bytes(range(1, 200))


def write_video(path):
    made = make_slice(np.zeros((16, 16), np.uint8), Modality="ES", SOPClassUID=VideoEndoscopicImageStorage,
                      SOPInstanceUID="1.8.8", SeriesInstanceUID="1.8", NumberOfFrames=3)  # fmt: skip
    made.file_meta.TransferSyntaxUID = MPEG4HP41
    made.PixelData = encapsulate([STREAM])
    made["PixelData"].is_undefined_length = True
    return save(made, path)


def test_med_08_videos_are_extracted_byte_for_byte_under_a_pseudonym(tmp_path, convert_dicom):
    assert len(STREAM) % 2 == 0
    write_series(tmp_path / "in", numbered(1))
    write_video(tmp_path / "in" / "Doe Jane.dcm")
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality", videos=tmp_path / "videos")
    assert len(samples) == 1
    (file,) = (tmp_path / "videos").iterdir()
    assert file.suffix == ".h264"
    assert file.read_bytes() == STREAM
    (reject,) = rejects
    assert (reject["reason"], reject["severity"]) == ("video-extracted", "skipped")
    assert file.name in reject["message"]
    assert "Doe" not in file.name
    patient, series, instance = file.stem.split("-")
    assert samples[0].id.startswith(f"{patient}/")
    assert all(len(part) == 16 for part in (patient, series, instance))


def test_med_08_without_a_folder_videos_are_listed_with_the_way_out(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(1))
    write_video(tmp_path / "in" / "video")
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="modality")
    assert len(samples) == 1
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("video", "skipped")]
    assert "--videos" in rejects[0]["action"]


def test_med_08_a_folder_of_videos_alone_gives_them_all(tmp_path, convert_dicom):
    write_video(tmp_path / "in" / "video")
    with pytest.raises(NothingToDoError, match="it makes no sample"):
        convert_dicom(tmp_path / "in", videos=tmp_path / "videos")
    assert [file.read_bytes() for file in (tmp_path / "videos").iterdir()] == [STREAM]


# MED-09: overlays and odd pixels


def test_med_09_overlays_are_drawn_only_where_asked_for(tmp_path, convert_dicom):
    pixels = numbered(1, 16, 16)[0]
    made = make_slice(pixels)
    plane = np.zeros((16, 16), np.uint8)
    plane[4:6, 3:13] = 1
    for element, vr, value in ((0x0010, "US", 16), (0x0011, "US", 16), (0x0040, "CS", "G"), (0x0050, "SS", [1, 1]),
                               (0x0100, "US", 1), (0x0102, "US", 0),
                               (0x3000, "OW", np.packbits(plane.ravel(), bitorder="little").tobytes())):  # fmt: skip
        made.add_new((0x6000, element), vr, value)
    save(made, tmp_path / "in" / "a")
    _, (sample,), _ = convert_dicom(tmp_path / "in", tasks="modality")
    np.testing.assert_array_equal(pixels_of(tmp_path / "out", sample), pixels)
    _, (sample,), _ = convert_dicom(tmp_path / "in", tasks="modality", overlays=True)
    shown = pixels_of(tmp_path / "out", sample)
    np.testing.assert_array_equal(shown, np.where(plane, 255, pixels))


def test_med_09_float_pixels_are_shown_by_percentiles(tmp_path, convert_dicom):
    values = np.linspace(-1.5, 2.5, 256, dtype=np.float32).reshape(16, 16)
    made = make_slice(np.zeros((16, 16), np.uint16), Modality="MR", WindowCenter=None, WindowWidth=None)
    del made.PixelData, made.BitsStored, made.HighBit, made.PixelRepresentation
    made.BitsAllocated = 32
    made.FloatPixelData = values.tobytes()
    save(made, tmp_path / "in" / "a")
    _, (sample,), _ = convert_dicom(tmp_path / "in", tasks="modality", percentiles="0,100")
    expected = (values - values.min()) / (values.max() - values.min()) * 255
    np.testing.assert_allclose(pixels_of(tmp_path / "out", sample), expected, atol=0.51)


# MED-01, MED-04, MED-05: what the pixel pipeline does as a whole


def test_med_01_monochrome1_is_the_inverse_after_the_window(tmp_path, convert_dicom):
    values = np.arange(0, 512, 2, dtype=np.int16).reshape(16, 16)
    for number, photometric in enumerate(("MONOCHROME2", "MONOCHROME1")):
        save(make_slice(values, PhotometricInterpretation=photometric, SOPInstanceUID=f"1.{number}",
                        SeriesInstanceUID=f"1.9.{number}", WindowCenter=200, WindowWidth=300, RescaleSlope=2,
                        RescaleIntercept=-100), tmp_path / "in" / str(number))  # fmt: skip
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="modality")
    shown = {details_of(sample)["photometric_interpretation"]: pixels_of(tmp_path / "out", sample)
             for sample in samples}  # fmt: skip
    expected = np.rint(np.clip(((values * 2.0 - 100 - 199.5) / 299 + 0.5) * 255, 0, 255))
    np.testing.assert_array_equal(shown["MONOCHROME2"], expected)
    np.testing.assert_array_equal(shown["MONOCHROME1"], 255 - shown["MONOCHROME2"])


def test_med_04_padding_does_not_move_percentiles_and_is_black(tmp_path, convert_dicom):
    inside = np.random.default_rng(0).integers(100, 400, (16, 16)).astype(np.int16)
    padded = np.full((16, 32), -2000, np.int16)
    padded[:, :16] = inside
    seen = []
    for name, pixels, extra in (("plain", inside, {}), ("padded", padded, {"PixelPaddingValue": -2000})):
        save(make_slice(pixels, Modality="MR", WindowCenter=None, WindowWidth=None, **extra), tmp_path / name / "a")
        _, (sample,), _ = convert_dicom(tmp_path / name, tasks="modality")
        seen.append((details_of(sample)["window"]["limits"], pixels_of(tmp_path / "out", sample)))
    assert seen[0][0] == seen[1][0]
    np.testing.assert_array_equal(seen[1][1][:, :16], seen[0][1])
    assert (seen[1][1][:, 16:] == 0).all()


def test_med_05_colour_is_stored_as_it_is(tmp_path, convert_dicom):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 20, 3)).astype(np.uint8)
    save(make_slice(pixels, Modality="ES", SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.1"), tmp_path / "in" / "a")
    _, (sample,), _ = convert_dicom(tmp_path / "in", tasks="modality", pixel_text="off")
    assert sample.answer.text == "endoscopy"
    np.testing.assert_array_equal(pixels_of(tmp_path / "out", sample), pixels)


# MED-63: heads


def head(side=64):
    """An axial slice of a head whose front is up, as axial slices are stored."""
    y, x = np.mgrid[0:side, 0:side]
    inside = np.hypot((y - side / 2) / 28, (x - side / 2) / 22) < 1
    texture = np.random.default_rng(0).integers(90, 250, (side, side))
    return np.where(inside, texture, 0).astype(np.int16)


def test_med_63_a_face_is_warned_of_or_blurred(tmp_path, convert_dicom):
    write_series(tmp_path / "in", head()[None].repeat(2, axis=0), spacing_mm=(3, 3), BodyPartExamined="HEAD")
    summary, samples, _ = convert_dicom(tmp_path / "in", tasks="modality")
    assert any("face can be rendered" in warning for warning in samples[0].warnings)
    assert any("--blur-faces" in note for note in summary.manifest["notes"])
    (unit,) = summary.manifest["units"].values()
    assert unit["deidentification"]["face_risk"]
    plain = pixels_of(tmp_path / "out", samples[0])
    np.testing.assert_array_equal(plain, head())
    summary, samples, _ = convert_dicom(tmp_path / "in", tasks="modality", blur_faces=True)
    assert any("blurred slice by slice" in warning for warning in samples[0].warnings)
    (unit,) = summary.manifest["units"].values()
    assert unit["deidentification"]["pixels"]["blurred"] == 2
    changed = pixels_of(tmp_path / "out", samples[0]) != plain
    assert changed[:20].sum() > 50  # the front of the head
    assert not changed[32:].any()  # and not the rest of it


def test_med_63_other_parts_are_neither_warned_of_nor_blurred(tmp_path, convert_dicom):
    write_series(tmp_path / "in", head()[None], BodyPartExamined="KNEE")
    summary, samples, _ = convert_dicom(tmp_path / "in", tasks="modality", blur_faces=True)
    assert not samples[0].warnings
    np.testing.assert_array_equal(pixels_of(tmp_path / "out", samples[0]), head())
    assert not summary.manifest.get("notes")


# MED-27: planes of a series that is no axial one


@pytest.mark.parametrize(("cosines", "plane", "way"), [(CORONAL, "coronal", "from front to back"),
                                                       (SAGITTAL, "sagittal", "from right to left")])  # fmt: skip
def test_med_28_other_planes_run_along_their_own_axis(tmp_path, convert_dicom, cosines, plane, way):
    """Places that are written along the axis to the back, and to the patient's left."""
    axis = 1 if plane == "coronal" else 0
    volume = numbered(3)
    for number in range(3):
        position = [0, 0, 0]
        position[axis] = 5 * number
        made = make_slice(volume[number], SOPInstanceUID=f"1.{number}", ImageOrientationPatient=list(cosines),
                          ImagePositionPatient=position, PixelSpacing=[1, 1])  # fmt: skip
        save(made, tmp_path / "in" / str(2 - number))
    _, samples, _ = convert_dicom(tmp_path / "in", forms="series", tasks="plane")
    (sample,) = samples
    assert sample.task is Task.VQA and sample.answer.text == plane
    assert way in sample.turns[0].text
    assert [int(pixels_of(tmp_path / "out", sample, place)[9, 9]) for place in range(3)] == [10, 20, 30]
