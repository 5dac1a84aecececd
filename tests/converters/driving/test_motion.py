"""Motion, held against circles and lines in closed form and against a real minute on a road."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from domainvl.converters.driving.motion import (
    Motion,
    Signal,
    Track,
    headings_rad,
    measured_motion,
    track_of,
)

START_US = 1_531_883_530_412_470  # of the size of nuScenes' timestamps
SECOND_US = 1_000_000


def quaternions(headings):
    """Quaternions (w, x, y, z) of turns about z."""
    half = np.asarray(headings, dtype=np.float64) / 2
    return np.column_stack([np.cos(half), 0 * half, 0 * half, np.sin(half)])


def circle(speed_m_s, yaw_rate_deg_s, *, seconds=4.0, rate_hz=10, start_deg=0.0):
    """The track of a vehicle that drives a circle to its left (or right, for a negative yaw rate)."""
    times_s = np.arange(round(seconds * rate_hz) + 1) / rate_hz
    headings = math.radians(start_deg) + math.radians(yaw_rate_deg_s) * times_s
    radius_m = speed_m_s / math.radians(yaw_rate_deg_s)
    positions = np.column_stack([radius_m * np.sin(headings), -radius_m * np.cos(headings), 0 * headings])
    return Track.of(START_US + np.round(times_s * 1e6).astype(int), positions, quaternions(headings))


def line(distances_m, *, spacing_s=0.5, heading_deg=0.0):
    """The track of a vehicle that is so far along a line at even times."""
    heading = math.radians(heading_deg)
    along = np.asarray(distances_m, dtype=np.float64)
    positions = np.column_stack([along * math.cos(heading), along * math.sin(heading), 0 * along])
    times = START_US + np.round(np.arange(len(along)) * spacing_s * 1e6).astype(int)
    return Track.of(times, positions, quaternions(np.full(len(along), heading)))


def known(motion: Motion | None) -> Motion:
    assert motion is not None
    return motion


@pytest.mark.parametrize("yaw_rate_deg_s", [30.0, -30.0, 1.0])
def test_drv_30_a_circle_has_its_speed_and_its_turn_left_positive(yaw_rate_deg_s):
    motion = known(circle(5.0, yaw_rate_deg_s).motion(START_US, START_US + 3 * SECOND_US))

    assert motion.turn_deg == pytest.approx(3 * yaw_rate_deg_s, abs=1e-6)
    assert motion.yaw_rate_deg_s == pytest.approx(yaw_rate_deg_s, abs=1e-6)
    # A chord of half a second is shorter than its arc by 1 - sin(x) / x, x half its angle.
    half = math.radians(abs(yaw_rate_deg_s)) * 0.5 / 2
    assert motion.speed_m_s == pytest.approx(5.0 * math.sin(half) / half, rel=1e-6)
    assert motion.acceleration_m_s2 == pytest.approx(0.0, abs=1e-6)
    assert not motion.backwards


def test_a_turn_across_180_degrees_does_not_jump():
    motion = known(circle(5.0, 20.0, start_deg=170.0).motion(START_US, START_US + 2 * SECOND_US))

    assert motion.turn_deg == pytest.approx(40.0)


def test_a_line_with_even_acceleration():
    # 1/2 a t^2 with a = 2 m/s^2 every half second.
    times_s = np.arange(9) / 2
    motion = known(line(times_s**2).motion(START_US, START_US + 4 * SECOND_US))

    assert motion.speed_m_s == pytest.approx(16 / 4)
    assert motion.acceleration_m_s2 == pytest.approx(2.0)
    assert motion.turn_deg == 0.0


def test_backwards_is_against_the_heading():
    assert known(line([0, -1, -2, -3], heading_deg=130).motion(START_US, START_US + SECOND_US)).backwards
    assert not known(line([0, 1, 2, 3], heading_deg=130).motion(START_US, START_US + SECOND_US)).backwards


def test_noise_of_poses_while_standing_is_hardly_speed():
    times_s = np.arange(101) / 50
    noise_m = np.random.default_rng(0).uniform(-0.005, 0.005, (101, 3))
    track = Track.of(START_US + np.round(times_s * 1e6).astype(int), noise_m, quaternions(np.zeros(101)))

    # Each step of half a second is off by at most the diagonal of a square of 1 cm; summed at 50 Hz, 0.3 m/s.
    assert known(track.motion(START_US, START_US + 2 * SECOND_US)).speed_m_s <= 0.01 * math.sqrt(2) / 0.5


@pytest.mark.parametrize(("start_s", "end_s"), [(-0.1, 1.0), (2.5, 3.1), (5.0, 6.0)])
def test_drv_30_outside_the_poses_motion_is_unknown(start_s, end_s):
    track = line(range(7))  # 0 to 3 s

    assert track.motion(START_US + start_s * SECOND_US, START_US + end_s * SECOND_US) is None
    assert track.motion(START_US, START_US + 3 * SECOND_US) is not None


def test_drv_30_a_hole_in_the_poses_is_unknown_and_what_lies_beside_it_is_known():
    times_s = np.array([0.0, 0.5, 1.0, 2.6, 3.1, 3.6])  # a hole of 1.6 s
    track = Track.of(START_US + (times_s * 1e6).astype(int), np.outer(times_s, [1, 0, 0]), quaternions(0 * times_s))

    def motion(start_s, end_s):
        return track.motion(START_US + start_s * SECOND_US, START_US + end_s * SECOND_US)

    assert motion(0.5, 1.5) is None
    assert motion(1.5, 2.0) is None
    assert motion(0.0, 3.0) is None
    assert track.places.at(START_US + 1_500_000) is None
    assert known(motion(0.0, 1.0)).speed_m_s == pytest.approx(1.0)
    assert known(motion(2.6, 3.6)).speed_m_s == pytest.approx(1.0)


def test_poses_that_are_no_numbers_count_as_missing():
    times = START_US + np.arange(5) * SECOND_US // 2
    positions = np.outer(np.arange(5) / 2, [1.0, 0, 0])
    rotations = quaternions(np.zeros(5))
    positions[1, 0], rotations[2] = math.nan, 0.0

    # One and two are gone: the hole is 1.5 s, which may be bridged; with a third it may not.
    assert known(Track.of(times, positions, rotations).motion(START_US, START_US + 2 * SECOND_US)).speed_m_s == 1.0
    positions[3, 1] = math.inf
    assert Track.of(times, positions, rotations).motion(START_US, START_US + 2 * SECOND_US) is None


def test_no_pose_and_one_pose_know_no_motion():
    for count in (0, 1):
        track = Track.of(np.zeros(count), np.zeros((count, 3)), quaternions(np.zeros(count)))
        assert track.motion(0, SECOND_US) is None
    assert track_of([]).motion(0, SECOND_US) is None


def test_an_interval_that_does_not_last_is_refused():
    with pytest.raises(ValueError, match="above start_us"):
        line([0, 1]).motion(START_US, START_US)
    with pytest.raises(ValueError, match="above start_us"):
        measured_motion(Signal.of([0], [1.0]), Signal.of([0], [1.0]), 5, 4)


def test_shots_of_all_cameras_make_one_track_in_any_order():
    def shot(time_s, x_m):
        ego = SimpleNamespace(translation_m=(x_m, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
        return SimpleNamespace(timestamp_us=START_US + round(time_s * SECOND_US), ego=ego)

    track = track_of([shot(0.5, 2.0), shot(0.0, 0.0), shot(1.0, 4.0), shot(0.52, 2.08), shot(0.5, 99.0)])

    assert known(track.motion(START_US, START_US + SECOND_US)).speed_m_s == pytest.approx(4.0)


@given(
    st.floats(-180, 180), st.floats(-1e4, 1e4), st.floats(0.5, 30), st.floats(-60, 60).filter(lambda x: abs(x) > 0.1)
)
def test_motion_does_not_depend_on_where_and_which_way_the_world_lies(turn_deg, shift_m, speed_m_s, yaw_rate_deg_s):
    plain = circle(speed_m_s, yaw_rate_deg_s)
    turned = Rotation.from_euler("z", turn_deg, degrees=True).as_matrix()[:2, :2]
    places = plain.places
    moved = Track.of(
        places.times_us,
        places.values[:, :2] @ turned.T + shift_m,
        quaternions(places.values[:, 2] + math.radians(turn_deg)),
    )
    one, other = (known(track.motion(START_US + 100_000, START_US + 2_900_000)) for track in (plain, moved))

    assert other.turn_deg == pytest.approx(one.turn_deg, abs=1e-6)
    assert other.speed_m_s == pytest.approx(one.speed_m_s, abs=1e-6)
    assert other.acceleration_m_s2 == pytest.approx(one.acceleration_m_s2, abs=1e-6)


@given(st.lists(st.floats(-2, 2), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1), st.floats(0.1, 9))
def test_the_heading_is_where_the_x_axis_points(quaternion, length):
    w, x, y, z = quaternion
    ahead = Rotation.from_quat([x, y, z, w]).as_matrix()[:, 0]
    (heading,) = headings_rad(length * np.array([quaternion]))

    # Seen from above; a frame that looks straight up or down has no heading to compare.
    flat = float(np.hypot(ahead[0], ahead[1]))
    assert flat * math.cos(heading) == pytest.approx(ahead[0], abs=1e-6)
    assert flat * math.sin(heading) == pytest.approx(ahead[1], abs=1e-6)


def test_drv_31_a_measured_speed_and_yaw_rate_give_the_motion_of_the_circle():
    times = START_US + np.arange(0, 5 * SECOND_US, 20_000)
    speed, yaw_rate = Signal.of(times, np.full(len(times), 5.0)), Signal.of(times, np.full(len(times), -30.0))
    motion = known(measured_motion(speed, yaw_rate, START_US + 7_000, START_US + 3_007_000))

    assert (motion.speed_m_s, motion.turn_deg) == pytest.approx((5.0, -90.0))
    assert (motion.duration_s, motion.acceleration_m_s2, motion.backwards) == (3.0, pytest.approx(0.0), False)


def test_drv_31_a_measured_speed_below_zero_is_backwards_and_a_ramp_is_an_acceleration():
    times = START_US + np.arange(0, 5 * SECOND_US, 20_000)
    seconds = (times - START_US) / 1e6
    still = Signal.of(times, 0 * seconds)

    motion = known(measured_motion(Signal.of(times, -1.5 * seconds), still, START_US, START_US + 4 * SECOND_US))
    assert motion.backwards
    assert motion.speed_m_s == pytest.approx(3.0)
    assert motion.acceleration_m_s2 == pytest.approx(1.5)


def test_drv_31_a_signal_is_interpolated_in_time_and_unknown_outside_and_in_holes():
    signal = Signal.of([3_000_000, 0, 1_000_000, 1_000_000, 4_000_000], [7.0, 1.0, 3.0, 99.0, math.nan])

    assert signal.at(250_000) == pytest.approx(1.5)
    assert signal.at(1_000_000) == 3.0
    assert signal.at(3_000_000) == 7.0
    assert [signal.at(time) for time in (-1, 2_000_000, 3_500_000)] == [None, None, None]
    assert signal.integral(0, 1_000_000) == pytest.approx(2.0)
    assert signal.integral(500_000, 1_500_000) is None


def test_drv_31_speed_and_turn_from_positions_agree_with_can_and_gyro_of_a_real_minute(real_data: Path):
    (drive,) = (real_data / "driving" / "commaai__comma2k19" / "Example_1").iterdir()

    def load(name):
        return np.load(drive / "40" / name)

    def microseconds(name):
        return np.round(load(name) * 1e6).astype(np.int64)

    # From the centre of the earth to east, north, up at the first position; of a sphere, which is 0.2 degrees off.
    positions = load("global_pose/frame_positions")
    up = positions[0] / np.linalg.norm(positions[0])
    east = np.cross([0, 0, 1], up) / np.linalg.norm(np.cross([0, 0, 1], up))
    axes = np.stack([east, np.cross(up, east), up])
    velocities = load("global_pose/frame_velocities") @ axes.T
    track = Track.of(
        microseconds("global_pose/frame_times"),
        (positions - positions[0]) @ axes.T,
        quaternions(np.arctan2(velocities[:, 1], velocities[:, 0])),
    )
    speed = Signal.of(microseconds("processed_log/CAN/speed/t"), load("processed_log/CAN/speed/value")[:, 0])
    # Forward, right, down: a turn to the left is negative about the last.
    gyro = Signal.of(microseconds("processed_log/IMU/gyro/t"), -np.degrees(load("processed_log/IMU/gyro/value")[:, 2]))
    first, last = track.places.times_us[[0, -1]]
    starts = range(int(first) + SECOND_US, int(last) - 2 * SECOND_US, SECOND_US)
    pairs = [
        (known(track.motion(start, start + SECOND_US)), known(measured_motion(speed, gyro, start, start + SECOND_US)))
        for start in starts
    ]

    assert len(pairs) > 50
    differences = np.array(
        [
            (
                pose.speed_m_s - can.speed_m_s,
                pose.turn_deg - can.turn_deg,
                pose.acceleration_m_s2 - can.acceleration_m_s2,
            )
            for pose, can in pairs
        ]
    )
    # Measured: 0.14 m/s (0.8%), 0.09 degrees, 0.02 m/s2 in the median.
    assert np.abs(differences[:, 0]).max() < 0.3
    assert np.abs(differences[:, 1]).max() < 0.5
    assert np.median(np.abs(differences[:, 2])) < 0.05
    # The road bends to both sides, and both agree on which.
    turns = np.array([(pose.turn_deg, can.turn_deg) for pose, can in pairs])
    assert np.corrcoef(turns.T)[0, 1] > 0.7
