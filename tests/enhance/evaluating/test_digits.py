"""Numbers as text: no difference that there is reads as none."""

import pytest

from domainvl.enhance.evaluating.digits import fixed, short, signed


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0.5, -0.25, 1.25), ("+0.500", "-0.250", "+1.250")),
        ((0.00001234, 0.0000002, 0.00003), ("+0.000012", "+0.0000002", "+0.000030")),
        ((-0.0000996, -0.0002, -0.00001), ("-0.00010", "-0.00020", "-0.00001")),
        ((0.5, 1e-9, 1.0), ("+0.500", "+1e-09", "+1.000")),
        ((3e-9, -2e-9, 8e-9), ("+3.0e-09", "-2e-09", "+8e-09")),
        ((-0.0, -0.1, 0.0), ("0.000", "-0.100", "0.000")),
        ((1.0, None, None), ("+1.000",)),
    ],
)
def test_differences_have_the_digits_that_show_them(numbers, said):
    assert signed(*numbers, decimals=3) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(1234.5, "1234"), (1.26, "1.3"), (0.0999, "0.10"), (0.000432, "0.00043"), (4e-10, "4.0e-10"), (0.0, "0")],
)
def test_short_numbers_have_two_digits_and_no_needless_power_of_ten(value, said):
    assert short(value) == said


def test_what_rounds_to_zero_has_no_sign():
    assert (fixed(-0.001, 2), fixed(-0.01, 2), fixed(12.345, 1)) == ("0.00", "-0.01", "12.3")
