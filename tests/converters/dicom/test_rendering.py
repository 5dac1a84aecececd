"""Golden values: highdicom 0.28 and pydicom 3.0 pipelines, computed apart from this code; see each test."""

from __future__ import annotations

import hashlib

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing

from domainvl.converters.dicom.decode import decode_frame
from domainvl.converters.dicom.headers import frame_header
from domainvl.converters.dicom.rendering import Look, Renderer, Values, render_frame
from domainvl.converters.medical.windows import CT_WINDOWS_HU
from domainvl.errors import ItemError


def short_hash(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def render_dataset(dataset, windows="auto", frame=0, **options):
    return render_frame(frame_header(dataset, frame), decode_frame(dataset, frame), Look.parse(windows), **options)


def pixels_of(dataset, windows="auto", frame=0):
    (view,) = render_dataset(dataset, windows, frame).views
    return view.pixels


def window_of(rendered):
    return rendered.views[0].details["window"]


@pytest.mark.parametrize(
    ("window", "mean", "black", "white", "sha256"),
    [
        ("soft", 101.5207, 3772, 1443, "aca6468b46188fc1"),
        ("lung", 204.5544, 0, 2777, "313ae52d4c7beac7"),
        ("bone", 62.5013, 3515, 0, "8fb9b535de51ac00"),
        ("brain", 90.5380, 8131, 3663, "7c43e15f8500156f"),
        ("mediastinum", 95.4666, 3959, 1576, "1b031428f6965974"),
        ("liver", 80.8633, 7240, 2896, "d1dd3b77734b691d"),
    ],
)
def test_med_03_ct_windows_give_the_golden_pixels(wheel, window, mean, black, white, sha256):
    pixels = pixels_of(pydicom.dcmread(wheel("CT_small.dcm")), window)
    assert pixels.mean() == pytest.approx(mean, abs=5e-5)
    assert ((pixels == 0).sum(), (pixels == 255).sum()) == (black, white)
    assert short_hash(pixels) == sha256


def test_the_golden_slice_has_the_known_hounsfield_units(wheel):
    dataset = pydicom.dcmread(wheel("CT_small.dcm"))
    values = Renderer(Look()).values(frame_header(dataset, 0), decode_frame(dataset, 0)).values
    assert values.dtype == np.float32
    assert (values.min(), values.max(), values.mean()) == (-896, 1167, pytest.approx(-119.074, abs=5e-4))


@pytest.mark.parametrize("window", ["stroke", "subdural"])
def test_med_03_further_presets_equal_pydicoms_windowing(wheel, window):
    dataset = pydicom.dcmread(wheel("CT_small.dcm"))
    header = pydicom.Dataset()
    header.PhotometricInterpretation, header.BitsStored, header.PixelRepresentation = "MONOCHROME2", 8, 0
    header.WindowCenter, header.WindowWidth = CT_WINDOWS_HU[window]
    expected = np.rint(apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), header))
    np.testing.assert_array_equal(pixels_of(dataset, window), expected)


def test_med_03_rgb_planes_are_the_single_outputs(wheel):
    dataset = pydicom.dcmread(wheel("CT_small.dcm"))
    header, stored = frame_header(dataset, 0), decode_frame(dataset, 0)
    (packed,) = render_frame(header, stored, Look.parse("lung,soft,bone", "rgb")).views
    assert packed.pixels.shape == (128, 128, 3)
    for plane, window in enumerate(("lung", "soft", "bone")):
        np.testing.assert_array_equal(packed.pixels[..., plane], pixels_of(dataset, window))
    assert packed.name == "red: lung window, green: soft tissue window, blue: bone window"
    assert [(channel["channel"], channel["window"]["center"]) for channel in packed.details["channels"]] == [
        ("red", -600), ("green", 40), ("blue", 400)]  # fmt: skip


def test_med_06_encodings_of_one_image_render_equally(wheel):
    names = ["", "_RLE", "_jp2klossless", "_jpeg_ls_lossless", "_bigendian", "_implicit"]
    images = {short_hash(pixels_of(pydicom.dcmread(wheel(f"MR_small{name}.dcm")))) for name in names}
    assert len(images) == 1


def test_med_01_monochrome1_is_inverted_after_the_window(wheel):
    plain = pixels_of(pydicom.dcmread(wheel("CT_small.dcm")), "soft")
    dataset = pydicom.dcmread(wheel("CT_small.dcm"))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(pixels_of(dataset, "soft"), 255 - plain)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [("MONOCHROME2", "INVERSE", True), ("MONOCHROME1", "INVERSE", True), ("MONOCHROME1", "IDENTITY", False),
     ("MONOCHROME1", None, True), ("MONOCHROME2", None, False)],
)  # fmt: skip
def test_med_01_presentation_shape_decides_over_photometric_interpretation(dataset, photometric, shape, inverted):
    made = dataset(PhotometricInterpretation=photometric, PresentationLUTShape=shape, Modality="DX",
                   WindowCenter=32, WindowWidth=64)  # fmt: skip
    pixels = pixels_of(made)
    # Stored values rise from 0 to 63, LINEAR maps these to 0 and 255 exactly.
    assert (pixels[0, 0], pixels[-1, -1]) == ((255, 0) if inverted else (0, 255))


def test_med_01_rescale_comes_before_the_window(dataset):
    pixels = pixels_of(dataset(RescaleSlope=2, RescaleIntercept=-50), "14/3")
    # 2 * stored - 50 = 12, 14 at stored 31, 32; LINEAR 14/3 runs from 12.5 to 14.5.
    assert pixels.flat[31] == 0
    assert pixels.flat[32] == 191  # ((14 - 13.5) / 2 + 0.5) * 255 = 191.25
    assert pixels.flat[33] == 255


def test_med_01_modality_lut_comes_before_the_window(dataset):
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [64, 0, 16], [1000 - 10 * value for value in range(64)]
    made = dataset(np.arange(64, dtype=np.uint16).reshape(8, 8), ModalityLUTSequence=[item],
                   WindowCenter=500, WindowWidth=1000)  # fmt: skip
    rendered = render_dataset(made)
    assert rendered.views[0].pixels[0, 0] == 255
    assert rendered.views[0].pixels[0, 0] > rendered.views[0].pixels[-1, -1]
    assert rendered.details["rescale"] == {"lookup_table_entries": 64}


def test_med_01_voi_lut_holds_before_the_window(dataset):
    item = pydicom.Dataset()
    # 12-bit input into an 8-bit table: values beyond 255 must not wrap around.
    item.LUTDescriptor, item.LUTData = [1000, 0, 8], [min(value // 4, 255) for value in range(1000)]
    made = dataset(np.array([[0, 300], [999, 4000]], np.uint16), VOILUTSequence=[item], WindowCenter=1, WindowWidth=2)
    rendered = render_dataset(made)
    np.testing.assert_array_equal(rendered.views[0].pixels, [[0, 75], [249, 249]])
    assert window_of(rendered) == {"from": "file", "lookup_table_entries": 1000}


REAL = ("693_J2KR.dcm", "MR2_J2KR.dcm", "RG1_J2KI.dcm", "RG3_J2KI.dcm", "MR-SIEMENS-DICOM-WithOverlays.dcm",
        "vlut_04.dcm", "eCT_Supplemental.dcm")  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_med_01_real_files_equal_pydicoms_pipeline(real_data, name):
    dataset = pydicom.dcmread(real_data / "medical/pydicom__pydicom-data/data_store/data" / name)
    rendered = render_dataset(dataset)
    header = frame_header(dataset, 0)
    stored = dataset.pixel_array if dataset.pixel_array.ndim == 2 else dataset.pixel_array[0]
    grey = apply_voi_lut(apply_modality_lut(stored, header), header).astype(float)
    if "VOILUTSequence" in header:
        low, high = 0.0, 2.0 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1
    else:
        low, high = apply_voi_lut(np.array([-1e9, 1e9]), header)
    expected = np.rint((grey - low) / (high - low) * 255)
    expected = 255 - expected if header.PhotometricInterpretation == "MONOCHROME1" else expected
    if "PixelPaddingValue" in header:
        expected[stored == header.PixelPaddingValue] = 0
    assert window_of(rendered)["from"] == "file"
    assert len(np.unique(expected)) > 20
    np.testing.assert_array_equal(rendered.views[0].pixels, expected)


def test_med_04_percentiles_leave_padding_out(dataset):
    image = np.random.default_rng(0).integers(100, 900, (50, 50)).astype(np.int16)
    limits = pytest.approx(np.percentile(image, (1, 99)).tolist(), rel=1e-12)
    plain = render_dataset(dataset(image, Modality="MR"))
    assert window_of(plain)["limits"] == limits
    padded = np.full((90, 50), -2000, np.int16)
    padded[:50] = image
    rendered = render_dataset(dataset(padded, Modality="MR", PixelPaddingValue=-2000))
    assert window_of(rendered)["limits"] == limits
    np.testing.assert_array_equal(rendered.views[0].pixels[:50], plain.views[0].pixels)
    assert not rendered.views[0].pixels[50:].any()


@pytest.mark.parametrize(
    ("image", "padding"),
    # 63536 is the 16-bit pattern of -2000.
    [(np.array([[-2000, 0], [10, 20]], np.int16), 63536), (np.array([[63536, 0], [10, 20]], np.uint16), -2000)],
)
def test_med_04_padding_written_with_the_wrong_sign(dataset, image, padding):
    made = dataset(image, Modality="MR")
    # PixelPaddingValue is US or SS; the other than PixelRepresentation says is what some writers choose.
    made.add_new("PixelPaddingValue", "US" if padding > 0 else "SS", padding)
    assert window_of(render_dataset(made))["limits"] == pytest.approx(np.percentile([0, 10, 20], (1, 99)).tolist())


def test_med_04_padding_is_black_in_an_inverted_image_too(dataset):
    image = np.arange(64, dtype=np.uint16).reshape(8, 8)
    made = dataset(image, Modality="DX", PhotometricInterpretation="MONOCHROME1",
                   PixelPaddingValue=0, PixelPaddingRangeLimit=7)  # fmt: skip
    pixels = pixels_of(made)
    assert not pixels[0].any()
    assert pixels[1].min() > 200


def test_med_04_ct_outside_the_field_of_view_is_left_out_without_a_padding_tag(dataset):
    image = np.full((20, 20), -3024, np.int16)
    image[5:15, 5:15] = np.arange(100).reshape(10, 10)
    rendered = render_dataset(dataset(image))
    assert window_of(rendered)["limits"] == pytest.approx(np.percentile(np.arange(100), (1, 99)).tolist())
    # The same values mean nothing of the kind in another modality.
    assert window_of(render_dataset(dataset(image, Modality="MR")))["limits"][0] == -3024


def test_med_04_real_background_is_black_and_left_out(wheel):
    # MED-04 names this file: -2000 fills what lies outside of the circle that was scanned.
    dataset = pydicom.dcmread(wheel("J2K_pixelrep_mismatch.dcm"))
    del dataset.WindowCenter, dataset.WindowWidth
    dataset.Modality = "CT"
    seen = dataset.pixel_array[dataset.pixel_array > -1500] * dataset.RescaleSlope + dataset.RescaleIntercept
    assert 0 < seen.size < dataset.pixel_array.size
    assert window_of(render_dataset(dataset))["limits"] == pytest.approx(np.percentile(seen, (1, 99)).tolist())


@pytest.mark.parametrize(("dtype", "bits"), [(np.int16, 16), (np.int32, 32), (np.uint16, 16), (np.uint8, 8)])
@pytest.mark.parametrize("windows", ["auto", "30/11"])
def test_tables_and_single_pixels_give_the_same(dataset, dtype, bits, windows):
    # Values of 16 bits go through a table, those of 32 one by one.
    image = np.random.default_rng(1).integers(0, 60, (16, 16))
    attributes = {"Modality": "MR", "RescaleSlope": -1.5, "RescaleIntercept": 70, "PixelPaddingValue": 3}
    pixels = pixels_of(dataset(image.astype(dtype), BitsStored=bits, **attributes), windows)
    values = image * -1.5 + 70
    if windows == "auto":
        low, high = np.percentile(values[image != 3], (1, 99))
        expected = np.rint(np.clip((values - low) / (high - low) * 255, 0, 255))
    else:
        expected = np.rint(np.clip(((values - 29.5) / 10 + 0.5) * 255, 0, 255))
    expected[image == 3] = 0
    np.testing.assert_array_equal(pixels, expected)


def test_a_renderer_does_not_mix_up_headers(dataset):
    # Slices of a PET or an MR series differ in slope; multi-frame files in window.
    renderer = Renderer(Look.parse())
    made = [
        dataset(RescaleSlope=slope, RescaleIntercept=0, WindowCenter=center, WindowWidth=30, PixelPaddingValue=padding)
        for slope in (1, 2)
        for center in (20, 40)
        for padding in (None, 30)
    ]
    for _ in range(2):
        for thing in made:
            header, stored = frame_header(thing, 0), decode_frame(thing, 0)
            fresh = render_frame(header, stored, Look.parse())
            kept = renderer.frame(header, stored)
            np.testing.assert_array_equal(kept.views[0].pixels, fresh.views[0].pixels)
            assert (kept.details, kept.views[0].details) == (fresh.details, fresh.views[0].details)
    assert len({short_hash(pixels_of(thing)) for thing in made}) == len(made)


def test_a_renderer_does_not_mix_up_pixels(dataset):
    # Percentiles are those of each frame, though the tables are the same.
    renderer = Renderer(Look.parse(percentiles="0,100"))
    for factor in (1, 2, 1):
        made = dataset(np.arange(64, dtype=np.int16).reshape(8, 8) * factor, Modality="MR")
        rendered = renderer.frame(frame_header(made, 0), decode_frame(made, 0))
        assert window_of(rendered)["limits"] == [0, 63 * factor]


def test_med_09_float_pixels(real_data):
    dataset = pydicom.dcmread(real_data / "medical/pydicom__pydicom-data/data_store/data/parametric_map_float.dcm")
    stored = decode_frame(dataset, 0)
    rendered = render_frame(frame_header(dataset, 0), stored, Look.parse("0.5/1"))
    assert len(np.unique(rendered.views[0].pixels)) > 1
    values = np.array([[0.0, 0.25, np.nan], [0.5, 1.0, np.inf]], np.float32)
    header = frame_header(dataset, 0)
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        header.pop(keyword, None)
    # 0.2 / 0.8 is LINEAR_EXACT: 0 to 1 wide 0.8 around 0.4.
    (view,) = render_frame(header, values, Look.parse("0.4/0.8")).views
    np.testing.assert_array_equal(view.pixels, [[0, 80, 0], [159, 255, 0]])


def test_med_02_narrow_file_window_falls_back_to_percentiles_with_a_warning(dataset):
    rendered = render_dataset(dataset(WindowCenter=30, WindowWidth=0.5))
    assert window_of(rendered)["from"] == "percentiles"
    assert rendered.warnings == ("the file's window was not used: the width of a LINEAR window must be at least 1, "
                                 "got 0.5",)  # fmt: skip


def test_med_02_window_of_a_real_file_by_number(wheel):
    dataset = pydicom.dcmread(wheel("J2K_pixelrep_mismatch.dcm"))
    dataset.WindowCenter, dataset.WindowWidth = [40, 300], [100, 2000]
    dataset.WindowCenterWidthExplanation = ["BRAIN", "BONE"]
    by_number, by_name = (render_dataset(dataset, f"file:{which}") for which in ("2", "bone"))
    assert (window_of(by_number)["center"], window_of(by_name)["center"]) == (300, 300)
    # The explanation is free text of the header and stands nowhere.
    assert "BONE" not in str((by_number.views[0].name, by_number.details, by_number.views[0].details))


def test_image_of_one_value_is_black_with_a_warning(dataset):
    rendered = render_dataset(dataset(np.full((4, 4), 7, np.int16)))
    assert not rendered.views[0].pixels.any()
    assert rendered.warnings == ("the image has one grey value only",)


def test_med_30_scale_makes_windows_hold_in_suv(dataset):
    # Slope 2 Bq/ml a count, factor 0.05: stored 0..63 are SUV 0..6.3.
    made = dataset(Modality="PT", RescaleSlope=2, RescaleIntercept=0, WindowCenter=63.5, WindowWidth=127)
    rendered = render_dataset(made, "3.15/6.3", scale=0.05)
    np.testing.assert_array_equal(rendered.views[0].pixels.ravel(), np.rint(np.arange(64) / 63 * 255))
    assert rendered.details == {"rescale": {"slope": 2, "intercept": 0}, "scale": 0.05}
    # The file's own window is in Bq/ml and shows the same with and without a scale.
    np.testing.assert_array_equal(render_dataset(made, scale=0.05).views[0].pixels, pixels_of(made))


def test_values_and_back(dataset):
    made = dataset(RescaleSlope=2, RescaleIntercept=-50, PixelPaddingValue=5, WindowCenter=0, WindowWidth=80)
    renderer = Renderer(Look.parse("auto,10/20"))
    header, stored = frame_header(made, 0), decode_frame(made, 0)
    values = renderer.values(header, stored, scale=0.5)
    np.testing.assert_array_equal(values.values.ravel(), (np.arange(64) * 2 - 50) * 0.5)
    assert values.background.ravel().nonzero()[0].tolist() == [5]
    again, direct = renderer.of_values(header, values), renderer.frame(header, stored, scale=0.5)
    for ours, theirs in zip(again.views, direct.views, strict=True):
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)
        assert ours.details == theirs.details


def test_med_28_a_projection_of_values_is_shown_in_the_window(dataset):
    renderer = Renderer(Look.parse("31.5/63"))
    made = [
        dataset(np.arange(64, dtype=np.int16).reshape(8, 8)),
        dataset(np.arange(63, -1, -1, dtype=np.int16).reshape(8, 8)),
    ]
    header = frame_header(made[0], 0)
    both = [renderer.values(frame_header(thing, 0), decode_frame(thing, 0)) for thing in made]
    highest = Values(np.maximum(both[0].values, both[1].values), both[0].background & both[1].background)
    pixels = renderer.of_values(header, highest).views[0].pixels
    expected = np.maximum(
        *(renderer.frame(frame_header(thing, 0), decode_frame(thing, 0)).views[0].pixels for thing in made)
    )
    np.testing.assert_array_equal(pixels, expected)


def test_colour_has_no_modality_values(dataset):
    made = dataset(np.zeros((2, 2, 3), np.uint8), Modality="US")
    with pytest.raises(ItemError) as caught:
        Renderer(Look()).values(frame_header(made, 0), decode_frame(made, 0))
    assert caught.value.reason == "photometric-interpretation"


def test_med_05_ybr_becomes_rgb_once(wheel):
    dataset = pydicom.dcmread(wheel("examples_ybr_color.dcm"))
    frames = np.stack([pixels_of(dataset, frame=frame) for frame in range(30)])
    assert frames.shape == (30, 240, 320, 3)
    assert short_hash(frames) == "7275d2af634281c8"


def test_med_05_palette_is_expanded(wheel):
    pixels = pixels_of(pydicom.dcmread(wheel("examples_palette.dcm")))
    assert pixels.shape == (350, 800, 3)
    assert short_hash(pixels) == "322156a65198e9be"


@pytest.mark.parametrize("variant", ["cr", "cy+n1", "cy+n2", "cy+np", "cy+s2", "cy+s4"])
def test_med_05_colour_encodings_come_close_to_one_another(wheel, variant):
    # One picture of ten colour bars. Its RGB bars are known: pydicom tests/pixels/pixels_reference.py probes them.
    pixels = pixels_of(pydicom.dcmread(wheel(f"SC_rgb_dcmtk_+eb+{variant}.dcm"))).astype(int)
    bars = {5: (255, 0, 0), 15: (255, 128, 128), 25: (0, 255, 0), 35: (128, 255, 128), 45: (0, 0, 255),
            55: (128, 128, 255), 65: (0, 0, 0), 75: (64, 64, 64), 85: (192, 192, 192), 95: (255, 255, 255)}  # fmt: skip
    # JPEG is lossy: its YBR variants are up to 5 off, whatever decodes them. A second conversion is off by 50 and more.
    for row, colour in bars.items():
        assert np.abs(pixels[row, 50] - colour).max() <= 5, row


def test_med_05_sixteen_bit_colour_is_scaled_by_bits_stored(dataset):
    colour = np.zeros((2, 2, 3), np.uint16)
    colour[0, 0] = (4095, 0, 2048)
    pixels = pixels_of(dataset(colour, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(pixels[0, 0], [255, 0, 128])


def test_colour_views_have_no_window(dataset):
    colour = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    (view,) = render_dataset(dataset(colour, Modality="US"), "auto,40/400").views
    assert (view.name, view.details) == ("", {})
    np.testing.assert_array_equal(view.pixels, colour)


def test_a_supplemental_palette_is_said_to_be_left_out(real_data):
    dataset = pydicom.dcmread(real_data / "medical/pydicom__pydicom-data/data_store/data/eCT_Supplemental.dcm")
    rendered = render_dataset(dataset)
    assert rendered.views[0].pixels.ndim == 2
    assert len([text for text in rendered.warnings if "supplemental palette" in text]) == 1


@pytest.mark.parametrize("photometric", ["HSV", "RGB", "PALETTE COLOR"])
def test_photometric_interpretations_that_do_not_fit_are_refused(dataset, photometric):
    header = frame_header(dataset(), 0)
    header.PhotometricInterpretation = photometric
    with pytest.raises(ItemError) as caught:
        render_frame(header, np.zeros((8, 8), np.uint8), Look())
    expected = "lookup-table" if photometric == "PALETTE COLOR" else "photometric-interpretation"
    assert caught.value.reason == expected


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_malformed_tables_are_refused(dataset, keyword):
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [9, 0, 8], [1, 2]
    with pytest.raises(ItemError) as caught:
        render_dataset(dataset(**{keyword: [item]}))
    assert caught.value.reason == "lookup-table"
