"""Pseudonyms are keyed hashes, and a key that is none is refused."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from domainvl.converters.dicom.privacy.pseudonyms import Pseudonyms, read_key
from domainvl.converters.dicom.settings import DicomSettings
from domainvl.errors import InputNotFoundError, UsageError

KEY = b"0123456789abcdef0123456789abcdef"


def test_pseudonym_is_the_start_of_the_keyed_hash():
    expected = hmac.new(KEY, b"patient\x1fHospital\x1fP1", hashlib.sha256).hexdigest()[:16]
    assert Pseudonyms(KEY).of("patient", "Hospital", "P1") == expected


def test_kinds_and_parts_are_kept_apart():
    names = Pseudonyms(KEY)
    assert len({names.of("patient", "1"), names.of("study", "1"), names.of("patient", "", "1"),
                names.of("patient", "1", "")}) == 4  # fmt: skip


def test_missing_key_says_how_to_make_one():
    with pytest.raises(UsageError, match=r"openssl rand -hex 32 > deid\.key"):
        read_key(None)


@pytest.mark.parametrize(("content", "accepted"), [(b"x" * 16, True), (b"x" * 15 + b"\n", False), (b"", False)])
def test_key_has_at_least_16_bytes_without_the_line_break(tmp_path, content, accepted):
    path = tmp_path / "key"
    path.write_bytes(content)
    if accepted:
        assert read_key(path) == content
        return
    with pytest.raises(UsageError, match="at least 16 bytes, got") as caught:
        read_key(path)
    assert "openssl" in str(caught.value)


def test_missing_key_file(tmp_path):
    with pytest.raises(InputNotFoundError):
        read_key(tmp_path / "none.key")


def test_public_settings_hold_neither_key_nor_path(tmp_path):
    settings = DicomSettings(
        deid_key=tmp_path / "deid.key", reid_map=tmp_path / "map.csv", labels=tmp_path / "smith.csv", reports=tmp_path
    )
    public = settings.public()

    assert {"deid_key", "reid_map"} & set(public) == set()
    assert public["labels"] is True and public["reports"] is True
    assert str(tmp_path) not in str(public)
