"""Speeds from places in time, held against sums done by hand and against what nuscenes-devkit documents."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.converters.driving.tracks import motion_of, speeds_m_s

FRAME_US = 500_000


def test_drv_24_speed_is_the_centred_difference_of_the_neighbours() -> None:
    # 0, 1 and 5 m along x at 2 Hz: 1 m in 0.5 s, 5 m in 1 s, 4 m in 0.5 s.
    track = [(0, (0.0, 0.0, 0.0)), (FRAME_US, (1.0, 0.0, 0.0)), (2 * FRAME_US, (5.0, 0.0, 0.0))]
    assert speeds_m_s(track) == pytest.approx([2.0, 5.0, 8.0])


def test_drv_24_height_does_not_count() -> None:
    assert speeds_m_s([(0, (0.0, 0.0, 0.0)), (1_000_000, (3.0, 4.0, 9.0))]) == pytest.approx([5.0, 5.0])


def test_drv_24_a_single_place_has_no_speed() -> None:
    assert speeds_m_s([(0, (0.0, 0.0, 0.0))]) == [None]
    assert speeds_m_s([]) == []


@pytest.mark.parametrize(
    ("times_s", "known"),
    [
        ((0.0, 1.5), [True, True]),
        ((0.0, 1.51), [False, False]),
        # Between two neighbours twice the gap may lie.
        ((0.0, 1.5, 3.0), [True, True, True]),
        ((0.0, 2.9, 3.0), [False, True, True]),
        ((0.0, 1.6, 3.2), [False, False, False]),
    ],
)
def test_drv_24_places_too_far_apart_in_time_give_no_speed(times_s: tuple[float, ...], known: list[bool]) -> None:
    track = [(round(time_s * 1e6), (time_s, 0.0, 0.0)) for time_s in times_s]
    assert [speed is not None for speed in speeds_m_s(track)] == known


def test_drv_24_time_that_does_not_go_on_gives_no_speed() -> None:
    assert speeds_m_s([(5, (0.0, 0.0, 0.0)), (5, (1.0, 0.0, 0.0))]) == [None, None]
    assert speeds_m_s([(9, (0.0, 0.0, 0.0)), (5, (1.0, 0.0, 0.0))]) == [None, None]


coordinates = st.floats(-1e4, 1e4)


@given(
    st.lists(
        st.tuples(st.integers(0, 10_000_000), st.tuples(coordinates, coordinates, coordinates)),
        unique_by=lambda at: at[0],
    )
)
def test_drv_24_speeds_equal_box_velocity_and_are_never_nan(places: list[tuple[int, tuple[float, ...]]]) -> None:
    track = sorted(places)
    for here, speed in enumerate(speeds_m_s(track)):
        # What NuScenes.box_velocity does: the neighbours that there are, at most 1.5 s, or 3 s with both.
        first, last = track[max(here - 1, 0)], track[min(here + 1, len(track) - 1)]
        both = 0 < here < len(track) - 1
        seconds = 1e-6 * last[0] - 1e-6 * first[0]
        if len(track) == 1 or seconds > (3.0 if both else 1.5) + 1e-9:
            assert speed is None
        elif seconds < (3.0 if both else 1.5) - 1e-9:
            velocity = [(b - a) / seconds for a, b in zip(first[1], last[1], strict=True)]
            assert speed == pytest.approx(math.hypot(*velocity[:2]), rel=1e-6, abs=1e-9)
            assert math.isfinite(speed)


@given(st.floats(0.0, 40.0), st.floats(-math.pi, math.pi), st.integers(2, 20))
def test_drv_24_a_straight_ride_has_one_speed(speed_m_s: float, yaw_rad: float, count: int) -> None:
    track = [
        (frame * FRAME_US, (frame * 0.5 * speed_m_s * math.cos(yaw_rad), frame * 0.5 * speed_m_s * math.sin(yaw_rad)))
        for frame in range(count)
    ]
    assert speeds_m_s(track) == pytest.approx([speed_m_s] * count, abs=1e-9)


@pytest.mark.parametrize(
    ("attributes", "speed_m_s", "motion"),
    [
        (("vehicle.moving",), 0.0, "moving"),
        (("vehicle.parked",), 3.0, "not moving"),
        (("vehicle.stopped",), None, "not moving"),
        (("pedestrian.moving",), None, "moving"),
        (("pedestrian.standing",), None, "not moving"),
        (("pedestrian.sitting_lying_down",), 2.0, "not moving"),
        (("moving",), None, "moving"),
        (("parked",), None, "not moving"),
        (("cycle.with_rider",), 3.0, "moving"),
        (("cycle.with_rider", "moving"), None, "moving"),
        (("cycle.without_rider",), None, None),
        (("vehicle.moving", "vehicle.parked"), 3.0, None),
        ((), 0.2, "not moving"),
        ((), 0.21, None),
        ((), 0.99, None),
        ((), 1.0, "moving"),
        ((), None, None),
    ],
)
def test_drv_24_motion_is_what_attributes_say_else_what_the_speed_says(
    attributes: tuple[str, ...], speed_m_s: float | None, motion: str | None
) -> None:
    assert motion_of(attributes, speed_m_s) == motion


def test_drv_24_speed_of_the_real_t4_car(real_data: Path) -> None:
    tables = real_data / "driving" / "tier4__t4-devkit" / "tests" / "sample" / "t4dataset" / "annotation"
    times_us = {row["token"]: row["timestamp"] for row in json.loads((tables / "sample.json").read_text())}
    rows = json.loads((tables / "sample_annotation.json").read_text())
    car = rows[0]["instance_token"]
    track = sorted((times_us[row["sample_token"]], row["translation"]) for row in rows if row["instance_token"] == car)
    assert len(track) == 2
    # From (10, 5) to (12, 5.2) between two samples.
    expected = math.hypot(2.0, 0.2) / ((track[1][0] - track[0][0]) / 1e6)
    assert speeds_m_s(track) == pytest.approx([expected, expected])
