from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile

import pytest

from domainvl.converters.dicom.inputs import listing, tar_archive
from domainvl.converters.dicom.inputs.reading import FileReader
from domainvl.converters.dicom.instance import FileRef
from domainvl.errors import ItemError
from domainvl.schema.writer import Severity

TAR_MODES = ["w", "w:gz", "w:bz2", "w:xz"]


def test_med_50_a_zip_is_read_by_its_content_and_sorted(slices, make_zip, look):
    path = make_zip(dict(reversed(slices.items())), name="export.dat")
    result = look(path)
    assert [instance.file for instance in result.instances] == [FileRef(path, name) for name in sorted(slices)]
    assert [instance.size_bytes for instance in result.instances] == [len(content) for content in slices.values()]
    assert not result.rejects


@pytest.mark.parametrize("mode", TAR_MODES)
def test_med_50_a_tar_is_read_in_its_own_order(slices, make_tar, look, mode):
    path = make_tar(dict(reversed(slices.items())), mode=mode)
    result = look(path)
    assert [instance.file.member for instance in result.instances] == sorted(slices, reverse=True)
    assert not result.rejects


@pytest.mark.parametrize("mode", TAR_MODES)
@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_read_in_any_order(make_tar, mode, style):
    members = {f"{'long' * 20}/{n}": bytes([n]) * (n * 700) for n in range(8)}
    path = make_tar(members, mode=mode, format=style)
    with FileReader() as reader:
        for n in (3, 1, 7, 0, 7, 2):
            name = f"{'long' * 20}/{n}"
            assert reader.read(FileRef(path, name)) == members[name]


def test_the_reader_goes_from_archive_to_archive_and_to_files(slices, make_zip, make_tar, tmp_path):
    (tmp_path / "plain").write_bytes(b"plain")
    one, two = make_zip(slices, "one"), make_tar(slices, "two")
    with FileReader() as reader:
        for _ in range(2):
            assert reader.read(FileRef(one, "d/1")) == slices["d/1"]
            assert reader.read(FileRef(tmp_path / "plain")) == b"plain"
            assert reader.read(FileRef(two, "d/2")) == slices["d/2"]


@pytest.mark.parametrize("name", ["/etc/a", "../a", "d/../../a", "..\\a", "C:\\a", "c:/a", "\\\\host\\a"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_point_outside_are_refused(slices, make_zip, make_tar, look, reasons, kind, name):
    make = make_zip if kind == "zip" else make_tar
    result = look(make({**slices, name: slices["d/0"]}))
    assert len(result.instances) == 3
    assert reasons(result) == {"archive-unsafe-member": 1}
    assert result.rejects[0].severity is Severity.FAILED
    assert result.rejects[0].action
    assert name not in str(result.rejects)


def test_names_with_two_dots_inside_are_fine(slices, make_zip, look):
    result = look(make_zip({"a..b/1..2": slices["d/0"]}))
    assert len(result.instances) == 1


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(slices, make_tar, look, reasons, kind):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "d/0"
    result = look(make_tar({**slices, "link": info}))
    assert len(result.instances) == 3
    assert reasons(result) == {"archive-unsafe-member": 1}


def test_folders_in_archives_are_nothing_to_report(slices, make_tar, make_zip, look):
    info = tarfile.TarInfo("d")
    info.type = tarfile.DIRTYPE
    assert not look(make_tar({"d": info, **slices}, "a")).rejects
    assert not look(make_zip({"d/": b"", **slices}, "b")).rejects


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO])
def test_links_and_pipes_in_a_zip_are_refused(slices, tmp_path, look, reasons, mode):
    info = zipfile.ZipInfo("link")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "d/0")
        archive.writestr("d/0", slices["d/0"])
    result = look(tmp_path / "a.zip")
    assert len(result.instances) == 1
    assert reasons(result) == {"archive-unsafe-member": 1}


def test_encrypted_members_are_refused(slices, make_zip, look, reasons):
    path = make_zip(slices)
    content = bytearray(path.read_bytes())
    # Bit 0 of the general purpose flag, 8 bytes into an entry of the central directory (APPNOTE.TXT 4.3.12, 4.4.4).
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    result = look(path)
    assert reasons(result) == {"archive-encrypted": 1}
    assert len(result.instances) == 2


def test_compression_methods_that_cannot_be_read_are_named(slices, make_zip, look, reasons):
    path = make_zip(slices)
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, content.index(b"PK\x01\x02") + 10, 9)  # Deflate64
    path.write_bytes(content)
    result = look(path)
    assert reasons(result) == {"archive-compression": 1}
    assert "method 9" in result.rejects[0].message


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_two_members_of_one_name_the_first_counts(slices, tmp_path, look, reasons, kind):
    path = tmp_path / "a"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", slices["d/0"])
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("a", slices["d/1"])
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name in ("d/0", "d/1", "d/2"):
                info = tarfile.TarInfo("a" if name != "d/2" else "b")
                info.size = len(slices[name])
                tar.addfile(info, io.BytesIO(slices[name]))
    result = look(path)
    assert reasons(result) == {"archive-repeated-member": 1}
    assert result.instances[0].sop_uid == "1.2.0"
    with FileReader() as reader:
        if kind == "tar":
            reader.read(FileRef(path, "b"))
        assert reader.read(FileRef(path, "a")) == slices["d/0"]


@pytest.mark.parametrize("mode", ["zip", *TAR_MODES])
def test_archives_that_unpack_beyond_the_limit_are_refused_whole(slices, make_zip, make_tar, look, reasons, mode):
    total_bytes = sum(len(content) for content in slices.values())
    path = make_zip(slices) if mode == "zip" else make_tar(slices, mode=mode)
    # A tar counts with its headers: 512 bytes a member, contents rounded up to 512 (POSIX.1-2017 pax).
    needed = total_bytes if mode == "zip" else sum(512 + -(-len(content) // 512) * 512 for content in slices.values())
    assert not look(path, limit_bytes=needed).rejects
    result = look(path, limit_bytes=total_bytes - 1)
    assert not result.instances
    assert reasons(result) == {"archive-too-large": 1}
    assert "--unpack-limit-gb" in result.rejects[0].action


def test_a_bomb_is_refused_before_it_is_unpacked(make_tar, find, monkeypatch):
    """50 MB of zeros in 50 kB: nothing is read beyond the header that declares them."""
    path = make_tar({"a": b"", "b": bytes(50_000_000)}, mode="w:gz")
    unpacked = []
    original = tar_archive.GzipAccess.readinto
    monkeypatch.setattr(
        tar_archive.GzipAccess, "readinto", lambda self, to: unpacked.append(original(self, to)) or unpacked[-1]
    )
    result = find(path, limit_bytes=10_000_000)
    assert [reject.reason for reject in result.rejects] == ["archive-too-large"]
    assert sum(unpacked) < 5_000_000


def test_members_larger_than_memory_should_hold_are_refused(make_tar, find, monkeypatch):
    monkeypatch.setattr(listing, "FILE_BYTES_MAX", 1000)
    result = find(make_tar({"a": bytes(1000), "b": bytes(1001)}))
    assert [ref.member for ref in result.refs] == ["a"]
    assert [reject.reason for reject in result.rejects] == ["archive-too-large"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_members_longer_than_declared_are_refused(slices, make_zip, look, reasons, method):
    path = make_zip({"a": slices["d/0"], "b": slices["d/1"]}, method=method)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, entry + 24, len(slices["d/0"]) - 1)  # uncompressed size (APPNOTE.TXT 4.3.12)
    path.write_bytes(content)
    result = look(path)
    assert [instance.file.member for instance in result.instances] == ["b"]
    assert reasons(result) == {"archive-too-large": 1}


def test_damaged_zip_members_cost_only_themselves(slices, make_zip, look, reasons):
    path = make_zip(slices, method=zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(slices["d/1"], slices["d/1"][:-1] + b"?", 1))
    result = look(path)
    assert len(result.instances) == 2
    assert reasons(result) == {"read": 1}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives_that_are_cut_off_are_reported(slices, make_zip, make_tar, look, reasons, kind):
    path = make_zip(slices) if kind == "zip" else make_tar(slices, mode="w" if kind == "tar" else "w:gz")
    whole = path.read_bytes()
    path.write_bytes(whole[:3000] if kind == "tar" else whole[: len(whole) * 2 // 3])
    result = look(path)
    assert reasons(result)["archive-damaged"] == 1
    assert all(reject.severity is Severity.FAILED for reject in result.rejects)
    assert "cut off" in result.rejects[0].action


def test_a_tar_without_end_mark_keeps_its_members_and_is_reported(slices, make_tar, look, reasons):
    path = make_tar(slices)
    used = sum(512 + -(-len(content) // 512) * 512 for content in slices.values())
    path.write_bytes(path.read_bytes()[:used])
    result = look(path)
    assert len(result.instances) == 3
    assert reasons(result) == {"archive-damaged": 1}


def test_a_tar_with_a_broken_header_in_the_middle_is_reported(slices, make_tar, look, reasons):
    path = make_tar(slices)
    content = bytearray(path.read_bytes())
    content[content.index(b"d/1")] ^= 1
    path.write_bytes(content)
    result = look(path)
    assert [instance.sop_uid for instance in result.instances] == ["1.2.0"]
    assert reasons(result) == {"archive-damaged": 1}


def checksummed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def test_a_negative_size_does_not_loop(make_tar, find):
    path = make_tar({"a": b"", "b": b"x"})
    content = bytearray(path.read_bytes())
    header = bytearray(content[512:1024])
    header[124:136] = b"\xff" * 4 + struct.pack(">q", -512)  # base-256, as GNU tar writes large numbers
    content[512:1024] = checksummed(header)
    path.write_bytes(content)
    result = find(path)
    assert [reject.reason for reject in result.rejects] == ["archive-damaged"]


def test_an_extended_header_of_gigabytes_is_not_read(make_tar, find):
    path = make_tar({"a" * 200: b"x"}, format=tarfile.GNU_FORMAT)
    content = bytearray(path.read_bytes())
    header = bytearray(content[:512])
    assert header[156:157] == tarfile.GNUTYPE_LONGNAME
    header[124:136] = b"%011o\0" % (1 << 31)
    content[:512] = checksummed(header)
    path.write_bytes(content)
    result = find(path)
    assert [reject.reason for reject in result.rejects] == ["archive-damaged"]


@pytest.mark.parametrize("size", [-1, (1 << 20) + 1])
def test_headers_may_not_ask_for_everything(size):
    with pytest.raises(tarfile.ReadError):
        tar_archive._Guarded(io.BytesIO(b"abc")).read(size)


def test_documents_in_zip_containers_are_one_file_of_noise(make_zip, look, reasons):
    path = make_zip({"[Content_Types].xml": b"<a/>", "word/document.xml": b"<b/>"}, "in/report.docx")
    assert reasons(look(path.parent)) == {"not-dicom": 1}


def test_archives_inside_of_archives_are_counted(slices, make_zip, make_tar, tmp_path, look, reasons):
    inner = make_zip(slices, "inner").read_bytes()
    result = look(
        make_tar({"a": slices["d/0"], "inner.zip": inner, "b.zst": b"\x28\xb5\x2f\xfd"}, "in/outer.tar", "w:gz").parent
    )
    assert len(result.instances) == 1
    assert reasons(result) == {"archive-nested": 2}
    assert "Unpack the outer one" in result.rejects[0].action


def test_members_that_vanished_since_are_an_item_error(slices, make_zip):
    path = make_zip(slices)
    with FileReader() as reader:
        for ref in (FileRef(path, "none"), FileRef(path.with_name("Smith.zip"), "a"), FileRef(path.with_name("Smith"))):
            with pytest.raises(ItemError) as caught:
                reader.read(ref)
            assert caught.value.reason == "read"
            assert "Smith" not in str(caught.value)
