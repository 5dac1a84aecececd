"""What a record must tell for an image to have a place on the ground."""

from __future__ import annotations

import math

import numpy as np
import pytest

from domainvl.schema.validation.footprints import Footprints, Frame

TRANSFORM = [2.0, 0.0, 500.0, 0.0, -2.0, 900.0]
WINDOW = {"col": 30, "row": 40, "width": 10, "height": 20}


def place(details: object, width_px: int | None = 16, height_px: int | None = 32, uri: object = "a.tif") -> Footprints:
    footprints = Footprints()
    footprints.add(7, {"uri": uri, "details": details}, width_px, height_px)
    return footprints


def test_corners_are_those_of_the_stored_image_on_the_map():
    footprints = place({"transform": TRANSFORM, "crs": "EPSG:32633"})

    # 16 x 32 px of 2 m, north up, from (500, 900)
    assert footprints.corners.tolist() == [[[500, 900], [532, 900], [532, 836], [500, 836]]]
    assert footprints.frames == [Frame("EPSG:32633", is_crs=True)]
    assert footprints.references.tolist() == [7]
    assert (footprints.dates.tolist(), footprints.unplaced) == ([0], 0)


def test_padding_is_no_ground():
    footprints = place({"transform": TRANSFORM, "crs": "EPSG:32633", "window": WINDOW})

    assert footprints.corners.tolist() == [[[500, 900], [520, 900], [520, 860], [500, 860]]]


def test_without_a_crs_the_window_in_the_file_is_the_place():
    footprints = place({"transform": TRANSFORM, "window": WINDOW}, None, None)

    assert footprints.corners.tolist() == [[[30, 40], [40, 40], [40, 60], [30, 60]]]
    assert footprints.frames == [Frame("a.tif", is_crs=False)]


@pytest.mark.parametrize(
    "details",
    [
        None,
        {},
        {"transform": TRANSFORM},
        {"crs": "EPSG:32633"},
        {"crs": "EPSG:32633", "window": WINDOW},  # where the pixels lie in that CRS is not said
        {"transform": TRANSFORM, "crs": ""},
        {"transform": TRANSFORM[:5], "crs": "EPSG:32633"},
        {"transform": [*TRANSFORM[:5], "900"], "crs": "EPSG:32633"},
        {"transform": [*TRANSFORM[:5], True], "crs": "EPSG:32633"},
        {"transform": [*TRANSFORM[:5], math.nan], "crs": "EPSG:32633"},
        {"transform": [*TRANSFORM[:5], 1e13], "crs": "EPSG:32633"},
        {"transform": [1e12, 0.0, 1e12, 0.0, 1e12, 1e12], "crs": "EPSG:32633"},
        {"transform": [1.0, 2.0, 0.0, 2.0, 4.0, 0.0], "crs": "EPSG:32633"},  # all pixels on a line
        {"window": {"center": 40, "width": 400}},  # of grey levels
        {"window": WINDOW | {"width": 0}},
        {"window": WINDOW | {"col": 1.5}},
        {"window": WINDOW | {"row": True}},
    ],
)
def test_an_image_without_a_place_is_counted(details):
    footprints = place(details)

    assert (footprints.unplaced, len(footprints.references)) == (1, 0)


def test_a_window_of_no_file_and_an_image_of_no_size_have_no_place():
    assert place({"window": WINDOW}, uri=None).unplaced == 1
    assert place({"transform": TRANSFORM, "crs": "EPSG:32633"}, None).unplaced == 1


def test_equal_footprints_are_kept_once_a_split_and_date():
    footprints = Footprints()
    for reference, date in enumerate(["2020-01-01", "2020-01-01", "2021-01-01", None]):
        footprints.add(reference, {"details": {"transform": TRANSFORM, "crs": "X", "date": date}}, 16, 32)
    footprints.start_split()
    footprints.add(4, {"details": {"transform": TRANSFORM, "crs": "X", "date": "2021-01-01"}}, 16, 32)

    assert footprints.references.tolist() == [0, 2, 3, 4]
    assert footprints.dates.tolist() == [1, 2, 0, 2]
    assert np.unique(footprints.corners, axis=0).shape == (1, 4, 2)
