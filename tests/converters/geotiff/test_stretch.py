"""From values to 8 bits, by formula."""

import numpy as np
import pytest

from domainvl.converters.geotiff.settings import StretchMode
from domainvl.converters.geotiff.stretch import Stretch, check_types, choose_mode, find_limits
from domainvl.errors import ItemError

FLOAT, UINT8, UINT16, INT16 = (np.dtype(name) for name in ("float32", "uint8", "uint16", "int16"))


def limits_of(mode, values, dtype=FLOAT, scale=1.0, offset=0.0):
    return find_limits(mode, dtype, np.asarray(values, dtype=np.float64), scale, offset)


def test_fixed_limits_give_hand_computed_bytes():
    # (value - 100) / 400 * 255: below 0, 0, 63.75, 127.5 (to even: 128), 255, above 255
    pixels = np.array([0, 100, 200, 300, 500, 65535], dtype=np.uint16)
    assert Stretch(100.0, 500.0).apply(pixels).tolist() == [0, 0, 64, 128, 255, 255]


def test_geo_04_scale_and_offset_give_hand_computed_bytes():
    # DN * 1e-4 - 0.1 is 0, 0.1, 0.15, 0.3, 0.4; of 0..0.3 that is 0, 85, 127.5 (128), 255, above
    stretch = Stretch(0.0, 0.3, scale=1e-4, offset=-0.1)
    pixels = np.array([1000, 2000, 2500, 4000, 5000], dtype=np.uint16)
    assert stretch.apply(pixels).tolist() == [0, 85, 128, 255, 255]
    assert stretch.apply(pixels.astype(np.float64)).tolist() == [0, 85, 128, 255, 255]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_the_table_of_an_integer_type_gives_what_the_formula_does(dtype):
    """Each value of the type, negative ones too."""
    info = np.iinfo(dtype)
    pixels = np.arange(info.min, info.max + 1).astype(dtype).reshape(16, -1)
    stretch = Stretch(-20.0, 90.0, scale=0.5, offset=3.0)
    expected = np.rint(np.clip((pixels.astype(float) * 0.5 + 3.0 + 20.0) / 110.0, 0, 1) * 255)
    assert (stretch.apply(pixels) == expected).all()


def test_values_that_are_not_finite_give_no_warning_and_a_byte():
    with np.errstate(all="raise"):
        assert Stretch(0.0, 1.0).apply(np.array([np.nan, np.inf, -np.inf])).tolist() == [0, 0, 0]


def test_uint8_is_left_alone_by_default():
    assert choose_mode(None, [UINT8, UINT8], uri="a.tif") == StretchMode("none")
    pixels = np.arange(256, dtype=np.uint8)
    assert (Stretch(*limits_of(StretchMode("none"), [], UINT8)).apply(pixels) == pixels).all()


def test_other_types_are_stretched_between_percentiles_by_default():
    assert choose_mode(None, [UINT8, UINT16], uri="a.tif") == StretchMode("percentile", 2.0, 98.0)


def test_dtype_takes_the_whole_range_of_the_type():
    assert limits_of(StretchMode("dtype"), [], INT16) == (-32768.0, 32767.0)
    # A negative scale turns it round.
    assert limits_of(StretchMode("dtype"), [], UINT8, scale=-2.0, offset=10.0) == (-500.0, 10.0)


def test_geo_02_stddev_is_the_mean_and_so_many_deviations():
    # Mean 4, deviation sqrt((9 + 1 + 1 + 9) / 4) = sqrt(5).
    low, high = limits_of(StretchMode("stddev", 0.0, 2.0), [1.0, 3.0, 5.0, 7.0])
    assert (low, high) == pytest.approx((4 - 2 * 5**0.5, 4 + 2 * 5**0.5), abs=1e-12)


def test_percentiles_are_those_of_the_definition():
    # Of 0..100 the percentile of p is p.
    assert limits_of(StretchMode("percentile", 2.0, 98.0), np.arange(101)) == pytest.approx((2.0, 98.0))


@pytest.mark.parametrize("mode", [StretchMode("percentile", 2.0, 98.0), StretchMode("stddev", 0.0, 2.0)])
def test_one_value_does_not_divide_by_zero(mode):
    low, high = limits_of(mode, np.full(50, 700.0))
    with np.errstate(all="raise"):
        assert Stretch(low, high).apply(np.full(3, 700, np.uint16)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("dtype", "kind"), [(UINT16, "none"), (FLOAT, "none"), (FLOAT, "dtype")])
def test_a_method_that_does_not_suit_the_type_is_refused(dtype, kind):
    with pytest.raises(ItemError, match=rf"in a\.tif.*{dtype.name}.*Use --stretch") as error:
        choose_mode(StretchMode(kind), [dtype], uri="a.tif")
    assert error.value.reason == "pixel-type"


def test_complex_pixels_are_refused():
    with pytest.raises(ItemError, match="complex64") as error:
        check_types([np.dtype("uint8"), np.dtype("complex64")], uri="slc.tif")
    assert error.value.reason == "pixel-type"
