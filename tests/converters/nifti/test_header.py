import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from domainvl.converters.nifti.files import NiftiFile
from domainvl.converters.nifti.header import read_header
from domainvl.errors import ItemError

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
NOWHERE = "the header does not say where voxels lie: slices are shown as they are stored"


def header(path):
    return read_header(NiftiFile(path.name, path))


def without_codes(image):
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)


def test_what_the_header_says(tmp_path, write):
    affine = np.array([[-2.0, 0, 0, 7], [0, 0, 3, 8], [0, 1.5, 0, 9], [0, 0, 0, 1]])
    read = header(write(tmp_path / "a.nii.gz", VOXELS, affine, window=(5, 50)))

    assert (read.format, read.shape, read.volume_count, read.dtype) == ("NIfTI-1", (3, 4, 5), 1, np.dtype("<i2"))
    assert read.codes == "LSA"
    np.testing.assert_allclose(read.affine_mm, affine)
    assert read.spacing_mm == pytest.approx((2, 1.5, 3))
    assert read.slope is None
    assert read.window == (5, 50)
    assert read.has_unit
    assert read.warnings == ()


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("meter", 1000), ("micron", 0.001)])
def test_units_of_length_become_millimetres(tmp_path, write, unit, factor):
    read = header(write(tmp_path / "a.nii", VOXELS, np.diag([2.0, 3, 4, 1]), unit=unit))

    assert read.spacing_mm == pytest.approx((2 * factor, 3 * factor, 4 * factor))
    assert read.affine_mm[2, 2] == pytest.approx(4 * factor)
    assert read.has_unit


def test_without_a_unit_millimetres_are_taken_and_said(tmp_path, write):
    read = header(write(tmp_path / "a.nii", VOXELS, unit=None))

    assert not read.has_unit
    assert read.warnings == (
        "the header names no unit of length: distances are taken as millimetres, and lengths are not asked for",
    )


def test_med_24_no_affine_is_invented(tmp_path, write):
    read = header(write(tmp_path / "a.nii", VOXELS, np.diag([2.0, 3, 4, 1]), change=without_codes))

    assert read.affine_mm is None
    assert read.codes == "unknown"
    assert read.spacing_mm == pytest.approx((2, 3, 4))
    assert read.warnings == (NOWHERE,)


def test_a_singular_affine_is_not_used(tmp_path, write):
    content = bytearray(write(tmp_path / "a.nii", VOXELS).read_bytes())
    content[252:254] = bytes(2)  # qform_code
    content[312:328] = bytes(16)  # srow_z, after srow_x and srow_y at 280 and 296
    (tmp_path / "a.nii").write_bytes(content)

    read = header(tmp_path / "a.nii")

    assert read.affine_mm is None
    assert read.warnings == ("an affine of the header cannot be used: it is singular or holds no numbers", NOWHERE)


def test_sform_and_qform_that_disagree(tmp_path, write):
    moved = np.eye(4)
    moved[0, 3] = 12

    def move(image):
        image.set_qform(moved, code=1)

    read = header(write(tmp_path / "a.nii", VOXELS, change=move))

    assert read.affine_mm[0, 3] == 0
    assert read.warnings == ("sform and qform place the volume up to 12 mm apart: the sform is used",)


def test_sheared_axes_are_said(tmp_path, write):
    affine = np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    read = header(write(tmp_path / "a.nii", VOXELS, affine, change=lambda image: image.set_qform(None, code=0)))

    assert read.warnings == ("the axes of the volume are not at right angles: pixels are shown as if they were",)


@pytest.mark.parametrize(
    ("shape", "volumes"), [((4, 5), 1), ((4, 5, 1), 1), ((4, 5, 6, 7), 7), ((4, 5, 6, 1, 3), 3), ((4, 5, 6, 1), 1)]
)
def test_volumes_of_a_file(tmp_path, write, shape, volumes):
    read = header(write(tmp_path / "a.nii", np.zeros(shape, np.uint8)))

    assert read.volume_count == volumes
    assert read.shape == (*shape, 1)[:3]


@pytest.mark.parametrize("shape", [(4, 5, 6, 2, 3), (7, 1, 1), (1, 1, 1, 9)])
def test_what_is_no_volume_is_refused(tmp_path, write, shape):
    with pytest.raises(ItemError) as caught:
        header(write(tmp_path / "a.nii", np.zeros(shape, np.uint8)))
    assert caught.value.reason == "dimensions"


def test_complex_values_are_refused(tmp_path, write):
    with pytest.raises(ItemError, match="complex64") as caught:
        header(write(tmp_path / "a.nii", np.zeros((4, 4, 4), np.complex64)))
    assert caught.value.reason == "data-type"


def test_other_formats_of_the_family(tmp_path, write):
    for name, kind, said in (
        ("a.nii", nibabel.Nifti2Image, "NIfTI-2"),
        ("b.hdr", nibabel.Nifti1Pair, "NIfTI-1"),
        ("c.hdr", nibabel.Nifti2Pair, "NIfTI-2"),
    ):
        read = header(write(tmp_path / name, VOXELS, kind=kind))
        assert (read.format, read.shape) == (said, (3, 4, 5))
    nibabel.save(nibabel.AnalyzeImage(VOXELS, np.eye(4)), tmp_path / "d.hdr")
    read = header(tmp_path / "d.hdr")
    assert (read.format, read.affine_mm, read.has_unit) == ("ANALYZE 7.5", None, False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "header"),
        (b"not a volume" * 100, "header"),
        (gzip.compress(b"\0" * 1000, mtime=0), "header"),
        (gzip.compress(b"\1" * 100_000, mtime=0)[:20], "header"),
        (b"\x1f\x8b" + b"\x55" * 400, "header"),
    ],
)
def test_med_51_damaged_headers_have_a_reason(tmp_path, content, reason):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(ItemError) as caught:
        header(tmp_path / "a.nii.gz")
    assert caught.value.reason == reason


def test_a_pair_without_its_image(tmp_path, write):
    write(tmp_path / "a.hdr", VOXELS, kind=nibabel.Nifti1Pair)
    (tmp_path / "a.img").unlink()
    with pytest.raises(ItemError) as caught:
        header(tmp_path / "a.hdr")
    assert caught.value.reason == "pair-incomplete"


def test_files_of_nibabel_agree_with_nibabel():
    """Real headers, big-endian, 4D and NIfTI-2 among them."""
    folder = Path(nibabel.__file__).parent / "tests" / "data"
    names = ["anatomical.nii", "example4d.nii.gz", "example_nifti2.nii.gz", "functional.nii", "standard.nii.gz"]
    for path in (folder / name for name in names):
        if not path.is_file():
            pytest.skip("nibabel is installed without its test data")
        image, read = nibabel.load(path), header(path)
        np.testing.assert_allclose(read.affine_mm, image.affine)
        assert read.codes == "".join(nibabel.aff2axcodes(image.affine))
        assert read.shape == image.shape[:3]
        assert read.volume_count == (*image.shape, 1)[3]
        assert read.dtype == image.get_data_dtype()
