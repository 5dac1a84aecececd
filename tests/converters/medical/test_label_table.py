from __future__ import annotations

import csv
import datetime
import gzip

import openpyxl
import pytest

from domainvl.converters.medical.findings import Finding
from domainvl.converters.medical.label_table import COLUMNS, open_table, parse_properties, read_table
from domainvl.errors import InputNotFoundError, UsageError

HEADER = ",".join(COLUMNS) + "\n"


@pytest.fixture
def table(tmp_path):
    def read(rows, header=HEADER, properties=()):
        path = tmp_path / "labels.csv"
        path.write_text(header + rows)
        return read_table(path, properties)

    return read


def of(labels, uid, frame=0):
    return labels.truth_for({labels.key: uid}, frame)


def test_rows_become_findings_of_their_instance(table):
    labels = table("1.2,nodule,1,2,3.5,4\n1.3,,,,,\n1.2,drain,0,0,9,1\n")
    assert of(labels, "1.2").findings == (
        Finding("labels/2", "nodule", (1, 2, 3.5, 4)), Finding("labels/4", "drain", (0, 0, 9, 1)))  # fmt: skip
    assert of(labels, "1.3").findings == ()
    assert of(labels, "1.2").classes == of(labels, "1.3").classes == ("drain", "nodule")
    assert of(labels, "1.4") is None
    assert not labels.rejects


@pytest.mark.parametrize("box", ["1,2,x,4", "1,2,,4", "5,2,3,4", "1,2,1,4", "1,nan,3,4", "1,2,3,inf", ",,,"])
def test_malformed_boxes_are_rejected_and_leave_the_class_unclear(table, box):
    labels = table(f"1.2,nodule,{box}\n")
    assert [(reject.reason, reject.input) for reject in labels.rejects] == [("label-box", "labels row 2")]
    truth = of(labels, "1.2")
    assert [(found.label, found.box_px, found.clear) for found in truth.findings] == [("nodule", None, False)]
    assert truth.classes == ()


def test_box_without_label_makes_the_slice_unclear(table):
    labels = table("1.2,nodule,1,2,3,4\n1.2,,5,6,7,8\n1.2,nodule,2,2,3,4\n")
    assert of(labels, "1.2") is None
    assert [reject.reason for reject in labels.rejects] == ["label-box"]


def test_repeated_rows_count_once(table):
    labels = table("1.2,nodule,1,2,3,4\n1.2,nodule,1,2,3,4\n")
    assert len(of(labels, "1.2").findings) == 1
    assert [(reject.reason, reject.severity) for reject in labels.rejects] == [("label-repeated", "skipped")]


def test_row_without_key(table):
    assert [reject.reason for reject in table(",nodule,1,2,3,4\n").rejects] == ["label-no-key"]


def test_columns_may_stand_in_another_order_and_in_capitals(table):
    labels = table("9,8,7,6,cyst,1.2\n", "Y_MAX_px, x_max_px,y_min_px,x_min_px,Label,SOP_instance_UID\n")
    assert of(labels, "1.2").findings[0].box_px == (6, 7, 8, 9)


def test_missing_columns_are_named(table):
    with pytest.raises(UsageError, match="missing: label,y_max_px"):
        table("", "sop_instance_uid,x_min_px,y_min_px,x_max_px\n")


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ("label,x_min_px,y_min_px,x_max_px,y_max_px", "has none of them"),
        ("patient_id,sop_instance_uid,label", "has sop_instance_uid,patient_id"),
        ("patient_id,label,label", "label are there several times"),
        ("patient_id", "has neither"),
        ("patient_id,patient_name", "has neither"),
    ],
)
def test_tables_need_one_key_and_something_to_say(table, header, rule):
    with pytest.raises(UsageError, match=rule):
        table("", header + "\n")


def test_missing_file_and_other_encodings(tmp_path):
    with pytest.raises(InputNotFoundError):
        read_table(tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes((HEADER + "1.2,Säge,1,2,3,4\n").encode("latin-1"))
    with pytest.raises(UsageError, match="UTF-8"):
        read_table(path)
    path = tmp_path / "none.xlsx"
    path.write_bytes(b"PK no workbook")
    with pytest.raises(UsageError, match="Excel"):
        read_table(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_delimiters_and_byte_order_mark(tmp_path, delimiter, encoding):
    path = tmp_path / "labels.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([COLUMNS, ["1.2", "Säge, rechts; alt", 1, 2, 3, 4]])
    assert of(read_table(path), "1.2").findings == (Finding("labels/2", "Säge, rechts; alt", (1, 2, 3, 4)),)


def test_workbooks_say_what_a_csv_says(tmp_path, table):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["accession_number", "label", "present", "density", "seen"])
    sheet.append(["0017", "effusion", True, 3.0, datetime.time(10, 30)])
    sheet.append([None, None, None])
    sheet.append([18, "effusion", 0, 2.5, None])
    book.create_sheet("other").append(["nothing"])
    book.save(tmp_path / "labels.xlsx")
    properties = ("density", "seen")
    labels = read_table(tmp_path / "labels.xlsx", properties)
    rows = "0017,effusion,1,3,10:30:00\n\n18,effusion,0,2.5,\n"
    text = table(rows, "accession_number,label,present,density,seen\n", properties)
    for key in ("0017", "18"):
        assert of(labels, key) == of(text, key) is not None
    assert of(labels, "0017").stated == (("effusion", True),)
    assert of(labels, "0017").described == (("density", "3"), ("seen", "10:30:00"))


def test_a_cell_beside_the_columns_of_a_workbook_is_listed(tmp_path):
    book = openpyxl.Workbook()
    for row in (["accession_number", "label"], ["17", "effusion"], ["18", "mass", None, "ask"], ["19", "mass", " "]):
        book.active.append(row)
    book.save(tmp_path / "labels.xlsx")
    labels = read_table(tmp_path / "labels.xlsx")
    assert [(r.reason, r.input) for r in labels.rejects] == [("label-cells", "labels row 3")]
    assert [bool(of(labels, key)) for key in ("17", "18", "19")] == [True, False, True]


def test_present_says_what_is_there_as_a_whole(table):
    labels = table("a,oedema,yes\na,effusion,0\nb,oedema,FALSE\n", "patient_id,label,present\n")
    assert of(labels, "a").stated == (("effusion", False), ("oedema", True))
    assert of(labels, "b").stated == (("oedema", False),)
    # Nothing was searched for: a class that is not stated may be there.
    assert of(labels, "a").classes == of(labels, "b").classes == ()
    assert not labels.rejects


def test_labels_alone_say_what_is_there(table):
    labels = table("a,melanoma\nb,nevus\n", "file_name,label\n")
    assert of(labels, "a").stated == (("melanoma", True),)
    assert (of(labels, "b").findings, of(labels, "b").classes) == ((), ())


def test_present_beside_boxes(table):
    rows = "1.2,nodule,1,2,3,4,1\n1.2,mass,,,,,0\n1.3,nodule,,,,,1\n1.4,nodule,1,2,3,4,0\n1.5,nodule,,,,,maybe\n"
    labels = table(rows, HEADER.strip() + ",present\n")
    assert of(labels, "1.2").findings[0].box_px == (1, 2, 3, 4)
    assert of(labels, "1.2").stated == (("mass", False),)
    # Known to be there, with nobody having said where or how many.
    assert (of(labels, "1.3").findings, of(labels, "1.3").stated) == ((), (("nodule", True),))
    assert of(labels, "1.3").classes == ()
    for uid in ("1.4", "1.5"):
        assert [(found.label, found.clear) for found in of(labels, uid).findings] == [("nodule", False)]
        assert of(labels, uid).stated == ()
    assert [(r.reason, r.input) for r in labels.rejects] == [
        ("label-present", "labels row 5"), ("label-present", "labels row 6")]  # fmt: skip


def test_columns_that_are_named_are_properties(table):
    labels = table("1.2,C,left\n1.3,,right\n", "sop_instance_uid,Density,side\n", ("density", "side"))
    assert of(labels, "1.2").described == (("density", "C"), ("side", "left"))
    assert of(labels, "1.3").described == (("side", "right"),)
    # A table without labels says nothing about what was looked for.
    assert (of(labels, "1.2").classes, of(labels, "1.2").findings) == ((), ())
    assert not labels.rejects


def test_med_60_no_column_is_a_property_unless_it_is_named(table):
    header = "sop_instance_uid,label,StudyInstanceUID,PatientMRN,filename,age,Density\n"
    labels = table("1.2,nevus,9.9.9,P1,doe_jane.dcm,44,C\n", header, ("density",))
    assert of(labels, "1.2").described == (("density", "C"),)
    (reject,) = labels.rejects
    assert (reject.input, reject.reason, reject.severity) == ("labels", "label-column", "skipped")
    assert reject.message == "4 columns are not used: studyinstanceuid, patientmrn, filename, age"
    assert "--properties" in reject.action


def test_med_60_values_in_the_form_of_identifiers_are_no_properties(table):
    rows = "1.2,nevus,seen 17.04.2023\n1.3,nevus,C\n1.4,ROE^JANE,C\n1.4,nevus,\n"
    labels = table(rows, "sop_instance_uid,label,note\n", ("note",))
    assert (of(labels, "1.2").described, of(labels, "1.3").described) == ((), (("note", "C"),))
    assert [(r.reason, r.input) for r in labels.rejects] == [
        ("label-identifies", "labels row 2"), ("label-identifies", "labels row 4")]  # fmt: skip
    assert not any(word in f"{labels.rejects}{labels.truth_for({labels.key: '1.4'}, 0)}" for word in ("2023", "ROE"))


def test_a_label_that_identifies_leaves_its_slice_unsaid(table):
    labels = table("1.2,nodule,1,2,3,4\n1.2,ROE^JANE,5,6,7,8\n1.3,nodule,1,2,3,4\n")
    assert of(labels, "1.2") is None
    assert of(labels, "1.3").classes == ("nodule",)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("density,", "once"),
        ("Density,density", "once"),
        ("label", "meaning of its own"),
        ("accession_number", "meaning of its own"),
        ("Patient_Name", "who somebody is"),
        ("reader", "who somebody is"),
    ],
)
def test_properties_that_cannot_be_used(text, rule):
    with pytest.raises(UsageError, match=rule):
        parse_properties(text)


def test_properties_are_read_without_regard_to_case_and_must_be_columns(table, tmp_path):
    assert parse_properties("") == parse_properties(" ") == ()
    assert parse_properties(" Density ,side") == ("density", "side")
    (reject,) = table("", "sop_instance_uid,label,ROE^JANE,age\n").rejects
    assert reject.message == "2 columns are not used: age, ..."
    with pytest.raises(UsageError, match="missing: side"):
        table("", "sop_instance_uid,label,density\n", ("density", "side"))
    with pytest.raises(UsageError, match="none is named"):
        open_table(None, "density")
    assert open_table(None, "") is None
    assert open_table(tmp_path / "labels.csv", "Density").rejects == ()


def test_med_51_rows_that_cannot_be_used_do_not_deny_other_classes(table):
    """A row that names several slices, one with a malformed box, one with a frame that cannot be read."""
    rows = "1.2,,nodule,1,1,9,9\n1.3,,nodule,1,1,,9\n1.4,x,nodule,1,1,9,9\n1.5,,cavity,1,1,9,9\n1.4,,cavity,1,1,9,9\n"
    labels = table(rows, HEADER.replace("label", "frame,label"))
    labels.match([{"sop_instance_uid": name} for name in ("1.2", "1.3", "1.4", "1.5")], [3, 1, 3, 1])
    for name in ("1.2", "1.3"):
        truth = of(labels, name)
        assert ([(f.label, f.clear) for f in truth.findings], truth.classes) == ([("nodule", False)], ())
    for frame in range(3):
        assert next((f.label, f.clear) for f in of(labels, "1.4", frame).findings) == ("nodule", False)
    assert of(labels, "1.5").classes == ("cavity", "nodule")


def test_a_row_with_a_malformed_box_beside_a_sound_one_is_of_a_slice_that_was_searched(table):
    truth = of(table("1.2,nodule,1,1,,9\n1.2,cavity,1,1,9,9\n1.3,mass,1,1,9,9\n"), "1.2")
    assert [(f.label, f.clear) for f in truth.findings] == [("nodule", False), ("cavity", True)]
    assert truth.classes == ("cavity", "mass", "nodule")


def test_only_a_row_with_nothing_but_its_key_says_that_nothing_is_there(table):
    header = HEADER.strip().replace("label", "frame,label") + ",density,reader\n"
    rows = "1.1,,nodule,1,1,9,9,,\n1.2,,,,,,,C,\n1.3,,,,,,,,R1\n1.4,2,,,,,,,\n1.5,,,,,,,,\n1.3b,,,,,,,,R2\n"
    labels = table(rows, header, ("density",))
    assert (of(labels, "1.2").classes, of(labels, "1.2").described) == ((), (("density", "C"),))
    assert of(labels, "1.3") is None
    assert (of(labels, "1.4", 0), of(labels, "1.4", 1).classes) == (None, ("nodule",))
    assert of(labels, "1.5").classes == ("nodule",)
    assert [(r.reason, r.message[:7]) for r in labels.rejects] == [
        ("label-column", "1 colum"), ("label-silent", "2 rows ")]  # fmt: skip


@pytest.mark.parametrize("header", ["sop_instance_uid,label,density", "label,density,sop_instance_uid"])
def test_rows_with_too_many_cells_are_rejected_wherever_their_key_stands(table, header):
    cells = {"sop_instance_uid": "1.2", "label": "mass, left", "density": "C"}
    rows = ",".join(cells[name] for name in header.split(",")) + "\n"
    sound = {"sop_instance_uid": "1.2", "label": "cyst", "density": "B"}
    rows += ",".join(sound[name] for name in header.split(",")) + "\n"
    labels = table(rows, header + "\n", ("density",))
    rejects = labels.match([{"sop_instance_uid": "1.2"}])
    assert [(r.reason, r.input) for r in rejects] == [("label-cells", "labels row 2")]
    assert "4 cells" in rejects[0].message and "mass" not in f"{rejects}"
    truth = of(labels, "1.2")
    assert (truth.findings, truth.classes, truth.described) == ((), (), (("density", "B"),))


@pytest.mark.parametrize("key_first", [True, False])
def test_a_divided_row_keeps_its_slice_from_being_denied(table, key_first):
    rows = (("1.2", "mass, left,1,1,9,9"), ("1.2", "cyst,1,1,9,9"), ("1.3", "nodule,1,1,9,9"))
    ordered = (row if key_first else row[::-1] for row in (("sop_instance_uid", ",".join(COLUMNS[1:])), *rows))
    header, *lines = (",".join(row) + "\n" for row in ordered)
    labels = table("".join(lines), header)
    assert of(labels, "1.2") is None
    assert of(labels, "1.3").classes == ("cyst", "nodule")


def test_labels_that_differ_in_case_are_one_class(table):
    labels = table("1.2,Nodule,1,2,3,4\n1.3,nodule,5,6,7,8\n1.2,NODULE,1,2,3,4\n")
    assert [found.label for found in of(labels, "1.3").findings] == ["Nodule"]
    assert of(labels, "1.2").classes == of(labels, "1.3").classes == ("Nodule",)
    assert [(r.reason, r.input) for r in labels.rejects] == [("label-repeated", "labels row 4")]


def test_an_empty_row_counts_beside_one_that_other_columns_fill(table):
    rows = "1.1,nodule,1,2,3,4,\n1.2,,,,,,R1\n1.2,,,,,,\n"
    labels = table(rows, HEADER.strip() + ",reader\n")
    assert of(labels, "1.2").classes == ("nodule",)
    assert [r.reason for r in labels.rejects] == ["label-column", "label-silent"]


def test_one_box_of_two_readers_counts_once(table):
    labels = table("1.2,nodule,1,2,3,4,R1\n1.2,nodule,1,2,3,4,R2\n", HEADER.strip() + ",reader\n")
    assert len(of(labels, "1.2").findings) == 1
    assert [r.reason for r in labels.rejects] == ["label-column", "label-repeated"]


def test_frames_are_counted_from_1(table):
    rows = "1.2,1,a,1,1,2,2\n1.2,3,b,1,1,2,2\n1.2,,c,1,1,2,2\n1.2,0,d,1,1,2,2\n1.2,x,e,1,1,2,2\n"
    labels = table(rows, HEADER.replace("label", "frame,label"))
    assert [[f.label for f in of(labels, "1.2", frame).findings if f.clear] for frame in range(3)] == [
        ["a", "c"],
        ["c"],
        ["b", "c"],
    ]
    assert [(r.reason, r.input) for r in labels.rejects] == [
        ("label-frame", "labels row 5"), ("label-frame", "labels row 6")]  # fmt: skip


def test_rows_that_match_nothing_are_listed_by_number_alone(table):
    labels = table("1.2,a,1,1,2,2\nJane Roe,a,1,1,2,2\n")
    (reject,) = labels.match([{"sop_instance_uid": "1.2"}, {"sop_instance_uid": "1.3"}])
    assert (reject.input, reject.reason) == ("labels row 3", "label-unmatched")
    assert "Jane" not in f"{reject}" and reject.action


def test_tables_that_match_nothing_at_all_are_refused(table):
    labels = table("9.9,a,1,1,2,2\n9.9,b,1,1,2,2\n")
    with pytest.raises(UsageError, match="none of its 1 instances is among the 2 images"):
        labels.match([{"sop_instance_uid": "1.2"}, {"sop_instance_uid": "1.3"}])


def test_a_key_that_images_do_not_have_is_told_with_those_that_they_have(table):
    dicom, nifti = [{"sop_instance_uid": "1.2", "patient_id": "P1", "accession_number": ""}], [{"file_name": "a.nii"}]
    labels = table("a.nii,mass\n", "file_name,label\n")
    with pytest.raises(UsageError, match="none of the 1 images found has its file_name, by which .* NIfTI") as error:
        labels.match(dicom)
    assert error.value.action.endswith("by sop_instance_uid or patient_id")
    assert not labels.match(nifti)
    with pytest.raises(UsageError, match=r"has its patient_id\. Name the images by file_name") as error:
        table("P1,mass\n", "patient_id,label\n").match(nifti)
    assert "DICOM" not in str(error.value)
    with pytest.raises(UsageError, match="Check that the column patient_id"):
        table("P2,mass\n", "patient_id,label\n").match(dicom)


@pytest.mark.parametrize("name", ["labels.csv.gz", "labels.tsv", "labels.tsv.gz", "LABELS.CSV"])
def test_tables_are_text_packed_or_not(tmp_path, name):
    text = "sop_instance_uid,label\n\n1.2,mass\n"
    text = text.replace(",", "\t") if "tsv" in name else text
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    labels = read_table(tmp_path / name)
    assert of(labels, "1.2").stated == (("mass", True),)
    assert [reject.input for reject in labels.match([{"sop_instance_uid": "1.3"}, {"sop_instance_uid": "1.2"}])] == []


def test_whole_numbers_of_a_workbook_are_written_without_a_point(tmp_path):
    book = openpyxl.Workbook()
    for row in (("patient_id", "label", "present", "density"), (4711, "mass", True, 2.0)):
        book.active.append(row)
    book.save(tmp_path / "labels.xlsx")
    truth = of(read_table(tmp_path / "labels.xlsx", ("density",)), "4711")
    assert (truth.stated, truth.described) == ((("mass", True),), (("density", "2"),))


def test_a_quote_that_is_never_closed_is_refused(table):
    """It would swallow the rows behind it."""
    with pytest.raises(UsageError, match="it must be CSV"):
        table('1.2,"mass,1,1,2,2\n1.3,cyst,1,1,2,2\n')


def test_a_divided_row_is_found_though_its_last_cells_are_empty(table):
    """The comma of a label moves the cells behind it; the empty ones at the end still count."""
    rows = "1.2,mass, left,C,\n1.3,cyst,B,,\n"
    labels = table(rows, "sop_instance_uid,label,density,note\n", ("density",))
    assert [(r.reason, r.input) for r in labels.rejects if r.reason == "label-cells"] == [
        ("label-cells", "labels row 2"), ("label-cells", "labels row 3")]  # fmt: skip
    assert of(labels, "1.2") is None


def test_empty_columns_at_the_end_of_a_text_are_columns(table):
    labels = table("1.2,mass,,\n1.3,cyst,,\n", "sop_instance_uid,label,,\n")
    assert not labels.rejects
    assert of(labels, "1.2").stated == (("mass", True),)


def test_keys_of_several_slices_state_and_do_not_place(table):
    rows = "P1,mass,1,1,2,2,\nP1,oedema,,,,,1\nP2,mass,1,1,2,2,\n"
    labels = table(rows, "patient_id" + HEADER.strip()[16:] + ",present\n")
    slices = [{"patient_id": "P1"}, {"patient_id": "P1"}, {"patient_id": "P2"}]
    assert [(r.reason, r.input) for r in labels.match(slices)] == [("label-several", "labels row 2")]
    (mass,) = of(labels, "P1").findings
    assert (mass.box_px, mass.clear) == (None, False)
    assert of(labels, "P1").stated == (("oedema", True),)
    assert of(labels, "P2").findings[0].box_px == (1, 1, 2, 2)


def test_frames_that_are_not_there_and_boxes_of_several_frames(table):
    rows = "1.2,1,a,1,1,2,2\n1.2,4,a,1,1,2,2\n1.2,,a,1,1,3,3\n"
    labels = table(rows, HEADER.replace("label", "frame,label"))
    rejects = labels.match([{"sop_instance_uid": "1.2"}], frame_counts=[3])
    assert [(r.reason, r.input) for r in rejects] == [
        ("label-unmatched", "labels row 3"), ("label-several", "labels row 4")]  # fmt: skip
    assert [(f.box_px, f.clear) for f in of(labels, "1.2", 0).findings] == [((1, 1, 2, 2), True), (None, False)]


def test_contradictions_are_listed_and_not_asked(table):
    header = HEADER.strip() + ",present,side\n"
    labels = table("1.2,a,1,1,2,2,,left\n1.2,a,,,,,no,right\n1.2,b,,,,,1,\n", header, ("side",))
    rejects = labels.match([{"sop_instance_uid": "1.2"}])
    assert [(r.reason, r.input) for r in rejects] == [("label-contradiction", "labels row 3")] * 2
    assert [(f.label, f.clear) for f in of(labels, "1.2").findings] == [("a", False)]


def test_empty_identifiers_of_images_match_no_row(table):
    labels = table("1.2,a,1,1,2,2\n")
    assert labels.truth_for({"sop_instance_uid": ""}, 0) is None
    assert labels.truth_for({"patient_id": "1.2"}, 0) is None
