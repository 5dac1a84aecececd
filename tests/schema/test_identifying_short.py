"""Short dates and numbers of the social security are identifiers; measurements, levels and ratios are none."""

from __future__ import annotations

import pytest

from domainvl.schema.identifying import find_identifiers
from domainvl.schema.validation.identifiers import Scanner


def found_in(text):
    return [(code, value) for code, _, value in find_identifiers(text, dates=True)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("SSN 123-45-6789", "SSN 123-45-6789"),
        ("SSN: 123456789.", "SSN: 123456789"),
        ("ssn=123 45 6789", "ssn=123 45 6789"),
        ("Social Security No. 123.45.6789", "Social Security No. 123.45.6789"),
        ("social security number xxx-xx-6789", "social security number xxx-xx-6789"),
        ("SSN ***-**-6789", "SSN ***-**-6789"),
        ("SSN 6789", "SSN 6789"),
        ("of 123-45-6789, seen", "123-45-6789"),
    ],
)
def test_med_60_numbers_of_the_social_security_are_found(text, value):
    assert ("phi-patient-id", value) in found_in(text)


@pytest.mark.parametrize(
    "text",
    ["000-12-3456, 666-12-3456, 900-12-3456", "123-00-4567, 123-45-0000", "1-123-45-6789", "123-45-67890",
     "lossn 1234, className 1234, SSN 12, SSN, ssn", "123-45-6789-1", "123-45-678", "0.123-45-6789"],
)  # fmt: skip
def test_other_numbers_are_none_of_the_social_security(text):
    """The Social Security Administration gives out none with a part of zeros, nor with a first of 666 or from 900."""
    assert found_in(text) == []


def test_med_60_a_number_under_a_key_that_names_it_is_found():
    codes = [code for code, _ in Scanner().scan_record({"ssn": 123456789, "className": 20230417})]
    assert codes == ["phi-patient-id"]


@pytest.mark.parametrize(
    "date",
    ["7/11/19", "07/11/19", "11/7/19", "31/12/20", "12/31/20", "1/1/00", "17-APR-23", "7-jul-19"],
)
@pytest.mark.parametrize("around", ["{}", "seen {}.", "({})", "on {}, stable", "{}: CT", "{} images", "{} at noon"])
def test_med_60_dates_with_two_digits_of_the_year_are_found(date, around):
    assert found_in(around.format(date)) == [("phi-date", date)]
    assert not [code for code, _, _ in find_identifiers(around.format(date), dates=False)]


def test_med_60_both_ends_of_a_span_of_dates_are_found():
    assert [value for _, value in found_in("7/11/19-8/1/19, 9/2/19")] == ["7/11/19", "8/1/19", "9/2/19"]


@pytest.mark.parametrize(
    "text",
    [
        "3/4, 10/12 cm, T2/FLAIR, L4/5, 1/2, 7/11",
        "1/2/3, 13/13/20, 32/1/20, 1/32/20, 0/1/20, 12/0/20",  # no such day or month
        "10/12/14 mm, 5/10/15 min, 12/24/30 fps, 10/10/10 %, 5/10/15mm, 1/10/20 years",
        "1/7/11/19, 7/11/19/4, T7/11/19, 1.7/11/19, 7/11/19.5, 7/11/190, 7/11/19a",
        "17-market-23, 17-APR-230, 17-APR-23-1, 1.17-APR-23",
        "numpy 1.26.10, GDAL 3.10.13, 24.12.00, 07.11.19",
    ],
)
def test_measurements_ratios_and_versions_are_no_dates(text):
    assert found_in(text) == []


@pytest.mark.parametrize(
    "text",
    ["ssn " * 5_000, "SSN" + " " * 20_000 + "x", "social " * 3_000, "1/1/" * 5_000, "123-45-" * 3_000, "1-" * 10_000],
)
def test_med_60_long_texts_of_parts_of_short_forms_hold_none(text):
    assert found_in(text) == []
