"""Long texts that are nearly names or numbers end, and what is known goes from them all the same."""

from __future__ import annotations

import pytest

from domainvl.converters.dicom.privacy.identifiers import Identifier, IdentifierKind
from domainvl.converters.dicom.privacy.scrub import scrub

LONG = 20_000
SMITH = Identifier(IdentifierKind.NAME, "Smith^John^S", "PatientName")


def scrubbed(text, *known):
    return scrub(text, known, lambda identifier: None).text


@pytest.mark.parametrize(
    "text",
    [
        "S " * (LONG // 2) + "x",  # S is a name and an initial: two ways to take each made 2^10000
        "S_" * (LONG // 2) + "x",
        "J. S. " * (LONG // 6) + "x",
        "0" * LONG + "x",
        "0 " * (LONG // 2) + "x",
        "dr " * (LONG // 3),
        "patient" + " \n" * (LONG // 2) + "!",
        "A-" * (LONG // 2),
        "A--" * (LONG // 3),
    ],
)
def test_med_62_long_texts_of_parts_of_names_are_left_as_they_are(text):
    known = (SMITH, Identifier(IdentifierKind.ID, "012-34", "PatientID"))

    assert scrubbed(text, *known) == text


def test_med_62_a_name_that_is_repeated_without_end_goes_as_a_whole():
    text = scrubbed("Smith " * 1000 + "was seen", SMITH)

    assert text.replace("[NAME]", "").split() == ["was", "seen"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Smith^John^S", "seen S. Smith, J.", "seen [NAME]."),
        ("Smith^S", "S Smith and Smith S", "[NAME] and [NAME]"),  # the only initial is a part itself
        ("Smith^Smith", "Smith Smith came", "[NAME] came"),
        ("Groß^GROSS", "Groß or Gross", "[NAME] or [NAME]"),
        ("Ng^Ng", "Ng Ng came", "[NAME] came"),
    ],
)
def test_med_62_parts_of_a_name_that_are_alike(name, text, expected):
    assert scrubbed(text, Identifier(IdentifierKind.NAME, name, "PatientName")) == expected
