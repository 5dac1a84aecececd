"""Writes clips as MP4 (PyAV, the extra ``video``).

Written is MPEG-4 Part 2: every FFmpeg has its encoder, also one without parts under the GPL, and most players show it.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from domainvl.errors import ItemError

from .pixels import UInt8Array, read_pixels
from .pyav import import_av

_TICKS_PER_S = 60_000
"""The clock of a written video. MPEG-4 Part 2 counts at most 65535 ticks a second (ISO/IEC 14496-2, 6.3.3,
vop_time_increment_resolution); this one has whole ticks for the usual 24, 25, 30, 50 and 60 frames a second."""

_QUALITY = 2
"""Quantiser scale of the encoder, from 1 (best) to 31 (FFmpeg, documentation of codecs, qmin). Ours: the
best but one, which is not seen to lose anything."""


def encode_mp4(frames: Sequence[Path | UInt8Array], times_s: Sequence[float]) -> bytes:
    """Write a clip as MP4. The same frames make the same bytes with the same build of FFmpeg.

    Args:
        frames: Image files, or arrays of shape (height, width, 3), all of one size.
        times_s: When each is shown, rising, kept to 1/60000 s; the last is shown as long as the one before it.

    Raises:
        ValueError: If there are not as many times as frames, less than two frames, or times that do not rise.
        ItemError: If a frame has another size than the first, or a file is no image.
        UsageError: If PyAV is not installed.
    """
    ticks = [round((time_s - times_s[0]) * _TICKS_PER_S) for time_s in times_s]
    if len(frames) != len(ticks) or len(frames) < 2 or any(a >= b for a, b in itertools.pairwise(ticks)):
        raise ValueError(f"there must be two frames or more with a rising time each, got {len(frames)} and {times_s}")
    durations = [after - before for before, after in itertools.pairwise(ticks)]
    duration_at = dict(zip(ticks, [*durations, durations[-1]], strict=True))
    av = import_av()
    first = _pixels(frames[0])
    height_px, width_px = first.shape[:2]
    target = io.BytesIO()
    # Bit-exact: neither the file nor the stream says which version wrote it.
    with av.open(target, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=_TICKS_PER_S)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS_PER_S)
        # Threads would cut a frame into as many slices as there are cores.
        context.thread_count = 1
        context.flags |= av.codec.context.Flags.bitexact.value
        context.qmin = context.qmax = _QUALITY
        for place, (source, tick) in enumerate(zip(frames, ticks, strict=True)):
            pixels = first if place == 0 else _pixels(source)
            if pixels.shape != first.shape:
                raise _unequal(source, pixels, first)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, _TICKS_PER_S)
            _mux(container, stream.encode(frame), duration_at)
        _mux(container, stream.encode(), duration_at)
    return target.getvalue()


def _mux(container: Any, packets: Sequence[Any], duration_at: Mapping[int, int]) -> None:
    for packet in packets:
        # The encoder does not know how long a frame is shown, and the file would end with the beginning of the last.
        packet.duration = duration_at[packet.pts]
        container.mux(packet)


def _pixels(source: Path | UInt8Array) -> UInt8Array:
    if not isinstance(source, Path):
        return np.ascontiguousarray(source)
    return read_pixels(source, source.name)


def _unequal(source: Path | UInt8Array, pixels: UInt8Array, first: UInt8Array) -> ItemError:
    return ItemError(
        "Cannot write a video",
        reason="image-size",
        where=source.name if isinstance(source, Path) else None,
        rule=f"all frames must have the size of the first, {first.shape[1]}x{first.shape[0]} px; got "
        f"{pixels.shape[1]}x{pixels.shape[0]}",
        action="Leave the clip out of --clip-video",
    )
