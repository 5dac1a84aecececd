"""Reads videos with subtitles beside them: a frame where a subtitle begins, then its text, in the order of time.

This is OmniCorpus' third source (arXiv 2406.08418, section 3.1), with files for addresses: ``talk.srt``, ``talk.vtt``,
``talk.en.vtt`` beside ``talk.mp4``. How frames are chosen is ours, as the paper does not say it.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from domainvl.corpus.extras import require
from domainvl.corpus.sources.decoding import decode_page
from domainvl.corpus.sources.images_on_disk import page_address, read_limited
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.files import hash_file
from domainvl.interleaved.documents import ImageSlot, Slot, TextSlot
from domainvl.schema.writer import Reject, Severity

_SUBTITLES = (".srt", ".vtt")
_CONTAINERS = "avi,matroska,webm,mov,mp4"
"""What FFmpeg may take a file for (option ``format_whitelist``): no playlist, which would name other files."""

_JPEG_QUALITY = 90
_SEEK_FROM_S = 5.0
"""A frame that is so far ahead is sought, and not reached by decoding all before it; ours."""

_ROLLING_GAP_S = 0.5
"""Cues that follow each other within this may be one growing line, as automatic subtitles are shown; ours."""

_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
"""Marks within a cue: WebVTT's (W3C WebVTT, 6.4) and SubRip's in angle brackets, SubStation's in braces."""

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*\Z")


@dataclass(frozen=True)
class _Cue:
    start_s: float
    end_s: float
    lines: tuple[str, ...]


def read_video(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a video as one document; a :class:`~domainvl.corpus.sources.reading.Reader`.

    A frame is the one shown at the time of its slot, a JPEG of quality 90. Its address is
    ``<address of the file>#t=12.480`` (W3C Media Fragments, 4.2.1).

    Args:
        source: The file; its subtitles lie beside it.
        settings: How; ``frame_step_s`` is the least time between two frames.

    Yields:
        The document. Its frames can be had until the next is asked for, quickest in their order.

    Raises:
        ItemError: With reason ``no-subtitles``, ``outside-source``, ``subtitles``, ``decode`` or ``no-video``.
        UsageError: If PyAV is not installed.
    """
    subtitles = find_subtitles(source.path)
    if subtitles is None:
        action = "Put its .srt or .vtt beside it, under its name"
        raise _refused("no-subtitles", source.uri, "it must have subtitles beside it", action)
    if not subtitles.resolve().is_relative_to(source.root.resolve()):
        raise _refused("outside-source", source.uri, f"{subtitles.name} is a link that leads out of the source folder")
    left_out: Counter[str] = Counter()
    cues = _merged(_read_cues(subtitles, settings, source.uri, left_out), left_out)
    if not cues:
        raise _refused("subtitles", source.uri, f"{subtitles.name} must have a text with a time, got none")
    address = page_address(source, settings)
    with _Frames(source, address) as frames:
        yield Page(
            uri=source.uri,
            url=address,
            slots=tuple(_slots(cues, address, settings.frame_step_s)),
            find_image=frames.image,
            sha256=hash_file(source.path),
            reader=f"av {version('av')}, pysubs2 {version('pysubs2')}",
            format="video",
            language=_language(source.path, subtitles),
            rejects=tuple(_reject(source.uri, reason, count) for reason, count in sorted(left_out.items())),
        )


def _refused(reason: str, where: str, rule: str, action: str | None = None) -> ItemError:
    return ItemError("Cannot read a video", reason=reason, where=where, rule=rule, action=action)


def _reject(uri: str, reason: str, count: int) -> Reject:
    if reason == "broken-cue":
        return Reject(uri, "read", reason, f"{count} subtitles end before they begin, or begin before the video")
    return Reject(uri, "read", reason, f"{count} subtitles only repeat what was shown", severity=Severity.SKIPPED)


def find_subtitles(video: Path) -> Path | None:
    """Return the subtitles of a video: those of its very name, else the first by name with a language between."""
    for suffix in _SUBTITLES:
        if video.with_suffix(suffix).is_file():
            return video.with_suffix(suffix)
    beside = sorted(path for path in video.parent.iterdir() if path.suffix.lower() in _SUBTITLES)
    return next((path for path in beside if path.name.startswith(f"{video.stem}.") and path.is_file()), None)


def _language(video: Path, subtitles: Path) -> str | None:
    between = subtitles.stem.removeprefix(video.stem).lstrip(".")
    return between if _LANGUAGE.match(between) else None


def _read_cues(path: Path, settings: ReadSettings, uri: str, left_out: Counter[str]) -> list[_Cue]:
    content = read_limited(path, settings.max_source_bytes, what="Cannot read subtitles", where=uri)
    pysubs2 = require("pysubs2")
    try:
        told = pysubs2.SSAFile.from_string(decode_page(content).text, format_=path.suffix.lower().lstrip("."))
    except (pysubs2.exceptions.Pysubs2Error, ItemError, ValueError) as error:
        raise _refused("subtitles", uri, f"{path.name} must be subtitles: {type(error).__name__}") from error
    cues: list[_Cue] = []
    for event in sorted(told, key=lambda event: (event.start, event.end)):
        lines = tuple(line for line in map(_plain, event.text.split("\\N")) if line)
        if event.start < 0 or event.end < event.start:
            left_out["broken-cue"] += 1
        elif lines:
            cues.append(_Cue(event.start / 1000, event.end / 1000, lines))
    return cues


def _plain(line: str) -> str:
    return " ".join(_TAG.sub("", line).replace("\\n", " ").replace("\\h", " ").split())


def _merged(cues: list[_Cue], left_out: Counter[str]) -> list[_Cue]:
    """Take rolling subtitles apart: of each cue the lines that were not yet on the screen, of growing ones the last."""
    merged: list[_Cue] = []
    shown: tuple[str, ...] = ()
    for cue in cues:
        follows = bool(merged) and cue.start_s <= merged[-1].end_s + _ROLLING_GAP_S
        fresh = cue.lines[_shared(shown, cue.lines) :] if follows else cue.lines
        shown = cue.lines
        if fresh and not (follows and _grows(merged[-1].lines, fresh)):
            merged.append(replace(cue, lines=fresh))
            continue
        left_out["repeated-cue"] += 1
        before = merged[-1]
        merged[-1] = replace(before, end_s=max(before.end_s, cue.end_s), lines=(*before.lines[:-1], *fresh[:1])
                             if fresh else before.lines)  # fmt: skip
    return merged


def _shared(shown: tuple[str, ...], lines: tuple[str, ...]) -> int:
    """Count the lines at the top that were on the screen just before: at its bottom, or in the same place."""
    most = min(len(shown), len(lines))
    rolled = next(count for count in range(most, -1, -1) if not count or shown[-count:] == lines[:count])
    stayed = next(count for count in range(most, -1, -1) if shown[:count] == lines[:count])
    return max(rolled, stayed)


def _grows(before: tuple[str, ...], fresh: tuple[str, ...]) -> bool:
    return len(fresh) == 1 and fresh[0].startswith(f"{before[-1]} ")


def _slots(cues: list[_Cue], address: str, step_s: float) -> Iterator[Slot]:
    last_s: float | None = None
    for cue in cues:
        if last_s is None or cue.start_s - last_s >= step_s:
            last_s = cue.start_s
            yield ImageSlot(f"{address}#t={cue.start_s:.3f}", start_s=cue.start_s)
        yield TextSlot(" ".join(cue.lines), start_s=cue.start_s, end_s=cue.end_s)


@dataclass
class _Frames:
    """The frames of a video, one decoded at a time; a context manager.

    Attributes:
        source: The file.
        address: What addresses of its frames begin with.
    """

    source: SourceFile
    address: str
    _container: Any = None
    _decoded: Iterator[Any] = field(default_factory=lambda: iter(()))
    _now: Any = None
    _next: Any = None

    def __enter__(self) -> _Frames:
        self._av = require("av", extra="video")
        try:
            options = {"format_whitelist": _CONTAINERS}
            self._container = self._av.open(str(self.source.path), container_options=options, metadata_errors="ignore")
        except (self._av.FFmpegError, OSError) as error:
            rule = f"it must be a video that FFmpeg reads: {type(error).__name__}"
            raise _refused("decode", self.source.uri, rule) from error
        if not self._container.streams.video:
            self._container.close()
            raise _refused("no-video", self.source.uri, "it must have pictures, got sound alone")
        self._stream = self._container.streams.video[0]
        if self._stream.codec_context is None:
            self._container.close()
            raise _refused("decode", self.source.uri, "FFmpeg must know how its pictures are coded")
        self._stream.thread_type = "NONE"  # processes share the cores already
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def image(self, address: str) -> bytes:
        """Return the frame that is shown at a time, as JPEG.

        Raises:
            ItemError: With reason ``missing``, ``no-frame``, ``too-large`` or ``image-decode``.
        """
        found = re.fullmatch(r"#t=(\d+\.\d{3})", address.removeprefix(self.address))
        if found is None:
            raise _unusable("missing", address, "the video has no such frame")
        limit_px = PillowImage.MAX_IMAGE_PIXELS
        if limit_px is not None and self._stream.width * self._stream.height > limit_px:
            raise _unusable("too-large", address, f"a frame may have at most {limit_px} pixels")
        try:
            frame = self._frame_at(float(found[1]))
            if frame is None:
                raise _unusable("no-frame", address, "the video must have a frame at the time of its subtitle")
            file = io.BytesIO()
            frame.to_image().save(file, "JPEG", quality=_JPEG_QUALITY)
        except (self._av.FFmpegError, ValueError) as error:
            raise _unusable("image-decode", address, f"it must decode: {type(error).__name__}") from error
        return file.getvalue()

    def _frame_at(self, time_s: float) -> Any:
        """Return the last frame that begins at or before a time; None where the video has ended by then."""
        wanted_s = time_s + self._first_s()
        at_s = None if self._now is None else self._now.time
        if at_s is None or wanted_s < at_s or wanted_s > at_s + _SEEK_FROM_S:
            self._container.seek(max(int(wanted_s / self._stream.time_base), 0), stream=self._stream)
            self._decoded = (frame for frame in self._container.decode(self._stream) if frame.time is not None)
            self._now, self._next = None, next(self._decoded, None)
        while self._next is not None and (self._now is None or self._next.time <= wanted_s):
            self._now, self._next = self._next, next(self._decoded, None)
        if self._next is None and (self._now is None or wanted_s > self._now.time + self._frame_s()):
            return None
        return self._now

    def _first_s(self) -> float:
        start = self._stream.start_time
        return 0.0 if start is None else float(start * self._stream.time_base)

    def _frame_s(self) -> float:
        rate = self._stream.average_rate
        return float(1 / rate) if rate else 1.0


def _unusable(reason: str, address: str, rule: str) -> ItemError:
    return ItemError("Cannot use an image", reason=reason, where=address, rule=rule)
