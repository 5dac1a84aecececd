import nibabel
import numpy as np
import pytest

from domainvl.converters.nifti.cutting import cut_of, warning_of
from domainvl.converters.nifti.files import NiftiFile
from domainvl.converters.nifti.header import read_header

VOXELS = np.zeros((4, 5, 6), np.uint8)


def cut(path, plane="axial"):
    return cut_of(read_header(NiftiFile(path.name, path)), plane)


def test_positions_are_those_of_dicom(tmp_path, write):
    """x and y change their sign between NIfTI (RAS) and DICOM (LPS)."""
    affine = np.array([[2.0, 0, 0, -10], [0, 3, 0, -20], [0, 0, 4, -30], [0, 0, 0, 1]])
    found = cut(write(tmp_path / "a.nii", VOXELS, affine))

    assert (found.axis, found.x_axis, found.y_axis, found.columns, found.rows) == (2, 0, 1, 4, 5)
    assert found.geometries[1].position_mm == (10, 20, -26)
    assert found.geometries[1].row == (-1, 0, 0)
    assert found.geometries[1].column == (0, -1, 0)
    assert found.positions_mm == (-30, -26, -22, -18, -14, -10)
    assert found.spacing_mm == (3, 2)
    assert (found.regularity.status.value, found.regularity.spacing_mm) == ("uniform", 4)


@pytest.mark.parametrize(
    ("plane", "axis", "order"),
    [
        ("axial", 2, (0, 1, 2, 3, 4, 5)),  # feet to head
        ("coronal", 1, (4, 3, 2, 1, 0)),  # front to back: y grows to the front
        ("sagittal", 0, (3, 2, 1, 0)),  # right to left: x grows to the right
    ],
)
def test_slices_run_through_the_patient(tmp_path, write, plane, axis, order):
    found = cut(write(tmp_path / "a.nii", VOXELS), plane)

    assert (found.axis, found.order, found.plane, found.named_plane) == (axis, order, plane, plane)
    assert list(found.positions_mm) == sorted(found.positions_mm)


def test_acquired_is_across_the_largest_spacing(tmp_path, write):
    found = cut(write(tmp_path / "a.nii", VOXELS, np.diag([1.0, 5, 1, 1])), "acquired")

    assert (found.axis, found.plane) == (1, "coronal")
    assert cut(write(tmp_path / "b.nii", VOXELS), "acquired").axis == 2


def test_a_single_slice_is_not_cut_across(tmp_path, write):
    found = cut(write(tmp_path / "a.nii", np.zeros((4, 1, 6), np.uint8)), "axial")

    assert (found.axis, found.plane, found.columns, found.rows) == (1, "coronal", 4, 6)
    assert found.regularity.status.value == "single"


def test_an_oblique_volume_takes_the_nearest_axes(tmp_path, write):
    for degrees, named in ((20, "axial"), (40, None)):
        angle = np.radians(degrees)
        affine = np.eye(4)
        affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        found = cut(write(tmp_path / f"{degrees}.nii", VOXELS, affine))
        assert (found.axis, found.plane, found.named_plane) == (2, "axial", named)
        assert found.regularity.spacing_mm == pytest.approx(1)


def test_without_an_affine_slices_are_as_stored(tmp_path, write):
    def without_codes(image):
        image.set_sform(None, code=0)
        image.set_qform(None, code=0)

    found = cut(write(tmp_path / "a.nii", VOXELS, np.diag([1.0, 2, 3, 1]), change=without_codes), "sagittal")

    assert (found.axis, found.order, found.plane) == (2, (0, 1, 2, 3, 4, 5), None)
    assert found.geometries == found.positions_mm == ()
    assert found.regularity.status.value == "no-geometry"
    assert found.spacing_mm == (2, 1)


def test_a_sheared_stack_is_a_tilted_one(tmp_path, write):
    affine = np.eye(4)
    affine[1, 2] = np.tan(np.radians(15))
    path = write(tmp_path / "a.nii", VOXELS, affine, change=lambda image: image.set_qform(None, code=0))
    found = cut(path)

    assert found.regularity.status.value == "gantry-tilt"
    assert found.regularity.tilt_deg == pytest.approx(15, abs=1e-3)
    assert found.regularity.spacing_mm == pytest.approx(1)
    assert "15.0 degrees" in warning_of(found)


def test_all_48_axis_orders_have_the_same_places(tmp_path, write):
    """The same voxels at the same places, however their axes are stored."""
    image = nibabel.Nifti1Image(VOXELS, np.diag([1.0, 2, 3, 1]))
    wanted = cut(write(tmp_path / "a.nii", VOXELS, image.affine)).positions_mm
    for codes in ("LPS", "PIR", "SAL", "IRA"):
        ornt = nibabel.orientations.axcodes2ornt(codes)
        turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), ornt))
        assert cut(write(tmp_path / f"{codes}.nii", turned.dataobj, turned.affine)).positions_mm == wanted
