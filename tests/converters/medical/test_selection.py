from __future__ import annotations

import pytest

from domainvl.converters.medical.selection import SelectionRule
from domainvl.errors import UsageError

FINE = [float(z) for z in range(101)]
COARSE = [5.0 * z for z in range(21)]


def levels(setting, positions_mm, **arguments):
    return [positions_mm[index] for index in SelectionRule.parse(setting).choose(positions_mm, **arguments).indices]


@pytest.mark.parametrize("setting", ["every:5", "every:10", "every:25"])
def test_med_28_series_of_1_and_5_mm_give_the_same_levels(setting):
    assert levels(setting, FINE) == levels(setting, COARSE)
    assert levels(setting, COARSE)[:2] == [0.0, float(setting[6:])]


def test_med_28_levels_do_not_depend_on_where_a_series_begins():
    # Another series of the patient begins 3 mm lower and ends 2 mm higher.
    longer = [z - 3.0 for z in range(107)]
    assert levels("every:10", longer) == levels("every:10", COARSE)


@pytest.mark.parametrize(("wanted", "within_mm"), [(10, 0.0), (4, 2.5), (8, 2.5), (21, 2.5)])
def test_med_28_an_even_choice_gives_the_same_levels_as_near_as_slices_lie(wanted, within_mm):
    fine, coarse = levels(f"even:{wanted}", FINE), levels(f"even:{wanted}", COARSE)
    assert len(fine) == len(coarse) == wanted
    assert all(abs(a - b) <= within_mm for a, b in zip(fine, coarse, strict=True))


def test_med_28_an_even_choice_takes_the_middles_of_equal_parts():
    assert levels("even:4", FINE) == [12.0, 37.0, 62.0, 87.0]  # 12.5 lies between two; the first is taken


def test_med_28_an_even_choice_is_in_mm_and_never_takes_a_slice_twice():
    # Nine slices crowd at the bottom.
    positions = [float(i) for i in range(9)] + [50.0, 100.0]
    assert levels("even:2", positions) == [8.0, 50.0]  # nearest to 25 and 75, of two that are as near the first
    assert SelectionRule.parse("even:50").choose(positions).indices == tuple(range(11))
    # Levels 16.7, 50 and 83.3: the first two are nearest to one slice.
    assert levels("even:3", [0.0, 28.0, 99.0, 100.0]) == [28.0, 99.0, 100.0]
    chosen = SelectionRule.parse("even:10").choose(positions).indices
    assert len(set(chosen)) == 10


def test_med_28_slices_around_findings_are_chosen_in_mm():
    assert levels("around:10", FINE, found_at=[50]) == FINE[40:61]
    assert levels("around:10", COARSE, found_at=[10]) == [40.0, 45.0, 50.0, 55.0, 60.0]
    assert levels("around:0", COARSE, found_at=[3, 9]) == [15.0, 45.0]
    assert levels("around:10", COARSE) == []


@pytest.mark.parametrize("setting", ["every:10", "even:5", "around:7", "all"])
def test_med_28_a_stack_in_falling_order_gives_the_same_levels(setting):
    found = [30, 31]
    rising = levels(setting, FINE, found_at=found)
    falling = levels(setting, FINE[::-1], found_at=[100 - index for index in found])
    assert falling == rising[::-1]


def test_med_28_gaps_are_not_filled_with_slices_from_their_border():
    positions = [0.0, 4.0, 9.0, 14.0, 60.0, 65.0]
    assert levels("every:10", positions) == [0.0, 9.0, 60.0]


def test_med_28_a_step_finer_than_the_slices_chooses_all_of_them():
    assert levels("every:1", COARSE) == COARSE
    assert levels("every:3", COARSE) == COARSE


def test_med_28_a_stack_between_two_levels_gives_one_slice():
    assert levels("every:100", [30.0, 35.0, 40.0]) == [30.0]  # nearest to level 0
    assert levels("every:100", [60.0, 65.0, 70.0]) == [70.0]  # nearest to level 100
    assert levels("every:10", [3.0]) == [3.0]
    assert levels("every:100", [45.0, 50.0, 58.0]) == [58.0]  # the middle is nearest to level 100


def test_med_28_positions_that_a_header_rounds_do_not_lose_a_slice_at_a_limit():
    positions = [0.0000001, 5.0000001, 9.9999999, 14.9999999]
    assert levels("every:5", positions) == positions
    assert levels("around:5", positions, found_at=[1]) == positions[:3]


def test_med_28_without_geometry_slices_are_counted_and_that_is_said():
    choice = SelectionRule.parse("every:5").choose(None, count=12)
    assert choice.indices == (0, 5, 10)
    assert "every:5 was counted in slices" in choice.warning and "3 of 12" in choice.warning
    assert SelectionRule.parse("around:1").choose(None, [4], count=12).indices == (3, 4, 5)
    even = SelectionRule.parse("even:3").choose(None, count=12)
    assert (even.indices, even.warning) == ((2, 5, 9), None)
    assert SelectionRule.parse("all").choose(None, count=3).warning is None
    with pytest.raises(ValueError, match="counted"):
        SelectionRule.parse("all").choose(None)


@pytest.mark.parametrize(
    "setting",
    ["", "some", "every", "every:", "every:0", "every:-5", "every:nan", "every:inf", "even:0", "even:2.5", "around:-1",
     "around:x", "all:5"],
)  # fmt: skip
def test_med_28_nonsense_is_refused(setting):
    with pytest.raises(UsageError, match="--select"):
        SelectionRule.parse(setting)
