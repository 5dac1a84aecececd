"""Finished translations on disk: what a kill leaves is read, what it broke is dropped."""

from __future__ import annotations

import pytest

from domainvl.corpus.translating.memory import TranslationMemory
from domainvl.errors import OutputError, UsageError

IDENTITY = {"language": "xx", "model": "m"}


@pytest.fixture
def path(tmp_path):
    """A file with two translations, one of them of half a surrogate pair."""
    with TranslationMemory(tmp_path / "deep" / "memory.jsonl", IDENTITY) as memory:
        memory.add([("1", "one\ud800", "ein\ud800")])
        memory.add([("2", "two", "zwei"), ("1", "again", "again")])
    return tmp_path / "deep" / "memory.jsonl"


def test_what_was_added_is_there(path):
    with TranslationMemory(path, IDENTITY) as memory:
        assert [memory.get(key) for key in ("1", "2", "3")] == ["ein\ud800", "zwei", None]
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("tail", [b'{"key": "3", "target": "dr', b"\0\0\0\n", b"[1]\n", b'{"key": "3"}\n', b"\xff\n"])
def test_what_a_kill_broke_is_dropped(path, tail):
    whole = path.read_bytes()
    path.write_bytes(whole + tail + b'{"key": "4", "source": "four", "target": "vier"}')
    with TranslationMemory(path, IDENTITY) as memory:
        assert [memory.get(key) for key in ("2", "3", "4")] == ["zwei", None, None]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"{}\n", b"no\n", b"[]\n", b'{"identity": 3}\n', b"\xff\n"])
def test_another_file_is_not_touched(path, content):
    path.write_bytes(content)
    with pytest.raises(UsageError, match="does not say what it is about"):
        TranslationMemory(path, IDENTITY)
    assert path.read_bytes() == content


def test_other_translations_are_refused(path):
    with pytest.raises(UsageError, match="model was m and is n"):
        TranslationMemory(path, IDENTITY | {"model": "n"})


def test_a_folder_cannot_be_written(tmp_path):
    with pytest.raises(OutputError):
        TranslationMemory(tmp_path, IDENTITY)
