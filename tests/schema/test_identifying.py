"""Patterns of identifiers: long texts take no longer by the square of their length, and what is divided is found."""

from __future__ import annotations

import pytest

from domainvl.schema.identifying import find_identifiers

LONG = 20_000
"""Characters; patterns that try all divisions of a run of blanks would take days for so many."""


def codes_in(text):
    return [code for code, _, _ in find_identifiers(text, dates=True)]


@pytest.mark.parametrize("label", ["MRN", "patient id", "Accession number", "medical record no", "accession", "Tel"])
@pytest.mark.parametrize("run", [" ", " \n", "\t", "_", "-", "- "])
def test_med_60_a_long_run_behind_a_label_ends_the_search(label, run):
    """With no number behind it; the cubic pattern took 8 s for 800 characters."""
    assert codes_in(label + run * (LONG // len(run)) + "!") == []


@pytest.mark.parametrize(
    "text",
    [
        "mrn" * (LONG // 3),
        "mrn-" * (LONG // 4),
        "patient " * (LONG // 8),
        "medical record " * (LONG // 15),
        "a'" * (LONG // 2) + "^",
        "é." * (LONG // 2) + "^",
        "a" * LONG + "^",
        "a." * (LONG // 2) + "@",
        "a@" + "b." * (LONG // 2),
        "1." * (LONG // 2),
        "tel 1" + " " * LONG + "x",
        "+1" * (LONG // 2) + "x",
        "1" + " " * LONG,
        "jan" * (LONG // 3),
        "jan" + " " * LONG,
        "C:" + "/" * LONG,
    ],
)
def test_med_60_long_texts_of_parts_of_identifiers_hold_none(text):
    assert codes_in(text) == []


@pytest.mark.parametrize("run", [" " * 60, "\n" + " " * 30, " : ", ".  :\n   ", '": "', " # ", "_-_", ".: "])
@pytest.mark.parametrize("label", ["MRN", "Patient ID", "patient_identifier", "Accession No"])
def test_med_60_a_number_is_found_however_far_from_its_label(label, run):
    """Forms of fixed width put many blanks between them, or a new line."""
    text = f"{label}{run}4711b"

    assert [(code, value) for code, _, value in find_identifiers(text, dates=True)] == [("phi-patient-id", text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MRN-17", True),
        ("AccessionNo_17", True),
        ("MRN " + "x" * 63 + "7", True),
        ("MRN " + "x" * 64 + "7", False),  # LO has 64 characters at most (PS3.5 6.2)
        ("Tel" + " " * 50 + "030 1234567", True),
    ],
)
def test_med_60_numbers_have_the_length_that_the_standard_gives_them(text, found):
    assert bool(codes_in(text)) is found


@pytest.mark.parametrize(("length", "found"), [(2, True), (64, True), (65, False)])
def test_med_60_components_of_names_have_64_characters_at_most(length, found):
    """PS3.5 6.2, PN."""
    assert codes_in("A" * length + "^Avelina") == (["phi-person-name"] if found else [])
