"""The file of marks: harmless in a spreadsheet, and read back as spreadsheets leave it, bad rows told."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from filtered_corpora import write_filtered

from domainvl.corpus.auditing.marks import read_marks, write_marks
from domainvl.corpus.auditing.rates import measure_rates
from domainvl.corpus.auditing.things import Stratum, draw_sample
from domainvl.corpus.filtering.filtered import FilteredCorpus
from domainvl.corpus.filtering.removals import Level
from domainvl.errors import InputNotFoundError, UsageError


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = write_filtered(tmp_path_factory.mktemp("marks") / "filtered", 30)
    return list(FilteredCorpus.open(folder).documents())


@pytest.fixture(scope="module")
def strata(documents):
    return draw_sample(documents, sample=100, seed=0)


@pytest.fixture
def rows(strata, tmp_path):
    """The rows of a file that was written, as its reader sees them."""
    path = tmp_path / "written.csv"
    count = write_marks(path, strata)
    found = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    assert len(found) == count == 130
    return found


def save(path, rows, *, delimiter=",", encoding="utf-8-sig", columns=None):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns or list(rows[0]), delimiter=delimiter, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(file.getvalue().encode(encoding))
    return path


def marked(rows):
    """Paragraphs of four words should have been kept, those of three not; of the kept paragraphs three are bad."""
    lists = [row for row in rows if row["was"] == "kept" and row["excerpt"].startswith("A list")]
    for row in rows:
        row["mark"] = "keep" if row["was"] == "kept" or row["value"] == "4" else "drop"
    for row in lists[:3]:
        row |= {"mark": "drop", "problem": "hf-four-words"}
    lists[3] |= {"mark": "drop", "problem": "Überflüssig; leer"}
    return rows


def test_a_file_is_marked_and_read_back_to_the_rates_that_were_put_in(rows, strata, documents, tmp_path):
    read = read_marks(save(tmp_path / "marks.csv", marked(rows)), documents)
    assert (read.unmarked, read.rejects, len(read.marked)) == (0, (), 130)
    rates = measure_rates(strata, read.marked)
    found = {one.rule: (one.false_positives.count, one.false_positives.total) for one in rates.rules}
    assert found == {"gopher-words": (0, 10), "hf-four-words": (10, 20), "image-side": (0, 20)}
    one = next(one for one in rates.rules if one.rule == "hf-four-words")
    assert (one.misses.count, one.misses.total, one.missed) == (3, 40, 3)
    assert rates.misses[Level.PARAGRAPH].count == 4


@pytest.mark.parametrize(
    ("delimiter", "encoding"),
    [(",", "utf-8"), (";", "utf-8-sig"), (";", "cp1252"), ("\t", "utf-16")],
    ids=["plain", "semicolons", "windows", "unicode-text"],
)
def test_spreadsheets_may_save_it_in_their_way(rows, documents, tmp_path, delimiter, encoding):
    columns = ["problem", "excerpt", "mark", "id"]
    path = save(tmp_path / "marks.csv", marked(rows), delimiter=delimiter, encoding=encoding, columns=columns)
    read = read_marks(path, documents)
    assert read == read_marks(save(tmp_path / "other.csv", rows), documents)
    assert "Überflüssig; leer" in {one.problem for one in read.marked}


def test_rows_without_a_mark_are_counted_and_marks_may_be_in_capitals(rows, documents, tmp_path):
    rows[0]["mark"], rows[1]["mark"] = " Keep ", "DROP"
    read = read_marks(save(tmp_path / "marks.csv", rows), documents)
    assert [(one.thing.id, one.keep) for one in read.marked] == [(rows[0]["id"], True), (rows[1]["id"], False)]
    assert read.unmarked == 128


def test_bad_rows_are_told_by_reason_and_line(rows, documents, tmp_path):
    some = [{**row, "mark": "keep"} for row in rows[:5]]
    some[1]["mark"] = "maybe"
    some[2]["id"] = "m0000000000000000"
    some[4] = {**some[3], "mark": "drop"}
    read = read_marks(save(tmp_path / "marks.csv", some), documents)
    assert [(one.input, one.reason) for one in read.rejects] == [
        ("line 3", "mark"), ("line 4", "unknown-id"), ("line 6", "duplicate-id"),
    ]  # fmt: skip
    assert [(one.thing.id, one.keep) for one in read.marked] == [(some[0]["id"], True), (some[3]["id"], True)]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"mark;rule\nkeep;x\n"], ids=["empty", "others", "no-id"])
def test_a_file_without_the_columns_is_refused(content, tmp_path):
    (tmp_path / "marks.csv").write_bytes(content)
    with pytest.raises(UsageError, match="columns id and mark"):
        read_marks(tmp_path / "marks.csv", [])


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InputNotFoundError):
        read_marks(tmp_path / "none.csv", [])
    with pytest.raises(UsageError):
        read_marks(tmp_path, [])
    (tmp_path / "huge.csv").write_bytes(b"id,mark\n" + b"x" * 200_000 + b",keep\n")  # csv's longest cell is 131072
    with pytest.raises(UsageError, match="line"):
        read_marks(tmp_path / "huge.csv", [])


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1"])
def test_no_cell_of_a_document_is_a_formula(strata, tmp_path, text):
    thing = replace(strata[0].things[0], excerpt=text, document=text)
    write_marks(tmp_path / "marks.csv", [Stratum(thing.level, thing.rule, 1, (thing,))])
    (row,) = csv.DictReader(io.StringIO((tmp_path / "marks.csv").read_text("utf-8-sig"), newline=""))
    assert row["excerpt"][0] == row["document"][0] == "'"
