"""How fast something moves and how much it turns between two times: from poses, or from a measured speed and yaw rate.

Times are microseconds, as in nuScenes. What lies outside the data, or in a hole of it, is unknown: None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .arrays import FloatArray

MAX_GAP_S = 1.5
"""Nothing is interpolated over a longer hole. As much as nuscenes-devkit allows between two frames of which it makes a
velocity (nuscenes.py, box_velocity, max_time_diff)."""

STEP_S = 0.5
"""A path is measured in steps of this length at most. Shorter ones add up the noise of poses while a vehicle stands;
with longer ones a bend is cut: at 30 degrees a second a chord of this step is 0.3% shorter than its arc."""

KM_H_PER_M_S = 3.6
"""By definition: 3600 s an hour, 1000 m a kilometre."""

_US = 1_000_000


class PoseLike(Protocol):
    """Where something is: its origin, and the rotation of its own frame into the outer one."""

    @property
    def translation_m(self) -> Sequence[float]:
        """Return x, y and z in the outer frame, z up."""

    @property
    def rotation_wxyz(self) -> Sequence[float]:
        """Return a quaternion (w, x, y, z)."""


class Posed(Protocol):
    """Anything that was recorded at a time from a vehicle at a known pose, such as an image."""

    @property
    def timestamp_us(self) -> int:
        """Return when."""

    @property
    def ego(self) -> PoseLike:
        """Return the vehicle's pose at that time."""


class MotionSource(Protocol):
    """Anything that knows how the vehicle moved."""

    def motion(self, start_us: float, end_us: float) -> Motion | None:
        """Return the motion between two times, None where it is unknown."""


@dataclass(frozen=True)
class Motion:
    """How something moved between two times.

    Attributes:
        duration_s: Time between them.
        speed_m_s: Mean speed along the path in the ground plane; never negative.
        turn_deg: Change of heading, left positive.
        acceleration_m_s2: Change of the mean speed from the first half to the second, over half the time.
        backwards: Whether it moved against its heading on the whole.
    """

    duration_s: float
    speed_m_s: float
    turn_deg: float
    acceleration_m_s2: float
    backwards: bool = False

    @property
    def yaw_rate_deg_s(self) -> float:
        """Return the mean yaw rate, left positive."""
        return self.turn_deg / self.duration_s


@dataclass(frozen=True, eq=False)
class Signal:
    """Something measured over time.

    Attributes:
        times_us: When, rising, shape (n,).
        values: What, shape (n,) or (n, k).
        max_gap_s: Between measurements that are farther apart nothing is known.
    """

    times_us: npt.NDArray[np.int64]
    values: FloatArray
    max_gap_s: float = MAX_GAP_S

    @classmethod
    def of(cls, times_us: npt.ArrayLike, values: npt.ArrayLike, max_gap_s: float = MAX_GAP_S) -> Signal:
        """Put measurements in order; of equal times the first is kept, and values that are not finite are left out.

        Args:
            times_us: Shape (n,).
            values: Shape (n,) or (n, k).
            max_gap_s: Between measurements that are farther apart nothing is known.
        """
        times, measured = np.asarray(times_us, dtype=np.int64), np.asarray(values, dtype=np.float64)
        finite = np.isfinite(measured) if measured.ndim == 1 else np.isfinite(measured).all(axis=1)
        times, first = np.unique(times[finite], return_index=True)
        return cls(times, measured[finite][first], max_gap_s)

    def at(self, time_us: float) -> FloatArray | None:
        """Return the value at a time, between two measurements in proportion; shape () or (k,)."""
        found = self.window(time_us, time_us)
        return None if found is None else found[1][0]

    def window(self, start_us: float, end_us: float) -> tuple[FloatArray, FloatArray] | None:
        """Return what is known from one time to another, both included.

        Returns:
            Seconds from the start, shape (m,), and values, shape (m,) or (m, k); None where the measurements do not
            reach over the whole of it or leave a hole in it.
        """
        if not len(self.times_us) or start_us < self.times_us[0] or end_us > self.times_us[-1]:
            return None
        # The measurements that the interpolation rests on: the last at or before the start, to the first at or after
        # the end.
        low = int(np.searchsorted(self.times_us, start_us, side="right")) - 1
        high = int(np.searchsorted(self.times_us, end_us, side="left"))
        if high > low and np.diff(self.times_us[low : high + 1]).max() > self.max_gap_s * _US:
            return None
        inside = (self.times_us > start_us) & (self.times_us < end_us)
        times = np.concatenate([[start_us], self.times_us[inside], [end_us]] if end_us > start_us else [[start_us]])
        return (times - start_us) / _US, self.interpolated(times)

    def interpolated(self, times_us: FloatArray) -> FloatArray:
        """Return the values at times in a window that is known, without looking for holes; shape (m,) or (m, k)."""
        known = self.times_us.astype(np.float64)
        if self.values.ndim == 1:
            return np.interp(times_us, known, self.values)
        return np.stack([np.interp(times_us, known, column) for column in self.values.T], axis=1)

    def integral(self, start_us: float, end_us: float) -> float | None:
        """Return the integral over time in seconds, by trapezoids; only of a single value a time."""
        found = self.window(start_us, end_us)
        return None if found is None else float(np.diff(found[0]) @ (found[1][1:] + found[1][:-1]) / 2)


@dataclass(frozen=True, eq=False)
class Track:
    """Where a vehicle was, in the ground plane.

    Attributes:
        places: x and y in metres and the heading in radians (0 along x, left positive, without jumps), shape (n, 3).
    """

    places: Signal

    @classmethod
    def of(
        cls,
        times_us: npt.ArrayLike,
        translations_m: npt.ArrayLike,
        rotations_wxyz: npt.ArrayLike,
        max_gap_s: float = MAX_GAP_S,
    ) -> Track:
        """Make a track of poses in any order.

        Poses that are not finite, or of which the quaternion is zero, are left out as if they were missing.

        Args:
            times_us: Shape (n,).
            translations_m: In a frame with z up, shape (n, 2) or (n, 3).
            rotations_wxyz: Quaternions (w, x, y, z) of any length, shape (n, 4).
            max_gap_s: Between poses that are farther apart nothing is known.
        """
        positions_m = np.asarray(translations_m, dtype=np.float64).reshape(-1, np.shape(translations_m)[-1])[:, :2]
        headings = headings_rad(np.asarray(rotations_wxyz, dtype=np.float64))
        places = Signal.of(times_us, np.column_stack([positions_m, headings]), max_gap_s)
        places.values[:, 2] = np.unwrap(places.values[:, 2])
        return cls(places)

    def motion(self, start_us: float, end_us: float) -> Motion | None:
        """Return how the vehicle moved between two times; None where poses are missing.

        Raises:
            ValueError: If the end is not after the start.
        """
        _check_order(start_us, end_us)
        # An even number of steps, so that one of them ends in the middle.
        steps = 2 * math.ceil((end_us - start_us) / (2 * STEP_S * _US))
        if self.places.window(start_us, end_us) is None:
            return None
        places = self.places.interpolated(np.linspace(start_us, end_us, steps + 1))
        moved_m = np.diff(places[:, :2], axis=0)
        lengths_m = np.hypot(moved_m[:, 0], moved_m[:, 1])
        # Each step is held against the heading in its middle.
        headings = (places[1:, 2] + places[:-1, 2]) / 2
        ahead_m = moved_m[:, 0] * np.cos(headings) + moved_m[:, 1] * np.sin(headings)
        turn_deg = math.degrees(float(places[-1, 2] - places[0, 2]))
        halves = float(lengths_m[: steps // 2].sum()), float(lengths_m[steps // 2 :].sum())
        return _motion((end_us - start_us) / _US, halves, turn_deg, backwards=float(ahead_m.sum()) < 0)


def track_of(recorded: Iterable[Posed], max_gap_s: float = MAX_GAP_S) -> Track:
    """Make a track of the poses from which images were taken; those of all cameras may be mixed."""
    rows = [(item.timestamp_us, item.ego.translation_m, item.ego.rotation_wxyz) for item in recorded]
    return Track.of(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float64).reshape(-1, 3),
        np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 4),
        max_gap_s,
    )


def measured_motion(speed_m_s: Signal, yaw_rate_deg_s: Signal, start_us: float, end_us: float) -> Motion | None:
    """Return how a vehicle moved of which speed and yaw rate were measured.

    Args:
        speed_m_s: Negative while it drives backwards, where that is known.
        yaw_rate_deg_s: Left positive.
        start_us: The beginning.
        end_us: The end.

    Returns:
        The motion; None where one of both is not known all the time.

    Raises:
        ValueError: If the end is not after the start.
    """
    _check_order(start_us, end_us)
    middle_us = (start_us + end_us) / 2
    lengths = Signal(speed_m_s.times_us, np.abs(speed_m_s.values), speed_m_s.max_gap_s)
    first, second = lengths.integral(start_us, middle_us), lengths.integral(middle_us, end_us)
    ahead_m = speed_m_s.integral(start_us, end_us)
    turn_deg = yaw_rate_deg_s.integral(start_us, end_us)
    if first is None or second is None or ahead_m is None or turn_deg is None:
        return None
    return _motion((end_us - start_us) / _US, (first, second), turn_deg, backwards=ahead_m < 0)


def headings_rad(rotations_wxyz: FloatArray) -> FloatArray:
    """Return where the x axis of rotated frames points, seen from above: 0 along the outer x, left positive.

    Args:
        rotations_wxyz: Quaternions of any length, shape (n, 4).

    Returns:
        Shape (n,), from -pi to pi; NaN where the quaternion is zero.
    """
    w, x, y, z = rotations_wxyz.reshape(-1, 4).T
    # The first column of the rotation matrix, times the squared length of the quaternion.
    headings = np.arctan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z)
    return np.where((w == 0) & (x == 0) & (y == 0) & (z == 0), np.nan, headings)


def _motion(duration_s: float, halves_m: tuple[float, float], turn_deg: float, *, backwards: bool) -> Motion:
    """Make a motion of the lengths of the path in the first and the second half of the time."""
    half_s = duration_s / 2
    change_m_s = (halves_m[1] - halves_m[0]) / half_s
    return Motion(duration_s, sum(halves_m) / duration_s, turn_deg, change_m_s / half_s, backwards)


def _check_order(start_us: float, end_us: float) -> None:
    if not end_us > start_us:
        raise ValueError(f"end_us must be above start_us, {start_us}; got {end_us}")
