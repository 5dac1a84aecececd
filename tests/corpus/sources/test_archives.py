"""Archives with good and hostile members: the good ones are read, and nothing is written elsewhere."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_corpora import png

from domainvl.corpus.sources.archives import ArchiveLimits, read_archive, unpack_archive
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.schema.writer import Reject

Members = dict[str, bytes]
Write = Callable[[Path, Members], Path]


def write_zip(path: Path, members: Members) -> Path:
    path = path.with_name(f"{path.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def write_tar(path: Path, members: Members, suffix: str = ".tar") -> Path:
    path = path.with_name(f"{path.name}{suffix}")
    with tarfile.open(path, "w:gz" if suffix == ".tar.gz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_tar_gz(path: Path, members: Members) -> Path:
    return write_tar(path, members, ".tar.gz")


WRITERS = [write_zip, write_tar, write_tar_gz]


def source_of(path: Path) -> SourceFile:
    return SourceFile(path, f"cases/{path.name}", path.parent, "archive")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "unpacked"
    folder.mkdir(parents=True)
    return folder


def reasons(rejects: list[Reject]) -> list[str]:
    return [reject.reason for reject in rejects]


def unpacked(folder: Path) -> Members:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("write", WRITERS)
def test_members_come_out_as_they_went_in(tmp_path: Path, folder: Path, write: Write) -> None:
    members = {"a.html": b"<p>one</p>", "images/b.png": png(), "empty.md": b""}
    assert unpack_archive(source_of(write(tmp_path / "case", members)), folder) == []
    assert unpacked(folder) == members


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "name", ["../x.html", "a/../../x.html", "/x.html", "..\\x.html", "C:\\x.html", "a/" * 600 + "x.html"]
)
def test_a_name_that_leads_out_is_left_out_and_the_others_stay(
    tmp_path: Path, folder: Path, write: Write, name: str
) -> None:
    path = write(tmp_path / "case", {"a.md": b"first", name: b"out", "z.md": b"last"})
    before = sorted(tmp_path.rglob("*"))
    assert reasons(unpack_archive(source_of(path), folder)) == ["path-escapes"]
    assert unpacked(folder) == {"a.md": b"first", "z.md": b"last"}
    assert {one for one in tmp_path.rglob("*") if one.parent != folder} - set(before) == set()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_left_out(tmp_path: Path, folder: Path, kind: bytes) -> None:
    path = write_tar(tmp_path / "case", {"a.md": b"first"})
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("link.md")
        info.type, info.linkname = kind, "/etc/hostname"
        archive.addfile(info)
    assert reasons(unpack_archive(source_of(path), folder)) == ["path-escapes"]
    assert list(unpacked(folder)) == ["a.md"]


def test_a_link_in_a_zip_is_left_out(tmp_path: Path, folder: Path) -> None:
    path = write_zip(tmp_path / "case", {"a.md": b"first"})
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("link.md")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/hostname")
    assert reasons(unpack_archive(source_of(path), folder)) == ["path-escapes"]


@pytest.mark.parametrize("write", [write_zip, write_tar_gz])
def test_a_member_packed_too_tightly_is_left_out_and_the_others_stay(
    tmp_path: Path, folder: Path, write: Write
) -> None:
    path = write(tmp_path / "case", {"a.md": b"first", "bomb.html": bytes(12_000_000), "z.md": b"last"})
    assert reasons(unpack_archive(source_of(path), folder)) == ["archive-bomb"]
    assert sorted(unpacked(folder)) == ["a.md", "z.md"]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("limits", [ArchiveLimits(max_members=2), ArchiveLimits(max_total_bytes=10)])
def test_what_is_behind_the_limits_of_the_whole_is_left_out(
    tmp_path: Path, folder: Path, write: Write, limits: ArchiveLimits
) -> None:
    path = write(tmp_path / "case", {name: b"12345" for name in ("a.md", "b.md", "c.md", "d.md")})
    assert reasons(unpack_archive(source_of(path), folder, limits)) == ["archive-bomb"]
    assert sorted(unpacked(folder)) == ["a.md", "b.md"]


@pytest.mark.parametrize("write", WRITERS)
def test_of_equal_names_the_first_is_taken(tmp_path: Path, folder: Path, write: Write) -> None:
    members = {"a": b"a file", "a/b.md": b"below it", "c/d.md": b"below", "c": b"a file"}
    assert reasons(unpack_archive(source_of(write(tmp_path / "case", members)), folder)) == ["repeated", "repeated"]
    assert unpacked(folder) == {"a": b"a file", "c/d.md": b"below"}


@pytest.mark.parametrize("write", WRITERS)
def test_an_archive_that_is_cut_off_gives_what_it_has_or_is_refused(tmp_path: Path, folder: Path, write: Write) -> None:
    path = write(tmp_path / "case", {f"{number}.png": png(60, 60, number) for number in range(6)})
    path.write_bytes(path.read_bytes()[:30_000])
    if write is write_zip:  # its directory is at its end
        with pytest.raises(ItemError) as raised:
            unpack_archive(source_of(path), folder)
        assert raised.value.reason == "decode"
        return
    assert reasons(unpack_archive(source_of(path), folder)) == ["decode"]
    assert unpacked(folder) == {name: png(60, 60, int(name[0])) for name in ("0.png", "1.png")}


def test_a_member_that_is_damaged_or_locked_is_left_out(tmp_path: Path, folder: Path) -> None:
    path = write_zip(tmp_path / "case", {"a.md": b"first", "b.png": png(seed=1), "c.md": b"last"})
    content = bytearray(path.read_bytes())
    at = content.index(b"b.png") + 60
    content[at : at + 20] = bytes(20)
    directory = content.rindex(b"PK\x01\x02")  # of c.md: general purpose flags at 8 (APPNOTE.TXT, 4.3.12)
    content[directory + 8] |= 1
    path.write_bytes(content)
    assert reasons(unpack_archive(source_of(path), folder)) == ["decode", "encrypted"]
    assert unpacked(folder) == {"a.md": b"first"}


def test_a_header_that_declares_gigabytes_is_refused_unread(tmp_path: Path, folder: Path) -> None:
    """A name of 64 MB, which is there: zeros that gzip packs to nothing."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 64 << 20
    content = write_tar(tmp_path / "case", {"a.md": b"first"}).read_bytes()
    path = tmp_path / "case.tar.gz"
    path.write_bytes(gzip.compress(content[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size), 1))
    tracemalloc.start()
    try:
        assert reasons(unpack_archive(source_of(path), folder)) == ["decode"]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert unpacked(folder) == {"a.md": b"first"}


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8bno gzip"])
def test_what_is_no_archive_is_refused(tmp_path: Path, folder: Path, content: bytes) -> None:
    path = tmp_path / "case.tar"
    path.write_bytes(content)
    with pytest.raises(ItemError) as raised:
        unpack_archive(source_of(path), folder)
    assert raised.value.reason == "decode"


@pytest.mark.parametrize("write", WRITERS)
def test_pages_in_an_archive_are_read_as_in_a_folder(tmp_path: Path, write: Write) -> None:
    members = {
        "one/case.md": b"# Case\n\nA film of the chest, seen from the front.\n\n![the film](../images/film.png)\n",
        "images/film.png": png(seed=7),
        "inner.zip": b"PK",
        "broken.pdf": b"no PDF",
    }
    path = write(tmp_path / "case", members)
    found: list[str] = []
    for page in read_archive(source_of(path), ReadSettings()):
        if isinstance(page, Page):
            (address,) = (slot.url for slot in page.slots if not hasattr(slot, "text"))
            assert page.find_image(address) == png(seed=7)
            assert page.uri == f"cases/{path.name}/one/case.md"
            assert address == f"cases/{path.name}/images/film.png"
            found.append("page")
        else:
            found.append(page.reason)
    assert sorted(found) == ["decode", "nested-archive", "page"]


def test_many_small_members_that_are_packed_very_tightly_are_left_out(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number:02d}.html", bytes(100_000))
    limits = ArchiveLimits(max_ratio=100.0, total_ratio_from_bytes=200_000)
    (reject,) = unpack_archive(source_of(path), folder, limits)
    assert reject.reason == "archive-bomb"
    total_bytes = sum(map(len, unpacked(folder).values()))
    assert 0 < total_bytes <= max(100 * path.stat().st_size, 200_000) < 2_000_000
