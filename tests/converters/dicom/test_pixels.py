"""Golden values: highdicom 0.28 and pydicom 3.0 pipelines, computed apart from this code; see each test."""

from __future__ import annotations

import hashlib

import numpy as np
import pydicom
import pytest
from pydicom.uid import MPEG4HP41, JPEGLosslessSV1

from domainvl.converters.dicom.headers import frame_header
from domainvl.converters.dicom.pixels import decode_frame, render, spacing_details
from domainvl.errors import ItemError


def short_hash(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def render_file(path, setting="auto", frame=0):
    dataset = pydicom.dcmread(path)
    return render(frame_header(dataset, frame), decode_frame(dataset, frame), setting)


def render_dataset(dataset, setting="auto"):
    return render(frame_header(dataset, 0), decode_frame(dataset, 0), setting)


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
def test_ct_windows_give_the_golden_pixels(wheel, window, mean, black, white, sha256):
    pixels = render_file(wheel("CT_small.dcm"), window).pixels
    assert pixels.mean() == pytest.approx(mean, abs=5e-5)
    assert ((pixels == 0).sum(), (pixels == 255).sum()) == (black, white)
    assert short_hash(pixels) == sha256


@pytest.mark.parametrize("encoding", ["", "_RLE", "_jp2klossless", "_jpeg_ls_lossless", "_bigendian", "_implicit"])
def test_encodings_of_one_image_give_equal_pixels(wheel, encoding):
    path = wheel(f"MR_small{encoding}.dcm")
    stored = decode_frame(pydicom.dcmread(path), 0)
    assert short_hash(stored.astype("<i2")) == "88617aaa46138fb1"
    assert (stored.min(), stored.max()) == (127, 2145)
    np.testing.assert_array_equal(render_file(path).pixels, render_file(wheel("MR_small.dcm")).pixels)


def test_signedness_follows_the_codestream(wheel):
    stored = decode_frame(pydicom.dcmread(wheel("J2K_pixelrep_mismatch.dcm")), 0)
    assert (stored.min(), stored.max()) == (-2000, 1896)
    assert short_hash(stored.astype("<i2")) == "1296350a0006ef69"


def test_ybr_becomes_rgb_once(wheel):
    dataset = pydicom.dcmread(wheel("examples_ybr_color.dcm"))
    frames = np.stack([render(frame_header(dataset, i), decode_frame(dataset, i), "auto").pixels for i in range(30)])
    assert frames.shape == (30, 240, 320, 3)
    assert short_hash(frames) == "7275d2af634281c8"


def test_palette_is_expanded(wheel):
    pixels = render_file(wheel("examples_palette.dcm")).pixels
    assert pixels.shape == (350, 800, 3)
    assert short_hash(pixels) == "322156a65198e9be"


@pytest.mark.parametrize("variant", ["cr", "cy+n1", "cy+n2", "cy+np", "cy+s2", "cy+s4"])
def test_colour_encodings_come_close_to_one_another(wheel, variant):
    # One picture of ten colour bars. Its RGB bars are known: pydicom tests/pixels/pixels_reference.py probes them.
    pixels = render_file(wheel(f"SC_rgb_dcmtk_+eb+{variant}.dcm")).pixels.astype(int)
    bars = {5: (255, 0, 0), 15: (255, 128, 128), 25: (0, 255, 0), 35: (128, 255, 128), 45: (0, 0, 255),
            55: (128, 128, 255), 65: (0, 0, 0), 75: (64, 64, 64), 85: (192, 192, 192), 95: (255, 255, 255)}  # fmt: skip
    # JPEG is lossy: its YBR variants are up to 5 off, whatever decodes them. A second conversion is off by 50 and more.
    for row, colour in bars.items():
        assert np.abs(pixels[row, 50] - colour).max() <= 5, row


def test_planar_configuration_one(dataset):
    interleaved = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    planar = dataset(interleaved, PlanarConfiguration=1, Modality="US")
    planar.PixelData = np.ascontiguousarray(interleaved.transpose(2, 0, 1)).tobytes()
    np.testing.assert_array_equal(render_dataset(planar).pixels, interleaved)


def test_sixteen_bit_colour_is_scaled_by_bits_stored(dataset):
    colour = np.zeros((2, 2, 3), np.uint16)
    colour[0, 0] = (4095, 0, 2048)
    pixels = render_dataset(dataset(colour, BitsStored=12, HighBit=11)).pixels
    np.testing.assert_array_equal(pixels[0, 0], [255, 0, 128])


def test_monochrome1_is_inverted_after_the_window(wheel):
    plain = render_file(wheel("CT_small.dcm"), "soft").pixels
    dataset = pydicom.dcmread(wheel("CT_small.dcm"))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(render_dataset(dataset, "soft").pixels, 255 - plain)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [("MONOCHROME2", "INVERSE", True), ("MONOCHROME1", "INVERSE", True), ("MONOCHROME1", "IDENTITY", False),
     ("MONOCHROME1", None, True), ("MONOCHROME2", None, False)],
)  # fmt: skip
def test_presentation_shape_decides_over_photometric_interpretation(dataset, photometric, shape, inverted):
    made = dataset(PhotometricInterpretation=photometric, PresentationLUTShape=shape, Modality="DX",
                   WindowCenter=32, WindowWidth=64)  # fmt: skip
    pixels = render_dataset(made).pixels
    # Stored values rise from 0 to 63, LINEAR maps these to 0 and 255 exactly.
    assert (pixels[0, 0], pixels[-1, -1]) == ((255, 0) if inverted else (0, 255))


def test_rescale_comes_before_the_window(dataset):
    pixels = render_dataset(dataset(RescaleSlope=2, RescaleIntercept=-50), "14/3").pixels
    # 2 * stored - 50 = 12, 14 at stored 31, 32; LINEAR 14/3 runs from 12.5 to 14.5.
    assert pixels.flat[31] == 0
    assert pixels.flat[32] == 191  # ((14 - 13.5) / 2 + 0.5) * 255 = 191.25
    assert pixels.flat[33] == 255


def test_modality_lut_comes_before_the_window(dataset):
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [64, 0, 16], [1000 - 10 * value for value in range(64)]
    made = dataset(np.arange(64, dtype=np.uint16).reshape(8, 8), ModalityLUTSequence=[item],
                   WindowCenter=500, WindowWidth=1000)  # fmt: skip
    rendered = render_dataset(made)
    assert rendered.pixels[0, 0] == 255
    assert rendered.pixels[0, 0] > rendered.pixels[-1, -1]
    assert rendered.details["rescale"] == {"lookup_table_entries": 64}


def test_voi_lut_holds_before_the_window(dataset):
    item = pydicom.Dataset()
    # 12-bit input into an 8-bit table: values beyond 255 must not wrap around.
    item.LUTDescriptor, item.LUTData = [1000, 0, 8], [min(value // 4, 255) for value in range(1000)]
    made = dataset(np.array([[0, 300], [999, 4000]], np.uint16), VOILUTSequence=[item], WindowCenter=1, WindowWidth=2)
    rendered = render_dataset(made)
    np.testing.assert_array_equal(rendered.pixels, [[0, 75], [249, 249]])
    assert rendered.details["window"] == {"from": "file", "lookup_table_entries": 1000}


def test_percentiles_leave_padding_out(dataset):
    rng = np.random.default_rng(0)
    image = rng.integers(100, 900, (50, 50)).astype(np.int16)
    low, high = np.percentile(image, (1, 99))
    plain = render_dataset(dataset(image, Modality="MR"))
    assert plain.details["window"]["limits"] == [low, high]
    padded = np.full((90, 50), -2000, np.int16)
    padded[:50] = image
    rendered = render_dataset(dataset(padded, Modality="MR", PixelPaddingValue=-2000))
    assert rendered.details["window"]["limits"] == [low, high]
    np.testing.assert_array_equal(rendered.pixels[:50], plain.pixels)
    assert not rendered.pixels[50:].any()


def test_padding_written_as_unsigned_holds_for_signed_pixels(dataset):
    # 63536 is the 16-bit pattern of -2000.
    made = dataset(np.array([[-2000, 0], [10, 20]], np.int16), Modality="MR", PixelPaddingValue=63536)
    assert render_dataset(made).details["window"]["limits"] == list(np.percentile([0, 10, 20], (1, 99)))


def test_padding_is_black_in_an_inverted_image_too(dataset):
    image = np.arange(64, dtype=np.uint16).reshape(8, 8)
    made = dataset(image, Modality="DX", PhotometricInterpretation="MONOCHROME1",
                   PixelPaddingValue=0, PixelPaddingRangeLimit=7)  # fmt: skip
    pixels = render_dataset(made).pixels
    assert not pixels[0].any()
    assert pixels[1].min() > 200


def test_ct_outside_the_field_of_view_is_left_out_without_a_padding_tag(dataset):
    image = np.full((20, 20), -3024, np.int16)
    image[5:15, 5:15] = np.arange(100).reshape(10, 10)
    rendered = render_dataset(dataset(image))
    assert rendered.details["window"]["limits"] == list(np.percentile(np.arange(100), (1, 99)))
    # The same values mean nothing of the kind in another modality.
    assert render_dataset(dataset(image, Modality="MR")).details["window"]["limits"][0] == -3024


def test_narrow_file_window_falls_back_to_percentiles_with_a_warning(dataset):
    rendered = render_dataset(dataset(WindowCenter=30, WindowWidth=0.5))
    assert rendered.details["window"]["from"] == "percentiles"
    assert rendered.warnings == ["the file's window was not used: the width of a LINEAR window must be at least 1, "
                                 "got 0.5"]  # fmt: skip


def test_image_of_one_value_is_black_with_a_warning(dataset):
    rendered = render_dataset(dataset(np.full((4, 4), 7, np.int16)))
    assert not rendered.pixels.any()
    assert rendered.warnings == ["the image has one grey value only"]


def test_truncated_pixels_name_expected_and_actual_bytes(wheel):
    # 64 x 64 pixels of 2 bytes; the file's own element is 8130 bytes long.
    with pytest.raises(ItemError, match="promises 8192 bytes of pixels, the file holds 8130") as caught:
        decode_frame(pydicom.dcmread(wheel("MR_truncated.dcm")), 0)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("syntax", [MPEG4HP41, "1.2.3.4.5.99"])
def test_missing_decoder_names_what_to_do(dataset, syntax):
    made = dataset()
    made.file_meta.TransferSyntaxUID = syntax
    with pytest.raises(ItemError) as caught:
        decode_frame(made, 0)
    assert caught.value.reason == "no-decoder"
    assert caught.value.action.startswith("Write the file in another transfer syntax")
    assert "1.2.3.4.5.99" not in str(caught.value)


def test_missing_plugin_names_the_package(dataset, monkeypatch):
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    made = dataset()
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    with pytest.raises(ItemError, match=r"pip install 'domainvl\[gdcm\]'") as caught:
        decode_frame(made, 0)
    assert caught.value.reason == "no-decoder"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [({"BitsAllocated": None}, "header"), ({"PhotometricInterpretation": "HSV"}, "photometric-interpretation")],
)
def test_malformed_headers_fail_with_a_reason(dataset, attributes, reason):
    with pytest.raises(ItemError) as caught:
        render_dataset(dataset(**attributes))
    assert caught.value.reason == reason


def test_every_pixel_bearing_wheel_file_decodes_or_says_why(wheel):
    expected_failures = {"JPEG-lossy.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "JPGExtended.dcm",
                         "MR_truncated.dcm", "SC_rgb_jpeg_gdcm.dcm", "badVR.dcm"}  # fmt: skip
    failed = {}
    for path in sorted(wheel("CT_small.dcm").parent.glob("*.dcm")):
        if path.name in ("no_meta.dcm", "rtstruct.dcm") or "NoMeta" in path.name:
            continue
        dataset = pydicom.dcmread(path)
        if "PixelData" not in dataset or "Rows" not in dataset:
            continue
        try:
            render_file(path)
        except ItemError as error:
            failed[path.name] = error.reason
    assert set(failed) <= expected_failures
    assert failed["MR_truncated.dcm"] == "truncated"


@pytest.mark.parametrize(
    ("attributes", "details", "warns"),
    [
        ({"PixelSpacing": [2, 1]}, {"pixel_spacing_mm": [2, 1]}, True),
        ({"PixelSpacing": [0.5, 0.5]}, {"pixel_spacing_mm": [0.5, 0.5]}, False),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, {"imager_pixel_spacing_mm": [0.2, 0.2]}, False),
        ({"PixelAspectRatio": [4, 3]}, {"pixel_aspect_ratio": [4, 3]}, True),
        ({}, {}, False),
    ],
)
def test_spacing(dataset, attributes, details, warns):
    seen, warning = spacing_details(dataset(**attributes))
    assert seen == details
    assert (warning is not None) == warns


def test_not_square_names_rows_before_columns(dataset):
    # PS3.3 10.7.1.3: the first value is the distance between rows.
    _, warning = spacing_details(dataset(PixelSpacing=[2, 1]))
    assert warning == "pixels are not square: 2 mm between rows, 1 mm between columns"
