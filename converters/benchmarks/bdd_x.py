"""BDD-X: what a driver does in a part of a video, and why, asked about frames of it; the splits are the official ones.

Kim et al., Textual Explanations for Self-Driving Vehicles, ECCV 2018. Annotations are read as published (see
:mod:`domainvl.converters.benchmarks.bdd_x_files`); the videos, and speed and course of the vehicle, come from BDD100K
(``videos`` and ``info``), and are found by their names.

A clip is asked the four questions of DriveGPT4's instruction form, on which Mini-InternVL is trained (arXiv 2410.16261,
appendix): the action, its justification, and, where the phone recorded them, speed and turning angle. Nobody published
to which moment the latter belong; here the speed is that at the end of the clip, and the turning angle is how far the
course changed over it, positive to the left. Both are answered as text with one decimal and their unit, in m/s and
degrees.

Frames are the middles of equal parts of the clip, decoded with PyAV, made narrower where asked, and stored as PNG, for
they are pixels that no file holds as they are; or, where space matters more, as JPEG. The group is the video.
"""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from pydantic import Field, JsonValue

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import InputNotFoundError, ItemError, NothingToDoError
from domainvl.files import hash_file
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.phrases import stems
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Image, Provenance, Sample, Source, Split, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

from ..driving.pyav import import_av
from ..driving.read_video import VideoFacts, read_frames, video_facts
from ..driving.settings import DOMAIN
from ..losses import counted, left_out_with_it
from .bdd_x_files import (
    ANNOTATIONS,
    SPLIT_FILES,
    Segment,
    check_files,
    find_videos,
    folder_of,
    read_segments,
    read_splits,
)
from .bdd_x_motion import Recorded, read_motion
from .official_splits import OfficialSplitSettings
from .reading import image_rejected, reject_of, row_error

ACTION = stems("clip-behaviour")[0]
"""The question of Mini-InternVL's figure (arXiv 2410.16261); the other three are ours."""

JUSTIFICATION = "Why does the ego car do this?"
SPEED = "What is the speed of the ego car at the end of the clip, in m/s?"
TURNING_ANGLE = "By how many degrees does the ego car turn over the clip? Left is positive, right is negative."

_MAX_FRAMES = 40  # of Mini-InternVL's clips (arXiv 2410.16261, figure)
_ROUNDING_S = 1.0
"""Times are whole seconds: a segment may end so much after the video, and is then cut."""

FrameFormat: TypeAlias = Literal["png", "jpeg"]

_JPEG_QUALITY = 95

_INFO = "info"
_LICENCE = "Educational, research and not-for-profit use (UC Berkeley)"  # LICENSE of JinkyuKimUCB/BDD-X-dataset


class BddXSettings(OfficialSplitSettings):
    """Settings of the BDD-X converter."""

    plan_fields = frozenset({"videos", "info", "strict"})

    videos: Path | None = Field(
        default=None, description="Folder of the videos, searched with all below it; the input where left out."
    )
    info: Path | None = Field(
        default=None,
        description="Folder of BDD100K's files of speed and course, searched with all below it; info in the input "
        "where left out. Speed and turning angle are asked where a video has one.",
    )
    strict: bool = Field(
        default=False,
        description="A video that is not on disk counts as failed. Its segments are left out in any case; by default "
        "it counts as one that was not downloaded.",
    )
    frames: int = Field(
        default=8, ge=1, le=_MAX_FRAMES, description="Frames of a clip; fewer where a clip is shorter than that."
    )
    max_width_px: int = Field(
        default=800,
        ge=64,
        description="Wider frames are reduced to this width. A video of 16:9 is then 450 px high, all that one tile "
        "of 448 px can show.",
    )
    frame_format: FrameFormat = Field(
        default="png",
        description="PNG keeps the decoded pixels, about 0.5 MB a frame of 800x450 px. JPEG of quality 95 without "
        "subsampling of colours takes about 0.15 MB, with small errors beside those of the video.",
    )


@dataclass(frozen=True)
class BddXUnit:
    """One video with its segments.

    Attributes:
        video: Its name.
        uri: Its file, as it may be mentioned.
        path: Its file.
        info: The file of its speed and course; None where there is none.
        official_split: Its official split.
        segments: Its segments.
    """

    video: str
    uri: str
    path: Path
    info: Path | None
    official_split: str
    segments: tuple[Segment, ...]


class BddXConverter:
    """Turns BDD-X into samples of several frames: four questions a clip."""

    name = "bdd-x"
    summary = "BDD-X's CSV file and local videos: action, justification, speed and turning angle of clips as frames."
    settings_type = BddXSettings
    licence = _LICENCE

    def plan(self, source: Path, settings: BddXSettings) -> Plan[BddXUnit]:
        """Read annotations and lists of videos and find the videos; none is opened.

        Args:
            source: The folder, or the file of annotations in it.
            settings: The settings.

        Raises:
            InputNotFoundError: If a file or folder is missing.
            DatasetError: If a file is not in the published layout.
            UsageError: If PyAV is not installed.
            NothingToDoError: If no video with a usable segment is there.
        """
        source = folder_of(source)
        check_files(source)
        import_av()  # that it is missing must be said once, not of each video
        rejects: list[Reject] = []
        by_video: dict[str, list[Segment]] = defaultdict(list)
        for segment in read_segments(source, rejects):
            by_video[segment.video].append(segment)
        splits, several = read_splits(source)
        videos = find_videos(_folder(settings.videos, source, "videos"))
        infos = _find_infos(source, settings.info)
        units = []
        for video in sorted(by_video):
            problem = _problem(video, splits, videos, len(by_video[video]), strict=settings.strict)
            if problem is not None:
                rejects.append(problem)
                continue
            path = videos[video][0]
            uri = path.relative_to(settings.videos or source).as_posix()
            units.append(BddXUnit(video, uri, path, infos.get(video), splits[video], tuple(by_video[video])))
        if not units:
            rule = f"none of the {len(by_video)} videos with a usable segment is there"
            raise NothingToDoError("Nothing to convert", where=source, rule=rule, action="Name their folder: --videos")
        names = [ANNOTATIONS, *(name for name in SPLIT_FILES.values() if (source / name).is_file())]
        # The hash of each video stands in its samples.
        notes = list(_notes(units, several, sorted(set(splits) - set(by_video))))
        return Plan(units=units, sources={name: source / name for name in names}, rejects=rejects, notes=notes)

    def convert(self, unit: BddXUnit, settings: BddXSettings, images: ImageStore, provenance: Provenance) -> UnitResult:
        """Decode the frames of each segment and word the questions about them."""
        try:
            facts = video_facts(unit.path)
        except ItemError as error:
            return image_rejected(unit.video, error, counted(len(unit.segments), "segment"))
        motion, rejects = _motion_of(unit)
        unknown = _Unknown()
        samples: list[Sample] = []
        digest = hash_file(unit.path)
        for segment in unit.segments:
            try:
                clip = _cut(segment, facts, settings.frames)
                frames = [
                    _store(reduced(pixels, settings.max_width_px), settings.frame_format, images)
                    for pixels in read_frames(unit.path, clip.times_s)
                ]
            except ItemError as error:
                rejects.append(reject_of(segment.name, error, "convert"))
                continue
            shown = [
                stored.to_image(_source(unit, segment, digest, time_s), frame=number)
                for number, (stored, time_s) in enumerate(zip(frames, clip.times_s, strict=True), start=1)
            ]
            samples += _samples(unit, segment, clip, shown, motion, provenance)
            unknown.count(motion, clip)
        rejects += unknown.rejects(unit.video)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: BddXUnit) -> str:
        """Name a unit by its video; the names hold no identifiers."""
        return unit.video

    def unit_files(self, unit: BddXUnit) -> list[Path]:
        """Name the video and the file of its speed and course; the segments stand in the unit."""
        return [unit.path] if unit.info is None else [unit.path, unit.info]


CONVERTER = BddXConverter()


@dataclass(frozen=True)
class _Clip:
    """The part of a video that a segment covers.

    Attributes:
        start_s: Where it starts.
        end_s: Where it ends, within the video.
        times_s: Times of its frames.
    """

    start_s: float
    end_s: float
    times_s: tuple[float, ...]


@dataclass
class _Unknown:
    """Counts the clips of a video whose speed or turning angle its file does not tell.

    Attributes:
        of: How many clips lack what, by its name.
        clips: Number of clips with a file.
    """

    of: dict[str, int] = field(default_factory=lambda: {"speed": 0, "turning angle": 0})
    clips: int = 0

    def count(self, motion: Recorded | None, clip: _Clip) -> None:
        """Count a clip."""
        if motion is not None:
            self.clips += 1
            self.of["speed"] += motion.speed_at(clip.end_s) is None
            self.of["turning angle"] += motion.turn_deg(clip.start_s, clip.end_s) is None

    def rejects(self, video: str) -> Iterator[Reject]:
        """Name what is not asked."""
        for what, count in self.of.items():
            if count:
                message = (
                    f"The phone did not record it for {count} of {counted(self.clips, 'clip')}, where it is not asked"
                )
                action = "Nothing needs to be done: the other questions are asked"
                yield Reject(f"{video} {what}", "convert", "motion-unknown", message, action, Severity.SKIPPED)


def _store(pixels: npt.NDArray[np.uint8], frame_format: FrameFormat, images: ImageStore) -> StoredImage:
    if frame_format == "png":
        return images.put_pixels(pixels)
    content = io.BytesIO()
    PillowImage.fromarray(pixels).save(content, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return images.put_encoded(content.getvalue(), "a frame")


def reduced(pixels: npt.NDArray[np.uint8], max_width_px: int) -> npt.NDArray[np.uint8]:
    """Reduce a frame to a width, the height in proportion; one that is not wider stays as it is.

    Args:
        pixels: uint8 of shape (height, width, 3).
        max_width_px: The width.
    """
    height_px, width_px = pixels.shape[:2]
    if width_px <= max_width_px:
        return pixels
    size = (max_width_px, max(1, round(height_px * max_width_px / width_px)))
    return np.asarray(PillowImage.fromarray(pixels).resize(size, PillowImage.Resampling.BICUBIC))


def frame_times(start_s: float, end_s: float, count: int, fps: float | None) -> tuple[float, ...]:
    """Return the middles of equal parts of a clip, at most one a frame of the video and at least one.

    Args:
        start_s: Where the clip starts.
        end_s: Where it ends.
        count: How many frames there should be.
        fps: Frames a second of the video; None where it is not known.
    """
    length_s = end_s - start_s
    if fps is not None:
        count = max(1, min(count, math.floor(length_s * fps)))
    return tuple(start_s + length_s * (index + 0.5) / count for index in range(count))


def _cut(segment: Segment, facts: VideoFacts, count: int) -> _Clip:
    """Find a segment in its video.

    Raises:
        ItemError: If it lies beyond its end.
    """
    until_s = segment.until_s
    lasts_s = until_s if facts.duration_s is None else facts.duration_s
    # A time at the very end was rounded up: the second that begins there is the last one of the video.
    start_s = min(segment.start_s, lasts_s - (until_s - segment.start_s)) if segment.is_second else segment.start_s
    end_s = min(until_s, lasts_s)
    if not 0 <= start_s < end_s or until_s > lasts_s + _ROUNDING_S:
        rule = f"from {segment.start_s:g} s to {until_s:g} s, it must lie in the video, which lasts {lasts_s:.2f} s"
        raise row_error("segment-beyond-video", segment.name, rule)
    return _Clip(start_s, end_s, frame_times(start_s, end_s, count, facts.fps))


def _motion_of(unit: BddXUnit) -> tuple[Recorded | None, list[Reject]]:
    """Read speed and course; where that cannot be done it costs two of four questions only."""
    if unit.info is None:
        return None, []
    try:
        return read_motion(unit.info, unit.info.name), []
    except ItemError as error:
        return None, [reject_of(f"{unit.video} speed and course", error, "convert")]


def _samples(
    unit: BddXUnit,
    segment: Segment,
    clip: _Clip,
    images: Sequence[Image],
    motion: Recorded | None,
    provenance: Provenance,
) -> Iterator[Sample]:
    moved = (
        f"The segment goes from {segment.start_s:g} s to {segment.until_s:g} s, beyond the video; shown is from "
        f"{clip.start_s:.2f} s to {clip.end_s:.2f} s"
    )
    return samples_from_questions(
        _questions(segment, clip, motion),
        id_prefix=f"bdd-x/{segment.name}",
        domain=DOMAIN,
        images=images,
        fixed_split=Split(unit.official_split),
        group=unit.video,
        provenance=provenance,
        warnings=[moved] if clip.end_s < segment.until_s else [],
    )


def _questions(segment: Segment, clip: _Clip, motion: Recorded | None) -> Iterator[Question]:
    yield Question("action", Task.CAPTION, ACTION, TextAnswer(text=segment.action))
    yield Question("justification", Task.CAPTION, JUSTIFICATION, TextAnswer(text=segment.justification))
    if motion is None:
        return
    speed_m_s = motion.speed_at(clip.end_s)
    if speed_m_s is not None:
        yield Question("speed", Task.VQA, SPEED, TextAnswer(text=f"{one_decimal(speed_m_s)} m/s"))
    turn_deg = motion.turn_deg(clip.start_s, clip.end_s)
    if turn_deg is not None:
        answer = TextAnswer(text=f"{one_decimal(turn_deg)} degrees")
        yield Question("turning-angle", Task.VQA, TURNING_ANGLE, answer)


def one_decimal(value: float) -> str:
    """Write a number with one decimal; zero has no sign."""
    return f"{round(value, 1) + 0.0:.1f}"


def _source(unit: BddXUnit, segment: Segment, digest: str, time_s: float) -> Source:
    details: dict[str, JsonValue] = {
        "official_split": unit.official_split,
        "video": unit.video,
        "row": segment.row,
        "segment": segment.number,
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "time_s": round(time_s, 6),
    }
    return Source(uri=unit.uri, sha256=digest, size_bytes=unit.path.stat().st_size, details=details)


def _folder(given: Path | None, source: Path, option: str) -> Path:
    if given is not None and not given.is_dir():
        raise InputNotFoundError(
            "Cannot read BDD-X",
            where=given,
            rule=f"--{option} must name a folder",
            action="Name the one that BDD100K was unpacked to",
        )
    return given or source


def _find_infos(source: Path, given: Path | None) -> dict[str, Path]:
    """Find files of speed and course by the name of their video; of several the first by path."""
    folder = _folder(given, source / _INFO, _INFO)
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.json")) if folder.is_dir() else []:
        found.setdefault(path.stem, path)
    return found


def _problem(
    video: str,
    splits: Mapping[str, str],
    videos: Mapping[str, Sequence[Path]],
    segment_count: int,
    *,
    strict: bool,
) -> Reject | None:
    """Return why a video is left out; None where it is not."""
    lost = left_out_with_it(counted(segment_count, "segment"))
    if video not in splits:
        message = f"none of {', '.join(SPLIT_FILES.values())} names it. {lost}"
        return Reject(video, "plan", "split-unknown", message, "Fetch all three lists", Severity.SKIPPED)
    paths = videos.get(video, ())
    if not paths:
        message = f"its file is not in the folder of videos. {lost}"
        action = "Fetch it from BDD100K, or name its folder: --videos"
        return Reject(video, "plan", "video-missing", message, action, Severity.FAILED if strict else Severity.SKIPPED)
    if len(paths) > 1:
        message = f"{len(paths)} files have its name, such as {paths[1].name} in {paths[1].parent.name}/. {lost}"
        return Reject(video, "plan", "video-repeated", message, "Keep one of them")
    return None


def _notes(units: Sequence[BddXUnit], several: Sequence[str], unknown: Sequence[str]) -> Iterator[str]:
    without = sum(unit.info is None for unit in units)
    if without:
        yield (
            f"{without} of {len(units)} videos have no file of speed and course: no speed and turning angle is asked "
            "of them. Otherwise: fetch BDD100K's info and name its folder with --info."
        )
    if several:
        yield (
            f"{len(several)} videos are named in several of the official lists, such as {several[0]}; they are in the "
            "most held-out split."
        )
    if unknown:
        yield (
            f"{len(unknown)} videos of the official lists have no usable segment in {ANNOTATIONS}, such as "
            f"{unknown[0]}: nothing is asked of them."
        )
