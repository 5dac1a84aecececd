"""Reports of other makers, and reports made here with one secret of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import BasicTextSRStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

from domainvl.corpus.sources.dicom_sr import read_dicom_sr
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import TextKind, TextSlot
from domainvl.schema.writer import Reject, Severity


def pages_of(path: Path, **settings: Any) -> list[Page | Reject]:
    return list(read_dicom_sr(SourceFile(path, path.name, path.parent, "dicom-sr"), ReadSettings(**settings)))


def read(path: Path) -> Page:
    (page,) = pages_of(path)
    assert isinstance(page, Page)
    return page


def texts(page: Page) -> list[str]:
    return [slot.text for slot in page.slots if isinstance(slot, TextSlot)]


def code(meaning: str, value: str = "1", scheme: str = "99TEST") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def item(kind: str, name: str, relation: str = "CONTAINS", **values: Any) -> Dataset:
    made = Dataset()
    made.ValueType, made.RelationshipType, made.ConceptNameCodeSequence = kind, relation, code(name)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def write(path: Path, *content: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    report = item("CONTAINER", "Radiology report", ContentSequence=list(content))
    report.SOPClassUID, report.SOPInstanceUID = BasicTextSRStorage, generate_uid(entropy_srcs=["report"])
    report.PatientName, report.PatientID, report.Modality = "Secret^Header", "MRN-HEADER", "SR"
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = syntax
    report.save_as(path, enforce_file_format=True)
    return path


def measured(value: str, unit: str, meaning: str) -> list[Dataset]:
    made = Dataset()
    made.NumericValue, made.MeasurementUnitsCodeSequence = value, code(meaning, unit, "UCUM")
    return [made]


def test_a_report_reads_as_headings_and_lines(tmp_path: Path) -> None:
    findings = item(
        "CONTAINER",
        "Findings",
        ContentSequence=[
            item("TEXT", "Findings", TextValue="A nodule in the\nleft  lobe."),
            item("CODE", "Finding", ConceptCodeSequence=code("Nodule")),
            item("NUM", "Diameter", MeasuredValueSequence=measured("12.5", "mm", "millimeter")),
            item("NUM", "Density", MeasuredValueSequence=measured("-30", "[hnsf'U]", "Hounsfield unit")),
            item("NUM", "Ratio", MeasuredValueSequence=measured("0.5", "1", "no units")),
        ],
    )
    empty = item("CONTAINER", "Key images", ContentSequence=[item("IMAGE", "Image")])
    page = read(write(tmp_path / "a.dcm", findings, empty))
    assert texts(page) == [
        "Radiology report",
        "Findings",
        "A nodule in the left lobe.",
        "Finding: Nodule",
        "Diameter: 12.5 mm",
        "Density: -30 Hounsfield unit",
        "Ratio: 0.5",
    ]
    headings = [slot.level for slot in page.slots if isinstance(slot, TextSlot) and slot.kind is TextKind.HEADER]
    assert headings == [1, 2]
    assert [reject.reason for reject in page.rejects] == ["image-reference"]


def test_nothing_that_identifies_by_place_or_form_comes_out(tmp_path: Path) -> None:
    uid = "1.2.826.0.1.3680043.8.498.123456"
    page = read(
        write(
            tmp_path / "a.dcm",
            item("PNAME", "Recipient", PersonName="Secret^Person"),
            item("UIDREF", "Study", UID=uid),
            item("TEXT", "Observer", "HAS OBS CONTEXT", TextValue="Secret Observer"),
            item("DATE", "Prior examination", Date="20140302"),
            item("TEXT", "History", TextValue=f"Compared with 2014-03-02, MRN: 12345678, {uid}, Secret^Free."),
        )
    )
    whole = "\n".join(texts(page))
    for secret in ("Secret", "MRN-HEADER", "12345678", "2014-03-02", "20140302", uid):
        assert secret not in whole
    assert "Prior examination: 2014" in whole
    assert "Compared with [DATE], " in whole
    counted = {reject.reason for reject in page.rejects}
    assert counted == {
        "date", "observation-context", "person-name", "phi-date", "phi-patient-id", "phi-person-name", "phi-uid", "uid",
    }  # fmt: skip


def test_what_is_an_identifier_by_two_rules_is_replaced_once(tmp_path: Path) -> None:
    page = read(
        write(tmp_path / "a.dcm", item("TEXT", "History", TextValue="Seen before, MRN: 555-123-4567, at noon."))
    )
    assert texts(page)[1] == "History: Seen before, [PATIENT-ID], at noon."


def test_the_language_is_told_and_is_no_line(tmp_path: Path) -> None:
    language = item("CODE", "Language", "HAS CONCEPT MOD", ConceptCodeSequence=code("English", "en-US", "RFC5646"))
    language.ConceptNameCodeSequence = code("Language of Content Item and Descendants", "121049", "DCM")
    page = read(write(tmp_path / "a.dcm", language, item("TEXT", "Impression", TextValue="Normal.")))
    assert page.language == "en-US"
    assert texts(page) == ["Radiology report", "Impression: Normal."]


def test_every_text_of_real_reports_is_read(real_data: Path) -> None:
    """By pydicom's own walk over all elements: each text and each meaning of a coded value that is no context."""
    folder = real_data / "medical" / "ImagingDataCommons__highdicom" / "data" / "test_files"
    for path in (folder / "sr_document_with_multiple_groups.dcm", Path(get_testdata_file("reportsi.dcm"))):
        whole = "\n".join(texts(read(path)))
        for one in _content(dcmread(path)):
            if one.ValueType == "CODE" and one.ConceptNameCodeSequence[0].CodeValue != "121049":
                assert one.ConceptCodeSequence[0].CodeMeaning in whole
            elif one.ValueType == "TEXT":
                assert " ".join(one.TextValue.split()) in whole
            elif one.ValueType == "PNAME":
                assert str(one.PersonName) not in whole


def _content(dataset: Dataset) -> list[Dataset]:
    below = [one for one in dataset.get("ContentSequence", []) if one.RelationshipType != "HAS OBS CONTEXT"]
    return [inner for one in below for inner in (one, *_content(one))]


def test_an_image_is_left_out_as_intended() -> None:
    (reject,) = pages_of(Path(get_testdata_file("CT_small.dcm")))
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.severity) == ("not-a-report", Severity.SKIPPED)


@pytest.mark.parametrize("cut", [0, 100, 132, 200, 400, 700])
def test_a_broken_file_is_refused_or_read_and_never_more(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path / "a.dcm", item("TEXT", "Impression", TextValue="Normal."))
    path.write_bytes(path.read_bytes()[:cut])
    try:
        pages_of(path)
    except ItemError as error:
        assert error.reason == "decode"


def test_a_report_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm", item("TEXT", "Impression", TextValue="x" * 100_000), syntax=DeflatedExplicitVRLittleEndian
    )
    assert len(path.read_bytes()) < 50_000
    assert len(read(path).slots) == 2
    with pytest.raises(ItemError) as raised:
        pages_of(path, max_source_bytes=50_000)
    assert raised.value.reason == "too-large"


def test_items_nested_without_end_are_refused(tmp_path: Path) -> None:
    nested = item("CONTAINER", "Last", ContentSequence=[item("TEXT", "Impression", TextValue="Normal.")])
    for _ in range(60):
        nested = item("CONTAINER", "Section", ContentSequence=[nested])
    with pytest.raises(ItemError) as raised:
        read(write(tmp_path / "a.dcm", nested))
    assert raised.value.reason == "decode"
