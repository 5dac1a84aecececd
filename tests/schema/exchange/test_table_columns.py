"""What pandas reads of columns of numbers is asked of pandas itself."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvl.schema.exchange.table_columns import Columns

pd = pytest.importorskip("pandas")

CELLS = st.sampled_from(
    ";liver;3;4;007;+3;-0;3.5;3.50;.5;5.;1e3;1e-05;Infinity;inf;true;True;FALSE;False;0x1F;1_000;3%;1,000;"
    "9223372036854775807;-5;yes;1d5;A 3".split(";")
)


def read(rows):
    table = "k\tA\tB\n" + "".join(f"k\t{a}\t{b}\n" for a, b in rows)
    data = pd.read_csv(io.StringIO(table), sep="\t")
    return [["" if pd.isna(cell) else str(cell) for cell in row] for row in data[["A", "B"]].to_numpy(object)]


def without_changed(rows):
    columns = Columns()
    for number, row in enumerate(rows):
        for name, text in zip("AB", row, strict=True):
            if text:
                columns.add(number, name, text)
    gone = columns.changed(len(rows), 3)
    return [list(row) for number, row in enumerate(rows) if number not in gone]


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_med_73_what_is_kept_is_read_as_it_is(rows):
    kept = without_changed(rows)
    assert not kept or read(kept) == kept


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([("2", "3"), ("4", "5")], 2),  # a column of integers stays one of integers
        ([("2", "3"), ("4", "")], 1),  # beside a gap 3 is read as 3.0
        ([("2", "3"), ("liver", "")], 1),
        ([("2", "3"), ("4", "three"), ("5", "")], 3),
        ([("007", "a"), ("8", "b")], 1),
        ([("007", "a"), ("b", "c")], 2),
        ([("007", "a"), ("b", "true"), ("8", "True")], 3),
        ([("007", "1"), ("b", "true"), ("8", "false")], 3),
        ([("007", "x"), ("b", "01")], 2),
        ([("3", "x"), ("3.5", "y")], 1),
        ([("true", "a"), ("false", "b")], 0),
        ([("True", "a"), ("False", "b")], 2),
        # Without the row of "true", the other column holds numbers only.
        ([("word", "true"), ("007", "False"), ("8", "False")], 1),
    ],
)
def test_med_73_only_what_would_change_is_left_out(rows, kept):
    assert len(without_changed(rows)) == kept


@pytest.mark.filterwarnings("ignore:Columns")
def test_med_73_of_long_tables_pandas_reads_block_by_block():
    """131,072 rows of four columns are one block of 2^19 cells."""
    block = (1 << 19) // 4
    for count, expected in ((block, "007"), (block + 1, "7")):
        columns = Columns()
        for row in range(count):
            columns.add(row, "A", "liver" if row == count - 1 else "007")
        table = io.StringIO("k\tA\tb\tc\n" + "k\t007\tb\tc\n" * (count - 1) + "k\tliver\tb\tc\n")

        assert str(pd.read_csv(table, sep="\t", low_memory=True)["A"][0]) == expected
        assert bool(columns.changed(count, 4)) == (expected != "007")
