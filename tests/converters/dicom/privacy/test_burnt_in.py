"""Burnt-in text: what the header suspects, and that nothing outside of ultrasound regions is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from pydicom.data import get_testdata_file

from domainvl.converters.dicom.privacy.burnt_in import (
    crop_box,
    is_ultrasound,
    keep_only,
    risk_of,
    ultrasound_boxes,
)


def header(**attributes):
    dataset = pydicom.Dataset()
    values = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT", "Rows": 100, "Columns": 200,
              "PhotometricInterpretation": "MONOCHROME2", "BitsStored": 12, "HighBit": 11}  # fmt: skip
    for keyword, value in {**values, **attributes}.items():
        setattr(dataset, keyword, value)
    return dataset


def region(x0, y0, x1, y1):
    item = pydicom.Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    return item


US = {"Modality": "US", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, None),
        ({"BurnedInAnnotation": "YES"}, "burnt-in"),
        ({"BurnedInAnnotation": "NO"}, None),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "BurnedInAnnotation": "NO"}, "secondary-capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.4"}, "secondary-capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4"}, None),  # photography, another class
        ({"ConversionType": "DF"}, "secondary-capture"),
        ({"ImageType": ["DERIVED", "PRIMARY", "SCREEN SAVE"]}, "screen-capture"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "Dose_Info"]}, "screen-capture"),
        ({"PhotometricInterpretation": "RGB"}, "screen-capture"),
        ({"Modality": "XC", "PhotometricInterpretation": "YBR_FULL_422"}, None),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived-secondary"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"], "BurnedInAnnotation": "NO"}, None),
        ({"ImageType": ["DERIVED", "PRIMARY"]}, None),
        ({"ImageType": "ORIGINAL"}, None),
        (US, "ultrasound-without-regions"),
        ({**US, "SequenceOfUltrasoundRegions": []}, "ultrasound-without-regions"),
        ({**US, "SequenceOfUltrasoundRegions": [region(10, 20, 9, 30)]}, "ultrasound-without-regions"),
        ({**US, "SequenceOfUltrasoundRegions": [region(0, 0, 199, 99)]}, "ultrasound-without-regions"),
        ({**US, "SequenceOfUltrasoundRegions": [region(10, 20, 150, 90)]}, None),
        # 198 x 96 of 200 x 100 px are 95.04 %; 198 x 95 are 94.05 %.
        ({**US, "SequenceOfUltrasoundRegions": [region(0, 4, 197, 99)]}, "ultrasound-without-regions"),
        ({**US, "SequenceOfUltrasoundRegions": [region(0, 5, 197, 99)]}, None),
        ({**US, "SequenceOfUltrasoundRegions": [region(0, 4, 99, 99), region(98, 4, 197, 99)]},
         "ultrasound-without-regions"),
        ({**US, "SequenceOfUltrasoundRegions": [region(0, 4, 197, 90), region(0, 4, 197, 90)]}, None),
        # No line of text has room above a region that begins in the first 2 of 100 rows.
        ({**US, "SequenceOfUltrasoundRegions": [region(10, 30, 90, 90), region(150, 1, 180, 40)]},
         "ultrasound-without-regions"),
        ({**US, "SequenceOfUltrasoundRegions": [region(10, 30, 90, 90), region(150, 2, 180, 40)]}, None),
        ({**US, "SequenceOfUltrasoundRegions": [region(10, 20, 150, 90)], "BurnedInAnnotation": "YES"}, "burnt-in"),
    ],
)  # fmt: skip
def test_med_61_what_the_header_suspects(attributes, reason):
    risk = risk_of(header(**attributes))
    assert (risk.reason if risk else None) == reason


@pytest.mark.parametrize(
    ("position", "with_data", "suspected"), [(0, False, True), (12, False, False), (0, True, False)]
)
def test_med_61_an_overlay_in_stored_bits_is_suspected(position, with_data, suspected):
    """Bits beyond BitsStored are masked when pixels are decoded; overlay data of its own lies apart (PS3.3 C.9.2)."""
    dataset = header()
    dataset.add_new((0x6000, 0x0102), "US", position)
    if with_data:
        dataset.add_new((0x6000, 0x3000), "OW", b"\0\0")
    risk = risk_of(dataset)
    assert (risk is not None and risk.reason == "overlay-in-pixels") == suspected


def test_a_risk_quotes_no_header():
    dataset = header(ImageType=["ORIGINAL", "PRIMARY", "SCREENSAVE SMITH"], BurnedInAnnotation="NO")
    assert "SMITH" not in risk_of(dataset).message


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_med_61_regions_end_one_pixel_after_the_last_inside():
    items = [region(10, 20, 150, 90), region(0, 50, 20, 99), region(30, 30, 29, 40)]
    dataset = header(**US, SequenceOfUltrasoundRegions=items)

    assert ultrasound_boxes(dataset) == ((10, 20, 151, 91), (0, 50, 21, 100))
    assert crop_box(ultrasound_boxes(dataset)) == (0, 20, 151, 100)


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize(
    ("beside", "fits"),
    [
        (region(10, 20, 199, 99), True),
        (region(10, 20, 200, 100), True),  # the edge in the place of the last pixel, as Philips writes it
        (region(10, 20, 201, 90), False),
        (region(10, 20, 90, 101), False),
        (region(-1, 20, 90, 90), False),
        (region(10, -1, 90, 90), False),
        (region(300, 20, 400, 90), False),
    ],
)
def test_med_61_regions_that_reach_beyond_the_image_are_none(beside, fits):
    """They were drawn for another size of the image, and so was the sound one beside them."""
    dataset = header(**US, SequenceOfUltrasoundRegions=[region(30, 40, 60, 70), beside])
    x0, y0 = beside.RegionLocationMinX0, beside.RegionLocationMinY0
    x1, y1 = beside.RegionLocationMaxX1, beside.RegionLocationMaxY1
    last = (min(x1 + 1, 200), min(y1 + 1, 100))

    assert ultrasound_boxes(dataset) == (((30, 40, 61, 71), (x0, y0, *last)) if fits else ())
    risk = risk_of(dataset)
    if fits:
        assert risk is None
    else:
        assert (risk.reason, "beyond the image" in risk.message) == ("ultrasound-without-regions", True)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("frames", [None, 3])
def test_med_61_nothing_outside_of_any_region_is_left(colour, frames):
    """Grey and colour, with frames and without; three columns, so that they are no channels by mistake."""
    shape = ((frames,) if frames else ()) + (5, 3) + ((3,) if colour else ())
    pixels = np.random.default_rng(0).integers(1, 255, shape, np.uint8)
    kept = keep_only(pixels, [(0, 0, 1, 2), (2, 3, 3, 5)], colour=colour)

    inside = np.zeros((5, 3), bool)
    inside[0:2, 0] = inside[3:5, 2] = True
    whole = np.broadcast_to(inside[..., None] if colour else inside, shape)
    assert (kept[whole] == pixels[whole]).all()
    assert (kept[~whole] == 0).all()
    assert pixels.min() > 0  # the input is as it was


def test_keep_only_without_regions_keeps_nothing_and_fills_with_what_is_black():
    pixels = np.full((4, 4), 7, np.int16)
    assert (keep_only(pixels, [], colour=False, blank=-1024) == -1024).all()
    with pytest.raises(ValueError, match="rows and columns"):
        keep_only(np.zeros(4), [], colour=False)


def test_med_61_no_pixel_of_a_glyph_outside_of_the_regions_is_left():
    clean = np.random.default_rng(1).integers(0, 255, (200, 300), np.uint8)
    image = PillowImage.fromarray(clean)
    drawing = ImageDraw.Draw(image)
    drawing.text((5, 2), "ASHDOWN^AVELINA 17.04.1931", font=ImageFont.load_default(20), fill=255)
    drawing.text((205, 170), "ID 4711", font=ImageFont.load_default(20), fill=255)
    with_text = np.asarray(image)
    boxes = [(10, 40, 150, 160), (160, 60, 290, 160)]

    assert (with_text != clean).any()
    assert (keep_only(with_text, boxes, colour=False) == keep_only(clean, boxes, colour=False)).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CT_small.dcm", None),
        ("MR_small.dcm", "derived-secondary"),
        ("examples_overlay.dcm", "derived-secondary"),  # a reformatted slice
        ("SC_rgb_rle.dcm", "secondary-capture"),
        ("examples_jpeg2k.dcm", "ultrasound-without-regions"),  # shows the name of its hospital
        ("examples_ybr_color.dcm", "ultrasound-without-regions"),  # its region is of a larger image
        ("examples_palette.dcm", "ultrasound-without-regions"),  # so are both of its
    ],
)
def test_med_61_real_headers(name, reason):
    dataset = pydicom.dcmread(get_testdata_file(name, download=False), stop_before_pixels=True)
    risk = risk_of(dataset)
    assert (risk.reason if risk else None) == reason


@pytest.mark.parametrize(
    ("name", "last", "boxes"),
    [
        # As dcmdump prints them. 800 x 350 px: MaxX1 of 800 is the edge, MaxY1 of 518 and 576 lie beyond.
        ("examples_palette.dcm", [(800, 518), (743, 576)], ()),
        ("examples_ybr_color.dcm", [(595, 414)], ()),  # 320 x 240 px
        ("OBXXXX1A_rle_2frame.dcm", [(800, 518), (743, 576)], ((120, 60, 800, 519), (176, 522, 744, 577))),  # 800 x 600
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", [(1010, 758)], ((14, 38, 1011, 759),)),  # 1024 x 768
    ],
)
def test_med_61_real_regions_of_ultrasound(name, last, boxes, real_data):
    folder = real_data / "medical/pydicom__pydicom-data/data_store/data"
    path = get_testdata_file(name, download=False) or folder / name
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    regions = dataset.SequenceOfUltrasoundRegions

    assert [(item.RegionLocationMaxX1, item.RegionLocationMaxY1) for item in regions] == last
    assert ultrasound_boxes(dataset) == boxes


def test_med_61_real_ultrasound_is_cut_to_regions_or_left_out(real_data: Path):
    """Of all ultrasound in the shared data either regions lie within the image, or the header is suspected."""
    seen = 0
    for path in sorted((real_data / "medical").rglob("*.dcm")):
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        except (pydicom.errors.InvalidDicomError, EOFError, ValueError, AttributeError, NotImplementedError):
            continue
        if not is_ultrasound(dataset):
            continue
        seen += 1
        boxes = ultrasound_boxes(dataset)
        assert boxes or risk_of(dataset) is not None
        assert all(0 <= x0 < x1 <= dataset.Columns and 0 <= y0 < y1 <= dataset.Rows for x0, y0, x1, y1 in boxes)
    assert seen >= 3
