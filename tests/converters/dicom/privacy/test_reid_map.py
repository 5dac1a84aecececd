"""The re-identification map: complete, private, outside of the data set, and of one key."""

from __future__ import annotations

import csv
import os
import stat

import pytest

from domainvl.conversion.run import check_inputs
from domainvl.converters.dicom import CONVERTER, DicomSettings
from domainvl.converters.dicom.privacy.pseudonyms import Pseudonyms
from domainvl.converters.dicom.privacy.reid_map import MapRow, write_map
from domainvl.errors import OutputError, UsageError
from domainvl.schema.validation import read_canaries

NAMES = Pseudonyms(b"0123456789abcdef")
ROWS = [
    MapRow(NAMES.of("patient", "P1"), "patient", "Ashdown^Avelina"),
    MapRow(NAMES.of("instance", "1.2.3"), "instance", "1.2.3", "/pacs/a,b.zip!Müller/im 1"),
]


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["pseudonym"], row["kind"], row["identifier"], row["file"]) for row in csv.DictReader(file)]


def test_med_60_the_map_resolves_every_pseudonym(tmp_path):
    path = tmp_path / "private" / "map.csv"
    assert write_map(path, ROWS, NAMES) == 2

    assert {(row.pseudonym, row.kind, row.identifier, row.file) for row in ROWS} < set(read(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry for entry in os.listdir(path.parent) if "partial" in entry] == []


def test_rows_of_later_runs_are_added_and_order_does_not_count(tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    write_map(one, ROWS[:1], NAMES)
    assert write_map(one, ROWS[1:], NAMES) == 2
    assert write_map(one, ROWS[:1], NAMES) == 2
    write_map(other, reversed(ROWS), NAMES)

    assert one.read_bytes() == other.read_bytes()


def test_a_map_of_another_key_is_refused_and_stays(tmp_path):
    path = tmp_path / "map.csv"
    write_map(path, ROWS, NAMES)
    before = path.read_bytes()

    with pytest.raises(UsageError, match="another --deid-key"):
        write_map(path, ROWS, Pseudonyms(b"fedcba9876543210"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"name,age\na,1\n", b"\xff\xfe", b"pseudonym,kind,identifier,file\na,b\n"])
def test_a_file_that_is_no_map_is_not_overwritten(tmp_path, content):
    path = tmp_path / "map.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no re-identification map"):
        write_map(path, ROWS, NAMES)
    assert path.read_bytes() == content


def test_a_write_that_fails_leaves_the_old_map(tmp_path, monkeypatch):
    path = tmp_path / "map.csv"
    write_map(path, ROWS[:1], NAMES)
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError):
        write_map(path, ROWS, NAMES)
    assert path.read_bytes() == before
    assert [entry for entry in os.listdir(tmp_path) if "partial" in entry] == []


def test_med_60_a_map_inside_of_the_data_set_is_refused(tmp_path):
    out, source = tmp_path / "out", tmp_path / "in"
    out.mkdir()
    source.mkdir()
    (tmp_path / "link").symlink_to(out)
    for path in (out / "map.csv", out / "deep" / "map.csv", out, tmp_path / "link" / "map.csv"):
        with pytest.raises(UsageError, match="lies inside"):
            check_inputs(CONVERTER, source, DicomSettings(reid_map=path), out)
    for path in (tmp_path / "map.csv", tmp_path / "out.csv"):
        check_inputs(CONVERTER, source, DicomSettings(reid_map=path), out)


def test_validation_reads_what_is_written(tmp_path):
    write_map(tmp_path / "map.csv", ROWS, NAMES)
    texts = [canary.text for canary in read_canaries(tmp_path / "map.csv")]
    assert sorted(texts) == sorted(["Ashdown^Avelina", "1.2.3", "/pacs/a,b.zip!Müller/im 1"])
