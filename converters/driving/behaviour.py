"""What the ego vehicle does, in the words of DriveLM: how it steers and how fast it drives."""

from __future__ import annotations

import enum
import itertools
from bisect import bisect_right
from dataclasses import asdict, dataclass
from typing import cast

from domainvl.schema import ChoiceAnswer, Question, Task
from domainvl.schema.questions import choose_options
from domainvl.schema.questions.question import make_question

from .motion import Motion, MotionSource


class Steering(enum.StrEnum):
    """How the vehicle steers; the values are DriveLM's words."""

    LEFT = "steering to the left"
    SLIGHTLY_LEFT = "slightly steering to the left"
    STRAIGHT = "going straight"
    SLIGHTLY_RIGHT = "slightly steering to the right"
    RIGHT = "steering to the right"


class Pace(enum.StrEnum):
    """How fast the vehicle drives; the values are DriveLM's words."""

    STILL = "not moving"
    SLOW = "driving slowly"
    NORMAL = "driving with normal speed"
    FAST = "driving fast"
    VERY_FAST = "driving very fast"


class SpeedChange(enum.StrEnum):
    """How the speed changes. DriveLM does not say; the words are ours."""

    FASTER = "speeding up"
    STEADY = "keeping its speed"
    SLOWER = "slowing down"


def behaviour_text(steering: Steering, pace: Pace) -> str:
    """Say both as DriveLM does."""
    return f"The ego vehicle is {steering}. The ego vehicle is {pace}."


BEHAVIOURS = (
    *(behaviour_text(steering, pace) for steering in Steering for pace in Pace if pace is not Pace.STILL),
    behaviour_text(Steering.STRAIGHT, Pace.STILL),
)
"""The 21 behaviours that DriveLM knows (OpenDriveLab/DriveLM, challenge/convert_data.py, rule_based2): each way to
steer with each way to drive; a vehicle that stands goes straight."""


@dataclass(frozen=True)
class BehaviourThresholds:
    """Where one behaviour ends and the next begins; ours, since DriveLM keeps its own to itself (its issue 148).

    The speeds lie near the boundaries that a third party estimated from 38 labelled frames, 1.2, 3.8, 6.2 and 9.8 m/s
    (lucassuryana/rq2-posthoc-driving, scripts/labels.py). The lowest is lower here, because a vehicle at a walking
    pace does move. The yaw rates part keeping one's lane (below 3 degrees a second) from changing it, and that from a
    turn at a crossing (5 m/s on a circle of 10 m are 29 degrees a second).

    Attributes:
        still_below_m_s: Slower, the vehicle does not move.
        slow_below_m_s: Slower, it drives slowly.
        normal_below_m_s: Slower, it drives with normal speed.
        fast_below_m_s: Slower, it drives fast, else very fast.
        straight_below_deg_s: At a lower yaw rate it goes straight.
        slight_below_deg_s: At a lower yaw rate it steers slightly.
        steady_below_m_s2: At a lower acceleration or braking it keeps its speed.
        tolerance_m_s: What a motion would be called with a speed that differs by no more is not wrong either; ours,
            half of what counts as standing.
        tolerance_deg_s: The same of the yaw rate; ours, a sixth of what counts as straight.
        tolerance_m_s2: Nearer to the border between keeping and changing it, nothing is said of the speed; ours.
    """

    still_below_m_s: float = 0.5
    slow_below_m_s: float = 4.0
    normal_below_m_s: float = 6.5
    fast_below_m_s: float = 10.0
    straight_below_deg_s: float = 3.0
    slight_below_deg_s: float = 12.0
    steady_below_m_s2: float = 0.5
    tolerance_m_s: float = 0.25
    tolerance_deg_s: float = 0.5
    tolerance_m_s2: float = 0.2

    def __post_init__(self) -> None:
        rates = 0.0, self.straight_below_deg_s, self.slight_below_deg_s
        if any(low >= high for bounds in (self.speeds_m_s, rates) for low, high in itertools.pairwise(bounds)):
            raise ValueError(f"the thresholds of speed and those of yaw rate must rise, got {self}")
        # So a tolerance reaches over one border at most.
        limits = (self.tolerance_m_s, self.speeds_m_s), (self.tolerance_deg_s, (-rates[1], *rates[1:]))
        for tolerance, bounds in limits:
            narrowest = min(high - low for low, high in itertools.pairwise(bounds))
            if not 0.0 <= tolerance <= narrowest / 2:
                raise ValueError(f"a tolerance must be from 0 to half of the narrowest range, {narrowest}, got {self}")

    @property
    def speeds_m_s(self) -> tuple[float, ...]:
        """Return the speeds at which the words change, slowest first."""
        return self.still_below_m_s, self.slow_below_m_s, self.normal_below_m_s, self.fast_below_m_s

    def to_dict(self) -> dict[str, float]:
        """Return all by name, for a record of what they were."""
        return asdict(self)


@dataclass(frozen=True)
class Behaviour:
    """What the vehicle does.

    Attributes:
        steering: How it steers; straight where it stands.
        pace: How fast it drives.
        speed_change: How its speed changes; None where that is near the border.
        near: The texts of what nearly the same motion would be called, by the tolerances of the thresholds.
    """

    steering: Steering
    pace: Pace
    speed_change: SpeedChange | None
    near: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """Return the behaviour in DriveLM's words, one of :data:`BEHAVIOURS`."""
        return behaviour_text(self.steering, self.pace)


_DEFAULT_THRESHOLDS = BehaviourThresholds()


def behaviour_of(motion: Motion, thresholds: BehaviourThresholds = _DEFAULT_THRESHOLDS) -> Behaviour | None:
    """Name a motion.

    Returns:
        The behaviour; None where the vehicle drives backwards, for which DriveLM has no words.
    """
    pace = _pace(motion.speed_m_s, thresholds)
    if motion.backwards and pace is not Pace.STILL:
        return None
    steering = Steering.STRAIGHT if pace is Pace.STILL else _steering(motion.yaw_rate_deg_s, thresholds)
    change = _speed_change(motion.acceleration_m_s2, thresholds)
    return Behaviour(steering, pace, change, _near(motion, steering, thresholds))


def behaviour_after(
    source: MotionSource, time_us: float, seconds: float, thresholds: BehaviourThresholds = _DEFAULT_THRESHOLDS
) -> Behaviour | None:
    """Name what the vehicle does in the seconds after a time; None where that is not known, as at a scene's end."""
    motion = source.motion(time_us, time_us + seconds * 1e6)
    return None if motion is None else behaviour_of(motion, thresholds)


def behaviour_options(behaviour: Behaviour, key: str) -> ChoiceAnswer:
    """Put three other behaviours beside the right one, as DriveLM's challenge does; equal keys choose alike.

    What nearly the same motion would be called (:attr:`Behaviour.near`) is not offered: nobody sees the border.
    """
    wrong = [text for text in BEHAVIOURS if text not in behaviour.near]
    # A tolerance reaches over one border at most, so most of the 21 are wrong and there are always options.
    return cast(ChoiceAnswer, choose_options(behaviour.text, wrong, key))


def speed_change_options(behaviour: Behaviour, key: str) -> ChoiceAnswer | None:
    """Put the three ways in which the speed may change in an order that is drawn; equal keys draw alike.

    Returns:
        The options; None where the vehicle stands, for a speed of nothing is neither kept nor changed, and where it is
        not clear how the speed changes.
    """
    if behaviour.pace is Pace.STILL or behaviour.speed_change is None:
        return None
    return choose_options(behaviour.speed_change, tuple(SpeedChange), key)


def ask_behaviour(behaviour: Behaviour, key: str, preface: str | None = None) -> Question:
    """Ask for the behaviour as the paper does.

    Args:
        behaviour: The right one.
        key: Names the frame.
        preface: What is said before it, such as which view an image shows.
    """
    options = behaviour_options(behaviour, f"{key}/behaviour")
    return make_question("behaviour", Task.MULTIPLE_CHOICE, "behaviour", options, preface)


def _near(motion: Motion, steering: Steering, thresholds: BehaviourThresholds) -> frozenset[str]:
    """Return what a motion is called whose speed and yaw rate differ by the tolerances at most.

    Args:
        motion: The motion.
        steering: What is said of how it steers. It is near at any yaw rate: while a vehicle stands, that is noise.
        thresholds: With the tolerances.
    """
    speeds_m_s = [motion.speed_m_s + side * thresholds.tolerance_m_s for side in (-1, 0, 1)]
    rates_deg_s = [motion.yaw_rate_deg_s + side * thresholds.tolerance_deg_s for side in (-1, 0, 1)]
    steerings = {steering, *(_steering(rate_deg_s, thresholds) for rate_deg_s in rates_deg_s)}
    return frozenset(
        behaviour_text(Steering.STRAIGHT if pace is Pace.STILL else way, pace)
        for pace in {_pace(speed_m_s, thresholds) for speed_m_s in speeds_m_s}
        for way in steerings
    )


def _pace(speed_m_s: float, thresholds: BehaviourThresholds) -> Pace:
    return tuple(Pace)[bisect_right(thresholds.speeds_m_s, speed_m_s)]


def _steering(yaw_rate_deg_s: float, thresholds: BehaviourThresholds) -> Steering:
    size_deg_s = abs(yaw_rate_deg_s)
    if size_deg_s < thresholds.straight_below_deg_s:
        return Steering.STRAIGHT
    if size_deg_s < thresholds.slight_below_deg_s:
        return Steering.SLIGHTLY_LEFT if yaw_rate_deg_s > 0 else Steering.SLIGHTLY_RIGHT
    return Steering.LEFT if yaw_rate_deg_s > 0 else Steering.RIGHT


def _speed_change(acceleration_m_s2: float, thresholds: BehaviourThresholds) -> SpeedChange | None:
    if abs(abs(acceleration_m_s2) - thresholds.steady_below_m_s2) < thresholds.tolerance_m_s2:
        return None
    if abs(acceleration_m_s2) < thresholds.steady_below_m_s2:
        return SpeedChange.STEADY
    return SpeedChange.FASTER if acceleration_m_s2 > 0 else SpeedChange.SLOWER
