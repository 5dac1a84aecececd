"""Parts to look at: where there is most to see, and what does not count."""

import numpy as np
import pytest

from domainvl.enhance.evaluating.contestants import make_field
from domainvl.enhance.evaluating.panels import make_panel, richest_corner
from domainvl.enhance.evaluating.run import measure_pairs


@pytest.fixture
def detailed():
    """A flat view of 400 x 300 pixels with detail in one place only."""
    truth = np.full((1, 400, 300), 0.5, dtype=np.float32)
    truth[0, 200:330, 120:270] = np.random.default_rng(0).random((130, 150), dtype=np.float32)
    return truth, np.ones((400, 300), dtype=bool)


def test_the_part_with_the_most_detail_is_chosen(detailed):
    row, column, side = richest_corner(*detailed, scale=4, border_px=16)
    assert side == 160
    assert row <= 200 <= 330 <= row + side
    assert column <= 120 <= 270 <= column + side
    assert (row % 4, column % 4) == (0, 0)


def test_detail_that_is_not_valid_does_not_count(detailed):
    truth, valid = detailed
    truth[0, 20:40, 20:60] = np.random.default_rng(1).random((20, 40), dtype=np.float32)
    valid[200:330] = False
    row, column, _ = richest_corner(truth, valid, scale=4, border_px=16)
    assert (row, column) == (16, 16)


def test_a_small_view_is_shown_whole_without_its_border():
    truth, valid = np.zeros((1, 50, 70), dtype=np.float32), np.ones((50, 70), dtype=bool)
    row, column, side = richest_corner(truth, valid, scale=2, border_px=16)
    assert (row, side) == (16, 18)
    assert 16 <= column <= 70 - 16 - 18


def test_colours_are_the_first_three_bands_and_invalid_pixels_are_grey():
    view = np.stack([np.full((4, 4), level, dtype=np.float32) for level in (0.2, 0.4, 1.5, 0.9)])
    valid = np.ones((4, 4), dtype=bool)
    valid[0, 0] = False
    (name, shown), (_, grey) = make_panel("p", "g", (0, 0, 4), {"a": view, "b": view[:2]}, valid).tiles
    assert name == "a"
    assert shown[1, 1].tolist() == [51, 102, 255]
    assert shown[0, 0].tolist() == [128, 128, 128]
    assert grey[1, 1].tolist() == [51, 51, 51]


def test_one_pair_of_a_group_is_shown(pairs, recalling):
    field = make_field([("net", recalling(pairs, lambda high, low: high))], pairs.index, ["zero"])
    records = [record.model_copy(update={"group": "one"}) for record in pairs.records[:2]] + pairs.records[2:4]
    measured = measure_pairs(pairs, records, field, panels=2)
    assert [panel.pair for panel in measured.panels] == ["pair-0", "pair-2"]
