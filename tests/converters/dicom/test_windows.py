from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_windowing

from domainvl.converters.dicom.windows import CT_WINDOWS_HU, LookupTable, Window, parse_window, window_for, window_of
from domainvl.errors import UsageError

VALUES = np.linspace(-1500, 3000, 4501)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (40, 80), (-600, 1500), (0.5, 2)])
def test_windows_equal_pydicoms(function, center, width):
    # pydicom maps to the range of the stored bits: 0..255 for 8 unsigned bits without a rescale.
    header = pydicom.Dataset()
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsStored, header.PixelRepresentation = 8, 0
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = center, width, function
    expected = apply_windowing(VALUES, header)
    np.testing.assert_allclose(Window(center, width, function).apply(VALUES), expected, atol=1e-9)


def test_linear_is_shifted_by_half_and_one_narrower():
    # PS3.3 C.11.2.1.2.1, center 2048 and width 4096: 0 gives 0 and 4095 gives the maximum, exactly.
    np.testing.assert_array_equal(Window(2048, 4096).apply(np.array([0.0, 4095.0])), [0.0, 255.0])
    # C.11.2.1.3.2: LINEAR_EXACT reaches the maximum only at 4096.
    exact = Window(2048, 4096, "LINEAR_EXACT").apply(np.array([0.0, 2048.0, 4096.0]))
    np.testing.assert_array_equal(exact, [0.0, 127.5, 255.0])


def test_width_one_is_a_threshold():
    # C.11.2.1.2.1: x <= c - 0.5 - (w - 1) / 2 is black, x > c - 0.5 + (w - 1) / 2 white.
    np.testing.assert_array_equal(Window(100, 1).apply(np.array([99.0, 99.5, 99.6, 100.0])), [0, 0, 255, 255])


def test_sigmoid_is_half_at_center_and_does_not_overflow():
    result = Window(100, 1e-3, "SIGMOID").apply(np.array([-1e9, 100.0, 1e9]))
    np.testing.assert_allclose(result, [0.0, 127.5, 255.0], atol=1e-12)


@pytest.mark.parametrize(("function", "width", "used"), [("LINEAR", 0.5, False), ("LINEAR_EXACT", 0.5, True),
                                                         ("SIGMOID", 0.5, True), ("SIGMOID", 0, False)])  # fmt: skip
def test_file_window_too_narrow_for_its_function_is_left_with_a_warning(function, width, used):
    header = pydicom.Dataset()
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 40, width, function
    window, warning = window_of(header)
    assert (window is not None) == used
    assert (warning is None) == used


def test_first_of_several_windows_is_used():
    header = pydicom.Dataset()
    header.WindowCenter, header.WindowWidth = [450, 40], [1600, 80]
    assert window_of(header) == (Window(450, 1600), None)


def test_unknown_voi_function_is_read_as_linear_with_a_warning():
    header = pydicom.Dataset()
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 40, 80, "CUBIC"
    window, warning = window_of(header)
    assert window == Window(40, 80)
    assert warning is not None
    assert "CUBIC" not in warning


def test_settings():
    assert parse_window("auto") is None
    assert parse_window("lung") == Window(-600, 1500)
    assert parse_window("-30.5/12") == Window(-30.5, 12)
    assert len(CT_WINDOWS_HU) == 6


@pytest.mark.parametrize("setting", ["lungs", "40", "40/", "40/0", "a/b", "nan/40", "40/inf"])
def test_wrong_setting_is_refused_with_the_value_seen(setting):
    with pytest.raises(UsageError, match="soft, lung") as caught:
        parse_window(setting)
    assert setting in str(caught.value)


def test_ct_windows_hold_for_ct_only():
    assert window_for("lung", "MR") is None
    assert window_for("lung", "CT") == Window(-600, 1500)
    assert window_for("40/400", "MR") == Window(40, 400)


def lut_item(first, bits, data, count=None):
    item = pydicom.Dataset()
    item.LUTDescriptor = [len(data) if count is None else count, first, bits]
    item.LUTData = data
    return item


def test_lookup_table_clamps_at_both_ends_and_scales_by_its_bits():
    table = LookupTable.read(lut_item(10, 8, [0, 100, 255]), signed_input=False, little_endian=True)
    values = np.array([-5.0, 10.0, 11.0, 12.0, 4000.0])
    np.testing.assert_array_equal(table.apply_to_grey(values), [0, 0, 100, 255, 255])
    twelve = LookupTable.read(lut_item(0, 12, [0, 4095]), signed_input=False, little_endian=True)
    np.testing.assert_allclose(twelve.apply_to_grey(np.array([0.0, 1.0])), [0, 255])


def test_lookup_table_may_start_below_zero():
    # 65534 is -2 where the descriptor was read as unsigned.
    table = LookupTable.read(lut_item(65534, 8, [7, 8, 9]), signed_input=True, little_endian=True)
    np.testing.assert_array_equal(table.apply(np.array([-3.0, -1.0, 0.0])), [7, 8, 9])


@pytest.mark.parametrize(("content", "little"), [(b"\x01\x02\x03\x04", True), (b"\x02\x01\x04\x03", False)])
def test_lookup_table_bytes_follow_the_byte_order(content, little):
    table = LookupTable.read(lut_item(0, 16, content, count=2), signed_input=False, little_endian=little)
    np.testing.assert_array_equal(table.entries, [0x0201, 0x0403])


def test_lookup_table_with_too_few_entries_is_refused():
    with pytest.raises(ValueError, match="3 entries holds 2"):
        LookupTable.read(lut_item(0, 8, [1, 2], count=3), signed_input=False, little_endian=True)
