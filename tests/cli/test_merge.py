"""``domainvl merge``: data sets by name, shards by their mark, and what is printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from whole_sets import Given, lines_of, samples_of, write_set

import domainvl.conversion
from domainvl.cli.main import main
from domainvl.errors import ExitCode
from domainvl.schema import Split


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command in the folder of the data sets."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["merge", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


def test_what_was_merged_is_printed(run):
    write_set(Path("ships"), [Given("a/1", "a"), Given("a/2", "a"), Given("b", "b", Split.TEST)])
    write_set(Path("planes"), [Given("c", "c", Split.VAL), Given("a/2", "a")], licence=None)

    code, out, error = run("ships", "planes", "--out", "all")

    assert (code, error) == (0, "")
    assert out.splitlines() == [
        "4 samples in all (groups: 1 train, 1 val, 1 test)",
        "  ships: 3 samples",
        "  planes: 1 samples, 1 left out that were there already",
        "  licence: CC0-1.0 AND unknown",
        "  note: 1 images with the same pixels lie in several groups, 1 of them in several splits: copies of one "
        "patient, scene or log under several names, or blank images",
    ]
    assert len(lines_of(Path("all"))) == 4


def test_notes_are_printed(run):
    for name in ("scene", "log"):
        write_set(Path(name), [Given(name, name)], settings={"split_by": name})

    code, out, _ = run("scene", "log", "--out", "all")

    assert code == 0
    assert out.splitlines()[-2].startswith(
        "  note: The data sets were not split by the same thing (scene: scene, log: log)"
    )


def test_a_prefix_is_printed(run):
    write_set(Path("ships"), [Given("a")])
    write_set(Path("planes"), [Given("a", greys=[3])])

    code, out, _ = run("ships", "planes", "--out", "all", "--prefix")

    assert code == 0
    assert out.splitlines()[1] == "  ships: 1 samples, ids and groups begin with ships/"
    assert set(samples_of(Path("all"))) == {"ships/a", "planes/a"}


def test_overwrite_replaces_a_data_set(run):
    for name in ("ships", "planes", "all"):
        write_set(Path(name), [Given(name, name)])

    assert run("ships", "planes", "--out", "all")[0] == 2
    assert set(samples_of(Path("all"))) == {"all"}
    assert run("ships", "planes", "--out", "all", "--overwrite")[0] == 0
    assert set(samples_of(Path("all"))) == {"ships", "planes"}


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["ships", "other", "--out", "all"], 2, "ids must be unique, and 'a' is also that of another sample, in ships"),
        (["ships", "--out", "all"], 2, "it takes two data sets or more, got 1"),
        (["ships", "nowhere", "--out", "all"], 2, "Cannot read a data set in nowhere: there is no such folder"),
        (["ships", "other", "--out", "ships", "--overwrite"], 2, "it must not be the input ships"),
        (["empty", "empty2", "--out", "all"], 3, "There is nothing to merge"),
        (["ships", "other"], 2, "--out"),
        (["--out", "all"], 2, "inputs"),
    ],
)
def test_errors_say_why(run, tmp_path, arguments, code, expected):
    write_set(Path("ships"), [Given("a")])
    write_set(Path("other"), [Given("a", greys=[3])])
    write_set(Path("empty"), [])
    write_set(Path("empty2"), [])

    got, out, error = run(*arguments)

    assert (got, out) == (code, "")
    assert expected in " ".join(error.split())
    assert not (tmp_path / "all").exists()


@dataclass
class Conversion:
    """What the merging of shards gives back, as far as the command line looks."""

    out: Path
    sample_count: int = 3
    exit_code: ExitCode = ExitCode.PARTIAL
    manifest: dict[str, Any] = field(
        default_factory=lambda: {
            "groups": {"train": 2, "val": 1, "test": 0},
            "counts": [{"split": "train", "domain": "general", "task": "vqa", "count": 3}],
            "rejects": [{"severity": "failed", "stage": "convert", "reason": "decode", "count": 1}],
        }
    )


@pytest.fixture
def merged_shards(monkeypatch):
    """Note how the merging of shards is called, and do nothing."""
    calls = []

    def merge_shards(folders, out, *, overwrite=False):
        calls.append((list(folders), out, overwrite))
        return Conversion(out)

    monkeypatch.setattr(domainvl.conversion, "merge_shards", merge_shards, raising=False)
    return calls


def test_shards_are_joined_as_one_conversion(run, merged_shards):
    for name in ("one", "two"):
        Path(name).mkdir()
    (Path("two") / "shard.json").write_text("{}")  # one suffices: a folder that is no shard is then refused as such

    code, out, _ = run("one", "two", "--out", "all", "--overwrite")

    assert merged_shards == [([Path("one"), Path("two")], Path("all"), True)]
    assert code == 8  # what could not be converted is said by the code, as after converting
    assert out.splitlines()[0] == "3 samples in all (groups: 2 train, 1 val, 0 test)"
    assert "failed: 1 x decode (convert)" in out


def test_shards_take_no_prefix(run, merged_shards):
    Path("one").mkdir()
    (Path("one") / "shard.json").write_text("{}")

    code, _, error = run("one", "--out", "all", "--prefix")

    assert (code, merged_shards) == (2, [])
    assert "--prefix is for data sets" in error
