"""Shifted dates: intervals stay, days do not, and the key decides."""

from __future__ import annotations

import datetime

import pytest

from domainvl.converters.dicom.privacy.dates import DateShift

KEY = b"0123456789abcdef"


def days_between(one: str, other: str) -> int:
    return (datetime.date.fromisoformat(other) - datetime.date.fromisoformat(one)).days


def test_med_60_dates_of_a_patient_keep_their_intervals_and_lose_their_days():
    shift = DateShift(KEY)
    first, later = shift.shifted("20190807", "id", "P1"), shift.shifted("20200301", "id", "P1")

    assert days_between(first, later) == days_between("2019-08-07", "2020-03-01") == 207
    moved = days_between("2019-08-07", first)
    assert moved == shift.days("id", "P1")
    assert -4019 <= moved <= -366


def test_patients_and_keys_move_by_other_numbers():
    patients = [f"P{number}" for number in range(200)]
    moves = [DateShift(KEY).days(patient) for patient in patients]

    assert len(set(moves)) > 150
    assert min(moves) < -3000 and max(moves) > -1000
    assert moves == [DateShift(KEY).days(patient) for patient in patients]
    assert moves != [DateShift(KEY[::-1]).days(patient) for patient in patients]


@pytest.mark.parametrize("date", ["2019-08-07", "20190807101112.5", "2019.08.07", " 20190807 "])
def test_forms_of_a_date(date):
    assert DateShift(KEY).shifted(date, "P1") == DateShift(KEY).shifted("20190807", "P1")


@pytest.mark.parametrize("date", ["", "2019", "20191399", "19000230", "unknown", "00010101", "２０１９０８０７"])
def test_what_is_no_date_is_none(date):
    assert DateShift(KEY).shifted(date, "P1") is None
