"""Reports that belong to studies: joined, without names, asked where the images show what they are about."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dicom_series import make_slice, numbered, save, slice_number, write_series

from domainvl.errors import ExitCode, UsageError
from domainvl.schema import Task

TEXT = "EXAMINATION: CT\nFINDINGS: A nodule of 8 mm\nin the left lung.\n\nIMPRESSION: {}.\n"


def write_study(folder, number, *, accession, count=2, **attributes):
    write_series(
        folder / str(number), numbered(count, first=10 + 40 * number), root=f"1.{number}",
        StudyInstanceUID=f"1.5.{number}", SeriesInstanceUID=f"1.6.{number}", PatientID=f"P{number}",
        AccessionNumber=accession, **attributes,
    )  # fmt: skip


def texts(samples):
    return sorted(sample.answer.text for sample in samples if sample.task is Task.CAPTION)


def test_med_43_of_three_studies_two_share_an_accession_number_and_both_are_listed(tmp_path, convert_dicom):
    for number, accession in enumerate(("A1", "A2", "A2")):
        write_study(tmp_path / "in", number, accession=accession)
    (tmp_path / "reports").mkdir()
    for accession in ("A1", "A2"):
        (tmp_path / "reports" / f"{accession}.txt").write_text(TEXT.format(f"Benign {accession}"))
    summary, samples, rejects = convert_dicom(tmp_path / "in", reports=tmp_path / "reports", reid_map=tmp_path / "map")
    assert summary.exit_code is ExitCode.PARTIAL
    # One report a study: that of the ambiguous accession number is used for neither.
    assert set(texts(samples)) <= {"A nodule of 8 mm in the left lung.", "Benign A1."}
    (reject,) = [reject for reject in rejects if reject["severity"] == "failed"]
    assert reject["reason"] == "report-several-studies"
    studies = dict(line.split(",")[2::-2] for line in (tmp_path / "map").read_text().splitlines() if ",study," in line)
    assert all(studies[uid] in reject["message"] for uid in ("1.5.1", "1.5.2"))
    assert "A2" not in json.dumps(rejects)
    assert "study_instance_uid" in reject["action"]


def test_med_43_a_table_names_the_study_of_each_report(tmp_path, convert_dicom):
    for number, accession in enumerate(("A1", "A2", "A2")):
        write_study(tmp_path / "in", number, accession=accession)
    table = tmp_path / "reports.csv"
    table.write_text("study_instance_uid,findings,impression\n1.5.1,Nothing.,Normal one.\n1.5.2,Nothing.,Normal two.\n")
    summary, samples, rejects = convert_dicom(tmp_path / "in", reports=table, report_sections="impression",
                                              forms="series", tasks="report,modality")  # fmt: skip
    assert texts(samples) == ["Normal one.", "Normal two."]
    assert summary.exit_code is ExitCode.DONE
    assert [(reject["reason"], reject["message"]) for reject in rejects] == [
        ("study-without-report", "1 studies have no report")
    ]


def test_med_43_identifiers_in_a_report_become_the_pseudonyms_of_the_records(tmp_path, convert_dicom):
    write_study(tmp_path / "in", 0, accession="ACC-5521", PatientName="Ortega^Manuela", StudyDate="20210304",
                ReferringPhysicianName="Lindqvist^Per", Modality="DX", count=1)  # fmt: skip
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "ACC-5521.txt").write_text(
        "FINDINGS: Manuela ORTEGA (P0) has a clear chest. Compared with 04.03.2021, accession ACC 5521.\n"
        "IMPRESSION: Normal. Discussed with Dr. Lindqvist, phone 555-123-4567.\n"
    )
    summary, samples, _ = convert_dicom(tmp_path / "in", reports=tmp_path / "reports", tasks="report")
    found = "\n".join(texts(samples))
    for word in ("Ortega", "ORTEGA", "Manuela", "Lindqvist", "2021", "5521", "4567"):
        assert word not in found
    assert "has a clear chest" in found and "Normal." in found
    # The patient of the text is the patient of the images.
    group = samples[0].group
    (unit,) = summary.manifest["units"].values()
    assert unit["deidentification"]["text_replacements"]["NAME"] >= 2
    _, samples, _ = convert_dicom(tmp_path / "in", reports=tmp_path / "reports", tasks="report", dates="shift")
    assert "2021-03-04" not in "\n".join(texts(samples))
    assert samples[0].group == group


def test_med_43_a_report_is_asked_of_radiographs_and_of_the_largest_series_else(tmp_path, convert_dicom):
    common = {"StudyInstanceUID": "1.5", "AccessionNumber": "A1"}
    write_series(tmp_path / "ct" / "a", numbered(2), root="1.1", SeriesInstanceUID="1.6.1", **common)
    write_series(tmp_path / "ct" / "b", numbered(4), root="1.2", SeriesInstanceUID="1.6.2", **common)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "A1.txt").write_text(TEXT.format("Benign"))
    given = {"reports": tmp_path / "reports", "tasks": "report,modality"}
    _, samples, _ = convert_dicom(tmp_path / "ct", **given, forms="slices,series")
    # No single slice shows what a report is about; the series of four does.
    about = [sample for sample in samples if sample.task is Task.CAPTION]
    assert {slice_number(sample) for sample in about} == {"0000-0003"}
    assert len(about) == 2
    assert all(len(sample.images) == 4 for sample in about)
    save(make_slice(np.full((16, 16), 7, np.int16), Modality="DX", SOPInstanceUID="1.9", SeriesInstanceUID="1.8",
                    BodyPartExamined="CHEST", **common), tmp_path / "ct" / "c")  # fmt: skip
    _, samples, _ = convert_dicom(tmp_path / "ct", **given, forms="slices,series")
    about = [sample for sample in samples if sample.task is Task.CAPTION]
    assert {len(sample.images) for sample in about} == {1}
    assert {sample.images[0].source.details["modality"] for sample in about} == {"DX"}


def test_med_43_reports_of_other_studies_are_refused_as_a_whole(tmp_path, convert_dicom):
    write_study(tmp_path / "in", 0, accession="A1")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "B7.txt").write_text(TEXT.format("Benign"))
    with pytest.raises(UsageError, match="--reports"):
        convert_dicom(tmp_path / "in", reports=tmp_path / "reports")


def test_med_43_unmatched_reports_and_studies_are_counted(tmp_path, convert_dicom):
    write_study(tmp_path / "in", 0, accession="A1")
    write_study(tmp_path / "in", 1, accession="A2")
    (tmp_path / "reports").mkdir()
    for accession in ("A1", "B7", "B8"):
        (tmp_path / "reports" / f"{accession}.txt").write_text(TEXT.format("Benign"))
    _, _, rejects = convert_dicom(tmp_path / "in", reports=tmp_path / "reports", forms="series")
    assert {reject["reason"]: reject["message"].split()[0] for reject in rejects} == {
        "report-unmatched": "2", "study-without-report": "1",
    }  # fmt: skip
