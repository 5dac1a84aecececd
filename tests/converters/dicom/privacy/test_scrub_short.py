"""Short forms in reports: numbers of the social security, two-digit years and times of the day go, findings stay."""

from __future__ import annotations

import pytest

from domainvl.converters.dicom.privacy.dates import DateShift
from domainvl.converters.dicom.privacy.identifiers import Identifier, IdentifierKind
from domainvl.converters.dicom.privacy.scrub import scrub


def scrubbed(text, *known, **options):
    return scrub(text, known, lambda identifier: None, **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SSN 123-45-6789", "[ID]"),
        ("of 123-45-6789.", "of [ID]."),
        ("Compared with 7/11/19 at 9:33 am.", "Compared with [DATE] at [TIME]"),
        ("7/11/19-8/1/19", "[DATE]-[DATE]"),
        ("dictated 17-APR-23 12:05:59 PM today", "dictated [DATE] [TIME] today"),
        ("at 9.33 a.m., by phone", "at [TIME], by phone"),
        ("um 14:05 Uhr", "um [TIME]"),
        ("CT vom 07.11.19.", "CT vom [DATE]."),
        ("CT vom 07.11.19, MRT", "CT vom [DATE], MRT"),
    ],
)
def test_med_62_short_forms_are_replaced(text, expected):
    result = scrubbed(text)
    assert (result.text, result.residual) == (expected, ())


@pytest.mark.parametrize(
    "text",
    [
        "3/4 of the lobe, 10/12 cm, T2/FLAIR, L4/5, 1/2, Grade 2/6",
        "at 10:30, 2:30 h after injection, ratio 3:15, 9:33 ampullary, 4:3 am",
        "5/10/15 min, nodules of 10/12/14 mm, 07.13.19, 1.2.10, 107.11.19, 07.11.190",
        "10:30 o'clock, 25:10 am, 1:75 pm",
    ],
)
def test_med_62_measurements_levels_and_places_on_a_clock_stay(text):
    assert scrubbed(text).text == text


def test_med_62_a_short_date_is_not_moved_for_its_order_is_not_known():
    shift = DateShift(b"0123456789abcdef")
    result = scrubbed("7/11/19 and 11.07.19", shift_date=lambda date: shift.shifted(date, "p"))
    assert result.text == "[DATE] and [DATE]"


def test_med_62_the_second_look_hunts_short_numbers_too():
    """A data set has too many numbers for that; a report has not."""
    known = Identifier(IdentifierKind.ID, "4711", "PatientID")
    assert scrubbed("see x4711.pdf", known).residual == ("phi-canary",)
    assert scrubbed("see 4711.pdf", known).residual == ()


def test_med_62_the_second_look_passes_over_the_tag_of_a_time():
    known = Identifier(IdentifierKind.ID, "TIME", "PatientID")
    assert scrubbed("at 9:33 am", known).residual == ()
    assert scrubbed("sometimes", known).residual == ("phi-canary",)


@pytest.mark.parametrize("text", ["1:11:" * 4_000, "9:33 " * 4_000, "01.01." * 3_000 + "x", "9" * 20_000])
def test_med_62_long_texts_of_parts_of_short_forms_stay(text):
    assert scrubbed(text).text == text
