"""Documents through Parquet: nothing is lost, and training reads what is written."""

from __future__ import annotations

import json

import pytest
from toy_corpora import caption, document, image

from domainvl.corpus.tables import read_table, row_group_count, to_documents, to_table, write_table
from domainvl.errors import DatasetError
from domainvl.interleaved.documents import read_document
from domainvl.interleaved.reading import read_records

GIVEN = [
    document("a", "One.", image("a", width_px=8, height_px=6, valid=False, alt="An image."), caption("Fig. 1. Two.")),
    document("b", "Only text.", modified="2026-01-02T03:04:05Z"),
]


def test_documents_come_back_from_parquet(tmp_path):
    write_table(to_table(GIVEN), tmp_path / "a.parquet")
    assert to_documents(read_table(tmp_path / "a.parquet")) == GIVEN
    records = [record for _, record in read_records(tmp_path / "a.parquet")]
    assert [read_document(record) for record in records] == GIVEN
    json.dumps(records)  # a row is a line of OmniCorpus' JSONL as it is


def test_rows_are_divided_into_groups_of_five_hundred(tmp_path):
    write_table(to_table(GIVEN * 501), tmp_path / "a.parquet")
    assert row_group_count(tmp_path / "a.parquet") == 3
    assert read_table(tmp_path / "a.parquet", 2).num_rows == 2


def test_half_a_surrogate_pair_becomes_a_question_mark():
    (read,) = to_documents(to_table([document("a", "broken \ud83d here", image("a"))]))
    assert read.texts[0].text == "broken ? here"


def test_what_is_no_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"a\.parquet"):
        read_table(tmp_path / "a.parquet")
