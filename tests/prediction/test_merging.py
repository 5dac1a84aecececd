"""Boxes of tiles become one an object: every object once, none lost, none joined to its neighbour."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import median

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings

from domainvl.converters.geotiff.grid import plan_tiles
from domainvl.prediction.merging import Detection, Merged, MergeSettings, detect, make_window, merge

SETTINGS = MergeSettings(touch_px=1.0)


def windows(size_px, tile_px, overlap_px, edge="pad"):
    tiles = plan_tiles(*size_px, tile_px=tile_px, overlap_px=overlap_px, edge=edge)
    return [
        make_window(
            f"r{tile.row}c{tile.col}",
            (tile.x_px, tile.y_px, tile.x_px + tile.width_px, tile.y_px + tile.height_px),
            size_px,
        )
        for tile in tiles
    ]


def see(objects, shown, *, likelihood=0.9, label="car", jitter=None):
    """What a perfect model says of each tile: the part of each object that the tile shows."""
    found = []
    for window in shown:
        for thing in objects:
            box = tuple(
                f(a, b) for f, a, b in zip((max, max, min, min), thing, window.box_px, strict=True)
            )  # fmt: skip
            if jitter is not None:
                moved = [value + jitter.uniform(-0.4, 0.4) for value in box]
                box = tuple(
                    f(a, b) for f, a, b in zip((max, max, min, min), moved, window.box_px, strict=True)
                )  # fmt: skip
            if box[2] - box[0] > 0 and box[3] - box[1] > 0:
                found.append(detect(box, label, likelihood, window, label, SETTINGS))
    return found


def boxes_of(merged: Merged):
    return sorted(one.box_px for one in merged.detections)


def one(box, window, likelihood=0.9, label="car", question="car") -> Detection:
    return detect(box, label, likelihood, window, question, SETTINGS)


LEFT, RIGHT = windows((200, 100), 100, 0)
WEST, EAST = windows((180, 100), 100, 20)


def test_borders_of_the_scene_cut_nothing():
    assert [(window.name, sorted(window.inner)) for window in (LEFT, RIGHT)] == [
        ("r0c0", ["right"]),
        ("r0c1", ["left"]),
    ]
    assert one((0, 0, 20, 100), LEFT).cut == frozenset()
    assert one((80, 0, 99.5, 20), LEFT).cut == {"right"}
    assert one((80, 0, 98.5, 20), LEFT).cut == frozenset()


def test_the_likelier_of_two_tiles_stays():
    merged = merge([one((82, 10, 96, 30), WEST, 0.5), one((83, 10, 97, 30), EAST, 0.7)], SETTINGS)
    assert [(thing.box_px, thing.likelihood) for thing in merged.detections] == [((83, 10, 97, 30), 0.7)]
    assert merged.suppressed == 1


def test_a_likely_piece_gives_way_to_an_unlikely_whole():
    merged = merge([one((82, 10, 100, 30), WEST, 0.99), one((82, 10, 120, 30), EAST, 0.1)], SETTINGS)
    assert [(thing.box_px, thing.cut) for thing in merged.detections] == [((82, 10, 120, 30), frozenset())]


def test_a_large_cut_box_is_not_put_out_by_a_small_whole_one_in_it():
    merged = merge([one((20, 10, 100, 90), WEST), one((85, 40, 95, 50), EAST)], SETTINGS)
    assert merged.suppressed == 0
    assert [bool(thing.cut) for thing in merged.detections] == [True, False]


def test_pieces_without_overlap_are_joined_with_the_least_likelihood():
    merged = merge([one((70, 10, 100, 30), LEFT, 0.6), one((100, 11, 140, 31), RIGHT, 0.8)], SETTINGS)
    (thing,) = merged.detections
    assert (thing.box_px, thing.likelihood, thing.pieces, thing.cut) == ((70, 10, 140, 31), 0.6, 2, frozenset())
    assert merged.joined == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((70, 10, 100, 30), (100, 25, 140, 45)),  # beside each other
        ((70, 10, 90, 30), (100, 10, 140, 30)),  # the first ends before the border
        ((70, 10, 100, 30), (100, 10, 140, 80)),  # much higher
    ],
)
def test_what_does_not_go_on_in_the_other_tile_stays_apart(first, second):
    assert boxes_of(merge([one(first, LEFT), one(second, RIGHT)], SETTINGS)) == [first, second]


def test_a_box_that_begins_beyond_the_border_is_no_continuation():
    """Both are cut, the second below only: it begins further from the border than a touch."""
    first_window, second_window, *_ = windows((200, 200), 100, 0)
    first, second = one((70, 60, 100, 100), first_window), one((101.5, 60, 140, 100), second_window)
    assert (first.cut, second.cut) == ({"right", "bottom"}, {"bottom"})
    assert len(merge([first, second], SETTINGS).detections) == 2


def test_labels_are_never_mixed():
    first, second = one((70, 10, 100, 30), LEFT), one((100, 10, 140, 30), RIGHT, label="ship")
    assert len(merge([first, second], SETTINGS).detections) == 2


def test_what_one_answer_tells_apart_stays_apart_but_not_what_it_repeats():
    first, near = one((10, 10, 40, 40), LEFT), one((14, 10, 44, 40), LEFT)
    merged = merge([first, near, first], SETTINGS)
    assert (boxes_of(merged), merged.repeated) == ([(10, 10, 40, 40), (14, 10, 44, 40)], 1)
    again = one((11, 10, 41, 40), LEFT, question="all cars")
    assert merge([first, again], SETTINGS).suppressed == 1


def test_a_piece_whose_rest_nobody_saw_stays_and_says_so():
    (thing,) = merge([one((70, 10, 100, 30), LEFT)], SETTINGS).detections
    assert thing.cut == {"right"}
    assert thing.pieces == 1


def test_equal_objects_that_end_on_a_border_are_two():
    """A row of ten objects of 20 px; the border between the tiles lies between the fifth and the sixth."""
    row = [(float(x), 10.0, float(x + 20), 30.0) for x in range(0, 200, 20)]
    assert boxes_of(merge(see(row, [LEFT, RIGHT]), SETTINGS)) == row


LAYOUTS = [(100, 0, "pad"), (100, 0, "shift"), (100, 30, "pad"), (100, 30, "shift"), (64, 8, "pad")]


@pytest.mark.parametrize(("tile_px", "overlap_px", "edge"), LAYOUTS)
@pytest.mark.parametrize("side_px", [7, 20, 25, 33])
def test_a_dense_grid_of_equal_objects_is_not_merged_away(tile_px, overlap_px, edge, side_px):
    objects = [
        (float(x), float(y), float(x + side_px), float(y + side_px))
        for x in range(0, 250 - side_px, side_px)
        for y in range(0, 170 - side_px, side_px)
    ]
    seen = see(objects, windows((250, 170), tile_px, overlap_px, edge))
    assert len(seen) >= len(objects)
    assert boxes_of(merge(seen, SETTINGS)) == sorted(objects)


@st.composite
def scenes(draw):
    """Objects of any size that keep 4 px from each other, in a scene of several tiles."""
    tile_px, overlap_px, edge = draw(st.sampled_from(LAYOUTS))
    columns, rows = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    objects = []
    for column in range(columns):
        for row in range(rows):
            width, height = 300 / columns, 240 / rows
            x0, x1 = sorted(draw(st.tuples(st.integers(0, 1000), st.integers(0, 1000))))
            y0, y1 = sorted(draw(st.tuples(st.integers(0, 1000), st.integers(0, 1000))))
            box = tuple(
                round(start + 2 + share / 1000 * (length - 4), 2)
                for start, length, share in (
                    (column * width, width, x0),
                    (row * height, height, y0),
                    (column * width, width, x1),
                    (row * height, height, y1),
                )
            )
            if box[2] - box[0] >= 4 and box[3] - box[1] >= 4:
                objects.append(box)
    return objects, windows((300, 240), tile_px, overlap_px, edge)


def may_be_whole(piece, whole):
    """Whether a piece has the usual size: of two such that touch nobody can tell whether they are one object."""
    usual = [median(thing.box_px[side + 2] - thing.box_px[side] for thing in whole) for side in (0, 1)]
    return all(0.85 < (piece.box_px[side + 2] - piece.box_px[side]) / usual[side] < 1.15 for side in (0, 1))


@settings(max_examples=200, deadline=None)
@given(scene=scenes(), seed=st.integers(0, 99))
def test_every_object_is_counted_once(scene, seed):
    objects, shown = scene
    seen = see(objects, shown)
    whole = [thing for thing in seen if not thing.cut]
    assume(not whole or not any(thing.cut and may_be_whole(thing, whole) for thing in seen))
    merged = merge(seen, SETTINGS)
    assert boxes_of(merged) == sorted(objects)
    random.Random(seed).shuffle(seen)
    assert merge(seen, SETTINGS) == merged


@settings(max_examples=60, deadline=None)
@given(scene=scenes(), seed=st.integers(0, 99))
def test_half_a_pixel_of_doubt_changes_no_count_where_tiles_overlap(scene, seed):
    objects, shown = scene
    if {window.name for window in shown} and shown[0].box_px[2] == shown[1].box_px[0]:
        return
    large = [box for box in objects if min(box[2] - box[0], box[3] - box[1]) >= 12]
    merged = merge(see(large, shown, jitter=random.Random(seed)), SETTINGS)
    assert len(merged.detections) >= len(large)
    for thing in large:
        assert any(math.dist(thing, found.box_px) < 1.0 for found in merged.detections)


def test_many_boxes_take_seconds():
    """Work grows with the neighbours, not with the square of the boxes."""
    objects = [(float(x), float(y), x + 8.0, y + 8.0) for x in range(0, 2000, 20) for y in range(0, 2000, 20)]
    merged = merge(see(objects[::3], windows((2000, 2000), 500, 50)), replace(SETTINGS, same_iou=0.5))
    assert boxes_of(merged) == sorted(objects[::3])
