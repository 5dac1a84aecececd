"""Reads the frames of videos at given times (PyAV, the extra ``video``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from domainvl.errors import ItemError

from .pixels import UInt8Array
from .pyav import import_av

_SEEK_AHEAD_S = 10.0
"""A frame that is farther ahead is looked for from the key frame before it; a nearer one by decoding on. Ours: FFmpeg's
encoders put a key frame every 12 frames by default, x264 every 250, which are 0.5 to 10 s at 25 a second."""

_ROUNDING_S = 1e-6
"""A time that was rounded to microseconds finds the frame that begins with it."""


@dataclass(frozen=True)
class VideoFacts:
    """What a video is.

    Attributes:
        duration_s: From the first frame to the end of the last, as the file says; None where it does not.
        fps: Mean frames a second, as the file says; None where it does not.
        width_px: Width of its frames, upright.
        height_px: Height of its frames, upright.
        rotation_deg: By how much frames are turned counter-clockwise to stand upright: 0, 90, 180 or 270.
    """

    duration_s: float | None
    fps: float | None
    width_px: int
    height_px: int
    rotation_deg: int


def read_frames(path: Path, times_s: Sequence[float]) -> list[UInt8Array]:
    """Read the frames that a player shows at given times: of each time the last one at or before it.

    Args:
        path: The video.
        times_s: From the first frame, in any order.

    Returns:
        Frames of shape (height, width, 3), RGB and upright, one a time.

    Raises:
        ItemError: By ``video-missing``, ``bad-video`` where it cannot be decoded, or ``outside-video`` where a time
            lies before the first frame or after the end of the last.
        UsageError: If PyAV is not installed.
    """
    found: dict[float, UInt8Array] = {}
    with _opened(path) as (container, stream):
        reader = _Reader(path, container, stream)
        for time_s in sorted(set(times_s)):
            found[time_s] = reader.frame_at(time_s)
    return [found[time_s] for time_s in times_s]


def video_facts(path: Path) -> VideoFacts:
    """Look at a video; of its frames only the first is decoded.

    Raises:
        ItemError: By ``video-missing`` or ``bad-video``.
        UsageError: If PyAV is not installed.
    """
    with _opened(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise _bad(path, "it has no frame")
        rotation_deg = int(first.rotation) % 360
        sides = (first.width, first.height) if rotation_deg % 180 == 0 else (first.height, first.width)
        return VideoFacts(
            _duration_s(container, stream),
            float(stream.average_rate) if stream.average_rate else None,
            *sides,
            rotation_deg=rotation_deg,
        )


class _Reader:
    """Goes through a video forwards.

    Args:
        path: The video, for messages.
        container: The opened video.
        stream: Its stream of images.
    """

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._frames: Iterator[Any] = container.decode(stream)
        self._current: Any = next(self._frames, None)
        if self._current is None:
            raise _bad(path, "it has no frame")
        self._start_s = self._time_s(self._current)
        self._following: Any = next(self._frames, None)

    def frame_at(self, time_s: float) -> UInt8Array:
        """Return the frame shown at a time, which is not before that of the call before."""
        if not math.isfinite(time_s) or time_s < 0:
            raise self._outside(time_s)
        target_s = self._start_s + time_s + _ROUNDING_S
        if target_s - self._time_s(self._current) > _SEEK_AHEAD_S:
            self._seek(target_s)
        while self._following is not None and self._time_s(self._following) <= target_s:
            self._current, self._following = self._following, next(self._frames, None)
        if self._following is None and target_s > self._end_s():
            raise self._outside(time_s)
        return _upright(self._current)

    def _seek(self, target_s: float) -> None:
        """Go to the key frame before a time; to the beginning where the file has no good index."""
        for start_s in (target_s, self._start_s):
            ticks = math.floor(Fraction(start_s) / self._stream.time_base)
            self._container.seek(ticks, stream=self._stream, backward=True)
            self._frames = self._container.decode(self._stream)
            self._current = next(self._frames, None)
            # A transport stream is entered anywhere; what is decoded before a key frame is not what was recorded.
            first = self._current
            if first is not None and first.key_frame and self._time_s(first) <= start_s:
                break
        else:
            raise _bad(self._path, f"no frame before {target_s:.3f} s could be found")
        self._following = next(self._frames, None)

    def _time_s(self, frame: Any) -> float:
        if frame.pts is None:
            raise _bad(self._path, "a frame has no time")
        return float(frame.pts * frame.time_base)

    def _end_s(self) -> float:
        """Return the end of the last frame, where that is the current one."""
        frame = self._current
        shown_s = float(frame.duration * frame.time_base) if frame.duration else 0.0
        if not shown_s and self._stream.average_rate:
            shown_s = float(1 / self._stream.average_rate)
        return self._time_s(frame) + shown_s + _ROUNDING_S

    def _outside(self, time_s: float) -> ItemError:
        facts_s = _duration_s(self._container, self._stream)
        length = "of unknown length" if facts_s is None else f"of {facts_s:.3f} s"
        return ItemError(
            "Cannot read a frame",
            reason="outside-video",
            where=self._path.name,
            rule=f"the time must lie in the video, {length}; got {time_s:g} s",
            action="Check whether the times belong to this file",
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a video and its first stream of images; what PyAV says against it becomes an ItemError."""
    av = import_av()
    if not path.is_file():
        raise ItemError(
            "Cannot read a video",
            reason="video-missing",
            where=path.name,
            rule="the file is not on disk",
            action="Fetch the part of the data set that holds it",
        )
    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise _bad(path, "it has no stream of images")
            yield container, stream
    except av.FFmpegError as error:
        raise _bad(path, f"FFmpeg says: {error.strerror}") from error


def _duration_s(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def _upright(frame: Any) -> UInt8Array:
    """Return the pixels of a frame as its rotation says; a rotation is counter-clockwise, as FFmpeg's."""
    pixels: UInt8Array = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, int(frame.rotation) % 360 // 90))


def _bad(path: Path, rule: str) -> ItemError:
    return ItemError(
        "Cannot read a video",
        reason="bad-video",
        where=path.name,
        rule=rule,
        action="Fetch the file again; it may be cut off",
    )
