"""A report goes to the one study that it is about, or is listed; no message names anybody."""

from __future__ import annotations

import pytest
from openpyxl import Workbook

from domainvl.converters.medical.reports import Joined, Study, read_reports
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.writer import Severity

SECTIONS = ("findings", "impression")
STUDIES = {"1.2.1": "ACC-1", "1.2.2": "ACC-2", "1.2.3": "ACC-3"}
SECRETS = ["ACC-", "1.2.", "Miller", "s50414267", "50414267"]


def name_of(uid):
    return f"study-{ord(uid[-1]) - ord('0')}x"


def folder(tmp_path, **files):
    for name, text in files.items():
        path = tmp_path / "reports" / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "reports"


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "reports.csv"
    path.write_bytes(text.encode(encoding))
    return path


def join(path, studies=None, sections=SECTIONS):
    studies = STUDIES if studies is None else studies
    named = [Study(name_of(uid), uid, frozenset({number} - {""})) for uid, number in studies.items()]
    joined = read_reports(path, sections).join(named)
    by_name = {name_of(uid): uid for uid in studies}
    joined = Joined({by_name[name]: sections for name, sections in joined.by_study.items()}, joined.rejects)
    for reject in joined.rejects:
        said = f"{reject.input} {reject.message} {reject.action}"
        assert not [secret for secret in SECRETS if secret in said]
        assert reject.stage == "report"
        assert reject.action
    return joined


def by_reason(joined):
    return {reject.reason: reject for reject in joined.rejects}


def test_med_43_accession_number_goes_before_study_uid(tmp_path):
    # The first row's UID is that of no study; the second has no accession number that is known.
    path = table(
        tmp_path,
        "accession_number,study_instance_uid,findings,impression\n"
        "ACC-1,9.9.9,Clear.,Nothing.\n,1.2.2,Nodule.,\nOTHER,1.2.3,,Fracture.\n",
    )
    joined = join(path)

    assert joined.by_study == {
        "1.2.1": {"findings": "Clear.", "impression": "Nothing."},
        "1.2.2": {"findings": "Nodule."},
        "1.2.3": {"impression": "Fracture."},
    }
    assert joined.rejects == ()


def test_med_43_a_report_that_fits_two_studies_lists_both(tmp_path):
    studies = {"1.2.1": "ACC-1", "1.2.2": "ACC-1", "1.2.3": "ACC-3"}
    path = table(tmp_path, "accession_number,text\nACC-1,FINDINGS: Dr. Miller saw it.\nACC-3,FINDINGS: Clear.\n")
    joined = join(path, studies)

    assert joined.by_study == {"1.2.3": {"findings": "Clear."}}
    (reject,) = joined.rejects
    assert (reject.input, reject.reason, reject.severity) == (
        "reports row 2",
        "report-several-studies",
        Severity.FAILED,
    )
    assert "study-1x, study-2x" in reject.message
    assert "2 studies" in reject.message


def test_the_study_uid_decides_between_studies_of_one_accession_number(tmp_path):
    studies = {"1.2.1": "ACC-1", "1.2.2": "ACC-1"}
    path = table(tmp_path, "study_instance_uid;accession_number;text\n1.2.2;ACC-1;FINDINGS: Clear.\n")
    joined = join(path, studies)

    assert joined.by_study == {"1.2.2": {"findings": "Clear."}}
    assert by_reason(joined)["study-without-report"].message == "1 studies have no report"


def test_keys_of_different_studies_are_an_error(tmp_path):
    path = table(tmp_path, "accession_number,study_instance_uid,findings\nACC-1,1.2.2,Clear.\nACC-3,,Clear.\n")
    joined = join(path)

    assert set(joined.by_study) == {"1.2.3"}
    assert "study-1x, study-2x" in by_reason(joined)["report-keys-disagree"].message


def test_med_43_two_reports_of_one_study_list_both_and_none_is_used(tmp_path):
    path = table(
        tmp_path,
        "accession_number,study_instance_uid,findings\nACC-1,,Clear.\nACC-2,,Nodule.\n,1.2.1,Not clear.\n",
    )
    joined = join(path)

    assert set(joined.by_study) == {"1.2.2"}
    reject = by_reason(joined)["study-several-reports"]
    assert (reject.input, reject.severity) == ("study study-1x", Severity.FAILED)
    assert "reports row 2, reports row 4" in reject.message


def test_med_43_unmatched_reports_and_studies_are_counted(tmp_path):
    lines = "".join(f"OTHER-{number},Clear.\n" for number in range(7))
    joined = join(table(tmp_path, f"accession_number,findings\n{lines}ACC-2,Clear.\n"))

    assert [(reject.reason, reject.message, reject.severity) for reject in joined.rejects] == [
        ("report-unmatched", "7 reports belong to none of the studies", Severity.SKIPPED),
        ("study-without-report", "2 studies have no report", Severity.SKIPPED),
    ]


def test_where_nothing_fits_the_setting_is_wrong(tmp_path):
    path = table(tmp_path, "accession_number,findings\nOTHER,Clear.\n")

    with pytest.raises(UsageError, match="none of 1 reports") as caught:
        join(path)
    assert "OTHER" not in str(caught.value)
    # An empty accession number is that of no study.
    with pytest.raises(UsageError, match="none of 1 reports"):
        join(path, {"1.2.1": ""})


def test_files_are_named_by_accession_number_or_study_uid(tmp_path):
    path = folder(tmp_path, **{"ACC-1": "FINDINGS: One.", "sub__1.2.2": "Impression: Two.", "note": "Hello"})
    (path / "readme.md").write_text("no report")
    joined = join(path)

    assert joined.by_study == {"1.2.1": {"findings": "One."}, "1.2.2": {"impression": "Two."}}
    assert by_reason(joined)["report-unmatched"].message.startswith("1 report")


def test_a_study_without_accession_number_has_no_report_by_it(tmp_path):
    path = folder(tmp_path, s="FINDINGS: Of nobody.", **{"ACC-1": "FINDINGS: One."})

    assert set(join(path, {"1.2.1": "ACC-1", "1.2.2": ""}).by_study) == {"1.2.1"}


def test_med_43_the_layout_of_mimic_cxr(tmp_path):
    path = folder(tmp_path, files__p10__p10000032__s50414267=" FINDINGS:\n\n Clear.\n\n IMPRESSION:\n\n Nothing.\n")

    assert join(path, {"1.2.1": "50414267"}).by_study == {"1.2.1": {"findings": "Clear.", "impression": "Nothing."}}
    assert join(path, {"1.2.1": "s50414267"}).by_study.keys() == {"1.2.1"}


def test_a_report_without_a_section_that_is_asked_for_is_listed(tmp_path):
    joined = join(folder(tmp_path, **{"ACC-1": "Clear lungs.", "ACC-2": "FINDINGS: Clear."}))

    reject = by_reason(joined)["report-no-section"]
    assert (reject.input, reject.severity) == ("report file 1 in order of paths", Severity.SKIPPED)
    assert by_reason(joined)["study-without-report"].message.startswith("1 ")
    whole = join(folder(tmp_path), sections=("text", "findings"))
    assert list(whole.by_study["1.2.2"].items()) == [("text", "FINDINGS: Clear."), ("findings", "Clear.")]


def test_files_that_are_not_in_utf_8_are_listed_and_the_rest_is_read(tmp_path):
    path = folder(tmp_path, **{"ACC-2": "FINDINGS: Clear."})
    (path / "ACC-1.txt").write_bytes("FINDINGS: Müller".encode("latin-1"))
    joined = join(path)

    assert set(joined.by_study) == {"1.2.2"}
    assert by_reason(joined)["report-encoding"].input == "report file 1 in order of paths"


def test_rows_without_a_key_are_listed(tmp_path):
    joined = join(table(tmp_path, "accession_number,findings\n,Clear.\nACC-1,Clear.\n"))

    assert by_reason(joined)["report-no-key"].input == "reports row 2"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_any_delimiter_with_several_lines_a_cell(tmp_path, delimiter):
    cell = '"FINDINGS: Clear,\nboth; sides.\n\nIMPRESSION: A ""B"""'
    text = f"\ufeffAccession_Number{delimiter}Text\nACC-1{delimiter}{cell}\n"
    joined = join(table(tmp_path, text))

    assert joined.by_study == {"1.2.1": {"findings": "Clear, both; sides.", "impression": 'A "B"'}}


def test_a_column_of_a_section_goes_before_the_text(tmp_path):
    text = 'accession_number,findings,text\nACC-1,Own.,"FINDINGS: Other.\nIMPRESSION: None."\n'

    assert join(table(tmp_path, text)).by_study == {"1.2.1": {"findings": "Own.", "impression": "None."}}


def test_med_43_a_workbook_is_read_as_a_csv_is(tmp_path):
    book = Workbook()
    for row in (
        ["Study_Instance_UID", "Findings", None],
        ["1.2.1", "Clear.\n"],
        [],
        ["1.2.2", None],
        [None, "Nobody's."],
    ):
        book.active.append(row)
    book.save(tmp_path / "reports.xlsx")
    joined = join(tmp_path / "reports.xlsx")

    assert joined.by_study == {"1.2.1": {"findings": "Clear."}}
    assert by_reason(joined)["report-no-key"].input == "reports row 5"
    assert by_reason(joined)["report-no-section"].input == "reports row 4"


def test_a_row_with_too_many_cells_is_listed_and_not_cut(tmp_path):
    text = "accession_number,findings\nACC-1,Clear, both sides.\n\nACC-2,Clear.\nACC-3,A,B\n"
    joined = join(table(tmp_path, text))

    assert set(joined.by_study) == {"1.2.2"}
    rows = [reject.input for reject in joined.rejects if reject.reason == "report-row"]
    assert rows == ["reports row 2", "reports row 5"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,Text,accession_number\nA,B,C\n", "text is there several times"),
        ("report,findings\nA,B\n", "accession_number or study_instance_uid"),
        ("accession_number,history\nA,B\n", "column text, or one of the sections findings, impression"),
        ("", "accession_number or study_instance_uid"),
        ('accession_number,text\nA,"B\n', "it must be CSV"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        read_reports(table(tmp_path, text), SECTIONS)


def test_a_table_in_another_encoding(tmp_path):
    with pytest.raises(UsageError, match="UTF-8"):
        read_reports(table(tmp_path, "accession_number,text\nA,Müller\n", "latin-1"), SECTIONS)


def test_folders_that_cannot_be_used_are_not_named(tmp_path):
    for path, kind in ((tmp_path, UsageError), (tmp_path / "Miller", InputNotFoundError)):
        with pytest.raises(kind) as caught:
            read_reports(path, SECTIONS)
        assert str(path) not in str(caught.value)


def test_the_order_of_studies_changes_nothing(tmp_path):
    path = table(tmp_path, "accession_number,findings\nACC-1,A.\nACC-2,B.\nACC-2,C.\n")

    assert join(path) == join(path, dict(reversed(STUDIES.items())))
