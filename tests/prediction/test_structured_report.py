"""The structured report, read back by highdicom, by pydicom and by dcmtk where that is there."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime

import highdicom
import pydicom
import pytest
from pydicom.uid import CTImageStorage

from domainvl.errors import UsageError
from domainvl.prediction.answering import ModelIdentity
from domainvl.prediction.series_answers import FoundBox, ImageRef, SeriesAnswer
from domainvl.prediction.structured_report import (
    SCHEME,
    ReportFacts,
    check_evidence,
    code_of,
    private_code,
    write_report,
)
from domainvl.schema import Task

FACTS = ReportFacts(ModelIdentity("chest", "ab" * 32), ["windows: lung"], True, datetime(2026, 1, 2, 3, 4, 5))
LONG = (
    "Is there a nodule in the image, and if there is one, would a careful reader say that it has grown? " * 3
    + "Say it."
)


def image(number=1, **attributes):
    dataset = pydicom.Dataset()
    values = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"1.2.3.4.{number}",
        "SeriesInstanceUID": "1.2.3.3",
        "StudyInstanceUID": "1.2.3.2",
        "Modality": "CT",
        "Rows": 64,
        "Columns": 64,
        **attributes,
    }
    for name, value in values.items():
        if value is not None:
            setattr(dataset, name, value)
    return dataset


def ref(number=1, frame=None):
    return ImageRef(str(CTImageStorage), f"1.2.3.4.{number}", "1.2.3.3", frame)


BOXES = SeriesAnswer(
    (ref(),), Task.GROUNDING, "nodule", "<box>...</box>", 0.75, boxes=(FoundBox("nodule", (1.5, 2.25, 30.125, 40.0)),)
)
TEXT = SeriesAnswer((ref(), ref(2)), Task.VQA, LONG, "yes\\no, größer", 0.5)
CHOICE = SeriesAnswer((ref(),), Task.PRESENCE, "Is there a nodule?", "Yes", 0.25, value="yes")


def report(*answers, images=None, facts=FACTS):
    written = write_report(answers, images or [image(), image(2)], facts)
    return highdicom.sr.srread(io.BytesIO(written)), written


def items(group, kind):
    return [item for item in group[0].ContentSequence if item.ValueType == kind]


def name_of(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning


def test_a_box_is_a_planar_region_in_image_coordinates():
    read, _ = report(BOXES)
    (group,) = read.content.get_planar_roi_measurement_groups()
    corners = [[1.5, 2.25], [30.125, 2.25], [30.125, 40.0], [1.5, 40.0], [1.5, 2.25]]
    assert group.roi.value.tolist() == corners  # all have few binary digits, so that floats of 32 bits hold them
    assert group.roi.graphic_type.value == "POLYLINE"
    # SNOMED CT 27925004, in DICOM's context groups (PS3.16 CID 6111)
    assert (group.finding_type.value, group.finding_type.scheme_designator) == ("27925004", "SCT")
    (measurement,) = group.get_measurements()
    assert float(measurement.value) == 0.75


def test_question_and_answer_stand_in_full_and_codes_are_short_enough():
    read, written = report(TEXT)
    (group,) = read.content.get_image_measurement_groups()
    texts = {name_of(item): item.TextValue for item in items(group, "TEXT")}
    assert texts["Question that was asked"] == LONG
    assert texts["Answer as the model wrote it"] == "yes\\no, größer"
    referenced = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items(group, "IMAGE")]
    assert referenced == ["1.2.3.4.1", "1.2.3.4.2"]

    def check(dataset, element):
        if element.keyword == "CodeMeaning":
            assert len(element.value) <= 64, element.value  # LO
        if element.keyword == "CodeValue":
            assert len(element.value) <= 16, element.value  # SH

    pydicom.dcmread(io.BytesIO(written)).walk(check)


def test_a_long_name_of_a_model_is_cut_where_it_must_be():
    facts = replace(FACTS, model=ModelIdentity("a\\b " + "n" * 80, "ab" * 32))
    read, _ = report(CHOICE, facts=facts)
    assert read.ManufacturerModelName == "a/b " + "n" * 57 + "..."


@pytest.mark.filterwarnings("error")
def test_a_name_of_one_component_is_copied_without_a_word():
    read, _ = report(CHOICE, images=[image(PatientName="JANE")])
    assert str(read.PatientName) == "JANE"


def test_answers_of_known_words_are_codes():
    read, _ = report(CHOICE)
    (group,) = read.content.get_image_measurement_groups()
    (evaluation,) = group.get_qualitative_evaluations()
    assert (evaluation.value.value, evaluation.value.scheme_designator) == ("373066001", "SCT")  # CID 230: Yes
    assert (evaluation.name.meaning, evaluation.name.scheme_designator) == ("Is there a nodule?", SCHEME)


def test_a_term_is_coded_by_its_very_words_only():
    assert code_of("Lung").value == "39607008"
    assert code_of("B-mode ultrasound").scheme_designator == SCHEME  # pydicom's keyword for it has no hyphen
    assert code_of("B mode ultrasound").scheme_designator == SCHEME  # the term of SNOMED CT has one
    for text in ("lungs of dogs", "", "x" * 100, "No ", "class"):
        code = code_of(text)
        assert (code.scheme_designator == "SCT") == (text == "No ")
    assert private_code("a" * 65).meaning == "a" * 61 + "..."
    assert private_code("a" * 64).meaning == "a" * 64
    assert private_code("a" * 65).value != private_code("a" * 66).value


def test_nothing_claims_to_be_verified():
    for is_complete, flag in ((True, "COMPLETE"), (False, "PARTIAL")):
        read, _ = report(CHOICE, facts=replace(FACTS, is_complete=is_complete))
        assert (read.CompletionFlag, read.VerificationFlag, read.PreliminaryFlag) == (flag, "UNVERIFIED", "PRELIMINARY")
        assert (read.ContentDate, read.ContentTime) == ("20260102", "030405")


def test_the_device_that_answered_is_named():
    _, written = report(CHOICE)
    found = []

    def gather(dataset, element):
        if element.keyword == "TextValue":
            found.append((dataset.ConceptNameCodeSequence[0].CodeMeaning, element.value))

    pydicom.dcmread(io.BytesIO(written)).walk(gather)
    assert ("Device Observer Name", "domainvl chest") in found
    assert ("Device Observer Serial Number", "ab" * 32) in found
    assert ("Algorithm Version", "ab" * 32) in found
    assert any(name == "Algorithm Parameters" and "windows: lung" in text for name, text in found)


def test_of_the_patient_nothing_but_the_patient_module_is_written():
    named = {"PatientName": "Doe^Jane", "PatientID": "P-77-X", "PatientBirthDate": "19700102", "PatientSex": "F"}
    read, written = report(CHOICE, BOXES, images=[image(**named)])
    assert (str(read.PatientName), read.PatientID) == ("Doe^Jane", "P-77-X")
    for secret in (b"Doe^Jane", b"P-77-X", b"19700102"):
        assert written.count(secret) == 1
    without, _ = report(CHOICE, images=[image()])
    assert not any(without.get(name) for name in named)


def test_uids_follow_from_what_is_said():
    first, again = report(CHOICE)[1], report(CHOICE)[1]
    assert first == again
    others = [
        report(BOXES)[0],
        report(CHOICE, facts=replace(FACTS, at=datetime(2026, 1, 2, 3, 4, 6)))[0],
        report(CHOICE, facts=replace(FACTS, model=ModelIdentity("chest", "cd" * 32)))[0],
        report(CHOICE, images=[image(), image(3)])[0],
    ]
    uids = {pydicom.dcmread(io.BytesIO(first)).SOPInstanceUID, *(other.SOPInstanceUID for other in others)}
    assert len(uids) == 5
    assert all(re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", uid) for uid in uids)
    assert len({other.SeriesInstanceUID for other in others}) == 4


def test_the_procedure_is_that_of_the_images():
    from highdicom.sr import CodedConcept

    own = CodedConcept("24627-2", "LN", "CT Chest")
    for images, expected in (([image()], "77477000"), ([image(ProcedureCodeSequence=[own])], "24627-2")):
        _, written = report(CHOICE, images=images)
        items = pydicom.dcmread(io.BytesIO(written)).ContentSequence
        (procedure,) = [item for item in items if name_of(item).lower() == "procedure reported"]
        assert procedure.ConceptCodeSequence[0].CodeValue == expected


def test_images_without_identifiers_are_refused():
    with pytest.raises(UsageError, match="1 of 2 lack SeriesInstanceUID"):
        check_evidence([image(), image(2, SeriesInstanceUID=None)])
    with pytest.raises(UsageError, match="of one study, got 2"):
        check_evidence([image(), image(2, StudyInstanceUID="1.9")])


def test_dcmtk_reads_it(tmp_path):
    if shutil.which("dsrdump") is None:
        pytest.skip("no dcmtk")
    (tmp_path / "report.dcm").write_bytes(report(BOXES, TEXT, CHOICE)[1])
    done = subprocess.run(["dsrdump", "+Pl", str(tmp_path / "report.dcm")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"Measurement Group"') == 3
    assert "(POLYLINE,1.5/2.25,30.125/2.25,30.125/40,1.5/40,1.5/2.25)" in done.stdout
