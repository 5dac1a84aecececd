from __future__ import annotations

import gzip
import io
import random
import zlib

import pytest

from domainvl.converters.dicom.inputs import gzip_access
from domainvl.converters.dicom.inputs.gzip_access import GzipAccess


def content(size: int) -> bytes:
    return random.Random(1).randbytes(size // 2) + bytes(range(256)) * (size // 512)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_place_is_read_in_any_order(tmp_path, monkeypatch, level):
    """Compared with the bytes that went in; marks are few and near each other, so that some are dropped."""
    monkeypatch.setattr(gzip_access, "_FIRST_INTERVAL_BYTES", 3000)
    monkeypatch.setattr(gzip_access, "_MARKS_MAX", 16)
    whole = content(300_000)
    (tmp_path / "a").write_bytes(
        gzip.compress(whole[:100_000], level) + gzip.compress(whole[100_000:], level) + bytes(70_000)
    )
    dice = random.Random(2)
    with (tmp_path / "a").open("rb") as file:
        access = io.BufferedReader(GzipAccess(file), 512)
        for _ in range(200):
            at, size = dice.randrange(len(whole) + 1), dice.randrange(5000)
            access.seek(at)
            assert access.read(size) == whole[at : at + size]
        access.seek(0)
        assert access.read() == whole
        assert access.seek(len(whole) + 10) == len(whole)
        assert access.read() == b""


def test_going_back_starts_at_the_nearest_mark(tmp_path, monkeypatch):
    whole = content(1 << 24)
    (tmp_path / "a").write_bytes(gzip.compress(whole, 1))
    with (tmp_path / "a").open("rb") as file:
        access = GzipAccess(file)
        access.seek(len(whole))
        access.seek(len(whole) - (1 << 20))
        # The file is read on from a mark at most 2 MiB and a buffer before.
        before = file.tell()
        access.seek(len(whole) - (3 << 20))
        assert before - file.tell() < 4 << 20
        assert file.tell() > 1 << 22
        # So it is going forward to where it has been.
        access.seek(0)
        pieces = []
        monkeypatch.setattr(
            GzipAccess, "readinto", lambda self, to, old=GzipAccess.readinto: pieces.append(1) or old(self, to)
        )
        access.seek(len(whole) - (1 << 20))
        assert len(pieces) <= (2 << 20) / (1 << 14)


@pytest.mark.parametrize(("cut", "all_but"), [(1, 0), (8, 0), (1000, 256_000)])
def test_what_comes_before_a_cut_is_handed_on(tmp_path, cut, all_but):
    """The last 8 bytes are checksum and length; a byte of deflate stands for at most 258 (RFC 1951 3.2.5) here."""
    whole = content(800_000)
    packed = gzip.compress(whole, 1)
    (tmp_path / "a").write_bytes(packed[:-cut])
    got = bytearray()
    with (tmp_path / "a").open("rb") as file:
        access = GzipAccess(file)
        with pytest.raises(EOFError):
            while piece := access.read(1000):
                got += piece
    assert whole.startswith(got)
    assert len(got) >= len(whole) - all_but


def test_a_wrong_checksum_is_an_error(tmp_path):
    packed = bytearray(gzip.compress(b"abc"))
    packed[-8] ^= 1  # CRC32 (RFC 1952 2.3.1)
    (tmp_path / "a").write_bytes(packed)
    with (tmp_path / "a").open("rb") as file, pytest.raises(zlib.error):
        GzipAccess(file).read(10)
