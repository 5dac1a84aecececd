"""A file is there as a whole or not at all; a folder takes its name when it is complete and replaces only its like."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from domainvl.errors import OutputError, UsageError
from domainvl.files import check_target, hash_file, link_or_copy, take_name, write_atomically


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestWriteAtomically:
    def test_it_makes_folders_and_leaves_nothing_else(self, tmp_path):
        write_atomically(tmp_path / "a" / "b" / "x", b"content")

        assert (tmp_path / "a" / "b" / "x").read_bytes() == b"content"
        assert names_in(tmp_path / "a" / "b") == ["x"]

    def test_what_was_there_stays_whole_when_it_cannot_be_written(self, tmp_path, monkeypatch):
        (tmp_path / "x").write_bytes(b"old")

        def half(self, content):
            with self.open("wb") as file:
                file.write(content[:3])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", half)
        with pytest.raises(OutputError, match="Cannot write in .*x: No space left on device") as caught:
            write_atomically(tmp_path / "x", b"new content")

        assert caught.value.exit_code == 4
        assert names_in(tmp_path) == ["x"]
        assert (tmp_path / "x").read_bytes() == b"old"

    def test_two_machines_with_one_process_number_do_not_meet(self, tmp_path, monkeypatch):
        """The other takes the name between our writing and our naming."""
        monkeypatch.setattr(os, "getpid", lambda: 1)
        replace = os.replace

        def meet(source, target):
            monkeypatch.setattr(os, "replace", replace)
            write_atomically(tmp_path / "x", b"theirs")
            replace(source, target)

        monkeypatch.setattr(os, "replace", meet)
        write_atomically(tmp_path / "x", b"ours")

        assert (tmp_path / "x").read_bytes() == b"ours"
        assert names_in(tmp_path) == ["x"]


class TestLinkOrCopy:
    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "source"
        path.write_bytes(b"pixels")
        return path

    def test_it_takes_no_second_copy(self, tmp_path, source):
        link_or_copy(source, tmp_path / "a" / "b")

        assert os.path.samefile(source, tmp_path / "a" / "b")

    def test_it_copies_where_the_file_system_has_no_links(self, tmp_path, source, monkeypatch):
        def refuse(source, target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
        link_or_copy(source, tmp_path / "b")

        assert (tmp_path / "b").read_bytes() == b"pixels"
        assert not os.path.samefile(source, tmp_path / "b")
        assert names_in(tmp_path) == ["b", "source"]

    def test_a_link_to_a_link_would_break(self, tmp_path, source):
        (tmp_path / "alias").symlink_to("source")
        link_or_copy(tmp_path / "alias", tmp_path / "elsewhere" / "b")

        assert stat.S_ISREG((tmp_path / "elsewhere" / "b").lstat().st_mode)
        assert (tmp_path / "elsewhere" / "b").read_bytes() == b"pixels"

    def test_what_is_there_is_kept(self, tmp_path, source):
        (tmp_path / "b").write_bytes(b"there")
        link_or_copy(source, tmp_path / "b")

        assert (tmp_path / "b").read_bytes() == b"there"


class TestTarget:
    def test_a_free_name_is_taken(self, tmp_path):
        check_target(tmp_path / "out", marker="m", overwrite=False)

    @pytest.mark.parametrize("name", ["", ".."])
    def test_it_must_have_a_name(self, name):
        with pytest.raises(UsageError, match="it must be named"):
            check_target(Path(name), marker="m", overwrite=True)

    def test_what_exists_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="it exists.*--overwrite"):
            check_target(tmp_path, marker="m", overwrite=False)

    def test_only_its_like_is_replaced(self, tmp_path):
        (tmp_path / "other").write_text("")
        with pytest.raises(UsageError, match="it has no m"):
            check_target(tmp_path, marker="m", overwrite=True)
        with pytest.raises(UsageError, match="it has no m"):
            check_target(tmp_path / "other", marker="m", overwrite=True)

        (tmp_path / "m").write_text("")
        check_target(tmp_path, marker="m", overwrite=True)

    def test_an_older_folder_is_replaced_and_left_overs_go(self, tmp_path):
        for name in ("out", "work", ".out.old"):
            (tmp_path / name).mkdir()
            (tmp_path / name / name).write_text("")

        take_name(tmp_path / "work", tmp_path / "out")

        assert names_in(tmp_path) == ["out"]
        assert names_in(tmp_path / "out") == ["work"]


def test_the_hash_of_a_file_is_the_standard_one(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")

    # FIPS 180-2, appendix B.1.
    assert hash_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
