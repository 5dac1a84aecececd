from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from domainvl.converters.dicom.overlays import draw_overlays, overlay_groups
from domainvl.errors import ItemError


def add_overlay(dataset, plane, *, group=0x6000, origin=(1, 1), frames=None, first_frame=1):
    """Put a plane of bool (rows, columns) or (frames, rows, columns) in a group."""
    plane = np.asarray(plane, np.uint8)
    dataset.add_new((group, 0x0010), "US", plane.shape[-2])
    dataset.add_new((group, 0x0011), "US", plane.shape[-1])
    if frames is not None:
        dataset.add_new((group, 0x0015), "IS", frames)
        dataset.add_new((group, 0x0051), "US", first_frame)
    dataset.add_new((group, 0x0040), "CS", "G")
    dataset.add_new((group, 0x0050), "SS", list(origin))
    dataset.add_new((group, 0x0100), "US", 1)
    dataset.add_new((group, 0x0102), "US", 0)
    # PS3.5 8.1.2: packed from the lowest bit up, padded to words.
    packed = np.packbits(plane.ravel(), bitorder="little").tobytes()
    dataset.add_new((group, 0x3000), "OW", packed + b"\0" * (len(packed) % 2))
    return dataset


def grey(dataset):
    return np.full((dataset.Rows, dataset.Columns), 100, np.uint8)


@pytest.mark.parametrize("name", ["examples_overlay.dcm", "MR-SIEMENS-DICOM-WithOverlays.dcm"])
def test_med_09_overlays_of_real_files_are_those_that_pydicom_reads(wheel, request, name):
    folder = "medical/pydicom__pydicom-data/data_store/data"
    path = wheel(name) if name.startswith("examples") else request.getfixturevalue("real_data") / folder / name
    dataset = pydicom.dcmread(path)
    assert overlay_groups(dataset) == (0x6000,)
    plane = dataset.overlay_array(0x6000)
    assert 0 < plane.sum() < plane.size
    pixels = grey(dataset)
    np.testing.assert_array_equal(draw_overlays(dataset, 0, pixels), np.where(plane, 255, 100))
    assert (pixels == 100).all()


@pytest.mark.parametrize(
    ("origin", "rows", "columns"),
    [((1, 1), slice(0, 3), slice(0, 2)), ((4, 6), slice(3, 6), slice(5, 7)), ((-1, 0), slice(0, 1), slice(0, 1)),
     ((7, 8), slice(6, 8), slice(7, 8)), ((20, 1), slice(0, 0), slice(0, 0))],
)  # fmt: skip
def test_med_09_planes_smaller_than_the_image_and_partly_outside(dataset, origin, rows, columns):
    # OverlayOrigin counts rows, then columns, from 1.
    made = add_overlay(dataset(), np.ones((3, 2)), origin=origin)
    expected = grey(made)
    expected[rows, columns] = 255
    np.testing.assert_array_equal(draw_overlays(made, 0, grey(made)), expected)


def test_med_09_several_planes_on_colour(dataset):
    first, second = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    first[1], second[:, 2] = True, True
    made = add_overlay(add_overlay(dataset(), first), second, group=0x601E)
    pixels = np.zeros((8, 8, 3), np.uint8)
    np.testing.assert_array_equal(
        draw_overlays(made, 0, pixels), np.where(first | second, 255, 0)[..., None].repeat(3, 2)
    )


def test_med_09_planes_with_frames_of_their_own(dataset):
    planes = np.zeros((2, 8, 8), bool)
    planes[0, 0], planes[1, 5] = True, True
    made = add_overlay(dataset(NumberOfFrames=4), planes, frames=2, first_frame=2)
    drawn = [draw_overlays(made, frame, grey(made)) == 255 for frame in range(4)]
    np.testing.assert_array_equal(drawn, [np.zeros((8, 8)), planes[0], planes[1], np.zeros((8, 8))])


def test_med_09_a_plane_without_frames_holds_for_all(dataset):
    plane = np.eye(8, dtype=bool)
    made = add_overlay(dataset(NumberOfFrames=3), plane)
    for frame in range(3):
        np.testing.assert_array_equal(draw_overlays(made, frame, grey(made)) == 255, plane)


def embedded(dataset):
    plane = np.eye(8, dtype=bool)
    image = np.arange(64, dtype=np.uint16).reshape(8, 8) | (plane.astype(np.uint16) << 14)
    made = dataset(image, BitsStored=12, HighBit=11)
    for element, vr, value in (
        (0x10, "US", 8),
        (0x11, "US", 8),
        (0x50, "SS", [1, 1]),
        (0x100, "US", 16),
        (0x102, "US", 14),
    ):
        made.add_new((0x6000, element), vr, value)
    return made, plane


def test_med_09_planes_in_unused_bits_of_old_files(dataset):
    made, plane = embedded(dataset)
    np.testing.assert_array_equal(draw_overlays(made, 0, grey(made)) == 255, plane)


def test_med_09_no_overlay_leaves_pixels_as_they_are(dataset):
    made = dataset()
    assert overlay_groups(made) == ()
    np.testing.assert_array_equal(draw_overlays(made, 0, grey(made)), grey(made))


def test_med_09_curves_are_ignored(dataset):
    made = dataset()
    made.add_new((0x5000, 0x0010), "US", 4)
    np.testing.assert_array_equal(draw_overlays(made, 0, grey(made)), grey(made))


@pytest.mark.parametrize("change", [{0x3000: b"\0\0"}, {0x0011: None}, {0x0050: None}])
def test_med_09_malformed_planes_are_refused(dataset, change):
    made = add_overlay(dataset(), np.ones((8, 8)))
    for element, value in change.items():
        made[0x6000, element].value = value
    if 0x0050 in change:
        made[0x6000, 0x0050].value = [1, 1, 1]
    with pytest.raises(ItemError) as caught:
        draw_overlays(made, 0, grey(made))
    assert caught.value.reason == "overlay"


def test_med_09_compressed_pixels_have_no_planes_in_unused_bits(dataset):
    made, _ = embedded(dataset)
    made.compress(RLELossless)
    with pytest.raises(ItemError) as caught:
        draw_overlays(made, 0, grey(made))
    assert caught.value.reason in ("decode", "overlay")
