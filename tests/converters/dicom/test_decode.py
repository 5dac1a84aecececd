"""Golden values: pydicom 3.0 pipelines, computed apart from this code (sha256 of the array's bytes, 16 digits)."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HEVCMP51,
    JPEG2000MC,
    MPEG4HP41,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from domainvl.converters.dicom.decode import decode_frame, decode_unmasked, decoder_status
from domainvl.errors import ItemError


def short_hash(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def decode_file(path, frame=0):
    return decode_frame(pydicom.dcmread(path), frame)


@pytest.mark.parametrize("encoding", ["", "_RLE", "_jp2klossless", "_jpeg_ls_lossless", "_bigendian", "_implicit"])
def test_med_06_encodings_of_one_image_give_equal_stored_values(wheel, encoding):
    stored = decode_file(wheel(f"MR_small{encoding}.dcm"))
    assert stored.dtype.isnative
    assert (stored.min(), stored.max()) == (127, 2145)
    assert short_hash(stored.astype("<i2")) == "88617aaa46138fb1"


def test_med_07_deflated(wheel, tmp_path):
    dataset = pydicom.dcmread(wheel("MR_small.dcm"))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated.dcm")
    assert short_hash(decode_file(tmp_path / "deflated.dcm").astype("<i2")) == "88617aaa46138fb1"


def test_med_06_enhanced_mr_in_four_encodings_agrees_frame_by_frame(real_data):
    folder = real_data / "medical/pydicom__pydicom-data/data_store/data"
    names = ("emri_small", "emri_small_RLE", "emri_small_jpeg_2k_lossless", "emri_small_jpeg_ls_lossless")
    datasets = [pydicom.dcmread(folder / f"{name}.dcm") for name in names]
    for frame in range(10):
        assert len({short_hash(decode_frame(dataset, frame)) for dataset in datasets}) == 1
    assert len({short_hash(decode_frame(datasets[0], frame)) for frame in range(10)}) == 10


def test_med_06_signedness_follows_the_codestream(wheel):
    stored = decode_file(wheel("J2K_pixelrep_mismatch.dcm"))
    assert (stored.min(), stored.max()) == (-2000, 1896)
    assert short_hash(stored.astype("<i2")) == "1296350a0006ef69"


def test_med_06_signed_jpeg_ls(dataset):
    image = np.arange(-32, 32, dtype=np.int16).reshape(8, 8)
    made = dataset(image, BitsStored=12, HighBit=11)
    made.compress(JPEGLSLossless)
    np.testing.assert_array_equal(decode_frame(made, 0), image)


@pytest.mark.parametrize("signed", [False, True])
def test_med_06_bits_that_are_not_stored_are_masked(dataset, signed):
    # 12 stored bits 0xF38 are 3896, or -200 in two's complement; the four above hold something else, such as an
    # overlay.
    pattern = np.full((2, 2), 0xAF38, np.uint16)
    image = pattern.view(np.int16) if signed else pattern
    stored = decode_frame(dataset(image, BitsStored=12, HighBit=11), 0)
    np.testing.assert_array_equal(stored, np.full((2, 2), -200 if signed else 3896))


@pytest.mark.parametrize(("signed", "value"), [(False, 0xAF3), (True, 0xAF3 - 0x1000)])
def test_med_06_bits_at_the_upper_end_are_shifted_down(dataset, signed, value):
    pattern = np.full((2, 2), 0xAF38, np.uint16)
    image = pattern.view(np.int16) if signed else pattern
    np.testing.assert_array_equal(decode_frame(dataset(image, BitsStored=12, HighBit=15), 0), np.full((2, 2), value))


def test_bits_that_are_not_stored_can_be_had(dataset):
    made = dataset(np.full((2, 2), 0xAF38, np.uint16), BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(decode_unmasked(made, 0), np.full((2, 2), 0xAF38))
    made.compress(RLELossless)
    with pytest.raises(ItemError, match="compressed pixels have none"):
        decode_unmasked(made, 0)


def test_med_05_planar_configuration_one(dataset):
    interleaved = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    planar = dataset(interleaved, PlanarConfiguration=1, Modality="US")
    planar.PixelData = np.ascontiguousarray(interleaved.transpose(2, 0, 1)).tobytes()
    np.testing.assert_array_equal(decode_frame(planar, 0), interleaved)


def test_med_05_lossy_j2k_is_close_to_the_lossless_original(wheel):
    # examples_jpeg2k: other decoders may differ by 1, so it is compared with Pillow's OpenJPEG and not by hash.
    dataset = pydicom.dcmread(wheel("examples_jpeg2k.dcm"))
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    expected, _ = decoder.as_array(dataset, index=0, decoding_plugin="pillow")
    assert np.abs(decode_frame(dataset, 0).astype(int) - expected.astype(int)).max() <= 1


def test_med_09_thirty_two_bits(wheel):
    dataset = pydicom.dcmread(wheel("rtdose.dcm"))
    raw = np.frombuffer(dataset.PixelData, "<u4").reshape(15, 10, 10)
    for frame in (0, 7, 14):
        np.testing.assert_array_equal(decode_frame(dataset, frame), raw[frame])


def test_med_09_one_bit(wheel):
    # PS3.5 8.2: the first pixel is the lowest bit of the first byte.
    dataset = pydicom.dcmread(wheel("liver_1frame.dcm"))
    raw = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little").reshape(512, 512)
    assert 0 < raw.sum() < raw.size
    np.testing.assert_array_equal(decode_frame(dataset, 0), raw)


def test_med_09_one_bit_frames_that_do_not_begin_at_a_byte(real_data):
    folder = real_data / "medical/pydicom__pydicom-data/data_store/data"
    dataset = pydicom.dcmread(folder / "liver_nonbyte_aligned.dcm")
    for frame in range(3):
        np.testing.assert_array_equal(decode_frame(dataset, frame), dataset.pixel_array[frame])


def test_med_09_float_pixels(real_data):
    path = real_data / "medical/pydicom__pydicom-data/data_store/data/parametric_map_float.dcm"
    stored = decode_file(path)
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(
        stored, np.frombuffer(pydicom.dcmread(path).FloatPixelData, "<f4").reshape(stored.shape)
    )


def test_med_51_truncated_pixels_name_expected_and_actual_bytes(wheel):
    # 64 x 64 pixels of 2 bytes; the file's own element is 8130 bytes long.
    with pytest.raises(ItemError, match="promises 8192 bytes of pixels, the file holds 8130") as caught:
        decode_file(wheel("MR_truncated.dcm"))
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm",
                                  "MR_small_RLE.dcm"])  # fmt: skip
def test_med_51_compressed_pixels_that_are_cut_off_are_refused(wheel, name):
    dataset = pydicom.dcmread(wheel(name))
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 4 * 2]])
    dataset["PixelData"].VR = "OB"
    with pytest.raises(ItemError) as caught:
        decode_frame(dataset, 0)
    assert caught.value.reason == ("decode" if "RLE" in name else "truncated")


def test_med_51_a_frame_that_is_missing_is_said(real_data):
    dataset = pydicom.dcmread(real_data / "medical/pydicom__pydicom-data/data_store/data/emri_small_RLE.dcm")
    dataset.PixelData = encapsulate(
        [get_frame(dataset.PixelData, i, number_of_frames=10) for i in range(4)], has_bot=True
    )
    decode_frame(dataset, 3)
    with pytest.raises(ItemError, match="promises 10 frames, and frame 5 is not there whole"):
        decode_frame(dataset, 4)
    with pytest.raises(ItemError, match="frame 11 is asked for, the header promises 10"):
        decode_frame(dataset, 10)


def test_med_51_no_pixels(dataset):
    made = dataset()
    del made.PixelData
    with pytest.raises(ItemError) as caught:
        decode_frame(made, 0)
    assert caught.value.reason == "no-pixel-data"


@pytest.mark.parametrize("syntax", [MPEG4HP41, JPEG2000MC, "1.2.3.4.5.99"])
def test_med_07_an_unknown_transfer_syntax_names_what_to_do(dataset, syntax):
    made = dataset()
    made.file_meta.TransferSyntaxUID = syntax
    with pytest.raises(ItemError) as caught:
        decode_frame(made, 0)
    assert caught.value.reason == "no-decoder"
    assert caught.value.action
    assert "1.2.3.4.5.99" not in str(caught.value)


def test_med_07_no_transfer_syntax(dataset):
    made = dataset()
    del made.file_meta.TransferSyntaxUID
    with pytest.raises(ItemError) as caught:
        decode_frame(made, 0)
    assert caught.value.reason == "no-transfer-syntax"


@pytest.mark.parametrize(
    ("syntax", "advice"),
    [(JPEGLosslessSV1, r"pip install 'domainvl\[gdcm\]'"), (JPEG2000Lossless, "Install domainvl again")],
)
def test_med_07_missing_plugin_names_the_extra(dataset, monkeypatch, syntax, advice):
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    made = dataset()
    made.file_meta.TransferSyntaxUID = syntax
    with pytest.raises(ItemError, match=advice) as caught:
        decode_frame(made, 0)
    assert caught.value.reason == "no-decoder"
    assert caught.value.action.removeprefix("Install it") in decoder_status(
        syntax
    ) or "install domainvl" in decoder_status(syntax)


def test_med_07_another_plugin_is_not_taken_instead(monkeypatch):
    # Pillow reads JPEG 2000 too, with other rounding and at most 8 bits of colour.
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.available_plugins", ("pillow",))
    assert "pylibjpeg" in decoder_status(JPEG2000Lossless)


def test_med_07_lossless_jpeg(real_data):
    pytest.importorskip("gdcm", reason="the extra gdcm is not installed")
    folder = real_data / "medical/pydicom__pydicom-data/data_store/data"
    # Probes of pydicom's tests/pixels/pixels_reference.py.
    stored = decode_file(folder / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    assert (stored.shape, stored[300, 512:520].tolist()) == ((768, 1024), [26, 26, 25, 22, 19, 16, 14, 15])


def test_med_07_jpeg_extended_of_12_bits_is_refused_before_decoding(wheel):
    with pytest.raises(ItemError, match="8 bits a sample only, and has 12") as caught:
        decode_file(wheel("JPGExtended.dcm"))
    assert caught.value.reason == "no-decoder"


def test_decoder_status_of_each_transfer_syntax():
    decoded = {syntax.keyword for syntax in AllTransferSyntaxes if decoder_status(syntax) is None}
    always = {"ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "ExplicitVRBigEndian", "RLELossless", "HTJ2K",
              "DeflatedExplicitVRLittleEndian", "JPEGBaseline8Bit", "JPEGExtended12Bit", "JPEGLSLossless",
              "JPEGLSNearLossless", "JPEG2000Lossless", "JPEG2000", "HTJ2KLossless", "HTJ2KLosslessRPCL"}  # fmt: skip
    assert always <= decoded <= always | {"JPEGLossless", "JPEGLosslessSV1"}
    assert "is a video" in decoder_status(HEVCMP51)
    assert "no decoder for a private transfer syntax" in decoder_status("1.2.3.4.5.99")
    assert decoder_status("").startswith("the file must name its transfer syntax")
    assert decoder_status(JPEGExtended12Bit, 8) is None
    assert decoder_status(JPEGExtended12Bit, 12) is not None
    assert decoder_status(JPEGBaseline8Bit, 8) is None


@pytest.mark.parametrize(
    "attributes", [{"BitsAllocated": None}, {"Rows": None}, {"BitsStored": None}, {"PhotometricInterpretation": None},
                   {"PhotometricInterpretation": "GREY"}]
)  # fmt: skip
def test_malformed_headers_are_refused_as_such(dataset, attributes):
    with pytest.raises(ItemError) as caught:
        decode_frame(dataset(**attributes), 0)
    assert caught.value.reason == "header"


def test_every_pixel_bearing_wheel_file_decodes_or_says_why(wheel):
    expected = {"JPEG-lossy.dcm": "no-decoder", "JPGExtended.dcm": "no-decoder", "MR_truncated.dcm": "truncated",
                "JPEG2000-embedded-sequence-delimiter.dcm": "decode", "SC_rgb_jpeg_gdcm.dcm": "no-decoder",
                "badVR.dcm": "header", "meta_missing_tsyntax.dcm": "header",
                "nested_priv_SQ.dcm": "header"}  # fmt: skip
    if decoder_status(JPEGLosslessSV1) is None:
        del expected["SC_rgb_jpeg_gdcm.dcm"]
    failed, count = {}, 0
    for path in sorted(wheel("CT_small.dcm").parent.glob("*.dcm")):
        if path.name in ("no_meta.dcm", "rtstruct.dcm") or "NoMeta" in path.name:
            continue
        dataset = pydicom.dcmread(path)
        if "PixelData" not in dataset:
            continue
        count += 1
        try:
            decode_frame(dataset, 0)
        except ItemError as error:
            failed[path.name] = error.reason
    assert failed == expected
    assert count > 60


def compressed(dataset, syntax, content, pixels, **attributes):
    made = dataset(pixels, **attributes)
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = encapsulate([content])
    made["PixelData"].is_undefined_length = True
    return made


def test_med_51_a_decoder_that_panics_costs_its_frame_and_not_the_run(dataset, capfd):
    """PS3.5 G: two segments, one a byte of the pixels, the second longer than an image of 8 x 8 pixels.

    The decoder is written in Rust, whose panic is a BaseException here.
    """
    fills, overflows = bytes([0xC1, 1]), bytes([127]) + bytes(128)  # 64 times 1; 128 bytes as they are
    starts = struct.pack("<16I", 2, 64, 64 + len(fills), *[0] * 13)
    good = compressed(dataset, RLELossless, starts + fills + fills, np.zeros((8, 8), np.uint16))
    assert (decode_frame(good, 0) == 0x0101).all()
    bad = compressed(dataset, RLELossless, starts + fills + overflows, np.zeros((8, 8), np.uint16))
    with pytest.raises(ItemError) as caught:
        decode_frame(bad, 0)
    assert caught.value.reason == "decode"
    capfd.readouterr()  # what Rust prints


@pytest.mark.parametrize("side", [3_000, 60_000])
def test_med_51_run_lengths_that_cannot_be_a_frame_take_no_memory(dataset, side):
    """PS3.5 G.3.1: two bytes stand for 128 at most, so 132 bytes are no 3000 x 3000 pixels."""
    starts = struct.pack("<16I", 1, 64, *[0] * 14)
    made = compressed(dataset, RLELossless, starts + bytes([129, 7] * 34), np.zeros((8, 8), np.uint8), Rows=side,
                      Columns=side)  # fmt: skip
    with pytest.raises(ItemError) as caught:
        decode_frame(made, 0)
    assert caught.value.reason in ("truncated", "decode")
    assert f"{side * side}" in str(caught.value)


@pytest.mark.parametrize("sides", [(60_000, 64), (60_000, 60_000), (20_000, 20_000)])
def test_med_51_a_codestream_of_another_size_than_the_header_is_refused(wheel, sides):
    """ITU-T T.800 A.5.1: Xsiz and Ysiz stand 8 bytes after the start, XTsiz and YTsiz 16 after them."""
    made = pydicom.dcmread(wheel("MR_small_jp2klossless.dcm"))
    content = bytearray(get_frame(made.PixelData, 0, number_of_frames=1))
    assert struct.unpack_from(">2I", content, 8) == (64, 64)
    for at in (8, 24):
        struct.pack_into(">2I", content, at, sides[0], sides[0])
    made.PixelData = encapsulate([bytes(content)])
    made["PixelData"].is_undefined_length = True
    made.Rows = made.Columns = sides[1]
    with pytest.raises(ItemError) as caught:
        decode_frame(made, 0)
    assert caught.value.reason == "decode"
