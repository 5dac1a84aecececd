from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvl.converters.nuscenes.tables import streaming
from domainvl.converters.nuscenes.tables.rows import (
    AnnotationRow,
    CalibratedSensorRow,
    CategoryRow,
    EgoPoseRow,
    Row,
    SampleDataRow,
)
from domainvl.converters.nuscenes.tables.streaming import stream_rows
from domainvl.errors import InputNotFoundError, UsageError

POSE = {"token": "a", "translation": [1.0, 2.0, 3.0], "rotation": [1.0, 0.0, 0.0, 0.0], "timestamp": 1}
IMAGE = {
    "token": "a",
    "sample_token": "s",
    "ego_pose_token": "e",
    "calibrated_sensor_token": "c",
    "timestamp": 1_600_000_000_000_000,
    "filename": "f.jpg",
    "is_key_frame": True,
    "width": 800,
    "height": 600,
}
AWKWARD = ["},{", '"', "\\", "}", "{", "]", "[", "},\n{\n", '"}, {"', "é", "𝄞", "\ufeff", "\n", "x"]


def write(folder: Path, content: str | bytes, name: str = "category") -> None:
    data = content.encode() if isinstance(content, str) else content
    (folder / f"{name}.json").write_bytes(data)


def read(folder: Path, row_type: Any = CategoryRow, name: str = "category", chunk_bytes: int = 1 << 18) -> list[Any]:
    return list(stream_rows(folder, name, row_type, chunk_bytes=chunk_bytes))


texts = st.lists(st.sampled_from(AWKWARD), max_size=6).map("".join)
extras = st.recursive(
    st.none() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(texts, extras), max_size=8),
    indent=st.sampled_from([None, 0, 2]),
    compact=st.booleans(),
    is_escaped=st.booleans(),
    chunk_bytes=st.sampled_from([1, 2, 7, 50, 4096]),
    margin=st.sampled_from([b"", b" ", b"\r\n\t"]),
    bom=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_drv_01_rows_do_not_depend_on_where_the_stream_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, Any]],
    indent: int | None,
    compact: bool,
    is_escaped: bool,
    chunk_bytes: int,
    margin: bytes,
    bom: bytes,
) -> None:
    folder = tmp_path_factory.mktemp("table")
    table = [{"token": f"t{place}", "name": name, "more": more} for place, (name, more) in enumerate(rows)]
    separators = (",", ":") if compact else None
    text = json.dumps(table, indent=indent, separators=separators, ensure_ascii=is_escaped)
    write(folder, bom + margin + text.encode() + margin)
    found = read(folder, chunk_bytes=chunk_bytes)
    assert [(row.token, row.name) for row in found] == [(row["token"], row["name"]) for row in table]


def test_a_table_of_inner_objects_and_braces_in_texts_is_read_in_whole_pieces(tmp_path: Path) -> None:
    rows = [{"token": f"{place}", "name": "é},{", "models": [{"a": 1}, {"b": "},"}]} for place in range(5000)]
    write(tmp_path, json.dumps(rows, indent=2, ensure_ascii=False))
    assert [row.token for row in read(tmp_path, chunk_bytes=1 << 14)] == [row["token"] for row in rows]


def test_drv_03_memory_is_that_of_a_piece_not_of_the_table(tmp_path: Path) -> None:
    rows = [{"token": f"{place:032d}", "name": "n" * 100} for place in range(40_000)]
    write(tmp_path, json.dumps(rows, indent=0))
    size = (tmp_path / "category.json").stat().st_size
    tracemalloc.start()
    count = sum(1 for _ in stream_rows(tmp_path, "category", CategoryRow, chunk_bytes=1 << 16))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == len(rows)
    assert peak < size / 8


def test_empty_table(tmp_path: Path) -> None:
    write(tmp_path, " [\n] \n")
    assert read(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"token": "a"}', "must be one JSON array"),
        ("", "must be one JSON array"),
        ("\ufeff", "must be one JSON array"),
        ("null", "must be one JSON array"),
        ('[{"token": "a", "name": "x"}, {"token": "b", "na', r"cut off or malformed after row 1, at ', \{\"token\""),
        ('[{"token": "a", "name": "x"}', "cut off or malformed after row 1"),
        ('[{"token": "a", "name": "x"},', "cut off or malformed after row 1"),
        ('[{"token": "a", "name": "x"},]', "cut off or malformed after row 1"),
        ('[{"token": "a", "name": "x"} {"token": "b", "name": "y"}]', "cut off or malformed after row 1"),
        ('[,{"token": "a", "name": "x"}]', "cut off or malformed after row 0"),
        ('[{"token": "a", "name": x}]', "cut off or malformed after row 0"),
        ('[{"token": "a", "name": "x"}] []', "nothing may follow the array"),
        ('[{"token": "a", "name": "x"}]}', "nothing may follow the array"),
        ('[1, {"token": "a", "name": "x"}]', "row 1: it must be an object, got 1"),
        ('[{"token": "a"}]', r"category\.json, row 1: name is missing"),
        ('[{"token": "a", "name": "x"}, {"token": 7, "name": "x"}]', "row 2: token must be a text, got 7"),
        ('[{"token": "a", "name": null}]', "row 1: name must be a text, got null"),
        (b'[{"token": "a", "name": "\xff"}]', "must be UTF-8, got the byte 0xff after row 0"),
        ('[{"token": "a", "name": "\\ud800"}]', "row 1: name must be a text"),
        ("[" * 5000 + "{}", "cut off or malformed"),
        ('[{"token": "a", "n": ' + "9" * 5000 + "}]", "malformed|name is missing"),
    ],
)
def test_drv_01_a_broken_table_is_refused_by_file_row_and_column(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    write(tmp_path, content)
    for chunk_bytes in (3, 1 << 18):
        with pytest.raises(UsageError, match=message):
            read(tmp_path, chunk_bytes=chunk_bytes)


@pytest.mark.parametrize(
    ("row_type", "table", "row", "column", "value", "rule"),
    [
        (EgoPoseRow, "ego_pose", POSE, "rotation", "[[1,0,0],[0,1,0],[0,0,1]]", "rotation must be 4 numbers"),
        (EgoPoseRow, "ego_pose", POSE, "rotation", "[1, 0, 0]", r"4 numbers \(w, x, y, z\), got \[1, 0, 0\]"),
        (EgoPoseRow, "ego_pose", POSE, "rotation", "[NaN, 0, 0, 0]", r"rotation must be 4 numbers .*got \[NaN"),
        (EgoPoseRow, "ego_pose", POSE, "translation", "[1, 2, Infinity]", "translation must be 3 numbers"),
        (EgoPoseRow, "ego_pose", POSE, "translation", "[1, 2, 1e999]", "translation must be 3 numbers"),
        (EgoPoseRow, "ego_pose", POSE, "translation", "null", "translation must be 3 numbers, got null"),
        (SampleDataRow, "sample_data", IMAGE, "timestamp", "1600000000.5", "timestamp must be a whole number"),
        (SampleDataRow, "sample_data", IMAGE, "timestamp", "1600000000.0", "timestamp must be a whole number"),
        (SampleDataRow, "sample_data", IMAGE, "timestamp", "-5", "timestamp must be a whole number of 0 or more"),
        (SampleDataRow, "sample_data", IMAGE, "timestamp", "1" * 30, "timestamp must be a whole number"),
        (SampleDataRow, "sample_data", IMAGE, "timestamp", "9007199254740993", "timestamp must be a whole number"),
        (SampleDataRow, "sample_data", IMAGE, "is_key_frame", "1", "is_key_frame must be true or false, got 1"),
        (SampleDataRow, "sample_data", IMAGE, "ego_pose_token", None, "ego_pose_token is missing"),
        (SampleDataRow, "sample_data", IMAGE, "ego_pose_token", "null", "ego_pose_token must be a text, got null"),
        (SampleDataRow, "sample_data", IMAGE, "width", "800.5", "width must be a whole number"),
    ],
)
def test_drv_04_a_rig_that_breaks_the_format_is_refused_by_table_row_and_column(
    tmp_path: Path, row_type: type[Row], table: str, row: dict[str, Any], column: str, value: str | None, rule: str
) -> None:
    broken = {name: content for name, content in row.items() if name != column}
    text = json.dumps([row, row, broken, row])
    if value is not None:
        text = text.replace(json.dumps(broken), json.dumps(broken)[:-1] + f', "{column}": {value}}}')
    write(tmp_path, text, table)
    with pytest.raises(UsageError, match=rf"{table}\.json, row 3: .*{rule}"):
        read(tmp_path, row_type, table)


def test_a_column_that_is_not_needed_may_hold_anything(tmp_path: Path) -> None:
    row = {"token": "a", "name": "x"}
    write(tmp_path, json.dumps([row, {**row, "velocity": [float("nan")] * 3}, {**row, "deep": {"a": [{}]}}]))
    assert len(read(tmp_path)) == 3


def test_whole_numbers_serve_as_numbers(tmp_path: Path) -> None:
    write(tmp_path, '[{"token": "a", "translation": [1, 2, 3], "rotation": [1, 0, 0, 0]}]', "ego_pose")
    (row,) = read(tmp_path, EgoPoseRow, "ego_pose")
    assert row.translation == (1.0, 2.0, 3.0)
    assert all(isinstance(number, float) for number in row.rotation)


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"category\.json.*no such file\. Fetch the metadata again"):
        read(tmp_path)


def test_a_folder_in_the_place_of_a_table_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "category.json").mkdir()
    with pytest.raises(UsageError, match=r"category\.json: it must be a file, but it is a folder\. Put the table in"):
        read(tmp_path)


def test_a_row_is_counted_through_all_pieces(tmp_path: Path) -> None:
    write(tmp_path, json.dumps([{"token": f"{place}", "name": "x"} for place in range(1, 1000)] + [{"token": "z"}]))
    with pytest.raises(UsageError, match="row 1000: name is missing"):
        read(tmp_path, chunk_bytes=500)


def test_an_endless_row_is_refused_before_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LONGEST_ROW_BYTES", 1000)
    file = io.BytesIO(b'[{"token": "' + b"a" * 5000)
    with pytest.raises(UsageError, match="cut off or malformed after row 0"):
        list(streaming._Stream(Path("category.json"), file, CategoryRow, 100).rows())
    assert file.tell() < 1500


@pytest.mark.parametrize("row_type", [AnnotationRow, CalibratedSensorRow, SampleDataRow, EgoPoseRow])
def test_every_column_can_be_named_in_words(row_type: type[Row]) -> None:
    for column in msgspec.structs.fields(row_type):
        wrong = object()
        assert "typing" not in streaming._wanted(column.type)
        assert not streaming._fits(wrong, column.type)
