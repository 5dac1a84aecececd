from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_windowing

from domainvl.converters.medical.windows import CT_WINDOWS_HU, Window, parse_percentiles, parse_windows
from domainvl.errors import UsageError

VALUES = np.linspace(-1500, 3000, 4501)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (40, 80), (-600, 1500), (0.5, 2)])
def test_med_02_windows_equal_pydicoms(function, center, width):
    # pydicom maps to the range of the stored bits: 0..255 for 8 unsigned bits without a rescale.
    header = pydicom.Dataset()
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsStored, header.PixelRepresentation = 8, 0
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = center, width, function
    expected = apply_windowing(VALUES, header)
    np.testing.assert_allclose(Window(center, width, function).apply(VALUES), expected, atol=1e-9)


def test_med_02_linear_is_shifted_by_half_and_one_narrower():
    # PS3.3 C.11.2.1.2.1, center 2048 and width 4096: 0 gives 0 and 4095 gives the maximum, exactly.
    np.testing.assert_array_equal(Window(2048, 4096).apply(np.array([0.0, 4095.0])), [0.0, 255.0])
    # C.11.2.1.3.2: LINEAR_EXACT reaches the maximum only at 4096.
    exact = Window(2048, 4096, "LINEAR_EXACT").apply(np.array([0.0, 2048.0, 4096.0]))
    np.testing.assert_array_equal(exact, [0.0, 127.5, 255.0])


def test_med_02_width_one_is_a_threshold():
    # C.11.2.1.2.1: x <= c - 0.5 - (w - 1) / 2 is black, x > c - 0.5 + (w - 1) / 2 white.
    np.testing.assert_array_equal(Window(100, 1).apply(np.array([99.0, 99.5, 99.6, 100.0])), [0, 0, 255, 255])


def test_sigmoid_is_half_at_center_and_does_not_overflow():
    result = Window(100, 1e-3, "SIGMOID").apply(np.array([-1e9, 100.0, 1e9]))
    np.testing.assert_allclose(result, [0.0, 127.5, 255.0], atol=1e-12)


@pytest.mark.parametrize(
    ("window", "says"),
    [(Window(40, 0.5), "LINEAR window must be at least 1, got 0.5"), (Window(40, 1), None),
     (Window(40, 0.5, "LINEAR_EXACT"), None), (Window(40, 0, "SIGMOID"), "above 0, got 0")],
)  # fmt: skip
def test_widths_that_a_function_allows(window, says):
    problem = window.problem()
    assert problem is None if says is None else says in problem


def test_med_03_presets_are_the_customary_ones():
    assert CT_WINDOWS_HU == {
        "soft": (40, 400), "lung": (-600, 1500), "bone": (400, 1800), "brain": (40, 80),
        "mediastinum": (50, 350), "liver": (60, 160), "stroke": (40, 40), "subdural": (80, 200),
    }  # fmt: skip
    assert all(parse_windows(name)[0].window == Window(*values) for name, values in CT_WINDOWS_HU.items())
    assert all(parse_windows(name)[0].ct_only for name in CT_WINDOWS_HU)


def test_choices():
    auto, second, named, lung, own, narrow = parse_windows("auto, file:2,file:Lung ,lung,-30.5/12,0.5/0.25")
    assert (auto.window, auto.of_file, auto.name) == (None, False, "default window")
    assert (second.file_index, second.of_file, second.name) == (1, True, "window 2 of the file")
    assert (named.file_name, named.file_index, named.name) == ("lung", None, "window Lung of the file")
    assert (lung.window, lung.name) == (Window(-600, 1500), "lung window")
    assert (own.window, own.ct_only, own.name) == (Window(-30.5, 12), False, "window -30.5/12")
    assert narrow.window == Window(0.5, 0.25, "LINEAR_EXACT")


@pytest.mark.parametrize("setting", ["lungs", "40", "40/", "/40", "40/0", "40/-1", "a/b", "nan/40", "40/inf", "file:0",
                                     "file:", "file: ", "", "lung,,soft"])  # fmt: skip
def test_wrong_choices_are_refused_with_the_value_seen(setting):
    with pytest.raises(UsageError, match="soft, lung") as caught:
        parse_windows(setting)
    assert repr(setting.split(",")[1] if "," in setting else setting.strip()) in str(caught.value)


def test_a_window_asked_for_twice_is_refused():
    with pytest.raises(UsageError, match="once"):
        parse_windows("lung,soft,lung")


def test_percentiles_setting():
    assert parse_percentiles("1,99") == (1.0, 99.0)
    assert parse_percentiles("0.5, 100") == (0.5, 100.0)


@pytest.mark.parametrize("setting", ["", "1", "1,2,3", "99,1", "1,1", "-1,99", "1,101", "nan,99", "a,b"])
def test_wrong_percentiles_are_refused_with_the_value_seen(setting):
    with pytest.raises(UsageError, match="LOW,HIGH") as caught:
        parse_percentiles(setting)
    assert repr(setting) in str(caught.value)
