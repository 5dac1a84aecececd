"""Opens a file as the archive that it is, if it is one. Nothing is unpacked to disk."""

from __future__ import annotations

import contextlib
import lzma
import zlib
from pathlib import Path
from typing import TypeAlias

from .content import HEAD_BYTES, Content, content_of
from .tar_archive import TarArchive, unpacked_stream
from .zip_archive import ZipArchive

Archive: TypeAlias = ZipArchive | TarArchive


def open_archive(path: Path, content: Content) -> Archive | None:
    """Open a file that may be an archive; the caller closes it.

    Args:
        path: The file.
        content: What its first bytes say.

    Returns:
        The archive, None for a file that is none.

    Raises:
        OSError: If it cannot be read; further :data:`ARCHIVE_ERRORS` if it is damaged.
    """
    if content is Content.ZIP:
        return ZipArchive(path)
    if content is Content.TAR or (content in _COMPRESSED and _is_compressed_tar(path, content)):
        return TarArchive(path, content)
    return None


_COMPRESSED = (Content.GZIP, Content.BZIP2, Content.XZ)


def _is_compressed_tar(path: Path, compression: Content) -> bool:
    with contextlib.ExitStack() as stack:
        stream = unpacked_stream(stack, stack.enter_context(path.open("rb")), compression)
        try:
            return content_of(stream.read(HEAD_BYTES)) is Content.TAR
        except (EOFError, lzma.LZMAError, zlib.error, OSError):
            return False
