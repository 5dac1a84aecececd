"""Headers with damaged elements: what is read of them, and what a damaged element costs."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom import DataElement
from pydicom.errors import BytesLengthException

from domainvl.converters.dicom.headers import PARSE_ERRORS, frame_header, is_malformed, numbers_of, value_of
from domainvl.errors import ItemError


def damaged(made, old, new):
    """Write, replace bytes in the file, and read again."""
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    content = file.getvalue()
    assert content.count(old) == 1
    assert len(old) == len(new)
    return pydicom.dcmread(io.BytesIO(content.replace(old, new)))


def test_med_51_an_element_of_an_unknown_kind_is_left_out(dataset):
    """PS3.5 6.2 has no value representation XX; pydicom raises when such an element is asked for."""
    made = damaged(dataset(SliceThickness="5.25"), b"DS\x04\x005.25", b"XX\x04\x005.25")
    header = frame_header(made, 0)
    assert "SliceThickness" not in header
    assert header.Rows == 8
    assert value_of(made, "SliceThickness") is None


def test_med_51_a_damaged_element_in_a_functional_group_is_left_out(dataset):
    item = pydicom.Dataset()
    item.PixelSpacing, item.SliceThickness = [0.5, 0.25], "7.75"
    group = pydicom.Dataset()
    group.PixelMeasuresSequence = [item]
    made = damaged(dataset(SharedFunctionalGroupsSequence=[group]), b"DS\x04\x007.75", b"XX\x04\x007.75")
    header = frame_header(made, 0)
    assert header.PixelSpacing == [0.5, 0.25]
    assert "SliceThickness" not in header


@pytest.mark.parametrize("new", [b"DS\x06\x00abc.de", b"XX\x06\x001.2500", b"OB\x06\x001.2500"])
def test_med_51_a_damaged_rescale_is_not_taken_for_none(dataset, new):
    """Without its slope, CT values would silently be no Hounsfield units (PS3.3 C.11.1)."""
    made = dataset(RescaleSlope="1.2500", RescaleIntercept="-1024")
    if new[:2] == b"OB":  # a length of four bytes after two of padding (PS3.5 7.1.2)
        made["RescaleSlope"] = DataElement("RescaleSlope", "OB", b"1.2500")
    else:
        made = damaged(made, b"DS\x06\x001.2500", new)
    with pytest.raises(ItemError) as caught:
        frame_header(made, 0)
    assert caught.value.reason == "header"
    assert "RescaleSlope" in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("value", ["1", "0", "", None, "-2.5e-1"])
def test_a_rescale_of_any_number_or_none_is_taken(dataset, value):
    made = dataset()
    made.RescaleSlope = value
    assert "RescaleSlope" in frame_header(made, 0)
    assert not is_malformed(made, "RescaleSlope")


def test_letters_and_bytes_are_no_list_of_numbers(dataset):
    made = dataset()
    made["EchoTime"] = DataElement("EchoTime", "LO", "12")
    made["SliceThickness"] = DataElement("SliceThickness", "OB", b"12")
    assert numbers_of(made, "EchoTime") == (12.0,)
    assert numbers_of(made, "SliceThickness") == ()
    assert is_malformed(made, "SliceThickness")
    assert not is_malformed(made, "FrameTime")


def test_med_51_a_value_of_an_odd_length_is_none(dataset):
    """An unsigned short of three bytes: pydicom raises an exception of its own, which is no ValueError."""
    made = damaged(dataset(PixelPaddingValue=7, HighBit=15), b"\x28\x00\x02\x01US\x02\x00\x0f\x00",
                   b"\x28\x00\x02\x01US\x01\x00\x0f\x00")  # fmt: skip
    with pytest.raises(BytesLengthException):
        _ = made.HighBit
    assert value_of(made, "HighBit") is None
    assert issubclass(BytesLengthException, PARSE_ERRORS)
