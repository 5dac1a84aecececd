"""Keeps the joined scenes of a folder of tables in a file, which the next run and all workers open in no time.

The file is an SQLite database with one packed scene a row. It is made under a hidden name and takes its own at the end,
so that under this name there is all of it or nothing, whoever else makes it at that moment. It is made again where a
table is another file or has another size or time than it had, where another version of this program made it, or where
what it says of itself is damaged; damage to a scene in it is found when that is read.

Not noticed is a change that leaves the size, the inode and both times of a file: where a file system rounds its times,
that of a table which is written to again within the same tick.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from domainvl import __version__
from domainvl.errors import DatasetError, ExitCode, ItemError, OutputError, UsageError
from domainvl.files import output_errors
from domainvl.schema.writer import Reject

from ...driving.rig import in_order, view_of
from ..labels import label_of
from ..scenes import Scene
from .finding import TABLES_USED, table_path
from .joining import SceneJoin

_FORMAT = 3
"""Counts up when the records of scenes, or how tables are joined, change."""

_SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE summary (place INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE scene (token TEXT PRIMARY KEY, packed BLOB NOT NULL);
"""
_HIDDEN_FOLDER = ".domainvl"
_HIDDEN = re.compile(r"\..+\.sqlite\.[0-9a-f]{32}")
"""How the file of an index is called while it is made."""

_ABANDONED_S = 24 * 3600
"""An index that was not written to for so long will not be finished: that of the full set takes minutes."""

_UNREADABLE = (OSError, sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError)
"""What is raised of a file that is not there, no database or damaged. A text that is no UTF-8 any more may be one of a
record, or one that SQLite quotes in a message."""

Reader: TypeAlias = Callable[[], tuple[Iterable[Scene], Callable[[], Iterable[Reject]]]]
"""Reads tables; returns the scenes, each token and name once, and what gives the rejects once all scenes were taken."""

_CHECKED = ("stamp", "rejects", "classes", "views")
"""What the table ``about`` holds besides the hash of it and of the summaries."""

_encode = msgspec.msgpack.Encoder().encode
_decode_scene = msgspec.msgpack.Decoder(Scene).decode


class IndexGoneError(ItemError):
    """A scene that was planned cannot be read from the index any more, reason ``index-gone``.

    In a worker it costs the unit. A command that meets it before any unit is done ends as with a damaged data set.

    Args:
        path: File of the index.
        rule: What is wrong with it.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, path: Path, rule: str) -> None:
        super().__init__(
            "Cannot read the index of the tables",
            reason="index-gone",
            # Its folder tells whether it lies in the data root; more of a path is nothing for a list of rejects.
            where=f"{path.parent.name}/{path.name}",
            rule=rule,
            action="Remove it, where it is still there, and give the command again",
        )


@dataclass(frozen=True, slots=True)
class SceneSummary:
    """What is known of a scene without reading it.

    Attributes:
        token: Its token.
        name: Its name.
        log: Name of the log that it was cut from.
        location: Where it was driven; None where the tables do not say.
        content_sha256: Hash of all that the index holds of it.
    """

    token: str
    name: str
    log: str
    location: str | None
    content_sha256: str


@dataclass(frozen=True, slots=True)
class SceneIndex:
    """An index of scenes on disk.

    Attributes:
        path: The file.
        summaries: Its scenes, by name.
        rejects: What did not join.
        classes: Names of the classes that things were labelled with.
        camera_views: The views of which there are images, in the order in which they are shown.
    """

    path: Path
    summaries: tuple[SceneSummary, ...]
    rejects: tuple[Reject, ...]
    classes: tuple[str, ...]
    camera_views: tuple[str, ...]

    def read(self, token: str) -> Scene:
        """Read a scene.

        Raises:
            IndexGoneError: If it is not there any more, or is another than it was.
        """
        sha256 = next((summary.content_sha256 for summary in self.summaries if summary.token == token), None)
        return read_scene(self.path, token, sha256)


def open_index(dataroot: Path, tables: Path, *, sweeps: bool, folder: Path | None) -> SceneIndex:
    """Open the index of a folder of tables; make it where there is none, or where it is not up to date.

    Args:
        dataroot: Folder to which file names are relative.
        tables: The folder of tables.
        sweeps: Whether images between key frames are wanted.
        folder: Folder for the index; where None, ``.domainvl`` in the data root, or where that cannot be written,
            ``.cache/domainvl`` in the user's home.

    Raises:
        UsageError: If a table is missing or breaks the format, or the index can be written nowhere.
        OutputError: If the disk is full.
    """
    kind = "sweeps" if sweeps else "frames"

    def make() -> tuple[Iterable[Scene], Callable[[], Iterable[Reject]]]:
        join = SceneJoin(tables, sweeps=sweeps)
        return join.scenes(), join.rejects

    return cached_index(dataroot, tables, make, kind=kind, folder=folder)


def cached_index(
    dataroot: Path,
    tables: Path,
    make: Reader,
    *,
    kind: str,
    folder: Path | None,
) -> SceneIndex:
    """Open the index of one reader of a folder of tables; make it where there is none that is up to date.

    Args:
        dataroot: As in :func:`open_index`.
        tables: As there.
        make: Reads the tables.
        kind: A short name of the reader and what it reads, part of the file's name.
        folder: As in :func:`open_index`.

    Raises:
        UsageError: As :func:`open_index` does.
        OutputError: As :func:`open_index` does.
    """
    stamp = _stamp(tables, kind)
    candidates = _candidates(dataroot, tables, kind, folder)
    for path in candidates:
        index = _open(path, stamp)
        if index is not None:
            return index
    return _make(candidates, make, stamp)


def read_scene(path: Path, token: str, content_sha256: str | None = None) -> Scene:
    """Read one scene of an index; for workers, which are given no more than these three.

    Args:
        path: File of the index.
        token: The scene's token.
        content_sha256: Hash of the scene when it was planned, as its summary has it; None where any will do.

    Raises:
        IndexGoneError: If the index or the scene is not there any more or damaged, or the scene is another than was
            planned. It is an :class:`~domainvl.errors.ItemError`, which costs a worker its unit.
    """
    try:
        with _connect(path) as database:
            row = database.execute("SELECT packed FROM scene WHERE token = ?", (token,)).fetchone()
    except _UNREADABLE as error:
        raise IndexGoneError(path, str(error)) from error
    if row is None:
        raise IndexGoneError(path, f"it has no scene {token}")
    packed = row[0]
    # A damaged file may say that it is no bytes at all.
    is_sound = isinstance(packed, bytes)
    if content_sha256 is not None:
        is_sound = is_sound and hashlib.sha256(packed).hexdigest() == content_sha256
    if not is_sound:
        rule = f"scene {token} must be as it was when the run began; the index is damaged or was made anew since"
        raise IndexGoneError(path, rule)
    try:
        return _decode_scene(packed)
    except _UNREADABLE as error:
        raise IndexGoneError(path, f"scene {token} is damaged ({error})") from error


_ANYBODY_WRITES = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def _candidates(dataroot: Path, tables: Path, kind: str, folder: Path | None) -> list[Path]:
    """Return where the index may lie; outside of the data root its name tells the root's from those of others."""
    name = f"{tables.name}-{kind}.sqlite"
    unique = f"{hashlib.sha256(str(tables.resolve()).encode()).hexdigest()[:16]}-{name}"
    if folder is not None:
        return [folder / unique]
    inside = [dataroot / _HIDDEN_FOLDER / name]
    try:
        at_home = [Path.home() / ".cache" / "domainvl" / unique]
    except RuntimeError:  # no home
        return inside
    # A data root that nobody may write to is left alone by those who could, an administrator for one.
    is_writable = dataroot.stat().st_mode & _ANYBODY_WRITES
    return [*inside, *at_home] if is_writable else at_home


def _make(candidates: Sequence[Path], make: Reader, stamp: str) -> SceneIndex:
    """Make an index in the first place that can be written to."""
    path, hidden = _first_writable(candidates)
    _remove_abandoned(path.parent)
    try:
        scenes, rejects = make()
        with output_errors(path):
            _write(hidden, path, scenes, rejects, stamp)
            os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
    index = _open(path, stamp)
    if index is None:
        raise DatasetError(
            "Cannot read the index of the tables",
            where=path,
            rule="it must stay while it is opened, but another program replaced or removed it",
            action="Give the command again",
        )
    return index


def _first_writable(candidates: Sequence[Path]) -> tuple[Path, Path]:
    """Return the first place that can be written to, and a hidden file there.

    Raises:
        UsageError: If none can.
    """
    refused = ""
    for path in candidates:
        hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            hidden.touch()
        except OSError as error:
            refused = f"{path.parent}: {error.strerror or error}"
        else:
            return path, hidden
    raise UsageError(
        "Cannot write the index of the tables", rule=refused, action="Name a folder that can be written with --index"
    )


def _remove_abandoned(folder: Path) -> None:
    """Remove hidden files of indices that were never finished, because a program was killed."""
    for path in filter(_is_abandoned, folder.iterdir()):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            path.unlink()


def _is_abandoned(path: Path) -> bool:
    try:
        return bool(_HIDDEN.fullmatch(path.name)) and time.time() - path.stat().st_mtime > _ABANDONED_S
    except FileNotFoundError:  # finished meanwhile
        return False


def _stamp(tables: Path, kind: str) -> str:
    """Return what an index is made of; where it is another, the index is out of date."""
    files = []
    for name in TABLES_USED:
        with contextlib.suppress(FileNotFoundError):
            status = table_path(tables, name).stat()
            # Who edits a file may set back its time of modification, but neither that of its change nor its inode.
            files.append((name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
    return json.dumps([_FORMAT, __version__, kind, files])


@contextlib.contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    # Immutable, so that neither locks nor a file system that cannot be written matter; files are only ever replaced.
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        yield database
    finally:
        database.close()


def _open(path: Path, stamp: str) -> SceneIndex | None:
    """Open an index; None where there is none, or one that was made of something else."""
    try:
        with _connect(path) as database:
            about = dict(database.execute("SELECT key, value FROM about"))
            packed = [row[0] for row in database.execute("SELECT packed FROM summary ORDER BY place")]
        if about["stamp"] != stamp.encode() or about["sha256"] != _sha256(about, packed):
            return None
        return SceneIndex(
            path,
            tuple(msgspec.msgpack.decode(row, type=SceneSummary) for row in packed),
            tuple(Reject.read(row) for row in msgspec.msgpack.decode(about["rejects"])),
            tuple(msgspec.msgpack.decode(about["classes"])),
            tuple(msgspec.msgpack.decode(about["views"])),
        )
    except (*_UNREADABLE, KeyError):  # not there, no index, or a damaged one
        return None


def _sha256(about: Mapping[str, object], summaries: Sequence[object]) -> bytes:
    """Return the hash of all but the scenes, each of which has one in its summary."""
    return hashlib.sha256(_encode([[about[key] for key in _CHECKED], summaries])).digest()


def _write(
    hidden: Path, path: Path, scenes: Iterable[Scene], rejects: Callable[[], Iterable[Reject]], stamp: str
) -> None:
    """Write all of an index.

    Raises:
        OutputError: If SQLite cannot.
        OSError: If it cannot be put on the disk.
    """
    summaries: list[bytes] = []
    categories: set[str] = set()
    channels: set[str] = set()
    try:
        with contextlib.closing(sqlite3.connect(hidden)) as database, database:
            # Nobody else knows the file yet, and half of one is thrown away.
            database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")
            for place, scene in enumerate(scenes):
                packed = _encode(scene)
                database.execute("INSERT INTO scene VALUES (?, ?)", (scene.token, packed))
                summaries.append(_encode(_summary(scene, packed)))
                database.execute("INSERT INTO summary VALUES (?, ?)", (place, summaries[-1]))
                categories.update(cuboid.category for frame in scene.frames for cuboid in frame.cuboids)
                channels.update(camera.channel for camera in scene.cameras)
            about = {
                "stamp": stamp.encode(),
                "rejects": _encode([asdict(reject) for reject in rejects()]),
                "classes": _encode(sorted(set(map(label_of, categories)))),
                "views": _encode(in_order(set(map(view_of, channels)))),
            }
            about["sha256"] = _sha256(about, summaries)
            database.executemany("INSERT INTO about VALUES (?, ?)", about.items())
    except sqlite3.OperationalError as error:
        raise OutputError(
            "Cannot write the index of the tables",
            where=path,
            rule=str(error),
            action="Make room, or name another folder with --index",
        ) from error
    with hidden.open("rb+") as file:
        os.fsync(file.fileno())


def _summary(scene: Scene, packed: bytes) -> SceneSummary:
    sha256 = hashlib.sha256(packed).hexdigest()
    return SceneSummary(scene.token, scene.name, scene.log, scene.location, sha256)
