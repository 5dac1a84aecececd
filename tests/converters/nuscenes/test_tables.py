from __future__ import annotations

import json
from pathlib import Path

import pytest

from domainvl.converters.nuscenes import tables
from domainvl.converters.nuscenes.labels import label_of
from domainvl.converters.nuscenes.tables import CategoryRow, EgoPoseRow, read_table
from domainvl.errors import InputNotFoundError, UsageError

ROWS = [{"token": f"t{number}", "name": f"name, [{number}] \\u00e9", "index": number} for number in range(20)]


def write(folder: Path, text: str, name: str = "category") -> None:
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("chunk_characters", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("indent", [None, 0, 2])
def test_rows_do_not_depend_on_where_the_stream_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_characters: int, indent: int | None
) -> None:
    write(tmp_path, json.dumps(ROWS, indent=indent) + "\n")
    monkeypatch.setattr(tables, "_CHUNK_CHARACTERS", chunk_characters)
    found = read_table(tmp_path, "category", CategoryRow)
    assert {row.token: row.name for row in found.values()} == {row["token"]: row["name"] for row in ROWS}


def test_rows_come_in_the_order_of_their_tokens(tmp_path: Path) -> None:
    write(tmp_path, json.dumps(ROWS[::-1]))
    assert list(read_table(tmp_path, "category", CategoryRow)) == sorted(str(row["token"]) for row in ROWS)


def test_only_rows_that_are_asked_for_are_checked(tmp_path: Path) -> None:
    write(tmp_path, json.dumps([{"token": "a", "name": "x"}, {"token": "b"}]))
    assert list(read_table(tmp_path, "category", CategoryRow, lambda raw: raw["token"] == "a")) == ["a"]


def test_empty_table(tmp_path: Path) -> None:
    write(tmp_path, "[]")
    assert read_table(tmp_path, "category", CategoryRow) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"token": "a"}', "must be one JSON array"),
        ("", "must be one JSON array"),
        ('[{"token": "a", "name": "x"}, {"token": "b", "na', "cut off or malformed"),
        ('[{"token": "a", "name": "x"}', "cut off or malformed"),
        ("[1]", "each row must be an object, got int"),
        ('[{"token": "a"}]', r"category.json, row 1: name: Field required"),
        ('[{"token": "a", "name": "x"}, {"token": "a", "name": "y"}]', "row 2: token a occurs twice"),
    ],
)
def test_broken_tables_are_named(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError, match=message):
        read_table(tmp_path, "category", CategoryRow)


@pytest.mark.parametrize("translation", ["[1, 2]", "[1, 2, NaN]", "null"])
def test_numbers_must_be_three_and_finite(tmp_path: Path, translation: str) -> None:
    write(tmp_path, f'[{{"token": "a", "translation": {translation}, "rotation": [1, 0, 0, 0]}}]', "ego_pose")
    with pytest.raises(UsageError, match="row 1: translation"):
        read_table(tmp_path, "ego_pose", EgoPoseRow)


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"category\.json"):
        read_table(tmp_path, "category", CategoryRow)


@pytest.mark.parametrize(
    ("category", "label"),
    [
        ("vehicle.car", "car"),
        ("human.pedestrian.police_officer", "pedestrian"),
        ("human.pedestrian.stroller", "stroller"),
        ("vehicle.bus.bendy", "bus"),
        ("movable_object.trafficcone", "traffic cone"),
        ("static_object.bicycle_rack", "bicycle rack"),
        ("traffic_cone", "traffic cone"),
    ],
)
def test_labels(category: str, label: str) -> None:
    assert label_of(category) == label
