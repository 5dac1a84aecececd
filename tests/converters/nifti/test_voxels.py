import gzip

import nibabel
import numpy as np
import pytest

from domainvl.converters.nifti.cutting import cut_of
from domainvl.converters.nifti.files import NiftiFile
from domainvl.converters.nifti.header import read_header
from domainvl.converters.nifti.voxels import open_voxels
from domainvl.errors import ItemError

VOXELS = np.random.default_rng(0).integers(-500, 500, (6, 7, 8, 3)).astype(np.int16)
PLENTY = 10**9


def read(path, plane="axial", volume=0, limit=PLENTY):
    file = NiftiFile(path.name, path)
    header = read_header(file)
    cut = cut_of(header, plane)
    with open_voxels(file, header, unpack_limit_bytes=limit) as voxels:
        return [voxels.slice(cut, index, volume) for index in range(header.shape[cut.axis])]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("volume", [0, 2])
@pytest.mark.parametrize("window_bytes", [1 << 26, 200])
def test_slices_across_each_axis(tmp_path, write, monkeypatch, name, volume, window_bytes):
    """Whatever part of a file is mapped at a time; 200 bytes are two slices."""
    monkeypatch.setattr("domainvl.converters.nifti.voxels._WINDOW_BYTES", window_bytes)
    path = write(tmp_path / name, VOXELS)
    voxels = nibabel.load(path).get_fdata()[..., volume]

    np.testing.assert_array_equal(read(path, "sagittal", volume)[2], voxels[2].T)
    np.testing.assert_array_equal(read(path, "coronal", volume)[3], voxels[:, 3].T)
    np.testing.assert_array_equal(read(path, "axial", volume)[4], voxels[:, :, 4].T)


@pytest.mark.parametrize("window_bytes", [1 << 26, 200])
def test_voxels_here_and_there(tmp_path, write, monkeypatch, window_bytes):
    monkeypatch.setattr("domainvl.converters.nifti.voxels._WINDOW_BYTES", window_bytes)
    path = write(tmp_path / "a.nii", VOXELS)
    file = NiftiFile(path.name, path)
    where = np.random.default_rng(1).integers(0, VOXELS.shape[:3], (50, 3))
    with open_voxels(file, read_header(file), unpack_limit_bytes=PLENTY) as voxels:
        np.testing.assert_array_equal(voxels.at(where, 1), VOXELS[where[:, 0], where[:, 1], where[:, 2], 1])


def test_big_endian_pairs_and_packed_files_with_another_ending(tmp_path, write):
    image = nibabel.Nifti1Pair(VOXELS[..., 0], np.eye(4), header=nibabel.nifti1.Nifti1PairHeader(endianness=">"))
    nibabel.save(image, tmp_path / "a.hdr")
    header = read_header(NiftiFile("a.hdr", tmp_path / "a.hdr"))
    assert header.dtype.byteorder == ">"
    np.testing.assert_array_equal(read(tmp_path / "a.hdr")[5], VOXELS[:, :, 5, 0].T)

    (tmp_path / "b.nii").write_bytes(gzip.compress(write(tmp_path / "c.nii", VOXELS).read_bytes()))
    np.testing.assert_array_equal(read(tmp_path / "b.nii")[5], VOXELS[:, :, 5, 0].T)


def test_med_51_a_file_that_was_cut_off(tmp_path, write):
    path = write(tmp_path / "a.nii", VOXELS)
    wanted = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ItemError, match=f"says {wanted} bytes, and the file ends after {wanted - 100}") as caught:
        read(path)
    assert caught.value.reason == "truncated"


def test_med_51_a_packed_file_that_was_cut_off(tmp_path, write):
    path = write(tmp_path / "a.nii.gz", VOXELS)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ItemError) as caught:
        read(path)
    assert caught.value.reason == "truncated"


def test_med_51_a_packed_file_that_holds_too_little(tmp_path, write):
    content = write(tmp_path / "b.nii", VOXELS).read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:-8]))
    with pytest.raises(ItemError, match=f"ends after {len(content) - 8}") as caught:
        read(tmp_path / "a.nii.gz")
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("at", [-6, 1000])
def test_med_51_a_damaged_gzip_stream(tmp_path, write, at):
    """In the middle of the data, or in the checksum after it."""
    path = write(tmp_path / "a.nii.gz", VOXELS)
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ItemError) as caught:
        read(path)
    assert caught.value.reason == "gzip"


def test_a_packed_file_beyond_the_limit_is_not_unpacked(tmp_path, write):
    path = write(tmp_path / "a.nii.gz", np.zeros((64, 64, 64), np.uint8))
    with pytest.raises(ItemError, match=str(64**3 + 352)) as caught:
        read(path, limit=64**3 + 351)
    assert caught.value.reason == "unpack-limit"
    assert len(read(path, limit=64**3 + 352)) == 64
