"""Equal work has an equal name wherever it lies; other work or other content has another."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pytest
from pydantic import BaseModel

from domainvl.engine import WHERE, FileState, FileStates, fingerprint
from domainvl.engine import identity as module
from domainvl.files import hash_file


class Colour(enum.StrEnum):
    RED = "red"


class Row(BaseModel):
    token: str
    size: tuple[float, ...] = ()


@dataclass(frozen=True)
class Work:
    path: Path
    number: float = 1.5
    names: tuple[str, ...] = ("a", "b")
    row: Row | None = None
    colours: frozenset[Colour] = frozenset()
    facts: dict[str, int] = field(default_factory=dict)

    @cached_property
    def loaded(self):
        return object()


ROOT = Path("in")
WORK = Work(ROOT / "x.tif", row=Row(token="t"), facts={"b": 2, "a": 1})


@pytest.mark.parametrize(
    "other",
    [
        replace(WORK, path=ROOT / "y.tif"),
        replace(WORK, path=ROOT / "below" / "x.tif"),
        replace(WORK, number=1.5000000000000002),
        replace(WORK, number=float("nan")),
        replace(WORK, names=("ab",)),
        replace(WORK, names=("b", "a")),
        replace(WORK, names=()),
        replace(WORK, row=None),
        replace(WORK, row=Row(token="t", size=(1.0,))),
        replace(WORK, colours=frozenset({Colour.RED})),
        replace(WORK, facts={"a": 1, "b": 3}),
        replace(WORK, facts={"a": 1}),
        (WORK,),
    ],
)
def test_every_part_counts(other):
    assert fingerprint(other, root=ROOT) != fingerprint(WORK, root=ROOT)


def test_what_means_the_same_is_the_same():
    same = replace(WORK, facts={"a": 1, "b": 2})
    same.loaded  # noqa: B018 - what is cached is no part of the work

    assert fingerprint(same, root=ROOT) == fingerprint(WORK, root=ROOT)
    elsewhere = replace(WORK, path=Path("/other/place/x.tif"))
    assert fingerprint(elsewhere, root=Path("/other/place")) == fingerprint(WORK, root=ROOT)


def test_a_path_outside_counts_by_its_name():
    one, two = (replace(WORK, path=Path(folder) / "labels.csv") for folder in ("/a", "/b"))

    assert fingerprint(one, root=ROOT) == fingerprint(two, root=ROOT)
    assert fingerprint(one, root=ROOT) != fingerprint(replace(one, path=Path("/a/other.csv")), root=ROOT)


def test_where_something_is_kept_is_no_part_of_it():
    @dataclass(frozen=True)
    class Kept:
        what: str
        index: Path = field(metadata={WHERE: True})

    one, two = Kept("a", Path("/a/one.sqlite")), Kept("a", Path("/b/two.sqlite"))
    assert fingerprint(one, root=ROOT) == fingerprint(two, root=ROOT)
    assert fingerprint(one, root=ROOT) != fingerprint(Kept("b", one.index), root=ROOT)


@pytest.mark.parametrize("value", [object(), {1: object()}, (lambda: None,), 1j])
def test_what_has_no_lasting_text_is_refused(value):
    with pytest.raises(TypeError, match="plain values only"):
        fingerprint(value, root=ROOT)


def test_it_does_not_depend_on_the_process():
    script = (
        "from pathlib import Path; from domainvl.engine import fingerprint;"
        "print(fingerprint({'a': {'x', 'y', 'z', 'w'}, 'b': (1, 2.5, None, True, b'z')}, root=Path('in')))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.tif"
    path.write_bytes(b"content")
    return path


class TestFileState:
    def test_unchanged_content_is_known_without_reading(self, file, monkeypatch):
        state = FileStates().of(file)
        assert (state.size_bytes, state.sha256) == (7, hash_file(file))

        monkeypatch.setattr(module, "hash_file", None)
        assert state.still_holds(file)

    def test_a_file_that_was_only_touched_or_copied_is_the_same(self, file, tmp_path):
        state = FileStates().of(file)
        os.utime(file)
        copy = tmp_path / "copy.tif"
        copy.write_bytes(b"content")

        assert state.still_holds(file)
        assert state.still_holds(copy)

    def test_other_content_of_the_same_size_and_age_is_found(self, file):
        """What a tool does that keeps times."""
        stat = file.stat()
        state = FileStates().of(file)
        file.write_bytes(b"CONTENT")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))

        assert not state.still_holds(file)

    def test_a_file_that_is_gone_does_not_hold(self, file):
        state = FileStates().of(file)
        file.unlink()

        assert not state.still_holds(file)

    def test_a_file_is_hashed_once_and_again_when_it_changed(self, file, monkeypatch):
        hashed = []
        monkeypatch.setattr(module, "hash_file", lambda path: hashed.append(path) or hash_file(path))
        states = FileStates()

        assert states.of(file) == states.of(file)
        assert len(hashed) == 1
        file.write_bytes(b"longer content")
        assert states.of(file).sha256 == hash_file(file)
        assert len(hashed) == 2

    def test_what_another_run_knew_is_not_hashed_again(self, file, monkeypatch):
        states = FileStates()
        known = FileStates().of(file)
        states.remember(file, known)
        monkeypatch.setattr(module, "hash_file", None)

        assert states.of(file) == known

    def test_what_another_run_knew_of_an_older_file_is_not_believed(self, file):
        states = FileStates()
        states.remember(file, FileState(7, 1, 1, "old"))

        assert states.of(file).sha256 == hash_file(file)
