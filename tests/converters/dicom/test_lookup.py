from __future__ import annotations

import numpy as np
import pydicom
import pytest

from domainvl.converters.dicom.lookup import LookupTable, own_vois
from domainvl.converters.medical.windows import Window


def lut_item(first, bits, data, count=None, **attributes):
    item = pydicom.Dataset()
    item.LUTDescriptor = [len(data) if count is None else count, first, bits]
    item.LUTData = data
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def header_with(**attributes):
    header = pydicom.Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


def read(item, **options):
    return LookupTable.read(item, **({"signed_input": False, "little_endian": True} | options))


def test_lookup_table_clamps_at_both_ends_and_scales_by_its_bits():
    table = read(lut_item(10, 8, [0, 100, 255]))
    values = np.array([-5.0, 10.0, 11.0, 12.0, 4000.0])
    np.testing.assert_array_equal(table.apply(values), [0, 0, 100, 255, 255])
    np.testing.assert_allclose(read(lut_item(0, 12, [0, 4095])).apply(np.array([0.0, 1.0])), [0, 255])


def test_entries_beyond_their_bits_are_white():
    np.testing.assert_array_equal(read(lut_item(0, 8, [0, 300])).apply(np.array([1.0])), [255])


def test_lookup_table_may_start_below_zero():
    # 65534 is -2 where the descriptor was read as unsigned.
    item = lut_item(65534, 8, [7, 8, 9])
    np.testing.assert_array_equal(read(item, signed_input=True).look_up(np.array([-3.0, -1.0, 0.0])), [7, 8, 9])
    np.testing.assert_array_equal(read(item).look_up(np.array([-1.0, 65535.0])), [7, 8])


@pytest.mark.parametrize(("content", "little"), [(b"\x01\x02\x03\x04", True), (b"\x02\x01\x04\x03", False)])
def test_lookup_table_bytes_follow_the_byte_order(content, little):
    table = read(lut_item(0, 16, content, count=2), little_endian=little)
    np.testing.assert_array_equal(table.entries, [0x0201, 0x0403])


def test_a_count_of_zero_is_65536():
    # PS3.3 C.11.1.1: the number of entries 65536 is written as 0.
    table = read(lut_item(0, 16, np.arange(65536, dtype="<u2").tobytes(), count=0))
    assert table.look_up(np.array([65535.0])) == [65535]


@pytest.mark.parametrize(("bits", "count"), [(8, 3), (0, 2), (17, 2)])
def test_malformed_tables_are_refused(bits, count):
    with pytest.raises(ValueError, match="lookup table"):
        read(lut_item(0, bits, [1, 2], count=count))


def test_med_02_all_windows_of_a_header_with_their_explanations():
    header = header_with(
        WindowCenter=[450, 40], WindowWidth=[1600, 80], WindowCenterWidthExplanation=["Bone", "Brain "]
    )
    own, warnings = own_vois(header, signed_input=False)
    assert [(voi.voi, voi.name) for voi in own] == [(Window(450, 1600), "bone"), (Window(40, 80), "brain")]
    assert warnings == ()


def test_med_02_windows_keep_their_numbers_where_one_cannot_be_used():
    own, warnings = own_vois(header_with(WindowCenter=[1, 40], WindowWidth=[0, 80]), signed_input=False)
    assert [(voi.voi, voi.index) for voi in own] == [(Window(40, 80), 1)]
    assert warnings == ("the file's window was not used: the width of a LINEAR window must be at least 1, got 0",)


def test_tables_are_numbered_where_there_are_no_windows():
    header = header_with(VOILUTSequence=[lut_item(0, 8, [1, 2]), lut_item(0, 8, [3, 4])])
    assert [voi.index for voi in own_vois(header, signed_input=False)[0]] == [0, 1]
    header.WindowCenter, header.WindowWidth = 40, 80
    assert [voi.index for voi in own_vois(header, signed_input=False)[0]] == [None, None, 0]


def test_tables_come_before_windows():
    table = lut_item(0, 8, [1, 2], LUTExplanation="Normal")
    header = header_with(VOILUTSequence=[table], WindowCenter=40, WindowWidth=80)
    own, _ = own_vois(header, signed_input=False)
    assert [voi.name for voi in own] == ["normal", ""]
    assert own[0].voi == read(table)
    assert own[1].voi == Window(40, 80)


@pytest.mark.parametrize(("function", "width", "used"), [("LINEAR", 0.5, False), ("LINEAR_EXACT", 0.5, True),
                                                         ("SIGMOID", 0.5, True), ("SIGMOID", 0, False)])  # fmt: skip
def test_med_02_file_window_too_narrow_for_its_function_is_left_with_a_warning(function, width, used):
    own, warnings = own_vois(
        header_with(WindowCenter=40, WindowWidth=width, VOILUTFunction=function), signed_input=False
    )
    assert bool(own) == used
    assert bool(warnings) != used


def test_unknown_voi_function_is_read_as_linear_with_a_warning():
    own, warnings = own_vois(header_with(WindowCenter=40, WindowWidth=80, VOILUTFunction="CUBIC"), signed_input=False)
    assert own[0].voi == Window(40, 80)
    assert len(warnings) == 1
    assert "CUBIC" not in warnings[0]


def test_a_window_without_a_width_is_none():
    assert own_vois(header_with(WindowCenter=40), signed_input=False) == ((), ())
