import pytest
from openpyxl import Workbook

from domainvl.converters.nifti.class_names import beside, read_class_names
from domainvl.converters.nifti.files import NiftiFile
from domainvl.errors import InputNotFoundError, UsageError

WANTED = {1: "liver", 2: "left kidney"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"1": "liver", "2": "left kidney"}'),
        ("a.json", '{"labels": {"0": "background", "1": "liver", "2": "left kidney"}, "name": "x"}'),
        ("a.json", '{"labels": {"background": 0, "liver": 1, "left  kidney": 2}}'),
        ("a.yaml", "1: liver\n2: left kidney\n"),
        ("a.yml", "liver: 1\nleft kidney: 2\n"),
        ("a.csv", "value,name\n1,liver\n2,left kidney\n"),
        ("a.tsv", "index\tname\tcolor\n0\tBackground\t#000\n1\tliver\t#f00\n\n2\tleft kidney\t#0f0\n"),
        ("a.csv", "\ufeffName;Value\nliver;1.0\nleft kidney;2\n"),
    ],
)
def test_names_of_values(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")

    assert read_class_names(tmp_path / name) == WANTED


def test_names_of_values_in_a_workbook(tmp_path):
    book = Workbook()
    for row in (["Value", "Name", None], [1, "liver"], [], [2.0, "left  kidney"]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")

    assert read_class_names(tmp_path / "a.xlsx") == WANTED


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", "[1]"),
        ("a.json", "{}"),
        ("a.json", '{"labels": {"whole": [1, 2], "core": 2}}'),
        ("a.json", '{"1": ""}'),
        ("a.json", '{"0": "background"}'),
        ("a.json", '{"1.5": "x"}'),
        ("a.yaml", "a: [b"),
        ("a.csv", "number,name\n1,liver\n"),
        ("a.csv", "value,name\n1\n"),
        ("a.csv", "value,name\n1,liver\n1,spleen\n"),
        ("a.csv", ""),
        ("a.csv", 'value,name\n1,"liver\n'),
        ("a.xlsx", "value,name\n1,liver\n"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match="--class-names"):
        read_class_names(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputNotFoundError):
        read_class_names(tmp_path / "a.json")


def test_the_table_beside_a_mask(tmp_path):
    mask = NiftiFile("m_dseg.nii.gz", tmp_path / "m_dseg.nii.gz")
    assert beside(mask) is None
    (tmp_path / "m_dseg.tsv").write_text("index\tname\n1\tliver\n")
    assert beside(mask) == tmp_path / "m_dseg.tsv"
