"""Cuts the images of one camera into clips: of the key frames, or of all images at an exact rate.

A clip lies in one drive, and clips do not overlap. Where the camera missed images, one clip ends and another begins;
what is cut there, and what is left over, is told. What is left over is a piece of less than half of the longest clip
of the drive: little is to be seen in it, and its questions would be others. So a short drive still makes its one clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError, UsageError

GAP_PERIODS = 1.5
"""Images that are farther apart than so many periods of the source do not belong together."""

FEWEST_FRAMES = 2
"""Of fewer images nothing can be seen to move."""

_SHORTEST_SHARE = 0.5
"""A clip has at least such a share of the images of the longest one of its drive; ours."""

_PERIOD_TOLERANCE = 0.1
"""The last period of a clip may be short by such a share of it."""

_RATE_TOLERANCE = 0.01
"""A rate may be so much above that of the source, as a share: the clocks of cameras are not exact."""

_US = 1_000_000


class ShotLike(Protocol):
    """One image of one camera."""

    @property
    def token(self) -> str:
        """Return what identifies it."""

    @property
    def view(self) -> str:
        """Return the camera's view."""

    @property
    def timestamp_us(self) -> int:
        """Return when it was taken."""


ShotT = TypeVar("ShotT", bound=ShotLike)
ShotT_co = TypeVar("ShotT_co", bound=ShotLike, covariant=True)


class FrameLike(Protocol[ShotT_co]):
    """A key frame: images of several cameras."""

    @property
    def shots(self) -> Sequence[ShotT_co]:
        """Return its images."""


class SceneLike(Protocol[ShotT_co]):
    """A drive."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def frames(self) -> Sequence[FrameLike[ShotT_co]]:
        """Return its key frames."""

    @property
    def sweeps(self) -> Sequence[ShotT_co]:
        """Return all images of all cameras, key frames too; empty where they were not read."""


@dataclass(frozen=True)
class Clip(Generic[ShotT]):
    """Some images of one camera, one after the other.

    Attributes:
        index: Its place among the clips of the drive, from 0.
        shots: Its images, with their own timestamps.
        times_s: When each was taken, from the first.
        period_s: Time from one image to the next as it was asked for; for key frames the median of their distances.
        frames: Place of each image's key frame among those of the drive; None for an image between key frames.
    """

    index: int
    shots: tuple[ShotT, ...]
    times_s: tuple[float, ...]
    period_s: float
    frames: tuple[int | None, ...]


@dataclass(frozen=True)
class Gap:
    """A hole in the images, at which the drive was split.

    Attributes:
        after: Token of the last image before it.
        before: Token of the first image after it.
        gap_s: Its length.
        period_s: The median distance of the images.
    """

    after: str
    before: str
    gap_s: float
    period_s: float

    @property
    def message(self) -> str:
        """Say what it is."""
        return f"No image for {self.gap_s:.3f} s, more than {GAP_PERIODS:g} times the usual {self.period_s:.3f} s"


@dataclass(frozen=True)
class LeftOver:
    """Images that follow one another but are too few for a clip.

    Attributes:
        token: Token of the first.
        count: How many they are.
        needed: How many a clip needs.
    """

    token: str
    count: int
    needed: int

    @property
    def message(self) -> str:
        """Say what it is."""
        said = "One image is" if self.count == 1 else f"{self.count} images are"
        return f"{said} left over, a clip needs {self.needed}: {FEWEST_FRAMES} and half of the longest of the drive"


@dataclass(frozen=True)
class Cut(Generic[ShotT]):
    """The clips of a drive.

    Attributes:
        clips: The clips, in time.
        gaps: Holes at which the drive was split.
        left_over: What was too short for a clip. Images that an exact rate passes over are not named.
    """

    clips: tuple[Clip[ShotT], ...]
    gaps: tuple[Gap, ...] = ()
    left_over: tuple[LeftOver, ...] = ()


def make_clips(
    scene: SceneLike[ShotT], *, view: str, clip_s: float, fps: float | None = None, max_frames: int = 40
) -> Cut[ShotT]:
    """Cut the images of one camera into clips that do not overlap.

    With a rate, a clip holds the images nearest in time to an even raster, at most half a period of the source away;
    where there is none, the clip ends and the next begins with the image that follows, and with a raster of its own.

    Args:
        scene: The drive. With a rate, its sweeps are used.
        view: The camera's view.
        clip_s: Length of a clip: as many periods as fit, but for the last one before a hole or the end, which may have
            half as many images as the longest.
        fps: Images a second; the key frames as they are where None.
        max_frames: Most images of a clip; a longer clip is cut into several.

    Raises:
        UsageError: If a clip of these settings would have less than two images.
        ItemError: If there is one image or none, if there are images of key frames only though a rate is asked for,
            if the rate is above that of the images, or if clips are shorter than two key frames.
    """
    keys = {shot.token: place for place, frame in enumerate(scene.frames) for shot in frame.shots}
    if fps is not None:
        frames_per_clip(clip_s, 1 / fps, max_frames)
    source = scene.sweeps if fps is not None else [shot for frame in scene.frames for shot in frame.shots]
    shots = _in_time([shot for shot in source if shot.view == view])
    if len(shots) < FEWEST_FRAMES:
        raise _no_clips(scene.name, f"{view} has {len(shots)} images, a clip needs {FEWEST_FRAMES}", "too-few-images")
    times_us = np.array([shot.timestamp_us for shot in shots], dtype=np.int64)
    period_us = float(np.median(np.diff(times_us)))
    period_s = period_us / _US if fps is None else 1 / fps
    length = _clip_length(scene.name, clip_s, period_s, max_frames)
    starts = np.flatnonzero(np.diff(times_us) > GAP_PERIODS * period_us) + 1
    if fps is not None:
        _check_rate(scene.name, times_us, period_us, fps)
    pieces: list[list[int]] = []
    for run in np.split(np.arange(len(shots)), starts):
        if fps is None:
            pieces += [run[first : first + length].tolist() for first in range(0, len(run), length)]
        else:
            picked = _at_rate(times_us[run], fps, tolerance_us=period_us / 2, length=length)
            pieces += [[int(run[place]) for place in piece] for piece in picked]
    needed = max(FEWEST_FRAMES, math.ceil(max(map(len, pieces)) * _SHORTEST_SHARE))
    whole = [piece for piece in pieces if len(piece) >= needed]
    return Cut(
        tuple(_to_clip(index, [shots[place] for place in piece], period_s, keys) for index, piece in enumerate(whole)),
        tuple(_to_gap(shots[start - 1], shots[start], period_us) for start in starts.tolist()),
        tuple(LeftOver(shots[piece[0]].token, len(piece), needed) for piece in pieces if len(piece) < needed),
    )


def _in_time(shots: Sequence[ShotT]) -> list[ShotT]:
    """Sort by time; of images of the same time the first by token is kept, for the others are copies of it."""
    first: dict[int, ShotT] = {}
    for shot in sorted(shots, key=lambda shot: (shot.timestamp_us, shot.token)):
        first.setdefault(shot.timestamp_us, shot)
    return list(first.values())


def frames_per_clip(clip_s: float, period_s: float, max_frames: int) -> int:
    """Return how many images a clip has: the next one begins one period after its last image.

    Raises:
        UsageError: If they are less than two.
    """
    # A clip of 4 s at 2 Hz has 8 images, also where the clock is a little slow.
    count = min(math.floor(clip_s / period_s + _PERIOD_TOLERANCE), max_frames)
    if count < FEWEST_FRAMES:
        raise UsageError(
            "Cannot cut clips",
            rule=f"{clip_s:g} s at {1 / period_s:.3g} images a second and at most {max_frames} images make {count}, a "
            f"clip needs {FEWEST_FRAMES}",
            action="Make clips longer or take more images a second",
        )
    return count


def _clip_length(scene: str, clip_s: float, period_s: float, max_frames: int) -> int:
    """Return how many images a clip has; the rate of a scene may be at fault, so that only this scene fails."""
    try:
        return frames_per_clip(clip_s, period_s, max_frames)
    except UsageError as error:
        raise _no_clips(scene, str(error.rule), "clip-too-short", error.action) from error


def _check_rate(scene: str, times_us: npt.NDArray[np.int64], period_us: float, fps: float) -> None:
    """Refuse a rate at which images would have to be shown twice."""
    # The mean, not the median: nuScenes' cameras alternate between 50 and 100 ms, which is 12 a second on average.
    spacing_us = np.diff(times_us)
    rate = _US / float(spacing_us[spacing_us <= GAP_PERIODS * period_us].mean())
    if fps > rate * (1 + _RATE_TOLERANCE):
        rule = f"{fps:g} images a second were asked for, there are {rate:.3g}"
        raise _no_clips(scene, rule, "clip-rate", "Ask for fewer images a second, or read those between key frames")


def _at_rate(times_us: npt.NDArray[np.int64], fps: float, *, tolerance_us: float, length: int) -> list[list[int]]:
    """Choose images nearest to an even raster.

    Args:
        times_us: Times of images without a hole.
        fps: Points of the raster a second.
        tolerance_us: An image that is farther from its point is none.
        length: Most images of a piece.

    Returns:
        Places of the images of each piece.
    """
    pieces: list[list[int]] = [[]]
    origin_us, step, last = float(times_us[0]), 0, -1
    while True:
        target_us = origin_us + step * _US / fps
        place = _nearest(times_us, target_us)
        if place <= last or abs(times_us[place] - target_us) > tolerance_us:
            # The image that follows begins a raster of its own.
            following = max(int(np.searchsorted(times_us, target_us)), last + 1)
            if following == len(times_us):
                return pieces
            origin_us, step, place = float(times_us[following]), 0, following
            pieces.append([])
        elif len(pieces[-1]) == length:
            pieces.append([])
        pieces[-1].append(place)
        last, step = place, step + 1


def _nearest(times_us: npt.NDArray[np.int64], target_us: float) -> int:
    """Return the place of the nearest time; of two that are equally near the earlier."""
    after = int(np.searchsorted(times_us, target_us))
    if after == 0:
        return 0
    if after == len(times_us):
        return after - 1
    return after if times_us[after] - target_us < target_us - times_us[after - 1] else after - 1


def _to_clip(index: int, shots: Sequence[ShotT], period_s: float, keys: dict[str, int]) -> Clip[ShotT]:
    start_us = shots[0].timestamp_us
    return Clip(
        index,
        tuple(shots),
        tuple((shot.timestamp_us - start_us) / _US for shot in shots),
        period_s,
        tuple(keys.get(shot.token) for shot in shots),
    )


def _to_gap(after: ShotLike, before: ShotLike, period_us: float) -> Gap:
    return Gap(after.token, before.token, (before.timestamp_us - after.timestamp_us) / _US, period_us / _US)


def _no_clips(scene: str, rule: str, reason: str, action: str | None = None) -> ItemError:
    return ItemError(
        "Cannot cut clips",
        reason=reason,
        where=scene,
        rule=rule,
        action=action or "Take another --clip-camera, or fetch the missing images",
    )
