"""highdicom judges the same positions; the words for what it refuses are ours."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from highdicom.spatial import get_volume_positions

from domainvl.converters.medical.regularity import Status, regularity_of, without_geometry

UP = (0.0, 0.0, 1.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def at(heights, shift_x=0.0, shift_y=0.0):
    return [(shift_x * z, shift_y * z, float(z)) for z in heights]


def judged(heights, **shifts):
    return regularity_of(at(heights, **shifts), UP)


@pytest.mark.parametrize(
    ("heights", "status", "spacing_mm", "missing", "duplicates"),
    [
        ((0, 5, 10, 15), Status.UNIFORM, 5, 0, 0),
        ((15, 0, 10, 5), Status.UNIFORM, 5, 0, 0),
        ((0, 5, 10.02, 15), Status.UNIFORM, 5, 0, 0),
        ((0, 5, 10, 20), Status.MISSING_SLICES, 5, 1, 0),
        ((1, 3, 0, 9), Status.MISSING_SLICES, 1, 6, 0),  # of highdicom's own tests
        ((0, 5, 10, 17), Status.VARIABLE, None, 0, 0),
        ((0, 5, 10.2, 15), Status.VARIABLE, None, 0, 0),
        ((0, 5, 10.08, 15), Status.VARIABLE, None, 0, 0),
        ((0, 0, 5, 10), Status.DUPLICATE_POSITIONS, 5, 0, 1),
        ((0, 0, 5, 15), Status.DUPLICATE_POSITIONS, 5, 1, 1),
        ((3, 3, 3), Status.DUPLICATE_POSITIONS, None, 0, 2),
        ((3,), Status.SINGLE, None, 0, 0),
    ],
)
def test_med_22_spacing_and_status_come_from_positions(heights, status, spacing_mm, missing, duplicates):
    found = judged(heights)
    assert found.status is status
    assert found.spacing_mm == (None if spacing_mm is None else pytest.approx(spacing_mm, abs=0.01))
    assert (found.missing_count, found.duplicate_count) == (missing, duplicates)
    assert (found.warning is None) == (status in (Status.UNIFORM, Status.SINGLE))


def test_med_22_missing_slices_are_counted_and_their_spacing_is_that_of_neighbours():
    found = judged((0, 2, 4, 10, 12, 18))
    assert (found.status, found.spacing_mm, found.missing_count) == (Status.MISSING_SLICES, 2, 4)
    assert found.gaps_mm == (2, 2, 6, 2, 6)
    assert found.warning == "4 slices are missing"


@pytest.mark.parametrize(
    ("heights", "status", "missing"),
    [((0, 5, 10, 15), Status.GANTRY_TILT, 0), ((0, 5, 15), Status.GANTRY_TILT_MISSING, 1),
     ((0, 5, 12, 15), Status.GANTRY_TILT_VARIABLE, 0)],
)  # fmt: skip
def test_med_22_a_tilted_stack_has_its_angle_whatever_its_gaps(heights, status, missing):
    found = judged(heights, shift_y=math.tan(math.radians(14)))
    assert (found.status, found.missing_count) == (status, missing)
    assert found.tilt_deg == pytest.approx(14.0, abs=1e-6)
    assert "14.0 degrees" in found.warning


def test_med_22_spacing_of_a_tilted_gantry_is_along_the_normal():
    # 5 mm of table at 14 degrees are 5 cos(14) = 4.8515 mm between slices.
    angle = math.radians(14)
    normal = (0.0, math.sin(angle), math.cos(angle))
    found = regularity_of([(-106.8, -256.6, -61.95 + 5 * i) for i in range(4)], normal)
    assert found.spacing_mm == pytest.approx(5 * math.cos(angle), abs=1e-9)
    assert found.tilt_deg == pytest.approx(14.0)


def test_med_22_slices_beside_each_other_are_coplanar():
    assert regularity_of([(0, 0, 7), (50, 0, 7), (100, 0, 7)], UP).status is Status.COPLANAR
    # Places of one plane that recur are found wherever they stand.
    found = regularity_of([(0, 0, 7), (50, 0, 7), (0, 0, 7)], UP)
    assert (found.status, found.duplicate_count) == (Status.COPLANAR, 1)


def test_med_22_slices_that_wander_within_their_plane_are_shifted():
    assert regularity_of([(0, 0, 0), (4, 0, 5), (-4, 0, 10), (0, 0, 15)], UP).status is Status.SHIFTED


@pytest.mark.parametrize("tilt_deg", [2.5, 2.6])
def test_med_22_the_limit_of_a_tilt_is_that_of_highdicom(tilt_deg):
    # A cosine of 1 - 0.001 is at 2.56 degrees.
    positions = at((0, 2, 4, 6), shift_x=math.tan(math.radians(tilt_deg)))
    spacing, _ = get_volume_positions(positions, AXIAL)
    assert (regularity_of(positions, UP).status is Status.UNIFORM) == (spacing is not None) == (tilt_deg < 2.56)


def test_med_22_rounding_does_not_add_up_over_a_long_series():
    # 2.034 mm apart, in a header that holds two digits: gaps of 2.03 and 2.04 mm. One slice is missing.
    found = judged([round(2.034 * i, 2) for i in range(400) if i != 200])
    assert (found.status, found.missing_count) == (Status.MISSING_SLICES, 1)
    assert found.spacing_mm == pytest.approx(2.034, abs=1e-4)


CASES = list(itertools.product([0.7, 5.0], [0.0, 0.1], [(), (3,), (2, 3, 6)], [0.0, 0.2], [False, True]))


@pytest.mark.parametrize(("spacing_mm", "jitter", "left_out", "shift", "repeat"), CASES)
def test_med_22_highdicom_agrees(spacing_mm, jitter, left_out, shift, repeat):
    rng = np.random.default_rng(7)
    heights = [i * spacing_mm + jitter * spacing_mm * (i % 2) for i in range(9) if i not in left_out]
    positions = at(heights + heights[:1] * repeat, shift_x=shift)
    rng.shuffle(positions)
    positions = [tuple(position) for position in positions]
    found = regularity_of(positions, UP)
    strict, _ = get_volume_positions(positions, AXIAL)
    missing, indices = get_volume_positions(positions, AXIAL, allow_missing_positions=True)
    assert (found.status is Status.UNIFORM) == (strict is not None)
    assert (found.status in (Status.UNIFORM, Status.MISSING_SLICES)) == (missing is not None)
    if missing is not None:
        assert found.spacing_mm == pytest.approx(missing)
        assert found.missing_count == max(indices) + 1 - len(indices)
    lenient, _ = get_volume_positions(positions, AXIAL, allow_missing_positions=True, allow_duplicate_positions=True)
    if repeat and lenient is not None:
        assert found.status is Status.DUPLICATE_POSITIONS and found.spacing_mm == pytest.approx(lenient)


def test_med_22_slices_without_geometry_have_a_status_and_no_irregularity():
    assert without_geometry().status is Status.NO_GEOMETRY
    assert without_geometry().warning is None
