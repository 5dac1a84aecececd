from __future__ import annotations

import numpy as np
import pytest

from domainvl.converters.medical.looks import Levels, Look, OwnVoi, Source, render_levels
from domainvl.converters.medical.windows import Window
from domainvl.errors import UsageError


def image(values, background=None):
    values = np.asarray(values, np.float64)
    return Levels(values, np.zeros(values.shape, bool) if background is None else np.asarray(background))


def histogram(values, background_of=()):
    """The same as an image, by its different values and how often each occurs."""
    different, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(len(different))  # levels come in any order
    rank = np.argsort(order)
    levels = Levels(different[order].astype(float), np.isin(different[order], background_of), lambda: counts[order])
    return levels, lambda shades: shades[rank[places.reshape(np.shape(values))]]


@pytest.mark.parametrize("percentiles", ["1,99", "0,100", "2.5,50", "33,34"])
@pytest.mark.parametrize("size", [2, 3, 99, 1000])
def test_percentiles_of_counted_levels_are_those_of_the_pixels(percentiles, size):
    values = np.random.default_rng(size).integers(-50, 400, size)
    values[:2] = 0, 1  # never of one value
    look = Look.parse(percentiles=percentiles)
    levels, place = histogram(values)
    counted = render_levels(levels, look, Source("MR"), place=place).views[0]
    direct = render_levels(image(values), look, Source("MR")).views[0]
    if counted.details["window"]["from"] == "percentiles":
        expected = np.percentile(values, look.percentiles)
        np.testing.assert_allclose(counted.details["window"]["limits"], expected, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(counted.pixels, direct.pixels)


def test_background_is_black_and_not_counted():
    values = np.array([[-3000, -3000, 0], [50, 100, -3000]])
    levels, place = histogram(values, background_of=[-3000])
    view = render_levels(levels, Look.parse(percentiles="0,100"), Source("CT"), place=place).views[0]
    assert view.details["window"]["limits"] == [0, 100]
    # 50 of 0..100 is 127.5, which rounds to even.
    np.testing.assert_array_equal(view.pixels, [[0, 0, 0], [128, 255, 0]])
    inverted = render_levels(levels, Look.parse(percentiles="0,100"), Source("CT", inverted=True), place=place)
    np.testing.assert_array_equal(inverted.views[0].pixels, [[0, 0, 255], [127, 0, 0]])


def test_an_image_of_background_only_is_black_with_a_warning():
    rendered = render_levels(image([[1.0, 2.0]], [[True, True]]), Look.parse(), Source("MR"))
    assert not rendered.views[0].pixels.any()
    assert rendered.warnings == ("the image has one grey value only",)


def test_percentiles_of_nearly_one_value_become_the_range():
    values = np.zeros(1000)
    values[7] = 9
    view = render_levels(image(values), Look.parse(), Source("MR")).views[0]
    assert view.details["window"] == {"from": "range", "limits": [0, 9]}
    assert (view.pixels == 255).nonzero()[0].tolist() == [7]


def test_med_03_several_windows_are_several_views():
    levels = image(np.linspace(-1000, 1000, 500).reshape(20, 25))
    views = render_levels(levels, Look.parse("lung,40/400"), Source("CT")).views
    assert [view.name for view in views] == ["lung window", "window 40/400"]
    for view, window in zip(views, (Window(-600, 1500), Window(40, 400)), strict=True):
        np.testing.assert_array_equal(view.pixels, np.rint(window.apply(levels.values)))
    assert views[0].details["window"] == {"from": "lung", "center": -600, "width": 1500, "function": "LINEAR"}


def test_med_03_presets_hold_for_ct_only():
    levels = image(np.arange(100.0).reshape(10, 10))
    rendered = render_levels(levels, Look.parse("lung,soft"), Source("MR"))
    # Both come down to percentiles: one view, under the name of what it shows.
    assert [view.name for view in rendered.views] == ["default window"]
    assert rendered.views[0].details["window"]["from"] == "percentiles"
    assert [view.name for view in render_levels(levels, Look.parse("5/10,lung"), Source("MR")).views] == [
        "window 5/10", "default window"]  # fmt: skip


def test_med_03_rgb_of_three_that_are_the_same_stays_grey():
    look = Look.parse("lung,soft,bone", "rgb")
    (view,) = render_levels(image([[1.0, 2.0, 3.0]]), look, Source("MR")).views
    assert view.pixels.shape == (1, 3)
    assert view.name == "default window"


def test_med_03_rgb_repeats_a_window_that_two_choices_come_down_to():
    levels = image(np.arange(100.0).reshape(10, 10))
    (view,) = render_levels(levels, Look.parse("lung,50/20,soft", "rgb"), Source("MR")).views
    np.testing.assert_array_equal(view.pixels[..., 0], view.pixels[..., 2])
    assert (view.pixels[..., 0] != view.pixels[..., 1]).any()
    assert view.name == "red: default window, green: window 50/20, blue: default window"


@pytest.mark.parametrize("windows", ["auto", "lung,soft", "lung,soft,bone,brain"])
def test_med_03_rgb_takes_three_windows(windows):
    with pytest.raises(UsageError, match=f"three windows, got {windows.count(',') + 1}"):
        Look.parse(windows, "rgb")


def test_unknown_pack_is_refused():
    with pytest.raises(UsageError, match="images or rgb, got 'cmyk'"):
        Look.parse(pack="cmyk")


OWN = (OwnVoi(Window(10, 20), "bone", 0), OwnVoi(Window(30, 60), "soft tissue", 1))


@pytest.mark.parametrize(
    ("setting", "window"),
    [("auto", (10, 20)), ("file:1", (10, 20)), ("file:2", (30, 60)), ("file:Soft Tissue", (30, 60)),
     ("file:bone", (10, 20))],
)  # fmt: skip
def test_med_02_windows_of_the_file_by_number_and_explanation(setting, window):
    rendered = render_levels(image([[1.0, 2.0]]), Look.parse(setting), Source("CT", OWN))
    shown = rendered.views[0].details["window"]
    assert (shown["center"], shown["width"]) == window
    assert rendered.warnings == ()


@pytest.mark.parametrize("setting", ["file:3", "file:brain"])
def test_med_02_a_window_that_the_file_has_not_is_said(setting):
    rendered = render_levels(image([[1.0, 2.0]]), Look.parse(setting), Source("CT", OWN))
    assert rendered.warnings == (f"the file has no such window ({setting}): the default window is shown",)
    assert rendered.views[0].name == "default window"
    assert rendered.views[0].details["window"]["center"] == 10


def test_warnings_on_the_files_windows_stand_only_where_these_would_be_shown():
    source = Source("CT", (), ("the file's window was not used",))
    levels = image([[1.0, 2.0]])
    assert render_levels(levels, Look.parse("lung"), source).warnings == ()
    assert render_levels(levels, Look.parse("auto"), source).warnings == ("the file's window was not used",)


def test_windows_asked_for_are_in_scaled_units_and_those_of_the_file_are_not():
    levels = image([[0.0, 500.0, 1000.0, 2000.0]])
    scaled = Source("PT", (OwnVoi(Window(1000.5, 2001)),), scale=0.01)
    # SUV 0..20, without the half and the one of LINEAR.
    (suv,) = render_levels(levels, Look.parse("10/20"), scaled).views
    np.testing.assert_array_equal(suv.pixels, [[0, 64, 128, 255]])
    assert suv.details["window"]["function"] == "LINEAR_EXACT"
    # The file's own window spans stored activity 0..2000.
    (own,) = render_levels(levels, Look.parse("auto"), scaled).views
    np.testing.assert_array_equal(own.pixels, [[0, 64, 128, 255]])
    (limits,) = render_levels(levels, Look.parse(percentiles="0,100"), Source("PT", scale=0.01)).views
    assert limits.details["window"]["limits"] == [0, 20]
