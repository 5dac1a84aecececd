from pathlib import Path

import pytest

from domainvl.converters.nifti.files import find_files, stem_of
from domainvl.errors import InputNotFoundError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("name", "stem"), [("a.nii", "a"), ("a.b.NII.gz", "a.b"), ("a.hdr", "a"), ("a.img.gz", "a"), ("a.txt", "a.txt")]
)
def test_stems(name, stem):
    assert stem_of(name) == stem


def test_files_of_a_folder(tmp_path):
    for name in ("b/two.nii.gz", "one.NII", "pair.hdr", "pair.img", "lone.img", "notes.txt", "b/._two.nii.gz"):
        touch(tmp_path / name)

    found = find_files(tmp_path)

    assert [file.relative for file in found.files] == ["b/two.nii.gz", "one.NII", "pair.hdr"]
    assert found.files[2].paths == [tmp_path / "pair.hdr", tmp_path / "pair.img"]
    assert found.other_count == 2  # notes.txt, and an image without its header


def test_a_single_file_and_what_is_left_out(tmp_path):
    for name in ("a.hdr", "a.img", "masks/m.nii"):
        touch(tmp_path / name)

    assert [file.relative for file in find_files(tmp_path / "a.img").files] == ["a.hdr"]
    assert [file.relative for file in find_files(tmp_path / "a.hdr").files] == ["a.hdr"]
    assert [file.relative for file in find_files(tmp_path, [tmp_path / "masks"]).files] == ["a.hdr"]
    assert find_files(touch(tmp_path / "x.txt")).files == ()
    with pytest.raises(InputNotFoundError):
        find_files(tmp_path / "none")
