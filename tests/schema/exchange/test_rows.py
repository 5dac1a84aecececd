"""Rows are valid JSON whatever their number, and are read back one at a time."""

from __future__ import annotations

import json

import pytest

from domainvl.errors import DatasetError, InputNotFoundError
from domainvl.schema import Split
from domainvl.schema.exchange.rows import JsonArray, JsonLines

ROWS = [{"text": "a\nb\r\u2028\x85"}, {"text": "é 漢字 🛰", "boxes": [[1.5, 2.0]]}, {"text": "]"}, {}]


@pytest.mark.parametrize("count", range(5))
def test_an_array_is_json(tmp_path, count):
    writer = JsonArray().open_rows(tmp_path, Split.VAL)
    for row in ROWS[:count]:
        writer.write(row)
    writer.close()

    assert json.loads((tmp_path / "val.json").read_bytes()) == ROWS[:count]
    assert list(JsonArray().read_rows(tmp_path, Split.VAL)) == ROWS[:count]


def test_lines_are_json_each(tmp_path):
    writer = JsonLines().open_rows(tmp_path, Split.TEST)
    for row in ROWS:
        writer.write(row)
    writer.close()
    writer.close()  # a second time does nothing

    content = (tmp_path / "test.jsonl").read_bytes()
    assert content.endswith(b"}\n")
    assert [json.loads(line) for line in content.split(b"\n")[:-1]] == ROWS
    assert list(JsonLines().read_rows(tmp_path, Split.TEST)) == ROWS


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_word_for_is_not_written(tmp_path, value):
    writer = JsonLines().open_rows(tmp_path, Split.TRAIN)
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.write({"value": value})
    writer.close()


@pytest.mark.parametrize("storage", [JsonLines(), JsonArray()])
def test_reading_says_where_it_went_wrong(tmp_path, storage):
    with pytest.raises(InputNotFoundError, match="is missing"):
        list(storage.read_rows(tmp_path, Split.TRAIN))
    (tmp_path / "train.jsonl").write_text('{"a": 1}\n{"a": \n')
    (tmp_path / "train.json").write_text('[\n{"a": ]\n]\n')
    with pytest.raises(DatasetError, match=r"train\.jsonl?:2: it must be JSON"):
        list(storage.read_rows(tmp_path, Split.TRAIN))
