"""Finding what is to be enlarged, and naming its outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.enhance.applying.inputs import find_inputs
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError


def _make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def _outputs(inputs, out=Path("elsewhere"), *, pictures_as_png=True, force_medical=False):
    found = find_inputs(inputs, out, pictures_as_png=pictures_as_png, force_medical=force_medical)
    return [job.output for job in found.jobs], found.ignored


def test_a_folder_is_mirrored_in_the_order_of_names(tmp_path):
    folder = _make(tmp_path / "in", "b.JPG", "a/z.tiff", "a/b.png", "notes.txt", ".hidden.png", ".cache/x.png")

    assert _outputs([folder]) == (["a/b.png", "a/z.tif", "b.png"], 1)


def test_pictures_become_tiff_where_a_png_cannot_hold_the_output(tmp_path):
    folder = _make(tmp_path / "in", "b.jpg")

    assert _outputs([folder], pictures_as_png=False)[0] == ["b.tif"]


def test_outputs_within_the_folder_are_no_inputs(tmp_path):
    folder = _make(tmp_path, "a.png", "out/a.png")

    assert _outputs([folder], folder / "out")[0] == ["a.png"]


@pytest.mark.parametrize("names", [("a.png", "a.jpg"), ("a.tif", "a.tiff"), ("A.png", "a.jpg")])
def test_two_inputs_of_one_name_are_refused(tmp_path, names):
    with pytest.raises(UsageError, match="would all be"):
        _outputs([_make(tmp_path, *names)])


def test_an_input_that_is_named_twice_is_said_to_be(tmp_path):
    folder = _make(tmp_path, "a.png")

    with pytest.raises(UsageError, match=r"a\.png is given twice\."):
        _outputs([folder / "a.png", folder / "a.png"])


def test_what_does_not_exist_and_an_empty_folder_are_said(tmp_path):
    with pytest.raises(InputNotFoundError, match="does not exist"):
        _outputs([tmp_path / "none"])
    with pytest.raises(NothingToDoError, match="no file ends in"):
        _outputs([_make(tmp_path / "in", "a.txt")])


def test_a_medical_file_beside_pictures_is_refused_unless_forced(tmp_path):
    folder = _make(tmp_path, "a.png")
    (folder / "IM0001").write_bytes(b"\x00" * 128 + b"DICM" + b"\x00" * 99)

    with pytest.raises(UsageError, match="IM0001: it is a DICOM file"):
        _outputs([folder])
    assert _outputs([folder], force_medical=True) == (["a.png"], 1)
