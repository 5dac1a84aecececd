"""Reports without identifiers: what headers name, what has a form, and the findings that must stay."""

from __future__ import annotations

import unicodedata

import pytest
from planted import MARK, plant_archive, planted_dataset

from domainvl.converters.dicom.privacy.dates import DateShift
from domainvl.converters.dicom.privacy.identifiers import Identifier, IdentifierKind, identifiers_of
from domainvl.converters.dicom.privacy.scrub import scrub

KNOWN = (
    Identifier(IdentifierKind.NAME, "Ashdown^Avelina^Maria^^Dr", "PatientName"),
    Identifier(IdentifierKind.NAME, "O'Brien^Sean", "ReferringPhysicianName"),
    Identifier(IdentifierKind.NAME, "Müller^Özgür", "OperatorsName"),
    Identifier(IdentifierKind.NAME, "Ng^An", "PhysiciansOfRecord"),
    Identifier(IdentifierKind.NAME, "Long^Mark", "OperatorsName"),
    Identifier(IdentifierKind.ID, "AS-0-000001", "PatientID"),
    Identifier(IdentifierKind.ID, "0012345", "AccessionNumber"),
    Identifier(IdentifierKind.UID, "1.2.3.4.5", "StudyInstanceUID"),
    Identifier(IdentifierKind.PLACE, "St. Mary Imaging", "InstitutionName"),
    Identifier(IdentifierKind.CONTACT, "0301234567", "PatientTelephoneNumbers"),
)
STANDS = {"PatientName": "p1", "PatientID": "p1", "AccessionNumber": "s1"}


def scrubbed(text, **options):
    return scrub(text, KNOWN, lambda identifier: STANDS.get(identifier.keyword), **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ashdown^Avelina", "[NAME p1]"),
        ("seen Avelina Ashdown.", "seen [NAME p1]."),
        ("ASHDOWN, AVELINA M.", "[NAME p1]."),
        ("Ashdown's nodule", "[NAME p1] nodule"),
        ("A. Ashdown", "[NAME p1]"),
        ("Mrs. Ashdown", "[NAME p1]"),
        ("Mrs. Ashdown Smith came", "[NAME p1] came"),  # what is known decides what stands for the whole
        ("Dr. Sean O'Brien called", "[NAME] called"),
        ("Herr " + unicodedata.normalize("NFD", "Müller") + " kam", "[NAME] kam"),
        ("An Ng and Ng, An", "[NAME] and [NAME]"),
        ("ID AS0000001 or AS 0 000001", "ID [ID p1] or [ID p1]"),
        ("12345, 0012345 and 00-12345", "[ID s1], [ID s1] and [ID s1]"),
        ("study 1.2.3.4.5", "study [UID]"),
        ("at St Mary Imaging", "at [PLACE]"),
        ("call 030 1234567", "call [CONTACT]"),
    ],
)
def test_med_62_identifiers_of_the_header_are_replaced_by_their_pseudonyms(text, expected):
    result = scrubbed(text)
    assert result.text == expected
    assert result.residual == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 2019-08-07 and 8/7/2018", "on [DATE] and [DATE]"),
        ("on April 3, 2020", "on [DATE]"),
        ("call 555-123-4567", "call [CONTACT]"),
        ("mail a.b@clinic.example", "mail [CONTACT]"),
        ("see https://pacs.example/x?id=1 now", "see [URL] now"),
        ("MRN: 778899", "[ID]"),
        ("Dictated by: John Q Smith", "Dictated by: [NAME]"),
        ("Discussed with Dr. van der Berg.", "Discussed with [NAME]."),
        ("Electronically signed by Jane Roe at noon", "Electronically signed by [NAME] at noon"),
        ("a 93-year-old woman", "a [AGE]-year-old woman"),
        ("an 87-year-old woman", "an 87-year-old woman"),
        ("at Mercy General Hospital", "at [PLACE]"),
        ("SMITH^JOHN", "[NAME]"),
        ("SOP 1.2.840.113619.2.55.3.604688119", "SOP [UID]"),
    ],
)
def test_med_62_what_has_a_form_is_replaced_without_being_known(text, expected):
    result = scrub(text, (), lambda identifier: None)
    assert result.text == expected
    assert result.residual == ()


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS: The right upper lobe nodule measures 12 x 14 mm (series 3, image 45).",
        "IMPRESSION: No pneumothorax. Mild cardiomegaly, unchanged; T2 signal at L4-L5 of 3.5 cm.",
        "a long segment with a mark, an area of brown fat",
        "Reported by radiology. The patient: stable. Discussed with the team.",
        "3 of 12345678 cells, 10:30, 120 kV, 1.5 T, TI-RADS 4, ACR 2017",
        "right hilum 1.2.3 cm; ratio 1/2/3",
    ],
)
def test_med_62_findings_stay_as_they_are(text):
    assert scrubbed(text).text == text


def test_counts_are_by_kind_and_shifted_dates_keep_their_intervals():
    shift = DateShift(b"0123456789abcdef")
    moved = shift.shifted("20190807", "p")
    result = scrubbed("Ashdown on 2019-08-07 and 8/7/2019", shift_date=lambda date: shift.shifted(date, "p"))

    assert result.text == f"[NAME p1] on [DATE {moved}] and [DATE]"
    assert result.counts == {"DATE": 2, "NAME": 1}
    assert result.residual == ()


def test_med_62_a_second_look_finds_what_the_first_could_not():
    """A name in lower case is taken for words; a name run together is none of the forms that are replaced."""
    assert scrubbed("avelina ashdown was here").residual == ("phi-canary",)
    assert scrubbed("see avelinaashdown.pdf").residual == ("phi-canary",)


def test_med_62_the_planted_report_holds_no_mark(tmp_path):
    planted = plant_archive(tmp_path / "planted")
    [report] = planted.reports.iterdir()
    text = report.read_text()
    assert MARK in text and MARK.title() in text

    result = scrub(text, identifiers_of(planted_dataset(0)), lambda identifier: None)

    assert MARK.lower() not in result.text.lower()
    for canary in planted.canaries:
        assert canary not in result.text
    assert "nodule of 8 mm" in result.text and "IMPRESSION: Nodule." in result.text
    assert result.residual == ()
