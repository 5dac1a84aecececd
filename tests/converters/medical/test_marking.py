"""Marks lie where the thing is, hide nothing of it, and are seen on any background."""

from __future__ import annotations

import numpy as np
import pytest

from domainvl.converters.medical.marking import line_width_px, mark, marked_question
from domainvl.errors import UsageError
from domainvl.schema import Object

SHAPE = (60, 80)
RING = ((20.0, 10.0), (50.0, 10.0), (50.0, 30.0), (20.0, 30.0))
THING = Object(id="1", label="liver", box_px=(20, 10, 50, 30), polygons_px=(RING,))


def grey(value=0):
    return np.full(SHAPE, value, np.uint8)


def changed(before, after):
    """Where a mark is."""
    return (np.repeat(before[..., None], 3, axis=2) != after).any(axis=2)


def inside(x_min, y_min, x_max, y_max):
    region = np.zeros(SHAPE, bool)
    region[y_min:y_max, x_min:x_max] = True
    return region


@pytest.mark.parametrize("form", ["contour", "box"])
def test_a_line_runs_around_the_region_and_hides_nothing_of_it(form):
    drawn = changed(grey(), mark(grey(), THING, form))

    # One pixel wide on 60 rows: a frame of 32 x 22 around the 30 x 20.
    assert np.array_equal(drawn, inside(19, 9, 51, 31) & ~inside(20, 10, 50, 30))


def test_a_mask_covers_the_region_and_lets_it_shine_through():
    pixels = grey(100)
    pixels[15, 25] = 40
    marked = mark(pixels, THING, "mask")

    assert np.array_equal(changed(pixels, marked), inside(20, 10, 50, 30))
    # Half colour, half image: a difference of 60 is one of 30 in each channel.
    assert (marked[15, 26].astype(int) - marked[15, 25]).tolist() == [30, 30, 30]


def test_a_contour_follows_the_outline_where_a_box_does_not():
    triangle = Object(id="1", label="x", box_px=(20, 10, 50, 30), polygons_px=(((20, 10), (50, 10), (20, 30)),))
    contour, box = (changed(grey(), mark(grey(), triangle, form)) for form in ("contour", "box"))

    assert box[30, 49]
    assert not contour[28:, 40:].any()
    assert contour[9, 20:50].all()


def test_all_pieces_are_marked():
    pieces = (RING, ((60.0, 40.0), (70.0, 40.0), (70.0, 50.0), (60.0, 50.0)))
    thing = Object(id="1", label="x", box_px=(20, 10, 70, 50), polygons_px=pieces)

    assert np.array_equal(changed(grey(), mark(grey(), thing, "mask")), inside(20, 10, 50, 30) | inside(60, 40, 70, 50))


def test_at_the_border_of_the_image_the_line_runs_inside():
    thing = Object(id="1", label="x", box_px=(0, 0, 80, 60))
    assert np.array_equal(changed(grey(), mark(grey(), thing, "box")), ~inside(1, 1, 79, 59))

    corner = Object(id="1", label="x", box_px=(60, 40, 80, 60))
    drawn = changed(grey(), mark(grey(), corner, "box"))
    assert np.array_equal(drawn, inside(59, 39, 80, 60) & ~inside(60, 40, 79, 59))


@pytest.mark.parametrize("form", ["contour", "mask", "box"])
def test_a_thing_smaller_than_a_pixel_is_seen(form):
    ring = ((20.1, 10.1), (20.4, 10.1), (20.4, 10.4), (20.1, 10.4))
    thing = Object(id="1", label="x", box_px=(20.1, 10.1, 20.4, 10.4), polygons_px=(ring,))

    assert changed(grey(), mark(grey(), thing, form))[9:12, 19:22].any()


@pytest.mark.parametrize("form", ["contour", "mask", "box"])
@pytest.mark.parametrize("background", [
    *[(value,) * 3 for value in (0, 64, 85, 128, 170, 200, 255)],
    (255, 0, 0), (0, 255, 0), (0, 255, 255), (255, 255, 0), (255, 0, 255), (0, 0, 255), (180, 60, 40),
])  # fmt: skip
def test_marks_stand_out_from_any_background(form, background):
    pixels = np.full((*SHAPE, 3), background, np.uint8)
    marked = mark(pixels, THING, form)
    drawn = (marked != pixels).any(axis=2)
    distance = np.linalg.norm(marked[drawn].astype(float) - background, axis=1)

    # 208 is the least distance of the colours to a grey; a mask has half of it. A colour image may be as far.
    assert drawn.any()
    assert distance.min() >= (100 if form == "mask" else 200)


def test_the_colour_is_that_which_most_of_what_is_under_the_line_is_not():
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    pixels[..., 0] = 255
    marked = mark(pixels, THING, "box")
    # Cyan is the opposite of red.
    assert marked[9, 30].tolist() == [0, 255, 255]


def test_lines_grow_with_the_image_and_pixels_stay_as_they_are():
    assert [line_width_px((side, 2 * side)) for side in (50, 256, 512, 1024, 2048)] == [1, 1, 2, 4, 8]

    pixels = np.zeros((512, 600), np.uint8)
    marked = mark(pixels, Object(id="1", label="x", box_px=(100, 100, 200, 200)), "box")
    assert not pixels.any()
    assert marked.shape == (512, 600, 3)
    assert changed(pixels, marked)[150].sum() == 4
    assert marked.dtype == np.uint8


@pytest.mark.parametrize(
    ("thing", "form"),
    [
        (Object(id="1", label="x", box_px=(1, 1, 2, 2)), "contour"),
        (Object(id="1", label="x", point_px=(1, 1)), "box"),
        (Object(id="1", label="x", polygons_px=(((100, 100), (120, 100), (120, 120)),)), "mask"),
    ],
)
def test_what_cannot_be_marked_is_an_error(thing, form):
    with pytest.raises(ValueError, match="nothing in the image"):
        mark(grey(), thing, form)


def test_the_question_and_the_image_are_about_the_same_thing():
    other = Object(
        id="2", label="lung", box_px=(60, 40, 70, 50), polygons_px=(((60, 40), (70, 40), (70, 50), (60, 50)),)
    )
    boxes = {"liver": inside(20, 10, 50, 30), "lung": inside(60, 40, 70, 50)}
    seen = set()
    for number in range(30):
        found = marked_question(grey(), [THING, other], ["heart"], key=str(number), marks="mask,box")
        question, pixels, details = found
        label = question.answer.options[question.answer.correct]
        drawn = changed(grey(), pixels)
        seen.add((label, details["form"]))
        rows, columns = np.nonzero(drawn)
        centre = (rows.min() + rows.max() + 1) / 2, (columns.min() + columns.max() + 1) / 2
        expected = [side.mean() + 0.5 for side in np.nonzero(boxes[label])]
        assert centre == pytest.approx(expected)
        assert details["box_px"] == {"liver": [20, 10, 50, 30], "lung": [60, 40, 70, 50]}[label]
    assert seen == {(label, form) for label in ("liver", "lung") for form in ("mask", "box")}

    assert marked_question(grey(), [], ["heart", "lung"], key="k", marks="box") is None
    with pytest.raises(UsageError):
        marked_question(grey(), [THING], ["heart"], key="k", marks="arrow")
