"""A gzip stream that can go back without starting again, for series whose order is not that of their archive."""

from __future__ import annotations

import io
import os
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

_CHUNK_BYTES = 1 << 16
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""Tells zlib to read and check the header and trailer of RFC 1952 (zlib manual, ``inflateInit2``)."""

_MARKS_MAX = 256
"""A mark holds about 45 kB, the window of 32 kB and tables: at most 12 MB in all."""

_FIRST_INTERVAL_BYTES = 1 << 21


@dataclass(frozen=True)
class _Mark:
    """A place to go back to.

    Attributes:
        at: Offset in what is unpacked.
        packed_at: Offset in the file of what is unpacked next.
        state: The decompressor there.
    """

    at: int
    packed_at: int
    state: Any


class GzipAccess(io.RawIOBase):
    """Unpacks a gzip file and keeps marks along the way, from the nearest of which it goes on when it is sent back.

    Args:
        file: The file, from its start.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._interval_bytes = _FIRST_INTERVAL_BYTES
        self._marks = [_Mark(0, file.tell(), zlib.decompressobj(_GZIP_WINDOW))]
        self._go_to(self._marks[0])

    def _go_to(self, mark: _Mark) -> None:
        self._file.seek(mark.packed_at)
        self._at, self._state, self._waiting = mark.at, mark.state.copy(), b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the offset in what is unpacked."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Unpack something, as far as one piece of the file goes; 0 bytes at the end.

        Raises:
            EOFError: If the file is cut off.
            zlib.error: If it is damaged.
        """
        piece = b""
        while not piece:
            packed = self._waiting or self._file.read(_CHUNK_BYTES)
            if self._state.eof:
                packed = packed.lstrip(b"\x00")  # gzip files may be padded with zeros
                if not packed and self._file.tell() >= self._file_bytes():
                    return 0
                if not packed:
                    self._waiting = b""
                    continue
                self._state = zlib.decompressobj(_GZIP_WINDOW)  # another member (RFC 1952 2.2)
            if not packed:
                raise EOFError("the compressed file is cut off")
            piece = self._state.decompress(packed, len(buffer))
            self._waiting = self._state.unused_data if self._state.eof else self._state.unconsumed_tail
        buffer[: len(piece)] = piece
        self._at += len(piece)
        self._mark()
        return len(piece)

    def _file_bytes(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _mark(self) -> None:
        if self._state.eof or self._at < self._marks[-1].at + self._interval_bytes:
            return
        self._marks.append(_Mark(self._at, self._file.tell() - len(self._waiting), self._state.copy()))
        if len(self._marks) > _MARKS_MAX:
            self._marks = self._marks[::2]
            self._interval_bytes *= 2

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset in what is unpacked, or to the end where that comes before it.

        Raises:
            ValueError: If it is counted from the end, or negative.
        """
        if whence == os.SEEK_CUR:
            offset += self._at
        elif whence != os.SEEK_SET:
            raise ValueError("the end is not known")
        if offset < 0:
            raise ValueError("negative offset")
        mark = max((mark for mark in self._marks if mark.at <= offset), key=lambda mark: mark.at)
        if offset < self._at or mark.at > self._at:
            self._go_to(mark)
        skipped = bytearray(_CHUNK_BYTES)
        while self._at < offset:
            if not self.readinto(memoryview(skipped)[: min(_CHUNK_BYTES, offset - self._at)]):
                break
        return self._at
