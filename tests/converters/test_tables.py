"""Rows of CSV, TSV and Excel come out alike, with the numbers that a spreadsheet gives them."""

from __future__ import annotations

import csv
import datetime
import gzip
import re
import zipfile

import pytest
from openpyxl import Workbook
from openpyxl.styles import Font

from domainvl.converters import tables
from domainvl.converters.tables import is_table, read_rows, repeated
from domainvl.errors import UsageError

ROWS = [["image", "label", "note"], [], ["a", "nevus", 'say "this", twice'], ["", "", ""], ["b", "", "two\nlines"]]
READ = [(1, ["image", "label", "note"]), (3, ["a", "nevus", 'say "this", twice']), (5, ["b", "", "two\nlines"])]


def unusable(rule):
    return UsageError("Cannot read the table", rule=rule)


def rows_of(path, **options):
    return list(read_rows(path, unusable, **options))


def test_rows_of_a_text_are_whole_where_their_number_of_cells_is_asked(tmp_path):
    """Empty rows go all the same; cells of a sheet that are formatted and empty are none of a row."""
    rows = [["a", "b", ""], ["", "", ""], ["1", "", ""]]
    path = write_csv(tmp_path / "a.csv", rows)
    assert rows_of(path, whole=True) == [(1, ["a", "b", ""]), (3, ["1", "", ""])]
    book = Workbook()
    for row in rows:
        book.active.append([value or None for value in row])
    book.active.cell(3, 9).font = Font(bold=True)
    book.save(tmp_path / "a.xlsx")
    assert rows_of(path) == rows_of(tmp_path / "a.xlsx", whole=True) == [(1, ["a", "b"]), (3, ["1"])]


def write_csv(path, rows, *, delimiter=",", encoding="utf-8"):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def write_excel(path, rows):
    book = Workbook()
    for number, row in enumerate(rows, start=1):
        for column, value in enumerate(row, start=1):
            book.active.cell(number, column, value if value != "" else None)
    book.save(path)
    return path


def with_sheet(path, change):
    """Change the XML of the first sheet of a workbook."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["xl/worksheets/sheet1.xml"] = change(members["xl/worksheets/sheet1.xml"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    [
        ("t.csv", ",", "utf-8"),
        ("t.csv", ";", "utf-8"),
        ("t.csv", "\t", "utf-8-sig"),
        ("T.TSV", "\t", "utf-8"),
        ("t.csv.gz", ",", "utf-8-sig"),
        ("t.tsv.gz", "\t", "utf-8"),
        ("t.txt", ";", "utf-8"),
    ],
)
def test_text_of_any_delimiter_packed_or_not(tmp_path, name, delimiter, encoding):
    assert rows_of(write_csv(tmp_path / name, ROWS, delimiter=delimiter, encoding=encoding)) == READ


@pytest.mark.parametrize("name", ["t.xlsx", "T.XLSX"])
def test_a_workbook_reads_as_the_csv_does(tmp_path, name):
    assert rows_of(write_excel(tmp_path / name, ROWS)) == READ


def test_a_tsv_is_divided_by_tabs_whatever_its_first_line_holds(tmp_path):
    (tmp_path / "t.tsv").write_text("a, b, c\td\n1\t2\n")
    assert rows_of(tmp_path / "t.tsv") == [(1, ["a, b, c", "d"]), (2, ["1", "2"])]


def test_cells_of_a_workbook_come_as_text_as_a_csv_would_have_them(tmp_path):
    values = [
        "007", 7, 7.0, 0.5, True, False, None,
        datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, 4, 5), datetime.time(6, 7), " x ",
    ]  # fmt: skip
    path = write_excel(tmp_path / "t.xlsx", [values])
    assert rows_of(path) == [
        (1, ["007", "7", "7", "0.5", "1", "0", "", "2020-01-02", "2020-01-02T03:04:05", "06:07:00", "x"])
    ]


def test_cells_that_only_have_a_look_are_none(tmp_path):
    book = Workbook()
    for number in range(1, 4):
        book.active.append([f"a{number}", "b"] if number != 2 else [])
        for column in range(1, 40):
            book.active.cell(number, column).font = Font(bold=True)
    book.save(tmp_path / "t.xlsx")
    assert rows_of(tmp_path / "t.xlsx") == [(1, ["a1", "b"]), (3, ["a3", "b"])]


def test_a_sheet_that_claims_all_columns_is_read_by_the_cells_that_it_has(tmp_path, monkeypatch):
    rows = [["image", "label"], *([f"i{number}", "x"] for number in range(20))]
    path = with_sheet(
        write_excel(tmp_path / "t.xlsx", rows),
        lambda xml: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:XFD1048576"', xml),
    )
    looked_at = []
    as_text = tables._text
    monkeypatch.setattr(tables, "_text", lambda value: looked_at.append(value) or as_text(value))
    assert [cells for _, cells in rows_of(path)] == rows
    assert len(looked_at) == 42


def test_a_whole_number_has_no_decimal_point_however_it_is_stored(tmp_path):
    path = with_sheet(write_excel(tmp_path / "t.xlsx", [[1, 70]]), lambda xml: xml.replace(b"<v>70<", b"<v>7.0E1<"))
    assert rows_of(path) == [(1, ["1", "70"])]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"image,label\na,\xff\n", "UTF-8"),
        ("t.csv", "image,label\na,b\n".encode("utf-16"), "UTF-8"),
        ("t.csv", b'image,label\na,"b\nc,d\n', "unexpected end of data"),
        ("t.csv", b"image,label\na," + b"x" * 200_000, "field limit"),
        ("t.csv.gz", b"image,label\n", "gzip"),
        ("t.csv.gz", gzip.compress(b"image,label\n" * 99, mtime=0)[:-12], "gzip"),
        ("t.xlsx", b"image,label\n", "Excel workbook"),
        ("t.xlsx", b"", "Excel workbook"),
    ],
)
def test_what_cannot_be_read_is_one_error_that_quotes_nothing(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        rows_of(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("change", [lambda xml: xml[: len(xml) // 2], lambda xml: xml.replace(b't="n"', b't="s"')])
def test_a_damaged_sheet_is_an_error(tmp_path, change):
    path = with_sheet(write_excel(tmp_path / "t.xlsx", [["image", "label"], ["a", 5]]), change)
    with pytest.raises(UsageError, match="Excel workbook"):
        rows_of(path)


def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is(tmp_path, monkeypatch):
    path = write_excel(tmp_path / "t.xlsx", [["image"], ["x" * 30_000]])
    monkeypatch.setattr(tables, "_UNPACKED_BYTES_MAX", 20_000)
    with pytest.raises(UsageError, match="at most 20000 bytes"):
        rows_of(path)


def test_an_empty_table_has_no_rows(tmp_path):
    (tmp_path / "t.csv").write_text("\n\n")
    assert rows_of(tmp_path / "t.csv") == []
    assert rows_of(write_excel(tmp_path / "t.xlsx", [])) == []


def test_names_of_tables_and_repeated_columns(tmp_path):
    names = ["a.csv", "a.CSV.gz", "a.tsv", "a.xlsx", "a.txt", "a.gz", "csv"]
    assert [is_table(tmp_path / name) for name in names] == [True, True, True, True, False, False, False]
    assert repeated(["b", "a", "b", "c", "a"]) == ["a", "b"]
