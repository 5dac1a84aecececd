from __future__ import annotations

import pytest

from domainvl.converters.dicom.labels import read_labels, to_objects
from domainvl.errors import InputNotFoundError, UsageError

HEADER = "sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n"


@pytest.fixture
def table(tmp_path):
    def read(rows, header=HEADER):
        path = tmp_path / "labels.csv"
        path.write_text(header + rows)
        return read_labels(path)

    return read


def test_rows_become_findings_of_their_instance(table):
    labels = table("1.2,nodule,1,2,3.5,4\n1.3,,,,,\n1.2,drain,0,0,9,1\n")
    assert [(found.label, found.box_px, found.row) for found in labels.of("1.2")] == [
        ("nodule", (1, 2, 3.5, 4), 2), ("drain", (0, 0, 9, 1), 4)]  # fmt: skip
    assert labels.of("1.3") == ()
    assert labels.of("1.4") is None
    assert labels.classes == ("drain", "nodule")
    assert not labels.rejects


def test_columns_may_stand_in_another_order_and_others_beside_them(table):
    labels = table("x,9,8,7,6,cyst,1.2\n", "reader,y_max_px,x_max_px,y_min_px,x_min_px,label,sop_instance_uid\n")
    assert labels.of("1.2")[0].box_px == (6, 7, 8, 9)


@pytest.mark.parametrize("box", ["1,2,x,4", "1,2,,4", "5,2,3,4", "1,2,1,4", "1,nan,3,4", "1,2,3,inf"])
def test_malformed_boxes_are_rejected_and_leave_the_class_unclear(table, box):
    labels = table(f"1.2,nodule,{box}\n")
    assert [(reject.reason, reject.input) for reject in labels.rejects] == [("label-box", "labels row 2")]
    objects, _ = to_objects(labels.of("1.2"), 50, 50)
    assert [thing.ignore for thing in objects] == [True]


def test_box_without_label_makes_the_slice_unclear(table):
    labels = table("1.2,nodule,1,2,3,4\n1.2,,5,6,7,8\n1.2,nodule,2,2,3,4\n")
    assert labels.of("1.2") is None
    assert [reject.reason for reject in labels.rejects] == ["label-box"]


def test_repeated_rows_count_once(table):
    labels = table("1.2,nodule,1,2,3,4\n1.2,nodule,1,2,3,4\n")
    assert len(labels.of("1.2")) == 1
    assert [(reject.reason, reject.severity) for reject in labels.rejects] == [("label-repeated", "skipped")]


def test_row_without_instance(table):
    assert [reject.reason for reject in table(",nodule,1,2,3,4\n").rejects] == ["label-no-instance"]


def test_missing_columns_are_named(table):
    with pytest.raises(UsageError, match="missing: label,y_max_px"):
        table("", "sop_instance_uid,x_min_px,y_min_px,x_max_px\n")


def test_missing_file_and_other_encodings(tmp_path):
    with pytest.raises(InputNotFoundError):
        read_labels(tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes((HEADER + "1.2,Säge,1,2,3,4\n").encode("latin-1"))
    with pytest.raises(UsageError, match="UTF-8"):
        read_labels(path)


def test_boxes_are_cut_to_the_image(table):
    labels = table("1.2,a,-5,0,5,10\n1.2,b,50,0,60,10\n1.2,c,0,0,20,20\n")
    objects, rejects = to_objects(labels.of("1.2"), 20, 20)
    cut, outside, whole = objects
    assert (cut.box_px, cut.visible_fraction, cut.truncated) == ((0, 0, 5, 10), 0.5, True)
    assert (outside.ignore, outside.box_px) == (True, None)
    assert (whole.box_px, whole.truncated) == ((0, 0, 20, 20), False)
    assert [(reject.reason, reject.input) for reject in rejects] == [("label-outside", "labels row 3")]
