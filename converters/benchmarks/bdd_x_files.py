"""Reads BDD-X: which videos there are, in which split, and what is said of which part of each.

``BDD-X-Annotations_v1.csv`` has a row a video: ``Input.Video``, the address that it once had, and up to 15 groups of
``Answer.1start``, ``Answer.1end``, ``Answer.1action`` and ``Answer.1justification``, with times in whole seconds and
empty where the video has fewer; empty rows lie between. ``train.txt``, ``val.txt`` and ``test.txt`` name videos with a
number before them, ``6296_1f0fff77-a50aae97`` (JinkyuKimUCB/BDD-X-dataset).

Some annotators let a segment end where the next one starts (0-3, 3-22). Most let it end a second earlier (0-11, 12-19),
so that a segment of one second ends where it starts (31-31 before 32-37, 40-40 after 33-39). Nothing says which of them
annotated a video: ends are taken as published, and only a segment that ends where it starts is read as including its
end, the second that begins then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from domainvl.errors import DatasetError, InputNotFoundError, ItemError
from domainvl.schema.writer import Reject

from ..tables import read_rows, repeated
from .reading import check_input, reject_of, row_error

ANNOTATIONS = "BDD-X-Annotations_v1.csv"

SPLIT_FILES = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}
"""The file of each official split, the most held out last."""

VIDEO_SUFFIXES = (".mov", ".mp4")

_SECOND_S = 1.0
"""Times are whole seconds."""

_VIDEO = "Input.Video"
_FIELDS = ("start", "end", "action", "justification")
_COLUMN = re.compile(rf"Answer\.(\d+)({'|'.join(_FIELDS)})")
_LAYOUT = f"{ANNOTATIONS}, {', '.join(SPLIT_FILES.values())}"


@dataclass(frozen=True)
class Segment:
    """A part of a video, and what its driver does there.

    Attributes:
        video: Name of the video, without its ending.
        row: Its row in the file, as a spreadsheet counts it.
        number: Its group of columns.
        start_s: Where it starts, from the start of the video.
        end_s: Where it ends.
        action: What the vehicle does.
        justification: Why.
    """

    video: str
    row: int
    number: int
    start_s: float
    end_s: float
    action: str
    justification: str

    @property
    def name(self) -> str:
        """Names it in ids and rejects."""
        return f"{self.video}/{self.row}-{self.number}"

    @property
    def is_second(self) -> bool:
        """Whether it is a single second."""
        return self.start_s == self.end_s

    @property
    def until_s(self) -> float:
        """Where it is over: a single second a second after it starts, any other where it ends."""
        return self.start_s + _SECOND_S if self.is_second else self.end_s


def folder_of(source: Path) -> Path:
    """Return the folder of an input, which may be the file of annotations in it.

    Raises:
        InputNotFoundError: If it is another file.
    """
    if not source.is_file():
        return source
    if source.name != ANNOTATIONS:
        raise InputNotFoundError(
            "Cannot read BDD-X",
            where=source,
            rule=f"a file must be {ANNOTATIONS}, got {source.name}",
            action=f"Name the folder that holds {_LAYOUT}",
        )
    return source.parent


def check_files(source: Path) -> None:
    """Check that the annotations and a list of videos are there.

    Raises:
        InputNotFoundError: If one is missing.
    """
    check_input(source, [ANNOTATIONS], benchmark="BDD-X", layout=_LAYOUT)
    if not any((source / name).is_file() for name in SPLIT_FILES.values()):
        raise InputNotFoundError(
            "Cannot read BDD-X",
            where=source,
            rule=f"there is none of {', '.join(SPLIT_FILES.values())}",
            action=f"Name the folder that holds {_LAYOUT}",
        )


def read_splits(source: Path) -> tuple[dict[str, str], list[str]]:
    """Return the official split of each video, and the videos that several files name.

    Those stay in the most held-out split.

    Raises:
        DatasetError: If a file is no text in UTF-8.
    """
    splits: dict[str, str] = {}
    several: set[str] = set()
    for split, name in SPLIT_FILES.items():
        path = source / name
        if not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig").split()
        except UnicodeDecodeError as error:
            raise DatasetError(
                "Unreadable file", where=path, rule="it must be text in UTF-8", action="Take the published file"
            ) from error
        for line in lines:
            video = re.sub(r"^\d+_", "", line)
            if splits.get(video, split) != split:
                several.add(video)
            splits[video] = split
    return splits, sorted(several)


def read_segments(source: Path, rejects: list[Reject]) -> Iterator[Segment]:
    """Yield the segments of all videos.

    A group of columns that is empty is none. One of which only some are filled, or that ends before it starts, is
    rejected.

    Args:
        source: The input folder.
        rejects: Takes segments and rows that cannot be used.

    Raises:
        DatasetError: If the file is no CSV with the published columns.
    """
    path = source / ANNOTATIONS
    rows = read_rows(
        path,
        lambda rule: DatasetError("Unreadable file", where=path, rule=rule, action="Take the published file"),
    )
    _, columns = next(rows, (0, []))
    groups = _groups(columns, path)
    for row, cells in rows:
        values = dict(zip(columns, cells, strict=False))
        where = f"{ANNOTATIONS} row {row}"
        try:
            video = _video(values, len(cells) - len(columns), where)
        except ItemError as error:
            rejects.append(reject_of(where, error))
            continue
        for number in groups:
            fields = {field: values.get(f"Answer.{number}{field}", "") for field in _FIELDS}
            if not any(fields.values()):
                continue
            name = f"{video}/{row}-{number}"
            try:
                yield _segment(video, row, number, fields, name)
            except ItemError as error:
                rejects.append(reject_of(name, error))


def find_videos(folder: Path) -> dict[str, list[Path]]:
    """Find video files by their name without its ending, in a folder and all below it, sorted."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            found.setdefault(path.stem, []).append(path)
    return found


def _video(values: Mapping[str, str], surplus_cells: int, where: str) -> str:
    """Return the name of a row's video."""
    if surplus_cells > 0:
        raise row_error("row-invalid", where, f"it has {surplus_cells} cells more than there are columns")
    address = values.get(_VIDEO, "")
    video = PurePosixPath(urlsplit(address).path).stem
    if not re.fullmatch(r"[0-9A-Za-z_-]+", video):
        raise row_error("video-unnamed", where, f"{_VIDEO} must be the address of a video, got {address!r:.80}")
    return video


def _groups(columns: Sequence[str], path: Path) -> list[int]:
    """Return the numbers of the groups of columns, in order."""
    found = [match for match in map(_COLUMN.fullmatch, columns) if match]
    groups = sorted({int(match[1]) for match in found})
    needed = [_VIDEO, *(f"Answer.{number}{field}" for number in groups or [1] for field in _FIELDS)]
    missing = [name for name in needed if name not in columns]
    twice = repeated([column for column in columns if column])
    if missing or twice:
        problem = f"missing: {missing[0]}" if missing else f"{twice[0]} is there twice"
        raise DatasetError(
            "Unreadable file",
            where=path,
            rule=f"it must have {_VIDEO} and groups of Answer.1start, end, action and justification; {problem}",
            action="Take the published file",
        )
    return groups


def _segment(video: str, row: int, number: int, fields: Mapping[str, str], where: str) -> Segment:
    missing = [field for field in _FIELDS if not fields[field]]
    if missing:
        raise row_error("segment-incomplete", where, f"{', '.join(missing)} must not be empty")
    start_s, end_s = (_seconds(fields[field], field, where) for field in ("start", "end"))
    if start_s > end_s:
        rule = f"start must not lie after end, got {start_s:g} s and {end_s:g} s"
        raise row_error("segment-reversed", where, rule)
    action, justification = (" ".join(fields[field].split()) for field in ("action", "justification"))
    return Segment(video, row, number, start_s, end_s, action, justification)


def _seconds(text: str, field: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise row_error("segment-time", where, f"{field} must be seconds from the start of the video, got {text!r:.40}")
    return value
