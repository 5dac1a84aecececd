"""What counts as medical."""

from __future__ import annotations

import gzip
import json

import pytest

from domainvl.enhance.applying.medical import MedicalCheck, medical_format, refuse_medical
from domainvl.errors import UsageError

_NIFTI_1 = b"\x00" * 344 + b"n+1\x00" + b"\x00" * 200


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.png", b"\x00" * 128 + b"DICM" + b"\x00" * 99, "DICOM"),
        ("a.png", _NIFTI_1, "NIfTI"),
        ("a.bin", b"\x1c\x02\x00\x00n+2\x00" + b"\x00" * 500, "NIfTI"),
        ("a.gz", gzip.compress(_NIFTI_1, mtime=0), "NIfTI"),
        ("a.dcm", b"anything", "DICOM"),
        ("a.NII.GZ", b"\x1f\x8bbroken", "NIfTI"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 500, None),
        ("a.png", b"", None),
    ],
)
def test_a_file_is_judged_by_its_content_and_its_name(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)

    assert medical_format(tmp_path / name) == expected


def _data_set(folder, domain, count=3):
    picture = folder / "images" / "ab" / "x.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    row = {"split": "train", "domain": domain, "task": "vqa", "count": count}
    (folder / "manifest.json").write_text(json.dumps({"counts": [row]}))
    return picture


def test_a_picture_of_a_medical_data_set_is_medical(tmp_path):
    check = MedicalCheck()

    assert check.why(_data_set(tmp_path / "chest", "medical")) == "it is in the medical data set chest"
    assert check.why(_data_set(tmp_path / "farms", "remote-sensing")) is None
    assert check.why(_data_set(tmp_path / "none", "medical", count=0)) is None


def test_a_link_to_a_picture_of_a_medical_data_set_is_medical(tmp_path):
    picture = _data_set(tmp_path / "chest", "medical")
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "y.png"
    link.symlink_to(picture)

    assert MedicalCheck().why(link) is not None


@pytest.mark.parametrize("content", ["[]", "{}", "no json", '{"counts": 3}', '{"counts": [{"domain": "medical"}]}'])
def test_a_manifest_of_something_else_says_nothing(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    (tmp_path / "x.png").write_bytes(b"")

    assert MedicalCheck().why(tmp_path / "x.png") is None


def test_a_refusal_names_the_first_and_counts_the_rest(tmp_path):
    refuse_medical({})
    with pytest.raises(UsageError, match="it is a DICOM file, and 1 more inputs are medical.*--force-medical"):
        refuse_medical({tmp_path / "a": "it is a DICOM file", tmp_path / "b": "it is a NIfTI file"})
