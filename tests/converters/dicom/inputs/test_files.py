from __future__ import annotations

import gzip
import os

import pytest

from domainvl.converters.dicom.inputs.reading import FileReader, unpack
from domainvl.converters.dicom.instance import FileRef
from domainvl.errors import InputNotFoundError, ItemError
from domainvl.schema.writer import Severity


def test_med_50_folders_are_searched_through_in_order(tmp_path, find):
    for name in ("b/c/2", "b/1", "a", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    result = find(tmp_path)
    assert result.refs == tuple(FileRef(tmp_path / name) for name in (".hidden", "a", "b/1", "b/c/2"))
    assert not result.rejects


def test_settings_are_no_input_by_whatever_name_they_are_found(tmp_path, find):
    (tmp_path / "in/reports").mkdir(parents=True)
    for name in ("in/a", "in/labels.csv", "in/reports/1.txt", "key"):
        (tmp_path / name).write_text("x" * 30)
    (tmp_path / "in/link").symlink_to(tmp_path / "key")
    leave_out = [
        tmp_path / "in/../in/labels.csv",
        tmp_path / "in/reports",
        tmp_path / "key",
        tmp_path / "not there yet",
    ]
    result = find(tmp_path / "in", leave_out=leave_out)
    assert result.refs == (FileRef(tmp_path / "in/a"),)
    assert not result.rejects


def test_a_source_that_is_not_there(tmp_path, find):
    with pytest.raises(InputNotFoundError):
        find(tmp_path / "none")


def test_links_are_followed_to_files_and_reported_for_folders(tmp_path, find, reasons):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a").write_text("a")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").symlink_to(tmp_path / "elsewhere/a")
    (tmp_path / "in/folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/broken").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "in/pipe")
    result = find(tmp_path / "in")
    assert result.refs == (FileRef(tmp_path / "in/file"),)
    assert reasons(result) == {"linked-folder": 2, "no-file": 2}
    assert str(tmp_path) not in str(result.rejects)
    assert sorted(ref.path.name for refs in result.files.values() for ref in refs) == [
        "broken",
        "folder",
        "loop",
        "pipe",
    ]


def test_names_that_are_no_text_can_be_left_out(tmp_path, find, reasons):
    folder = os.fsencode(tmp_path)
    os.symlink(b"none", folder + b"/\xff\xfe")
    assert reasons(find(tmp_path)) == {"no-file": 1}


def test_med_50_archives_inside_of_folders_are_found(slices, make_zip, make_tar, tmp_path, look):
    make_zip({"a": slices["d/0"]}, "in/x/one")
    make_tar({"a": slices["d/1"]}, "in/y/two", "w:xz")
    (tmp_path / "in/three.dcm").write_bytes(slices["d/2"])
    result = look(tmp_path / "in")
    assert sorted(instance.sop_uid for instance in result.instances) == ["1.2.0", "1.2.1", "1.2.2"]
    assert not result.rejects


@pytest.mark.parametrize("name", ["a.dcm.gz", "a.gz", "a"])
def test_med_50_single_gzip_files_are_read(slices, tmp_path, look, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(slices["d/0"]))
    result = look(path)
    assert [(instance.file, instance.size_bytes) for instance in result.instances] == [
        (FileRef(path), len(slices["d/0"]))
    ]
    assert not result.rejects
    with FileReader() as reader:
        assert reader.read(FileRef(path)) == slices["d/0"]


def test_gzip_files_above_the_limit_are_refused(slices, tmp_path, look, reasons):
    (tmp_path / "a.gz").write_bytes(gzip.compress(slices["d/0"]))
    assert not look(tmp_path, limit_bytes=len(slices["d/0"])).rejects
    assert reasons(look(tmp_path, limit_bytes=len(slices["d/0"]) - 1)) == {"archive-too-large": 1}


def test_gzip_files_longer_than_declared_are_refused(slices, tmp_path, look, reasons):
    packed = bytearray(gzip.compress(slices["d/0"]))
    packed[-4:] = (len(slices["d/0"]) - 1).to_bytes(4, "little")  # ISIZE (RFC 1952 2.3.1)
    (tmp_path / "a.gz").write_bytes(packed)
    result = look(tmp_path)
    assert reasons(result) == {"archive-too-large": 1}
    assert result.rejects[0].severity is Severity.FAILED
    with pytest.raises(ItemError, match="more bytes than it declares"):
        unpack(bytes(packed))


def test_gzip_files_that_are_cut_off_are_reported(slices, tmp_path, look, reasons):
    (tmp_path / "a.gz").write_bytes(gzip.compress(slices["d/0"])[:-30])
    assert reasons(look(tmp_path, limit_bytes=1 << 32)) == {"read": 1}


def test_what_a_gzip_file_holds_besides_dicom_is_not_unpacked_and_counted(tmp_path, look, reasons, make_zip):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.gz").write_bytes(gzip.compress(b"text" * 1000))
    (tmp_path / "in/b.gz").write_bytes(gzip.compress(make_zip({"a": b"x"}).read_bytes()))
    (tmp_path / "in/c.nii.gz").write_bytes(gzip.compress(bytes(344) + b"n+1\x00" + bytes(1000)))
    result = look(tmp_path / "in")
    assert reasons(result) == {"not-dicom": 2, "archive-nested": 1}
    assert "NIfTI" in str(result.rejects)


def test_compression_that_is_not_read_is_named_with_the_way_out(slices, tmp_path, look, reasons):
    (tmp_path / "a.dcm.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    result = look(tmp_path)
    assert reasons(result) == {"compression": 1}
    assert "Zstandard" in result.rejects[0].message
    assert "zstd -d" in result.rejects[0].action


def test_real_files_compressed_by_zstd_are_all_named(real_data, look, reasons):
    folder = real_data / "medical/robyoung__dicom-test-files"
    packed = [path for path in folder.rglob("*.zst")]
    result = look(folder)
    assert reasons(result)["compression"] == len(packed) == 39
    assert not result.instances
