"""Hunts for canaries in all bytes of a data set: every file below its folder, unknown and hidden ones too, and names.

Images are searched beside their pixels, archives (tar, zip, gzip, bzip2, xz) member by member, everything else line by
line. What is packed in another way is counted.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from domainvl.schema.validation.canaries import Canary, Hunter
from domainvl.schema.validation.findings import Findings
from domainvl.schema.validation.lines import Progress
from domainvl.schema.validation.metadata import beside_pixels

RULE = "phi-canary"

_MAX_LINE_BYTES = 1 << 22
_OVERLAP_BYTES = 1 << 10
"""Of a longer line so much is looked at again with its next part, so that no canary is cut in two."""

_MAX_MEMBER_BYTES = 1 << 30
"""A member of an archive that unpacks to more is not unpacked: it may be a bomb."""

_MAX_DEPTH = 3
_FILES_A_REPORT = 64
_HEAD_BYTES = 1 << 10

_PACKED = re.compile(
    rb"PAR1|ARROW1|%PDF-"  # columns and streams are compressed by codecs that are no part of this package's core
    rb"|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|\xff\x06\0\0sNaPpY|LZIP|\x1f[\x9d\xa0]"  # zstd, lz4, snappy, lzip, compress
    rb"|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|xar!|MSCF|\x89HDF\r\n\x1a\n"
    # DICOM, PS3.5 A.5 and PS3.6 annex A: all behind the meta information is deflated. UIDs of 22 and of 24 bytes.
    rb"|.{128}DICM.*?UI[\x16\x18]\x001\.2\.840\.10008\.1\.2\.(?:1\.99|4\.95|4\.205\0)",
    re.DOTALL,
)
"""How files begin that are packed in a way that is not undone here."""

_ARCHIVE_ERRORS = (
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the libraries raise on archives that are broken, encrypted or of an unknown compression."""

_SHORT = "identifiers of the map that are too short to be looked for"
_UNPACKABLE = "files and members that could not be unpacked to look for canaries"
_LINKED = "links to folders, in which no canary was looked for"


@dataclass
class _Hunt:
    hunter: Hunter
    findings: Findings
    unchecked: Counter[str] = field(default_factory=Counter)


def hunt(dataset: Path, canaries: Sequence[Canary], findings: Findings, *, on_progress: Progress) -> dict[str, int]:
    """Look for canaries everywhere.

    Args:
        dataset: The data set's folder.
        canaries: What must not be left.
        findings: Takes what is left, with file and line.
        on_progress: Called now and then.

    Returns:
        What could not be looked at, by what it is, counted.
    """
    state = _Hunt(Hunter(canaries), findings)
    state.unchecked[_SHORT] = state.hunter.unused
    paths = list(_paths_below(dataset, state))
    for done, path in enumerate(paths, start=1):
        name = path.relative_to(dataset).as_posix()
        _report(state, name, name, None, "path of the file: ")
        if path.is_file():
            try:
                with path.open("rb") as file:
                    _hunt_file(file, name, state)
            except OSError as error:
                findings.add("file-unreadable", name, None, f"it cannot be read ({error.strerror})")
        if done % _FILES_A_REPORT == 0 or done == len(paths):
            on_progress("all files for canaries", done, len(paths))
    return {what: count for what, count in state.unchecked.items() if count}


def _paths_below(top: Path, state: _Hunt) -> Iterator[Path]:
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in folders:
            path = Path(folder, name)
            yield path
            state.unchecked[_LINKED] += path.is_symlink()
        yield from (Path(folder, name) for name in sorted(names))


def _report(state: _Hunt, text: str, file: str, line: int | None, place: str = "") -> None:
    for canary in state.hunter.find(text):
        state.findings.add(RULE, file, line, f"{place}{canary.name} is left")


def _hunt_file(file: BinaryIO, name: str, state: _Hunt, depth: int = 0) -> None:
    start = file.read(_HEAD_BYTES)
    file.seek(0)
    inside = "in a member of the archive: " if depth else ""
    if start.startswith((b"\x89PNG", b"\xff\xd8")) and (beside := beside_pixels(file.read())) is not None:
        _report(state, _decoded(beside.content), name, None, inside or "beside the pixels: ")
        state.unchecked[_UNPACKABLE] += beside.unread
        return
    members = _members_of(start)
    if members is not None and depth < _MAX_DEPTH:
        try:
            members(file, name, state, depth)
            return
        except _ARCHIVE_ERRORS:
            state.unchecked[_UNPACKABLE] += 1
    elif members is not None or _PACKED.match(start):
        state.unchecked[_UNPACKABLE] += 1
    file.seek(0)
    for number, text in _lines(file):
        _report(state, text, name, None if depth else number, inside)


_Members: TypeAlias = "Callable[[BinaryIO, str, _Hunt, int], None]"
"""Looks through the members of an archive: its file, its name in findings, where they go, how deep it lies."""


def _members_of(start: bytes) -> _Members | None:
    """Return what looks through the members of an archive that starts so; None where it is none."""
    if start.startswith(b"\x1f\x8b"):
        return _hunt_gzip
    if re.match(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", start):  # first block, or the end of an empty file
        return _hunt_bzip2
    if start.startswith(b"\xfd7zXZ\0"):
        return _hunt_xz
    if start.startswith(b"PK\x03\x04"):
        return _hunt_zip
    if start[257:262] == b"ustar":  # magic of POSIX.1-1988 (ustar) and GNU
        return _hunt_tar
    return None


def _hunt_gzip(file: BinaryIO, name: str, state: _Hunt, depth: int) -> None:
    _report(state, _decoded(_gzip_names(file.read(_HEAD_BYTES))), name, None, "name of a member: ")
    file.seek(0)
    with gzip.open(file) as unpacked:
        _hunt_member(unpacked, None, name, state, depth)


def _gzip_names(start: bytes) -> bytes:
    """Return the name and the comment in the header of a gzip file (RFC 1952, 2.3)."""
    flags, position = start[3], 10
    if flags & 0x04:  # extra fields
        position += 2 + int.from_bytes(start[position : position + 2], "little")
    texts = bool(flags & 0x08) + bool(flags & 0x10)
    return b" ".join(start[position:].split(b"\0")[:texts])


def _hunt_bzip2(file: BinaryIO, name: str, state: _Hunt, depth: int) -> None:
    with bz2.open(file) as unpacked:
        _hunt_member(unpacked, None, name, state, depth)


def _hunt_xz(file: BinaryIO, name: str, state: _Hunt, depth: int) -> None:
    with lzma.open(file) as unpacked:
        _hunt_member(unpacked, None, name, state, depth)


def _hunt_zip(file: BinaryIO, name: str, state: _Hunt, depth: int) -> None:
    with zipfile.ZipFile(file) as archive:
        _report(state, _decoded(archive.comment), name, None, "comment of the archive: ")
        for member in archive.infolist():
            _report(state, f"{member.filename} {_decoded(member.comment)}", name, None, "name of a member: ")
            if not member.is_dir():
                with archive.open(member) as unpacked:
                    _hunt_member(unpacked, member.file_size, name, state, depth)


def _hunt_tar(file: BinaryIO, name: str, state: _Hunt, depth: int) -> None:
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for part in tar:
            words = (part.name, part.linkname, part.uname, part.gname, *part.pax_headers.values())
            _report(state, " ".join(words), name, None, "name of a member: ")
            content = tar.extractfile(part) if part.isfile() else None
            if content is not None:
                _hunt_member(content, part.size, name, state, depth)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _hunt_member(unpacked: _Readable, size_bytes: int | None, name: str, state: _Hunt, depth: int) -> None:
    content = unpacked.read(_MAX_MEMBER_BYTES + 1) if (size_bytes or 0) <= _MAX_MEMBER_BYTES else b""
    if (size_bytes or 0) > _MAX_MEMBER_BYTES or len(content) > _MAX_MEMBER_BYTES:
        state.unchecked[_UNPACKABLE] += 1
        return
    _hunt_file(io.BytesIO(content), name, state, depth + 1)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers; long ones in parts that overlap."""
    number, kept = 1, b""
    while part := file.readline(_MAX_LINE_BYTES):
        yield number, _decoded(kept + part)
        whole = part.endswith(b"\n")
        number += whole
        kept = b"" if whole else part[-_OVERLAP_BYTES:]


def _decoded(content: bytes) -> str:
    """Decode words in whatever encoding: as UTF-8, and, of other bytes, as Latin-1 and as UTF-16 without its zeros."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = f"{content.decode('utf-8', 'replace')}\n{content.decode('latin-1')}"
    return f"{text}\n{text.replace(chr(0), '')}" if "\0" in text else text
