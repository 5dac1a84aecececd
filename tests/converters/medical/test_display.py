from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from domainvl.converters.medical.display import (
    Display,
    Turn,
    display_of,
    orientation_for,
)
from domainvl.converters.medical.geometry import Geometry
from domainvl.errors import ItemError

# What a reader expects: where the right and the lower side of the image lie in the patient (x left, y back, z head).
SHOWN = {"axial": ("+x", "+y"), "coronal": ("+x", "-z"), "sagittal": ("+y", "-z")}
SHAPE = {"x": 5, "y": 7, "z": 3}
TURNS = [Turn(*flags) for flags in itertools.product([False, True], repeat=3)]


def axis_vector(name):
    return tuple((1.0 if name[0] == "+" else -1.0) if axis == name[1] else 0.0 for axis in "xyz")


def phantom():
    """Every voxel has a value of its own, indexed [x][y][z] towards left, back and head."""
    return np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def stored_slices(row, column, stack):
    """Cut the phantom into slices whose rows, columns and order run along three named directions."""
    volume = phantom()
    for name in (row, column, stack):
        if name[0] == "-":
            volume = np.flip(volume, "xyz".index(name[1]))
    volume = np.transpose(volume, ["xyz".index(name[1]) for name in (stack, column, row)])
    for number, pixels in enumerate(volume):
        # The first pixel lies where its three indices say, each counted from the other end on a falling axis.
        place = {name[1]: (0 if name[0] == "+" else SHAPE[name[1]] - 1) for name in (row, column)}
        place[stack[1]] = number if stack[0] == "+" else SHAPE[stack[1]] - 1 - number
        position = tuple(float(place[axis]) for axis in "xyz")
        yield pixels, Geometry(position, axis_vector(row), axis_vector(column))


def expected(plane, level):
    volume = phantom()
    match plane:
        case "axial":
            return volume[:, :, level].T
        case "coronal":
            return volume[:, level, ::-1].T
        case "sagittal":
            return volume[level, :, ::-1].T


PERMUTATIONS = [
    [sign + axis for sign, axis in zip(signs, axes, strict=True)]
    for axes in itertools.permutations("xyz")
    for signs in itertools.product("+-", repeat=3)
]
PLANE_OF_STACK_AXIS = {"x": "sagittal", "y": "coronal", "z": "axial"}


@pytest.mark.parametrize(("row", "column", "stack"), PERMUTATIONS)
def test_med_24_all_48_axis_permutations_come_out_in_display_orientation(row, column, stack):
    plane = PLANE_OF_STACK_AXIS[stack[1]]
    for pixels, geometry in stored_slices(row, column, stack):
        display = display_of(*pixels.shape, geometry, plane, (1.0, 1.0))
        level = int(geometry.position_mm["xyz".index(stack[1])])
        np.testing.assert_array_equal(display.apply(pixels), expected(plane, level))
        # Each pixel goes where the map says.
        for y, x in np.ndindex(pixels.shape):
            x_min, y_min, x_max, y_max = display.map.box((x, y, x + 1, y + 1))
            assert (x_max - x_min, y_max - y_min) == (1, 1)
            assert display.apply(pixels)[int(y_min), int(x_min)] == pixels[y, x]


def test_med_24_there_are_48_permutations():
    assert len({tuple(names) for names in PERMUTATIONS}) == 48


@pytest.mark.parametrize(("row", "column"), [("-x", "+y"), ("+x", "-y"), ("+y", "+x"), ("-y", "-x"), ("+x", "+y")])
def test_med_24_a_mark_on_the_patients_right_is_on_the_left_of_the_image(row, column):
    # x runs to the patient's left, so that the right side has the smallest x.
    for pixels, geometry in stored_slices(row, column, "+z"):
        shown = display_of(*pixels.shape, geometry, "axial", None).apply(pixels)
        right_side = phantom()[0, :, int(geometry.position_mm[2])]
        np.testing.assert_array_equal(shown[:, 0], right_side)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_med_24_what_is_stored_as_displayed_is_left_alone(plane):
    geometry = Geometry((0, 0, 0), *map(axis_vector, SHOWN[plane]))
    assert orientation_for(geometry, plane) == Turn()
    assert display_of(3, 4, geometry, plane, (1, 1)).describe() == {}


def test_med_24_oblique_slices_are_turned_as_near_to_the_nearest_plane_as_turns_can():
    rng = np.random.default_rng(3)
    for _ in range(200):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        geometry = Geometry((0, 0, 0), tuple(rotation[0]), tuple(rotation[1]))
        normal = np.abs(np.cross(rotation[0], rotation[1]))
        plane = ("sagittal", "coronal", "axial")[int(normal.argmax())]
        right, down = (np.array(axis_vector(name)) for name in SHOWN[plane])

        def score(turn, rotation=rotation, right=right, down=down):
            x, y = (rotation[1], rotation[0]) if turn.transpose else (rotation[0], rotation[1])
            return (-1 if turn.flip_x else 1) * x @ right + (-1 if turn.flip_y else 1) * y @ down

        assert score(orientation_for(geometry, None)) == pytest.approx(max(map(score, TURNS)))


@pytest.mark.parametrize("noise", [-1e-9, 0.0, 1e-9])
def test_med_24_rounding_does_not_turn_a_slice_at_45_degrees(noise):
    angle = math.radians(45) + noise
    geometry = Geometry((0, 0, 0), (math.cos(angle), math.sin(angle), 0), (-math.sin(angle), math.cos(angle), 0))
    assert orientation_for(geometry, "axial") == Turn()


def test_med_24_without_geometry_nothing_is_turned_and_none_is_invented():
    assert display_of(3, 2, None, None, None) == Display(2, 3, Turn(), (2, 3), None, None)


def test_med_25_three_by_two_pixels_of_spacing_2_and_1_become_twice_as_high():
    # PixelSpacing is [between rows, between columns].
    pixels = np.array([[10, 20], [30, 40], [50, 60]], np.uint8)
    display = display_of(3, 2, None, None, (2.0, 1.0))
    shown = display.apply(pixels)
    assert shown.shape == (6, 2)
    assert display.spacing_mm == (1.0, 1.0)
    assert display.map.box((0, 1, 1, 2)) == (0, 2, 1, 4)
    # Columns are not mixed, and no grey is new beyond the neighbours'.
    assert shown[:, 0].min() == 10 and shown[:, 0].max() == 50
    assert np.all(np.diff(shown.astype(int), axis=0) >= 0)


def test_med_25_a_phantom_with_different_row_and_column_spacing_comes_out_square():
    """A square of 24 mm in pixels of 3 mm by 1 mm, stored on its side."""
    stored = np.zeros((20, 60), np.uint8)
    stored[6:14, 18:42] = 200
    geometry = Geometry((0, 0, 0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    display = display_of(20, 60, geometry, "axial", (3.0, 1.0))
    shown = display.apply(stored)
    assert shown.shape == (60, 60)
    assert display.spacing_mm == (1.0, 1.0)
    # Half of the grey lies within the border, wherever interpolation blurs it.
    rows, columns = np.nonzero(shown > 100)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert found == (18, 18, 42, 42) == display.map.box((18, 6, 42, 14))


@pytest.mark.parametrize(
    ("spacing_mm", "size_px", "shown_mm"),
    [((1.0, 2.0), (8, 3), (1.0, 1.0)), ((1.5, 1.0), (4, 4), (1.125, 1.0))],
)
def test_med_25_the_coarser_side_gets_more_pixels(spacing_mm, size_px, shown_mm):
    display = display_of(3, 4, None, None, spacing_mm)
    assert display.resized_px == size_px
    assert display.spacing_mm == pytest.approx(shown_mm)
    # The extent in the patient stays.
    assert display.spacing_mm[0] * size_px[1] == pytest.approx(spacing_mm[0] * 3)
    assert display.spacing_mm[1] * size_px[0] == pytest.approx(spacing_mm[1] * 4)


@pytest.mark.parametrize(("height_mm", "rows"), [(1.0, 1000), (1.009, 1000), (0.991, 1000), (1.011, 1011)])
def test_med_25_pixels_within_a_hundredth_of_square_are_left_alone(height_mm, rows):
    assert display_of(1000, 1000, None, None, (height_mm, 1.0)).resized_px == (1000, rows)


def test_a_crop_of_a_crop_counts_from_the_first():
    pixels = np.arange(200, dtype=np.uint8).reshape(10, 20)
    display = display_of(10, 20, None, None, None).cropped((2, 1, 20, 9)).cropped((5, 3, 9, 7))
    np.testing.assert_array_equal(display.apply(pixels), pixels[4:8, 7:11])
    assert display.map.box((7, 4, 11, 8)) == (0, 0, 4, 4)
    assert display.describe() == {"stored_px": [20, 10], "crop_px": [7, 4, 11, 8]}


def test_med_25_square_pixels_and_kept_aspects_are_not_resampled():
    pixels = np.random.default_rng(0).integers(0, 255, (5, 6), np.uint8)
    for display in (display_of(5, 6, None, None, (0.7, 0.7)), display_of(5, 6, None, None, (2, 1), keep_aspect=True)):
        np.testing.assert_array_equal(display.apply(pixels), pixels)
        assert display.describe() == {}
    assert display_of(5, 6, None, None, (2, 1), keep_aspect=True).spacing_mm == (2, 1)


def test_med_25_a_ratio_without_unit_makes_pixels_square_and_gives_no_spacing():
    display = display_of(4, 4, None, None, None, pixel_shape=(1.0, 2.0))
    assert (display.resized_px, display.spacing_mm) == ((8, 4), None)


def test_med_25_a_spacing_that_cannot_be_is_refused_with_a_way_out():
    with pytest.raises(ItemError, match="--keep-aspect") as error:
        display_of(512, 512, None, None, (100.0, 0.5))
    assert error.value.reason == "aspect"


def test_med_25_spacing_goes_with_rows_and_columns_when_they_are_exchanged():
    display = display_of(3, 4, None, None, (2.0, 1.0), turn=Turn(transpose=True), keep_aspect=True)
    assert display.spacing_mm == (1.0, 2.0)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_turn_resampling_and_crop_agree_with_their_map(turn, channels):
    pixels = np.zeros((12, 16, *channels), np.uint8)
    pixels[3:6, 9:13] = 255
    display = display_of(12, 16, None, None, (2.0, 1.0), turn=turn)
    width, height = display.resized_px
    cropped = display.cropped((2, 1, width, height - 1)).cropped((1, 2, width - 3, height - 3))
    for way in (display, cropped):
        shown = way.apply(pixels)
        assert shown.shape[:2] == (way.map.height_px, way.map.width_px)
        grey = shown if not channels else shown[..., 0]
        rows, columns = np.nonzero(grey > 127)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert found == pytest.approx(way.map.box((9, 3, 13, 6)), abs=1)
        back = way.map.inverse(16, 12)
        assert back.point(way.map.point((5.0, 7.5))) == pytest.approx((5.0, 7.5))
    assert cropped.spacing_mm == display.spacing_mm


def test_what_was_done_can_be_done_again_from_its_record():
    pixels = np.random.default_rng(0).integers(0, 255, (9, 12), np.uint8)
    display = display_of(9, 12, None, None, (1.0, 2.0), turn=Turn(True, False, True)).cropped((1, 2, 8, 20))
    record = display.describe()
    turn = Turn(record.get("transposed", False), record.get("flipped_x", False), record.get("flipped_y", False))
    width, height = record["stored_px"]
    again = Display(width, height, turn, tuple(record["resized_px"]), tuple(record["crop_px"]))
    np.testing.assert_array_equal(again.apply(pixels), display.apply(pixels))
    assert again.map == display.map


def test_pixels_of_another_size_than_the_header_says_are_refused():
    with pytest.raises(ItemError) as error:
        display_of(4, 4, None, None, None).apply(np.zeros((4, 5), np.uint8))
    assert error.value.reason == "size"
