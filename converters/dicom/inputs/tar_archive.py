"""Tar archives, plain or compressed, read forward as far as they let themselves."""

from __future__ import annotations

import bz2
import contextlib
import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from .content import Content
from .gzip_access import GzipAccess
from .listing import (
    ARCHIVE_ERRORS,
    Listing,
    Refused,
    damaged,
    refused_for_name,
    refused_for_size,
    repeated,
    too_large,
    unsafe,
)

_TAR_HEADER_BYTES_MAX = 1 << 20
"""Longest extended header (a name, a comment) that is read; one that declares gigabytes is an attack."""

_EMPTY_READS_MAX = 16
_STREAM_BUFFER_BYTES = 1 << 20


class _Guarded:
    """A stream for tarfile that refuses what only forged headers ask for: to read gigabytes, backwards or for ever."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._empty_reads = 0
        self.allowed_bytes = _TAR_HEADER_BYTES_MAX

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.allowed_bytes:
            raise tarfile.ReadError("a header declares a length that no archive has")
        content = self._stream.read(size)
        self._empty_reads = 0 if content or not size else self._empty_reads + 1
        if self._empty_reads > _EMPTY_READS_MAX:
            raise tarfile.ReadError("unexpected end of data")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


class TarArchive:
    """A tar archive, plain or compressed.

    A compressed one is read forward. For a member that lies behind, gzip goes back to the nearest mark; bzip2 and xz
    start again.

    Args:
        path: The file.
        compression: :attr:`Content.TAR` for none, else ``GZIP``, ``BZIP2`` or ``XZ``.

    Raises:
        tarfile.TarError: If it is none.
    """

    def __init__(self, path: Path, compression: Content) -> None:
        self._members: dict[str, tarfile.TarInfo] = {}
        self._last_at = -1
        with contextlib.ExitStack() as stack:
            stream = unpacked_stream(stack, stack.enter_context(path.open("rb")), compression)
            self._source = _Guarded(stream)
            self._tar = stack.enter_context(tarfile.open(fileobj=cast(Any, self._source), mode="r:"))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def list(self, limit_bytes: int) -> Listing:
        """List the members in their order, in which they are best read."""
        names: list[str] = []
        refused: list[Refused] = []
        total_bytes = 0
        try:
            for info in self._infos():
                total_bytes += tarfile.BLOCKSIZE + info.size
                if max(total_bytes, info.offset_data) > limit_bytes:
                    return Listing(problem=too_large(limit_bytes))
                why = self._refusal(info)
                if why is not None:
                    refused.append(why)
                elif not info.isdir():
                    names.append(info.name)
        except ARCHIVE_ERRORS as error:
            problem = damaged(f"what follows its member {len(names)} cannot be read ({type(error).__name__})")
            return Listing(tuple(names), tuple(refused), problem)
        return Listing(tuple(names), tuple(refused))

    def _refusal(self, info: tarfile.TarInfo) -> Refused | None:
        if info.isdir():
            return None
        if not info.isfile():
            return unsafe(info.name, "is a link" if info.islnk() or info.issym() else "is a device or pipe")
        if self._members[info.name] is not info:
            return Refused(info.name, repeated())
        return refused_for_name(info.name) or refused_for_size(info.name, info.size)

    def _infos(self) -> Iterator[tarfile.TarInfo]:
        """Go on from the member found last; the first of a name counts."""
        self._source.allowed_bytes = _TAR_HEADER_BYTES_MAX
        while (info := self._tar.next()) is not None:
            # With a negative size the next header would be sought before this one, for ever.
            if info.size < 0 or info.offset <= self._last_at:
                raise tarfile.ReadError("a member has a negative size")
            self._last_at = info.offset
            self._members.setdefault(info.name, info)
            yield info
        self._source.seek(self._tar.offset)
        if self._source.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            # tarfile takes anything that is no header for the end.
            raise tarfile.ReadError("there is no end mark")

    def read(self, name: str) -> bytes:
        """Return a member's bytes.

        Raises:
            KeyError: If there is no such member.
            tarfile.TarError: If it is damaged.
        """
        info = self._members.get(name)
        if info is None:
            info = next((info for info in self._infos() if info.name == name), None)
        file = None if info is None else self._tar.extractfile(info)
        if info is None or file is None:
            raise KeyError("no such member")
        self._source.allowed_bytes = max(_TAR_HEADER_BYTES_MAX, info.size)
        with file:
            return file.read()

    def head(self, name: str) -> bytes:
        """Return all bytes of a member, as :meth:`read`: to come back for them may mean to start again."""
        return self.read(name)


def unpacked_stream(stack: contextlib.ExitStack, file: BinaryIO, compression: Content) -> BinaryIO:
    """Return a stream of what a file holds, unpacked; ``stack`` closes it."""
    if compression is Content.TAR:
        return file
    # tarfile steps back by a byte now and then, which without a buffer would mean to start again.
    raw: io.RawIOBase
    if compression is Content.GZIP:
        raw = GzipAccess(file)
    else:
        raw = _Pieces(stack.enter_context(bz2.BZ2File(file) if compression is Content.BZIP2 else lzma.LZMAFile(file)))
    return cast(BinaryIO, stack.enter_context(io.BufferedReader(raw, _STREAM_BUFFER_BYTES)))


class _Pieces(io.RawIOBase):
    """Hands on what could be unpacked of a stream that is cut off; its own ``readinto`` gives all or nothing."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())
