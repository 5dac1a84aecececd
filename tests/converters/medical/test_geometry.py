from __future__ import annotations

import math

import pytest

from domainvl.converters.medical.geometry import Geometry, nearest_plane, plane_of, runs_along_axis

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


@pytest.mark.parametrize(
    ("directions", "normal", "plane"),
    [(AXIAL, (0, 0, 1), "axial"), (CORONAL, (0, 1, 0), "coronal"), (SAGITTAL, (-1, 0, 0), "sagittal")],
)
def test_normals_are_right_handed_and_name_the_plane(directions, normal, plane):
    geometry = Geometry((0, 0, 0), *directions)
    assert geometry.normal() == normal
    assert plane_of(geometry) == nearest_plane(geometry) == plane


@pytest.mark.parametrize(
    ("row", "column", "along"),
    [((1, 0, 0), (0, 1, 0), True), ((-1, 0, 0), (0, 1, 0), False),  # to the head, to the feet
     ((1, 0, 0), (0, 0, -1), True), ((1, 0, 0), (0, 0, 1), False),  # to the back, to the front
     ((0, 1, 0), (0, 0, 1), True), ((0, 1, 0), (0, 0, -1), False)],  # to the left, to the right
)  # fmt: skip
def test_the_end_that_slices_run_to_is_known(row, column, along):
    assert runs_along_axis(Geometry((0, 0, 0), row, column)) is along


@pytest.mark.parametrize(
    ("tilt_deg", "plane", "nearest"), [(20, "axial", "axial"), (30, None, "axial"), (70, "coronal", "coronal")]
)
def test_oblique_slices_have_no_plane_and_a_nearest_one(tilt_deg, plane, nearest):
    angle = math.radians(tilt_deg)
    geometry = Geometry((0, 0, 0), (1, 0, 0), (0, math.cos(angle), -math.sin(angle)))
    assert plane_of(geometry) == plane
    assert nearest_plane(geometry) == nearest


@pytest.mark.parametrize("rounding", [-1e-9, 0.0, 1e-9])
def test_rounding_does_not_choose_between_planes_that_are_equally_near(rounding):
    angle = math.radians(45) + rounding
    assert nearest_plane(Geometry((0, 0, 0), (1, 0, 0), (0, math.cos(angle), -math.sin(angle)))) == "axial"


@pytest.mark.parametrize(
    ("row", "column", "spans"),
    [((1, 0, 0), (0, 1, 0), True), ((0, 0, 0), (0, 0, 0), False), ((1, 0, 0), (1, 0, 0), False)],
)
def test_directions_that_span_no_plane_are_seen(row, column, spans):
    assert Geometry((0, 0, 0), row, column).is_plane() is spans
