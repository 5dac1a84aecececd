"""Zip archives, by their central directory."""

from __future__ import annotations

import copy
import stat
import zipfile
import zlib
from pathlib import Path
from typing import IO

from domainvl.schema.writer import Severity

from .content import HEAD_BYTES
from .leaving_out import LeftOut
from .listing import (
    UNPACK_YOURSELF,
    Listing,
    Refused,
    more_than_declared,
    refused_for_name,
    refused_for_size,
    repeated,
    too_large,
    unsafe,
)

_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_NOT_ARCHIVES = ("[Content_Types].xml", "META-INF/MANIFEST.MF", "mimetype")
"""Members that zips have which are documents or programs: Office Open XML, Java, OpenDocument and EPUB."""


class ZipArchive:
    """A zip archive, by its central directory.

    Args:
        path: The file.

    Raises:
        zipfile.BadZipFile: If it is none, or is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            self._members.setdefault(info.filename, info)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def list(self, limit_bytes: int) -> Listing:
        """List the members, by name."""
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        if any(info.filename in _NOT_ARCHIVES for info in infos):
            return Listing(problem=LeftOut("not-dicom", "the file is a document or a program in a zip container"))
        if sum(info.file_size for info in infos) > limit_bytes:
            return Listing(problem=too_large(limit_bytes))
        names: list[str] = []
        refused: list[Refused] = []
        for info in sorted(infos, key=lambda info: info.filename):
            why = self._refusal(info)
            if why is None:
                names.append(info.filename)
            else:
                refused.append(why)
        return Listing(tuple(names), tuple(refused))

    def _refusal(self, info: zipfile.ZipInfo) -> Refused | None:
        name = info.filename
        kind = stat.S_IFMT(info.external_attr >> 16)  # Unix mode, where the maker of the archive has one
        if kind not in (0, stat.S_IFREG):
            return unsafe(name, "is a link" if kind == stat.S_IFLNK else "is a device or pipe")
        if info.flag_bits & 0x1:
            return Refused(name, _encrypted())
        if info.compress_type not in _ZIP_METHODS:
            return Refused(name, _method(info.compress_type))
        if self._members[name] is not info:
            return Refused(name, repeated())
        return refused_for_name(name) or refused_for_size(name, info.file_size)

    def read(self, name: str) -> bytes:
        """Return a member's bytes.

        Raises:
            ItemError: If there are more than declared.
            KeyError: If there is no such member.
            zipfile.BadZipFile: If they are damaged.
        """
        info = self._members[name]
        with self._open(info) as member:
            content = member.read(info.file_size + 1)
        if len(content) > info.file_size:
            raise more_than_declared()
        if len(content) < info.file_size or zlib.crc32(content) != info.CRC:
            raise zipfile.BadZipFile("length or checksum differ")
        return content

    def head(self, name: str) -> bytes:
        """Return the first bytes of a member, unchecked; errors as :meth:`read`."""
        with self._open(self._members[name]) as member:
            return member.read(HEAD_BYTES)

    def _open(self, info: zipfile.ZipInfo) -> IO[bytes]:
        """Open a member for one byte more than it declares.

        zipfile stops in silence at the declared size; one byte more shows whether there is one. The checksum, which
        would then be wrong, is left to the caller.
        """
        longer = copy.copy(info)
        longer.file_size += 1
        del longer.CRC
        return self._zip.open(longer)


def _encrypted() -> LeftOut:
    return LeftOut("archive-encrypted", "the member is encrypted", UNPACK_YOURSELF, Severity.FAILED)


def _method(number: int) -> LeftOut:
    message = f"the member is compressed by method {number}; 0, 8, 12 and 14 can be read"
    return LeftOut("archive-compression", message, UNPACK_YOURSELF, Severity.FAILED)
