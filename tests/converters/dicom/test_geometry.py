from __future__ import annotations

import itertools
import math

import pydicom
import pytest

from domainvl.converters.dicom.geometry import (
    Geometry,
    Placed,
    geometry_of,
    is_stored_as_displayed,
    plane_of,
    spacing_of,
    stacks_in_order,
)

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


def place(position, number=None, uid="1", directions=AXIAL, frame=0):
    return Placed(Geometry(position, *directions), number, uid, frame)


def uids(slices):
    return [thing.sop_uid for thing in slices]


@pytest.mark.parametrize(
    ("directions", "normal", "plane"),
    [(AXIAL, (0, 0, 1), "axial"), (CORONAL, (0, 1, 0), "coronal"), (SAGITTAL, (-1, 0, 0), "sagittal")],
)
def test_normals_are_right_handed_and_name_the_plane(directions, normal, plane):
    geometry = Geometry((0, 0, 0), *directions)
    assert geometry.normal() == normal
    assert plane_of(geometry) == plane
    assert is_stored_as_displayed(geometry, plane)


@pytest.mark.parametrize(("tilt_deg", "plane"), [(20, "axial"), (30, None), (45, None), (70, "coronal")])
def test_oblique_slices_have_no_plane(tilt_deg, plane):
    angle = math.radians(tilt_deg)
    geometry = Geometry((0, 0, 0), (1, 0, 0), (0, math.cos(angle), -math.sin(angle)))
    assert plane_of(geometry) == plane


@pytest.mark.parametrize("directions", [((-1, 0, 0), (0, 1, 0)), ((1, 0, 0), (0, -1, 0)), ((0, 1, 0), (1, 0, 0))])
def test_flipped_and_turned_storage_is_seen(directions):
    geometry = Geometry((0, 0, 0), *directions)
    assert plane_of(geometry) == "axial"
    assert not is_stored_as_displayed(geometry, "axial")


def test_order_is_along_the_normal_for_every_order_given():
    # InstanceNumber runs against the geometry, UIDs run across both.
    slices = [place((0, 0, 5.0 * i), number=10 - i, uid="dbcae"[i]) for i in range(5)]
    for shuffled in itertools.permutations(slices):
        assert uids(stacks_in_order(shuffled)[0]) == list("dbcae")


def test_order_follows_the_normal_of_an_oblique_series_and_not_one_axis():
    # A sagittal normal points to -x: the slice farthest to the right (largest -x) comes last.
    slices = [place((x, 0, 0), number=x, uid=str(x), directions=SAGITTAL) for x in (1.0, 2.0, 3.0)]
    assert uids(stacks_in_order(slices)[0]) == ["3.0", "2.0", "1.0"]


def test_ties_go_by_instance_number_then_uid():
    slices = [
        place((0, 0, 0), 2, "a"),
        place((0, 0, 0.0001), 1, "c"),
        place((0, 0, 0), 1, "b"),
        place((0, 0, -1), 9, "z"),
    ]
    assert uids(stacks_in_order(slices)[0]) == ["z", "b", "c", "a"]


def test_instance_number_counts_where_geometry_is_absent():
    slices = [Placed(None, number, uid, 0) for number, uid in [(3, "a"), (1, "b"), (None, "d"), (2, "c"), (10, "e")]]
    assert uids(stacks_in_order(slices)[0]) == ["b", "c", "a", "e", "d"]


def test_orientations_make_stacks():
    slices = [place((0, y, 0), uid=f"c{y}", directions=CORONAL) for y in (2.0, 1.0)]
    slices += [place((0, 0, z), uid=f"a{z}") for z in (7.0, 3.0)]
    # Half a hundredth off, as headers are: still one stack.
    slices.append(place((0, 0, 5.0), uid="a5.0", directions=((0.99999, 0.005, 0), (-0.005, 0.99999, 0))))
    stacks = stacks_in_order([*slices, Placed(None, 1, "none", 0)])
    assert sorted(uids(stack) for stack in stacks) == [["a3.0", "a5.0", "a7.0"], ["c1.0", "c2.0"], ["none"]]
    assert uids(stacks[-1]) == ["none"]


@pytest.mark.parametrize(
    ("heights", "median", "warning"),
    [
        ((0, 5, 10, 15), 5, None),
        ((0, 5, 10.02, 15), 5, None),
        ((0, 5, 10, 20), 5, "not evenly spaced: 5 to 10 mm"),
        ((0, 0, 5, 10), 5, "several slices"),
        ((3, 3, 3), None, "all slices"),
        ((3,), None, None),
    ],
)
def test_spacing_comes_from_positions(heights, median, warning):
    spacing = spacing_of([place((0, 0, float(z))) for z in heights])
    assert spacing.median_mm == (None if median is None else pytest.approx(median, abs=0.03))
    if warning is None:
        assert spacing.warning is None
    else:
        assert warning in spacing.warning


def test_spacing_of_a_tilted_gantry_is_along_the_normal():
    # dicom2nifti failing/gantrytilting/001: 5 mm of table at 14 degrees are 4.852 mm between slices.
    directions = ((1, 0, 0), (0, 0.970295726276, -0.2419218955997))
    slices = [place((-106.8, -256.6, -61.95 + 5 * i), directions=directions) for i in range(4)]
    assert spacing_of(slices).median_mm == pytest.approx(4.852, abs=1e-3)


@pytest.mark.parametrize(
    ("position", "orientation"),
    [([0, 0], [1, 0, 0, 0, 1, 0]), ([0, 0, 0], [1, 0, 0]), ([0, 0, 0], [0] * 6), ([0, 0, 0], [1, 0, 0, 1, 0, 0])],
)
def test_malformed_geometry_is_none(position, orientation):
    header = pydicom.Dataset()
    header.ImagePositionPatient, header.ImageOrientationPatient = position, orientation
    assert geometry_of(header) is None
