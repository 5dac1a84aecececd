"""What is shown: orientation, square pixels, grey levels, of volumes whose voxels are known."""

import itertools

import nibabel
import numpy as np
import pytest

from domainvl.errors import ItemError

SHAPE = (7, 6, 5)
FULL = (0, 255)
"""Shown as it is stored: the window of the file covers 0 to 255."""


@pytest.fixture
def voxels():
    return np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)


def expected(voxels, plane):
    """The customary display of voxels whose axes are those of RAS, slice by slice through the patient."""
    left_right, back_front, head_top = voxels[::-1], voxels[:, ::-1], voxels[:, :, ::-1]
    assert left_right.shape == back_front.shape == head_top.shape
    if plane == "axial":  # right on the left, front at the top, from the feet up
        return [voxels[::-1, ::-1, k].T for k in range(SHAPE[2])]
    if plane == "coronal":  # right on the left, head at the top, from the front
        return [voxels[::-1, j, ::-1].T for j in reversed(range(SHAPE[1]))]
    return [voxels[i, ::-1, ::-1].T for i in reversed(range(SHAPE[0]))]  # front on the left, from the right


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_med_24_all_48_axis_orders_show_the_same_pixels(tmp_path, write, opened, voxels, plane):
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    wanted = expected(voxels, plane)
    start = nibabel.io_orientation(image.affine)
    seen = set()
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            ornt = np.column_stack([axes, flips])
            turned = image.as_reoriented(nibabel.orientations.ornt_transform(start, ornt))
            path = write(tmp_path / "turned.nii", turned.dataobj, turned.affine, window=FULL)
            found = opened(path, plane=plane)
            seen.add(found.header.codes)
            assert len(found.pixels) == len(wanted)
            for one, other in zip(found.pixels, wanted, strict=True):
                np.testing.assert_array_equal(one, other)
    assert len(seen) == 48


def test_med_24_a_turned_head_keeps_its_nearest_display(tmp_path, write, opened, voxels):
    """10 degrees about two axes: pixels are those of the straight volume, not resampled."""
    angle = np.radians(10)
    one = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    other = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = one @ other

    found = opened(write(tmp_path / "a.nii", voxels, affine, window=FULL))

    for one, other in zip(found.pixels, expected(voxels, "axial"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_med_24_without_an_affine_pixels_are_as_stored(tmp_path, write, opened, voxels):
    def without_codes(image):
        image.set_sform(None, code=0)
        image.set_qform(None, code=0)

    found = opened(write(tmp_path / "a.nii", voxels, window=FULL, change=without_codes))

    for k, pixels in enumerate(found.pixels):
        np.testing.assert_array_equal(pixels, voxels[:, :, k].T)
    assert "display" not in found.shown[0].source.details
    assert not {question.key for question in found.shown[0].questions}


def test_stored_display_leaves_slices_as_they_are(tmp_path, write, opened, voxels):
    found = opened(write(tmp_path / "a.nii", voxels, window=FULL), display="stored")

    np.testing.assert_array_equal(found.pixels[2], voxels[:, :, 2].T)


def test_med_25_pixels_come_out_square(tmp_path, write, opened):
    """A cube of 12 mm, of voxels of 1 x 2 x 3 mm, is a square in each plane."""
    voxels = np.zeros((20, 10, 8), np.uint8)
    voxels[4:16, 2:8, 2:6] = 200
    path = write(tmp_path / "a.nii", voxels, np.diag([1.0, 2, 3, 1]), window=FULL)
    for plane, size in (("axial", (20, 20)), ("coronal", (24, 20)), ("sagittal", (24, 20))):
        found = opened(path, plane=plane)
        pixels = found.pixels[len(found.pixels) // 2]
        if plane == "sagittal":
            assert found.shown[0].spacing_mm == pytest.approx((2, 2))
            assert pixels.shape == (12, 10)
            continue
        assert pixels.shape == size
        assert found.shown[0].spacing_mm == pytest.approx((1, 1))
        rows, columns = np.nonzero(pixels > 100)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (12, 12)
    assert opened(path, keep_aspect=True).pixels[0].shape == (10, 20)


def test_voxels_that_are_far_from_square_are_refused(tmp_path, write, opened, voxels):
    path = write(tmp_path / "a.nii", voxels, np.diag([0.1, 9, 1, 1]))
    with pytest.raises(ItemError) as caught:
        opened(path)
    assert caught.value.reason == "aspect"


def test_the_scale_of_the_header_holds(tmp_path, write, opened):
    """Stored 0 .. 99 with slope 2 and intercept -100 are -100 .. 98; a window of -100 to 100 shows them in order."""

    stored = np.arange(100, dtype=np.int16).reshape(10, 10, 1)
    path = write(tmp_path / "a.nii", stored, change=lambda image: image.header.set_slope_inter(2, -100))
    np.testing.assert_array_equal(nibabel.load(path).get_fdata(), stored * 2.0 - 100)
    found = opened(path, windows="0/200", modality="CT")

    assert (found.header.slope, found.header.intercept, found.header.dtype) == (2, -100, np.dtype("<i2"))
    values = stored[::-1, ::-1, 0].T * 2.0 - 100
    wanted = np.clip(((values + 0.5) / 199 + 0.5) * 255, 0, 255)  # LINEAR, PS3.3 C.11.2.1.2
    np.testing.assert_array_equal(found.pixels[0], np.rint(wanted).astype(np.uint8))
    assert found.shown[0].source.details["rescale"] == {"slope": 2, "intercept": -100}


def test_med_03_ct_windows_are_for_ct(tmp_path, write, opened):
    voxels = np.linspace(-1000, 1000, 100).astype(np.float32).reshape(10, 10, 1)
    path = write(tmp_path / "a.nii", voxels)

    lung = opened(path, windows="lung", modality="CT").shown[0].views[0]
    other = opened(path, windows="lung").shown[0].views[0]

    assert lung.details["window"] == {"from": "lung", "center": -600, "width": 1500, "function": "LINEAR"}
    assert other.details["window"]["from"] == "percentiles"


def test_med_04_what_is_no_number_is_background(tmp_path, write, opened):
    voxels = np.full((10, 10, 1), 50, np.float32)
    voxels[:, 5:] = 100
    voxels[:2] = np.nan
    voxels[2, 0] = np.inf
    found = opened(write(tmp_path / "a.nii", voxels), percentiles="0,100")

    assert found.shown[0].views[0].details["window"]["limits"] == [50, 100]
    assert (found.pixels[0][:, -2:] == 0).all()  # x runs the other way
    assert found.pixels[0].max() == 255


def test_med_04_outside_of_the_field_of_view_of_a_ct(tmp_path, write, opened):
    voxels = np.full((10, 10, 1), -2000, np.int16)
    voxels[3:7, 3:7, 0] = np.arange(16).reshape(4, 4)
    path = write(tmp_path / "a.nii", voxels)

    for modality, limits in (("CT", [0, 15]), ("MR", [-2000, 15])):
        view = opened(path, modality=modality, percentiles="0,100").shown[0].views[0]
        assert view.details["window"]["limits"] == limits


def test_colours_stay_as_they_are(tmp_path, opened):
    rgb = np.random.default_rng(0).integers(0, 256, (6, 5, 3, 3)).astype(np.uint8)
    voxels = np.zeros((6, 5, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for number, name in enumerate("RGB"):
        voxels[name] = rgb[..., number]
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "a.nii.gz")

    found = opened(tmp_path / "a.nii.gz")

    assert found.shown[0].source.details["data_type"] == "RGB"
    np.testing.assert_array_equal(found.pixels[1], rgb[::-1, ::-1, 1].swapaxes(0, 1))


def test_lengths_are_measured_only_where_there_is_a_unit(tmp_path, write, opened, voxels):
    assert opened(write(tmp_path / "a.nii", voxels)).shown[0].can_measure
    assert not opened(write(tmp_path / "b.nii", voxels, unit=None)).shown[0].can_measure


def test_volumes_of_a_4d_file(tmp_path, write, opened, voxels):
    both = np.stack([voxels, 255 - voxels], axis=-1)
    path = write(tmp_path / "a.nii.gz", both, window=FULL)
    for volume in (0, 1):
        found = opened(path, volume=volume, volume_count=2)
        np.testing.assert_array_equal(found.pixels[3], both[::-1, ::-1, 3, volume].T)
        assert found.shown[3].source.details["volume"] == volume
