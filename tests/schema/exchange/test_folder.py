"""A folder has its name when it is complete and not before; a path never leads out of it."""

from __future__ import annotations

import errno

import pytest

from domainvl.errors import DatasetError, OutputError, UsageError
from domainvl.schema.exchange.folder import output_folder, path_inside


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write(tmp_path, text="new", *, overwrite=False):
    with output_folder(tmp_path / "out", tmp_path / "in", marker="mark", overwrite=overwrite) as work:
        assert not (tmp_path / "out" / "new").exists()
        (work / "mark").write_text(text)
    return (tmp_path / "out" / "mark").read_text()


def test_it_takes_its_name_at_the_end(tmp_path):
    assert write(tmp_path) == "new"
    assert names_in(tmp_path) == ["out"]


def test_an_older_one_is_replaced_when_asked(tmp_path):
    write(tmp_path, "old")
    (tmp_path / "out" / "stale").write_text("")

    assert write(tmp_path, overwrite=True) == "new"
    assert names_in(tmp_path / "out") == ["mark"]
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, fault):
    write(tmp_path, "old")

    with pytest.raises(fault), output_folder(tmp_path / "out", tmp_path / "in", marker="mark", overwrite=True) as work:
        (work / "mark").write_text("half")
        raise fault

    assert (tmp_path / "out" / "mark").read_text() == "old"
    assert names_in(tmp_path) == ["out"]


def test_what_the_disk_says_becomes_our_error(tmp_path):
    with (
        pytest.raises(OutputError, match="No space left on device. Make room"),
        output_folder(tmp_path / "out", tmp_path / "in", marker="mark", overwrite=False),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names_in(tmp_path) == []


def test_leftovers_of_a_killed_run_are_swept_away(tmp_path):
    for name in (".out.partial", ".out.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stale").write_text("")
    write(tmp_path, "old")
    (tmp_path / ".out.old").mkdir(exist_ok=True)

    write(tmp_path, overwrite=True)

    assert names_in(tmp_path / "out") == ["mark"]
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [("taken", "it exists"), ("in", "outside"), ("in/out", "outside"), ("", "around"), ("..", "around")],
)
def test_targets_that_are_refused(tmp_path, name, rule):
    (tmp_path / "taken").mkdir()
    (tmp_path / "in").mkdir()

    with (
        pytest.raises(UsageError, match=rule),
        output_folder(tmp_path / name, tmp_path / "in", marker="mark", overwrite=False),
    ):
        pass
    assert names_in(tmp_path) == ["in", "taken"]


@pytest.mark.parametrize("content", ["file", "other"])
def test_what_is_not_ours_is_not_overwritten(tmp_path, content):
    if content == "file":
        (tmp_path / "out").write_text("mine")
    else:
        (tmp_path / "out" / "sub").mkdir(parents=True)

    with pytest.raises(UsageError, match="it has no mark"):
        write(tmp_path, overwrite=True)


@pytest.mark.parametrize("path", ["images/ab/x.png", "a", "..a/b..", "a b/ä#?.png", "images/x:y.png"])
def test_paths_inside(tmp_path, path):
    assert path_inside(tmp_path, path) == tmp_path / path


@pytest.mark.parametrize(
    "path", ["", "/a", "../a", "a/../../b", "a/..", "./a", "a//b", "a\\b", "C:/a", "c:a", "a\0b", "a/"]
)
def test_paths_outside(tmp_path, path):
    with pytest.raises(DatasetError, match="Unsafe path"):
        path_inside(tmp_path, path)
