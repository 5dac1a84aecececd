"""Reads the documents in zip and tar archives: unpacked under limits into a folder of their own, then read as others.

Nothing is written outside of that folder, whatever members are called, and nothing but regular files is.
"""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from domainvl.corpus.sources.finding import find_sources
from domainvl.corpus.sources.images_on_disk import page_address
from domainvl.corpus.sources.readers import read_pages
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.files import output_errors
from domainvl.schema.writer import Reject, Severity

UNZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    OSError,
    EOFError,
    ValueError,
    zlib.error,
)
"""What the standard library raises on zips that are broken, or packed in a way that it does not know."""

_UNTAR_ERRORS = (tarfile.TarError, OSError, EOFError, ValueError, zlib.error)
_ENCRYPTED_FLAG = 1  # APPNOTE.TXT 6.3.10, section 4.4.4, bit 0
_COPY_BYTES = 1 << 16
_HEADER_BYTES_MAX = 1 << 20
"""Longest read that is allowed at once: more is asked for by forged headers alone."""

_PATH_CHARACTERS_MAX = 1024
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class ArchiveLimits:
    """How much may be unpacked. The defaults are ours.

    Attributes:
        max_members: Most members.
        max_member_bytes: Larger members are left out.
        max_total_bytes: Where all that was unpacked has more, nothing further is.
        max_ratio: A member that is packed more tightly is left out, and what is behind so much of the archive's own
            size; text and HTML shrink to a 5th to a 30th, and what deflate can do at most is a 1032nd.
        ratio_from_bytes: Smaller members may be packed as tightly as they like.
        total_ratio_from_bytes: The same for all of an archive.
    """

    max_members: int = 100_000
    max_member_bytes: int = 2_000_000_000
    max_total_bytes: int = 20_000_000_000
    max_ratio: float = 200.0
    ratio_from_bytes: int = 10_000_000
    total_ratio_from_bytes: int = 1_000_000_000


def bomb_reason(size_bytes: int, packed_bytes: int, limits: ArchiveLimits) -> str | None:
    """Say which rule a member breaks by its size or by how tightly it is packed; None where it breaks none."""
    if size_bytes > limits.max_member_bytes:
        return f"a member may have {limits.max_member_bytes:,} bytes, got {size_bytes:,}"
    if size_bytes > limits.ratio_from_bytes and size_bytes > limits.max_ratio * max(packed_bytes, 1):
        return f"a member may be packed to a {limits.max_ratio:.0f}th, got {size_bytes:,} from {packed_bytes:,} bytes"
    return None


def read_archive(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read the documents in an archive; a :class:`~domainvl.corpus.sources.reading.Reader`.

    The archive counts as a folder: ``cases.zip/one/page.html`` is a page in it, and its images are looked for in the
    archive and nowhere else. Of an address that stands for a folder, the archive is a part; of one that stands for the
    archive alone, all. Archives within archives are not opened.

    Args:
        source: The file: zip, or tar, plain or packed by gzip.
        settings: How.

    Yields:
        Documents in the order of their names, and what was left out.

    Raises:
        ItemError: With reason ``decode`` if it is no archive.
    """
    with tempfile.TemporaryDirectory(prefix="domainvl-archive-") as scratch:
        folder = Path(scratch).resolve() / "archive"
        folder.mkdir()
        yield from unpack_archive(source, folder)
        if settings.base_url is not None and "/" in source.uri:  # below a folder, where others may be like it
            settings = replace(settings, base_url=page_address(source, settings))
        for one in find_sources([folder]).documents:
            member = replace(one, uri=source.uri + one.uri.removeprefix(folder.name))
            if member.format == "archive":
                rule, action = "archives within archives are not opened", "Unpack it beside the other sources"
                yield Reject(member.uri, "read", "nested-archive", rule, action, Severity.SKIPPED)
                continue
            try:
                yield from read_pages(member, settings)
            except ItemError as error:
                yield Reject(member.uri, "read", error.reason, str(error), error.action)


def unpack_archive(source: SourceFile, folder: Path, limits: ArchiveLimits | None = None) -> list[Reject]:
    """Unpack an archive into a folder.

    Args:
        source: The file: zip, or tar, plain or packed by gzip.
        folder: Where to, empty.
        limits: How much may be unpacked.

    Returns:
        What was left out: by ``path-escapes`` links, devices and names that lead out of the folder, by
        ``archive-bomb`` what is too much, by ``encrypted``, ``repeated`` and ``decode`` other members.

    Raises:
        ItemError: With reason ``decode`` if it is no archive.
        OutputError: If the folder cannot be written.
    """
    limits = limits or ArchiveLimits()
    allowed = max(limits.total_ratio_from_bytes, int(limits.max_ratio * source.path.stat().st_size))
    limits = replace(limits, max_total_bytes=min(limits.max_total_bytes, allowed))
    unpacking = _Unpacking(source.uri, folder, limits)
    try:
        if zipfile.is_zipfile(source.path):
            unpacking.unzip(source.path)
        else:
            unpacking.untar(source.path)
    except (*UNZIP_ERRORS, *_UNTAR_ERRORS) as error:
        if not unpacking.count:
            rule = f"it must be a zip or tar archive: {type(error).__name__}"
            raise ItemError("Cannot read an archive", reason="decode", where=source.uri, rule=rule) from error
        unpacking.leave_out("", "decode", f"what follows member {unpacking.count} cannot be read")
    return unpacking.rejects()


@dataclass
class _Unpacking:
    """Unpacks one archive.

    Attributes:
        uri: Names the archive.
        folder: Where to.
        limits: How much.
        count: Members so far.
    """

    uri: str
    folder: Path
    limits: ArchiveLimits
    count: int = 0
    _total_bytes: int = 0
    _left_out: list[Reject] = field(default_factory=list)
    _names: set[PurePosixPath] = field(default_factory=set)

    def rejects(self) -> list[Reject]:
        return self._left_out

    def leave_out(self, name: str, reason: str, rule: str) -> None:
        where = f"{self.uri}/{name[:_PATH_CHARACTERS_MAX]}" if name else self.uri
        self._left_out.append(Reject(where, "read", reason, rule))

    def unzip(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                if self._is_too_much(info.file_size):
                    return
                rule = bomb_reason(info.file_size, info.compress_size, self.limits)
                if rule is not None:
                    self.leave_out(info.filename, "archive-bomb", rule)
                elif info.flag_bits & _ENCRYPTED_FLAG:
                    self.leave_out(info.filename, "encrypted", "it must open without a password")
                else:
                    self._unzip_member(archive, info)

    def _unzip_member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        mode = info.external_attr >> 16
        if mode and mode & 0o170000 not in (0, 0o100000):  # a link or device, as Unix says it
            self.leave_out(info.filename, "path-escapes", "it must be a regular file")
            return
        target = self._target(info.filename)
        if target is None:
            return
        try:
            with archive.open(info) as member:
                self._write(member, target)
        except (*UNZIP_ERRORS, RuntimeError) as error:
            self.leave_out(info.filename, "decode", f"it must unpack: {type(error).__name__}")

    def untar(self, path: Path) -> None:
        with path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            stream = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if is_gzip else file
            packed_bytes = path.stat().st_size
            with tarfile.open(fileobj=cast(Any, _Guarded(stream)), mode="r:") as archive:
                while (info := archive.next()) is not None:
                    if not info.isdir() and not self._untar_member(archive, info, packed_bytes):
                        return
                    archive.members.clear()  # type: ignore[attr-defined]  # else it keeps all headers

    def _untar_member(self, archive: tarfile.TarFile, info: tarfile.TarInfo, packed_bytes: int) -> bool:
        """Unpack a member; False where what follows may not even be passed over."""
        if info.size < 0:
            raise tarfile.ReadError("a member has a negative size")
        if self._is_too_much(info.size):
            return False
        rule = bomb_reason(info.size, packed_bytes, self.limits)
        if rule is not None:
            self.leave_out(info.name, "archive-bomb", rule)
        elif not info.isreg():
            self.leave_out(info.name, "path-escapes", "it must be a regular file, no link and no device")
        else:
            target = self._target(info.name)
            member = archive.extractfile(info) if target is not None else None
            if target is not None and member is not None:
                with member:
                    self._write(member, target)
        return True

    def _is_too_much(self, size_bytes: int) -> bool:
        self.count += 1
        self._total_bytes += size_bytes
        if self.count > self.limits.max_members:
            rule = f"an archive may have {self.limits.max_members:,} members: those behind were left out"
        elif self._total_bytes > self.limits.max_total_bytes:
            rule = f"an archive may unpack to {self.limits.max_total_bytes:,} bytes: what is behind was left out"
        else:
            return False
        self.leave_out("", "archive-bomb", rule)
        return True

    def _target(self, name: str) -> Path | None:
        """Return where a member is written; None where that would be outside the folder, or is taken."""
        plain = name.replace("\\", "/")
        path = PurePosixPath(plain)
        is_outside = path.is_absolute() or ".." in path.parts or ":" in plain.partition("/")[0]
        if is_outside or "\0" in plain or not path.parts or len(plain) > _PATH_CHARACTERS_MAX:
            self.leave_out(name, "path-escapes", f"its name must lead to a place in the archive, got {name[:80]!r}")
            return None
        if path in self._names or any(parent in self._names for parent in path.parents):
            self.leave_out(name, "repeated", "another member has its name; the first was taken")
            return None
        target = self.folder / path
        if target.exists():
            self.leave_out(name, "repeated", "it has the name of a folder")
            return None
        self._names.add(path)
        return target

    @staticmethod
    def _write(member: IO[bytes], target: Path) -> None:
        """Write a member; one that cannot be read to its end leaves nothing."""
        with output_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("wb")
        try:
            with file:
                while content := member.read(_COPY_BYTES):
                    with output_errors(target):
                        file.write(content)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


class _Guarded:
    """A stream for tarfile that refuses to read gigabytes at once, which forged headers alone ask for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_BYTES_MAX:
            raise tarfile.ReadError("a header declares a length that no archive has")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()
