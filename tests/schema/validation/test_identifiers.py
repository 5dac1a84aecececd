"""Identifiers: what has their form is found, and what converters write is not."""

from __future__ import annotations

import hashlib
import json

import pytest

from domainvl.schema.validation.identifiers import Scanner, mask


def medical(**fields):
    return {"domainvl": {"domain": "medical", **fields}}


def codes_in(record):
    return [code for code, _ in Scanner().scan_record(record)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1.2.840.113619.2.55.3.604688119.971.1234567890.5", "phi-uid"),
        ("IM_1.3.12.2.1107.5.1.4.54693.30000005.dcm", "phi-uid"),
        ("1.2.826.0.1.3680043.8.498.1234567890", "phi-uid"),
        ("2.25.329800735698586629295641978511506172918", "phi-uid"),
        ("1.2.840.113704.7", "phi-uid"),
        ("Ashdown^Avelina", "phi-person-name"),
        ("O'Brien-Smith^Mary^J^^Dr", "phi-person-name"),
        ("ASHDOWN^^", "phi-person-name"),
        ("Müller^Özgür", "phi-person-name"),
        ("王小^东", "phi-person-name"),
        ("PatientID=AS-0-000001", "phi-patient-id"),
        ("patient id: 4711a", "phi-patient-id"),
        ("Patient number 00123", "phi-patient-id"),
        ("MRN: 1234567", "phi-patient-id"),
        ("MRN1234567", "phi-patient-id"),
        ("Accession Number 2023-11-0042", "phi-patient-id"),
        ("AccessionNumber: ACC000001", "phi-patient-id"),
        ("see ACC000001", "phi-patient-id"),
        ("medical record no. 12345", "phi-patient-id"),
        ("born 19400417", "phi-date"),
        ("1940-04-17", "phi-date"),
        ("scan_20230417_01", "phi-date"),
        ("20230417101112", "phi-date"),
        ("2023-04-17T10:11:12Z", "phi-date"),
        ("20230417T101112", "phi-date"),
        ("2023:04:17 10:11:12", "phi-date"),
        ("17.04.1940", "phi-date"),
        ("4/17/1940", "phi-date"),
        ("17 April 1940", "phi-date"),
        ("on the 17th of April, 1940", "phi-date"),
        ("Apr 17, 1940", "phi-date"),
        ("17-APR-1940", "phi-date"),
        ("avelina.ashdown@clinic.example", "phi-email"),
        ("a+b@sub.clinic.org.", "phi-email"),
        ("+49 30 1234567", "phi-phone"),
        ("+1 (555) 123-4567", "phi-phone"),
        ("+4915112345678", "phi-phone"),
        ("(555) 123-4567", "phi-phone"),
        ("call 555-123-4567.", "phi-phone"),
        ("555.123.4567", "phi-phone"),
        ("Tel.: 030/123 45 67", "phi-phone"),
        ("phone number 1234567", "phi-phone"),
        ("/home/avelina/scans/a.tif", "phi-user-path"),
        ("file:///home/avelina/a.tif", "phi-user-path"),
        ("/Users/avelina/a.tif", "phi-user-path"),
        ("/mnt/c/Users/avelina/a.tif", "phi-user-path"),
        ("C:\\Users\\avelina\\a.tif", "phi-user-path"),
        ("d:/Users/avelina", "phi-user-path"),
    ],
)
def test_what_names_a_person_is_found(text, code):
    assert codes_in(medical(warnings=[text])) == [code]
    assert codes_in(medical(warnings=[f"before, {text} and after"])) == [code]
    assert [found for found, _ in medical_scanner().scan_text(json.dumps({"note": text}, ensure_ascii=False))] == [code]


def medical_scanner():
    scanner = Scanner()
    scanner.medical = True
    return scanner


@pytest.mark.parametrize(
    "text",
    [
        "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless, a transfer syntax of the standard (PS3.6 annex A)
        "numpy 2.25.1, GDAL 3.10.3, 1.2.3.4",
        "[10.0, 0.0, 300000.0, 0.0, -10.0, 5700000.0]",
        "0.5.10",
        "e^x, cos^n, m^2, 2^8, CO^2, x^y",
        "MRI, MR, ACC, account 1234, pattern",
        "What is the patient's position? Is the patient identified?",
        "20231399, 18991231, 2023-13-01, 120230417, 0.20230417, 20230417a, a20230417",
        "1920x1080, 1024 512 2048, [123, 456, 789, 1000]",
        "version 1.10.2023b",
        "May 2023, in April, 17 apples",
        "icon@2x.png, a @ b, @everyone, user@localhost",
        "+0800, +1, EPSG:32633+5773, +proj=utm +zone=33 +x_0=500000, 1+1234567",
        "-122.4194, 37.7749, 555-1234, 12-345-6789, +49 12 34",
        "cell phone, two phones, telephone pole 12, mobile crane",
        "samples/CAM_FRONT/home/x.jpg, https://example.org/home/page, /homepage/x, /Users/Shared/x",
        "C:\\Windows\\x, C:\\Users\\Public\\x",
        "MONOCHROME2, percentile:2,98, linear percentiles of all pixels, 65536 of them valid",
        'PROJCS["WGS 84 / UTM zone 33N",SPHEROID["WGS 84",6378137,298.257223563],AUTHORITY["EPSG","32633"]]',
        "1234567890123456",  # a pseudonym of 16 hexadecimal digits that happen to be decimal
        "+1234567890123456",
        "0" * 64,
    ],
)
def test_what_converters_and_questions_hold_is_not_found(text):
    assert codes_in(medical(warnings=[text])) == []
    assert medical_scanner().scan_text(text) == []


def test_hashes_and_pseudonyms_are_never_taken_for_numbers_of_a_person():
    """Two thousand each; about one in two thousand of the short ones is all digits."""
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000)]
    decimal = [str(int(digest, 16))[:16] for digest in hashes]

    for digest, digits in zip(hashes, decimal, strict=True):
        record = medical(group=digest[:16], images=[{"pixel_sha256": digest, "source": {"uri": f"{digits}/{digits}"}}])
        assert codes_in(record) == [], digest


@pytest.mark.parametrize(
    "name", ["S2A_MSIL2A_20220315T100031_N0400_R122_T33UUP.tif", "n015-2018-07-24-11-22-45+0800__CAM"]
)
def test_names_of_files_may_hold_the_time_of_recording_outside_medicine(name):
    for domain, expected in (("remote-sensing", []), ("driving", []), ("medical", ["phi-date"])):
        truth = {"domain": domain, "group": name, "images": [{"source": {"uri": name}}]}
        assert sorted(set(codes_in({"id": f"{name}/1", "domainvl": truth}))) == expected


def test_a_date_in_a_sentence_is_found_everywhere():
    assert codes_in({"domainvl": {"domain": "general", "question": "Who was born on 1940-04-17?"}}) == ["phi-date"]


def test_other_files_are_medical_once_a_medical_sample_was_seen():
    scanner = Scanner()
    assert scanner.scan_text("scan_20230417.tif") == []

    scanner.scan_record(medical())

    assert [code for code, _ in scanner.scan_text("scan_20230417.tif")] == ["phi-date"]


def test_numbers_under_a_telling_key_are_found_and_others_are_not():
    assert codes_in(medical(details={"PatientID": 1234567})) == ["phi-patient-id"]
    assert codes_in(medical(details={"PatientBirthDate": 19400417})) == ["phi-date"]
    assert codes_in(medical(details={"size_bytes": 19400417, "rows": [20230417]})) == []


def test_what_is_found_is_told_with_its_key_and_masked():
    [(code, message)] = Scanner().scan_record({"domainvl": {"question": "Is Ashdown^Avelina well?"}})

    assert (code, message) == ("phi-person-name", "question: As*****^*******")
    assert mask("Müller^Özgür") == "Mü****^*****"


def test_what_is_found_is_told_with_the_key_of_its_own_line():
    record = {"domainvl": {"caption": "An image", "question": "Is Ashdown^Avelina well?", "preface": "So: it is."}}
    assert [message for _, message in Scanner().scan_record(record)] == ["question: As*****^*******"]

    assert [message for _, message in medical_scanner().scan_text("scan_20230417")] == ["20******"]


def test_one_value_in_several_places_of_one_key_is_told_once():
    record = {"conversations": [{"value": "Ashdown^Avelina"}, {"value": "Ashdown^Avelina"}]}

    assert codes_in(record) == ["phi-person-name"]


def test_a_pattern_does_not_reach_from_one_value_into_the_next():
    assert codes_in(medical(warnings=["Tel.:", "1234567 m"])) == []
    assert codes_in(medical(warnings=["Tel.:\n1234567 m"])) == []


def test_dates_that_were_moved_are_no_finding():
    assert codes_in(medical(details={"study_date_shifted": "2014-03-02"})) == []
    assert codes_in(medical(question="seen on [DATE 2014-03-02]")) == []
    assert codes_in(medical(details={"study_date": "2014-03-02"})) == ["phi-date"]
    assert codes_in(medical(question="seen on [2014-03-02]")) == ["phi-date"]
    assert medical_scanner().scan_text('{"study_date_shifted": "2014-03-02"}') == []
