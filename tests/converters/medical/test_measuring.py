"""Sizes against hand computation, in pixels that are not square."""

from __future__ import annotations

import math

import numpy as np
import pytest

from domainvl.converters.medical.measuring import area_mm2, longest_diameter_mm


def rectangle(width, height):
    return ((5, 7), (5 + width, 7), (5 + width, 7 + height), (5, 7 + height))


@pytest.mark.parametrize(
    ("ring", "spacing_mm", "diameter_mm"),
    [
        # 3 x 4 mm in square pixels, and the same from 6 columns 0.5 mm apart and 2 rows 2 mm apart.
        (rectangle(3, 4), (1.0, 1.0), 5.0),
        (rectangle(6, 2), (2.0, 0.5), 5.0),
        # The two spacings exchanged: sqrt((6 * 2)^2 + (2 * 0.5)^2).
        (rectangle(6, 2), (0.5, 2.0), math.sqrt(145)),
        # In pixels the horizontal one is longer (20 against 10), in millimetres the vertical one (30 against 20).
        (((0, 5), (10, 0), (20, 5), (10, 10)), (3.0, 1.0), 30.0),
        # Not convex: between the two tips of a U, whose notch reaches nearly to its foot.
        (((0, 0), (2, 0), (2, 8), (10, 8), (10, 0), (12, 0), (12, 9), (0, 9)), (1.0, 1.0), 15.0),
        (((0, 0), (30, 0), (60, 0)), (1.0, 0.5), 30.0),
    ],
)
def test_the_longest_diameter_is_the_farthest_pair_in_millimetres(ring, spacing_mm, diameter_mm):
    assert longest_diameter_mm(ring, spacing_mm) == pytest.approx(diameter_mm)


def test_the_diameter_of_a_circle_does_not_depend_on_where_it_begins_or_how_it_is_turned():
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    # A circle of 40 mm across, in pixels of 0.8 x 0.4 mm.
    circle = [(100 + 20 * math.cos(a) / 0.4, 80 + 20 * math.sin(a) / 0.8) for a in angles]

    assert longest_diameter_mm(circle, (0.8, 0.4)) == pytest.approx(40.0)
    assert longest_diameter_mm(circle[100:] + circle[:100], (0.8, 0.4)) == pytest.approx(40.0)


def test_area():
    assert area_mm2(12.0, (2.0, 0.5)) == 12.0
    assert area_mm2(100.0, (0.7, 0.7)) == pytest.approx(49.0)
