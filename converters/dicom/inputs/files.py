"""Finds the files of a source: a folder, a file, an archive or a DICOMDIR, and archives inside a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import InputNotFoundError
from domainvl.schema.writer import Reject, Severity

from ..instance import FileRef
from ..privacy.pseudonyms import Pseudonyms
from .archives import open_archive
from .content import HEAD_BYTES, Content, content_of
from .dicomdir import leads_out, locate, read_dicomdir
from .leaving_out import Leavings, LeftOut
from .listing import ARCHIVE_ERRORS, damaged

_FileId = tuple[int, int]
"""Device and inode: the same for all names and links of a file."""


@dataclass(frozen=True)
class FileList:
    """The files of a source.

    Attributes:
        refs: Files and members of archives; by name, those of a tar archive in its own order, in which they are read
            once.
        rejects: What was left out.
        files: Which files the names of rejects stand for; they may name people.
    """

    refs: tuple[FileRef, ...]
    rejects: tuple[Reject, ...]
    files: dict[str, tuple[FileRef, ...]]


def find_files(
    source: Path, leave_out: Collection[Path], *, unpack_limit_bytes: int, pseudonyms: Pseudonyms
) -> FileList:
    """List all files at or below ``source``.

    A DICOMDIR that is the source itself stands for the files that it names; inside a folder it is a file like others,
    whose content :func:`.header_pass.read_headers` counts as ``dicomdir``. Archives are known by their content.

    Args:
        source: Folder, file, archive or DICOMDIR.
        leave_out: Files and folders that are settings and no input.
        unpack_limit_bytes: Archives that hold more, unpacked, are refused.
        pseudonyms: Gives names to what is left out.

    Raises:
        InputNotFoundError: If there is no ``source``.
        UsageError: If ``source`` is a damaged DICOMDIR.
    """
    if not source.exists():
        raise InputNotFoundError("Cannot read the input", where=source, rule="no such file or folder")
    leavings = Leavings(pseudonyms)
    refs: list[FileRef] = []
    for path in _paths(source, _ids(leave_out), leavings):
        refs += _refs_of(path, unpack_limit_bytes, leavings)
    return FileList(tuple(refs), tuple(leavings.rejects), leavings.files)


def _ids(paths: Iterable[Path]) -> frozenset[_FileId]:
    found: set[_FileId] = set()
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _paths(source: Path, leave_out: Collection[_FileId], leavings: Leavings) -> Iterator[Path]:
    if source.is_dir():
        yield from _files_below(source, leave_out, leavings)
        return
    listed = read_dicomdir(source)
    if listed is None:
        yield source
        return
    for parts in sorted(listed):
        ref = FileRef(source, "/".join(parts))
        if leads_out(parts):
            leavings.add_unread(ref, _DICOMDIR_UNSAFE)
        elif (path := locate(source.parent, parts)) is None:
            leavings.add_unread(ref, _DICOMDIR_MISSING)
        else:
            yield path


_DICOMDIR_UNSAFE = LeftOut(
    "dicomdir-unsafe-file",
    "the DICOMDIR names a file that is not below its folder",
    "Name the folder of the files instead",
    Severity.FAILED,
)
_DICOMDIR_MISSING = LeftOut(
    "dicomdir-missing-file",
    "the DICOMDIR names a file that is not there",
    "Copy the whole disc or export again; if only the names differ, name the folder instead",
    Severity.FAILED,
)
_LINKED_FOLDER = LeftOut(
    "linked-folder", "links to folders are not followed", "Name the folder that it leads to as input of its own"
)
_NO_FILE = LeftOut("no-file", "it is a broken link, a pipe or a device")


def _unreadable(error: OSError) -> LeftOut:
    return LeftOut(
        "read",
        f"the folder cannot be read ({type(error).__name__})",
        "Make it readable for this user",
        Severity.FAILED,
    )


def _files_below(folder: Path, leave_out: Collection[_FileId], leavings: Leavings) -> Iterator[Path]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        leavings.add_unread(FileRef(folder), _unreadable(error))
        return
    for entry in entries:
        path = Path(entry.path)
        try:
            status = entry.stat()
        except OSError:
            leavings.add_unread(FileRef(path), _NO_FILE)
            continue
        if (status.st_dev, status.st_ino) in leave_out:
            continue
        if entry.is_dir():
            if entry.is_symlink():
                leavings.add_unread(FileRef(path), _LINKED_FOLDER)
            else:
                yield from _files_below(path, leave_out, leavings)
        elif entry.is_file():
            yield path
        else:
            leavings.add_unread(FileRef(path), _NO_FILE)


def _refs_of(path: Path, limit_bytes: int, leavings: Leavings) -> list[FileRef]:
    """Return the file, or what the archive holds that it is."""
    ref = FileRef(path)
    content = _content(path)
    try:
        archive = open_archive(path, content)
    except ARCHIVE_ERRORS as error:
        leavings.add(ref, damaged(f"the archive cannot be read ({type(error).__name__})"))
        return []
    if archive is None:
        if content is Content.GZIP and (why := _too_long(path, limit_bytes)):
            leavings.add(ref, why)
            return []
        return [ref]
    with contextlib.closing(archive):
        listing = archive.list(limit_bytes)
    if listing.problem is not None:
        leavings.add(ref, listing.problem)
    for refused in listing.refused:
        leavings.add_unread(FileRef(path, refused.name), refused.why)
    return [FileRef(path, name) for name in listing.names]


def _content(path: Path) -> Content:
    """Look into a file; one that cannot be read is left to the header pass, which says so."""
    try:
        with path.open("rb") as file:
            return content_of(file.read(HEAD_BYTES))
    except OSError:
        return Content.OTHER


_GZIP_SIZE_BYTES = 4


def _too_long(path: Path, limit_bytes: int) -> LeftOut | None:
    """Compare what a gzip file says that it holds, its last field (RFC 1952 2.3.1), with the limit."""
    try:
        with path.open("rb") as file:
            file.seek(-_GZIP_SIZE_BYTES, os.SEEK_END)
            declared_bytes = int.from_bytes(file.read(_GZIP_SIZE_BYTES), "little")
    except OSError:
        return None
    if declared_bytes <= limit_bytes:
        return None
    return LeftOut(
        "archive-too-large",
        f"unpacked, the file has {declared_bytes} bytes; the limit is {limit_bytes}",
        "Raise --unpack-limit-gb if you trust it",
        Severity.FAILED,
    )
