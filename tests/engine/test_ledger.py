"""A part is there as a whole or not at all, whatever a power cut left of its file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.engine import Ledger, Part
from domainvl.errors import OutputError

KEY = "ab" + "0" * 62


def file_of(folder: Path) -> Path:
    (path,) = [path for path in folder.rglob("*") if path.is_file()]
    return path


@given(
    info=st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
    lines=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"))),
)
def test_what_is_put_comes_back(tmp_path_factory, info, lines):
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))

    ledger.put(KEY, info, lines)

    assert ledger.get(KEY) == Part(info, tuple(lines))
    assert list(ledger.keys()) == [KEY]


def test_a_name_that_is_not_utf_8_is_escaped_as_json_has_it(tmp_path):
    Ledger(tmp_path).put(KEY, {}, ['{"name":"\udc80"}'])

    assert Ledger(tmp_path).get(KEY).lines == ('{"name":"\\udc80"}',)


def test_a_part_that_was_cut_short_anywhere_is_not_there(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.put(KEY, {"samples": 2}, ['{"a":1}', '{"b":2}'])
    path = file_of(tmp_path)
    whole = path.read_bytes()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert ledger.get(KEY) is None, length
    path.write_bytes(whole)
    assert ledger.get(KEY) is not None


def test_a_part_with_zeros_for_content_is_not_there(tmp_path):
    """What some file systems leave after a power cut."""
    ledger = Ledger(tmp_path)
    ledger.put(KEY, {}, ["x" * 100])
    path = file_of(tmp_path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size - 50] + bytes(50))
    assert ledger.get(KEY) is None

    path.write_bytes(bytes(size))
    assert ledger.get(KEY) is None


def test_a_part_under_the_name_of_another_is_not_taken_for_it(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.put(KEY, {}, ["x"])
    other = KEY[:-1] + "1"
    os.rename(file_of(tmp_path), file_of(tmp_path).with_name(f"{other}.jsonl"))

    assert ledger.get(other) is None


def test_an_absent_part_is_not_there(tmp_path):
    assert Ledger(tmp_path / "nowhere").get(KEY) is None
    assert list(Ledger(tmp_path / "nowhere").keys()) == []


def test_a_full_disk_leaves_no_trace_and_is_told(tmp_path, monkeypatch):
    def no_room(self, content):
        Path.open(self, "wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(OutputError, match="No space left on device"):
        Ledger(tmp_path).put(KEY, {}, ["x"])

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
